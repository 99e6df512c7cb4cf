"""What is normal for a camera: of late, and at this hour of other days."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from engine.drift.distance import LEVELS, MIDDLE, Values, natural_deviation, quantiles, wasserstein
from engine.drift.normal import ASSUMED, HOUR_BLOCKS, RECENT_BLOCKS, Block, Normal, Profile
from engine.drift.scale import LEAST
from tests.engine.drift.painted_camera import NOON_UNIX_S, in_scale, jpeg, paint

NUM = len(LEAST)
DAY_S = 86400.0
NOON = 12
SHAPE = (90, 160)


def make_samples(seed: int = 0, brightness: float = 0.0, num: int = 30) -> Values:
    noise = np.random.default_rng(seed).normal(0, 0.2, (num, NUM))
    return np.asarray(in_scale({"brightness": brightness}) + noise * LEAST)


def make_block(seed: int = 0, unix_s: float = NOON_UNIX_S, hour: int = NOON, brightness: float = 0.0) -> Block:
    return Block.of(make_samples(seed, brightness), unix_s, hour)


def medians(normal: Normal, unix_s: float, hour: int = NOON) -> list[float]:
    """Give the brightness of each profile, in least changes from the usual."""
    usual = in_scale()[0]
    return [round(float(profile.median[0] - usual) / LEAST[0], 0) for profile in normal.profiles(hour, unix_s)]


def filled(brightness: float = 0.0, unix_s: float = NOON_UNIX_S, hour: int = NOON, num: int = 30) -> Normal:
    normal = Normal()
    for number in range(num):
        normal.add(make_block(number, unix_s + number * 60, hour, brightness), [paint(0)] * 4, jpeg(100))
    return normal


def test_a_block_keeps_the_quantiles_of_its_samples() -> None:
    samples = make_samples()
    block = Block.of(samples, 5.0, 7)
    assert (block.unix_s, block.hour) == (5.0, 7)
    assert block.quantiles == pytest.approx(np.quantile(samples, LEVELS, axis=0), rel=1e-6)


def test_a_profile_is_the_blocks_together_and_how_far_they_are_from_it() -> None:
    blocks = [make_block(seed, brightness=brightness) for seed, brightness in enumerate([0, 0, 1, 1, 3])]
    each = np.stack([block.quantiles.astype(np.float64) for block in blocks])
    whole = quantiles(each.reshape(-1, NUM))
    profile = Profile.of(blocks, ASSUMED)
    assert profile.quantiles == pytest.approx(whole)
    assert profile.median == pytest.approx(whole[MIDDLE])
    distances = np.stack([wasserstein(block, whole) for block in each])
    natural, limit = natural_deviation(distances, ASSUMED)
    assert profile.natural == pytest.approx(natural)
    assert profile.limit == pytest.approx(limit)
    assert profile.num_blocks == 5


def test_a_profile_knows_how_far_single_samples_spread() -> None:
    found = Profile.of([make_block(seed) for seed in range(30)], ASSUMED)
    assert found.spread == pytest.approx(0.2 * LEAST, rel=0.15)


def test_until_it_knows_better_a_camera_varies_as_training_recordings_do() -> None:
    prior = np.full(NUM, 100.0)
    normal = Normal(prior)
    natural = []
    for seed in range(60):
        normal.add(make_block(seed), [], None)
        natural.append(normal.profiles(-1, 0.0)[0].natural)
    assert natural[0] == pytest.approx(prior)
    assert (natural[2] > 0.9 * prior).all()
    assert (natural[-1] < 0.7 * prior).all()


def test_without_blocks_nothing_is_known() -> None:
    normal = Normal()
    assert (len(normal), normal.hours) == (0, ())
    assert normal.profiles(NOON, NOON_UNIX_S) == []
    assert normal.scenes(NOON, SHAPE) == []
    assert normal.preview(NOON) is None


def test_the_latest_blocks_count_the_oldest_go() -> None:
    normal = Normal()
    for number in range(2 * RECENT_BLOCKS):
        normal.add(make_block(number, hour=-1, brightness=5.0 * (number >= RECENT_BLOCKS)), [], None)
    assert medians(normal, NOON_UNIX_S, -1) == [5]
    assert normal.profiles(-1, NOON_UNIX_S)[0].num_blocks == RECENT_BLOCKS
    assert len(normal) == 2 * RECENT_BLOCKS


def test_this_hour_of_another_day_counts_and_todays_does_not() -> None:
    normal = filled(brightness=-5)
    for number in range(RECENT_BLOCKS):
        normal.add(make_block(number, NOON_UNIX_S + 5 * 3600, 17), [], None)
    assert medians(normal, NOON_UNIX_S + 3600) == [0]
    assert medians(normal, NOON_UNIX_S + DAY_S) == [0, -5]
    assert medians(normal, NOON_UNIX_S + DAY_S, hour=3) == [0]
    assert medians(normal, NOON_UNIX_S + DAY_S, hour=-1) == [0]


def test_the_hours_before_and_after_count_as_this_one_also_over_midnight() -> None:
    normal = filled(hour=23, unix_s=NOON_UNIX_S + 11 * 3600)
    other_day_s = NOON_UNIX_S + 2 * DAY_S
    assert [len(medians(normal, other_day_s, hour)) for hour in (21, 22, 23, 0, 1)] == [1, 2, 2, 2, 1]


def test_a_few_blocks_make_no_hour() -> None:
    normal = filled(num=3)
    assert len(normal.profiles(NOON, NOON_UNIX_S + DAY_S)) == 1
    assert normal.hours == ()
    assert filled().hours == (NOON,)


def test_an_unknown_hour_is_not_kept() -> None:
    normal = filled(hour=-1)
    normal.add_to_hour(make_block(hour=-1), [paint(0)], jpeg(3))
    assert normal.hours == ()
    assert len(normal.profiles(-1, NOON_UNIX_S + DAY_S)) == 1


def test_what_is_added_to_an_hour_is_not_of_late() -> None:
    normal = filled(hour=3, unix_s=NOON_UNIX_S - 9 * 3600)
    for number in range(HOUR_BLOCKS):
        normal.add_to_hour(make_block(number, brightness=-5), [], None)
    assert medians(normal, NOON_UNIX_S + 60) == [0]
    assert medians(normal, NOON_UNIX_S + DAY_S) == [0, -5]


def test_what_another_has_learnt_of_the_hours_is_adopted() -> None:
    normal, aside = filled(hour=3, unix_s=NOON_UNIX_S - 9 * 3600), Normal()
    for number in range(10):
        aside.add_to_hour(make_block(number, brightness=-5), [paint(7)] * 2, jpeg(9))
    assert medians(normal, NOON_UNIX_S + DAY_S) == [0]
    normal.adopt(aside)
    assert normal.hours == (3, NOON)
    assert medians(normal, NOON_UNIX_S + DAY_S) == [0, -5]
    assert np.array_equal(normal.scenes(NOON, SHAPE)[1].picture, paint(7))
    assert (normal.preview(NOON), normal.preview(5)) == (jpeg(9), jpeg(100))


def test_scenes_are_those_of_late_and_of_the_hour() -> None:
    normal = filled(hour=3)
    normal.add_to_hour(make_block(), [paint(7)], None)
    assert np.array_equal(normal.scenes(-1, SHAPE)[0].picture, paint(0))
    assert [len(normal.scenes(hour, SHAPE)) for hour in (-1, 5, NOON)] == [1, 1, 2]
    assert normal.scenes(NOON, (10, 20)) == []


def test_thumbnails_of_another_size_begin_the_scene_afresh() -> None:
    normal = filled()
    normal.add(make_block(), [paint(1, (120, 68)), paint(2, (80, 45)), paint(2, (80, 45))], None)
    assert normal.scenes(-1, SHAPE) == []
    assert normal.scenes(-1, (68, 120)) == []
    found = normal.scenes(-1, (45, 80))
    assert [scene.num for scene in found] == [2]


def assert_same(a: Normal, b: Normal) -> None:
    (arrays, facts), (others, other_facts) = a.pack(), b.pack()
    assert facts == other_facts
    assert arrays.keys() == others.keys()
    for name, array in arrays.items():
        assert array.dtype == others[name].dtype
        np.testing.assert_array_equal(array, others[name])


@pytest.mark.parametrize("normal", [Normal(), filled(), filled(hour=-1)])
def test_what_is_packed_is_unpacked_to_the_same(normal: Normal) -> None:
    again = Normal.unpack(*normal.pack())
    assert_same(again, normal)
    assert (len(again), again.hours) == (len(normal), normal.hours)
    later_s = NOON_UNIX_S + DAY_S
    for found, expected in zip(again.profiles(NOON, later_s), normal.profiles(NOON, later_s), strict=True):
        assert np.array_equal(found.quantiles, expected.quantiles)
        assert np.array_equal(found.natural, expected.natural)


def test_a_normal_that_was_unpacked_goes_on_as_if_nothing_had_been() -> None:
    normal = filled()
    again = Normal.unpack(*normal.pack())
    for each in (normal, again):
        each.add(make_block(99, brightness=2), [paint(5)] * 4, jpeg(7))
    assert_same(again, normal)
    assert medians(again, NOON_UNIX_S) == medians(normal, NOON_UNIX_S)


def test_what_training_pictures_cannot_say_is_packed_as_unknown() -> None:
    samples = make_samples()
    samples[:, -1] = np.nan
    normal = Normal()
    normal.add(Block.of(samples, 0.0, -1), [], None)
    again = Normal.unpack(*normal.pack())
    assert_same(again, normal)
    assert np.isnan(again.profiles(-1, 0.0)[0].median[-1])


def broken(**changes: Any) -> dict[str, Any]:
    arrays, _ = filled(num=4).pack()
    return {name: array for name, array in {**arrays, **changes}.items() if array is not None}


@pytest.mark.parametrize(
    ("arrays", "match"),
    [
        (broken(quantiles=np.zeros((4, 3, 2))), "quantiles: no finite numbers of the shape"),
        (broken(quantiles=np.full((4, len(LEVELS), NUM), np.inf)), "quantiles: no finite numbers of the shape"),
        (broken(hour=np.zeros(1, np.int32)), "shorter|longer"),
        (broken(thumbnails_x=np.zeros((1, 9, 16), np.uint8)), "invalid literal"),
        (broken(unix_s=None), "unix_s"),
    ],
)
def test_what_was_not_packed_here_is_refused(arrays: dict[str, Any], match: str) -> None:
    with pytest.raises((ValueError, KeyError), match=match):
        Normal.unpack(arrays, filled(num=4).pack()[1])
