"""What a model's training pictures say about a camera."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from engine.detections import Detections
from engine.drift.distance import MIDDLE
from engine.drift.sample import PICTURE_STATISTICS
from engine.drift.scale import LEAST
from engine.drift.training_normal import TrainingNormal
from engine.reference import ReferenceStatistics
from engine.reference_builder import ReferenceBuilder
from tests.engine.drift.painted_camera import PaintedCamera, in_scale, paint

LABELS = ("person", "car", "tram")
KNOWN = slice(0, len(PICTURE_STATISTICS) - 1)
"""All but motion."""


def build(
    cameras: Sequence[str | None] = ("gate",), seconds: float = 300, brightness: float = 0.0, boxes_each: int = 2
) -> ReferenceStatistics:
    """Give a reference of so many seconds of each camera; None stands for photographs, taken at no known time."""
    builder = ReferenceBuilder(LABELS, "0123456789abcdef", 0.3)
    rng = np.random.default_rng(0)
    for number, camera in enumerate(cameras):
        for sample in PaintedCamera(number).film(seconds, {"brightness": brightness * number}):
            left_top = rng.uniform(0, 50, (boxes_each, 2))
            sides = rng.uniform(8, 12, (boxes_each, 2))
            found = Detections(
                np.concatenate([left_top, left_top + sides], 1).astype(np.float32),
                np.full(boxes_each, 0.8, np.float32), rng.integers(0, 2, boxes_each), LABELS,
            )  # fmt: skip
            values = dict(zip(PICTURE_STATISTICS[KNOWN], sample.values.tolist(), strict=False))
            builder.add(values, found, (100, 100), camera or "", sample.pts_s if camera else None, {})
    return builder.build()


def with_scene(reference: ReferenceStatistics, camera: str) -> ReferenceStatistics:
    return replace(reference, scenes={camera: paint(0)})


def test_the_range_is_what_nearly_all_training_pictures_cover() -> None:
    found = TrainingNormal.of(build(("gate", "yard"), brightness=4), "elsewhere")
    usual = in_scale()
    assert found.low[KNOWN] == pytest.approx((usual - 0.6 * LEAST)[KNOWN], abs=0.3 * LEAST.max())
    assert found.high[0] == pytest.approx(usual[0] + 4.6 * LEAST[0], abs=0.4 * LEAST[0])
    assert found.low[0] < found.middle[0] < found.high[0]


def test_pictures_on_their_own_say_nothing_about_motion() -> None:
    found = TrainingNormal.of(build(), "gate")
    assert np.isnan([found.low[-1], found.high[-1], found.middle[-1]]).all()
    assert found.natural is not None
    assert found.natural[-1] == 0


def test_what_is_within_the_range_is_not_outside() -> None:
    found = TrainingNormal.of(build(), "gate")
    samples = np.tile(in_scale(), (5, 1))
    assert (found.outside(samples) == 0).all()
    assert (found.outside(np.tile(found.high, (5, 1))) == 0).all()


@pytest.mark.parametrize("sign", [1, -1])
def test_outside_is_counted_from_the_edge_of_the_range_in_least_changes(sign: int) -> None:
    found = TrainingNormal.of(build(), "gate")
    edge = (found.high if sign > 0 else found.low)[0]
    samples = np.tile(in_scale(), (5, 1))
    samples[:, 0] = edge + sign * 3 * LEAST[0]
    outside = found.outside(samples)
    assert outside[0] == pytest.approx(3 * sign)
    assert (outside[1:] == 0).all()


def test_a_camera_of_its_name_has_its_own_blocks_and_scene() -> None:
    reference = with_scene(build(("gate", "yard"), brightness=8), "gate")
    gate, yard = TrainingNormal.of(reference, "gate"), TrainingNormal.of(reference, "yard")
    assert (len(gate.blocks), len(yard.blocks)) == (5, 5)
    assert gate.blocks[0].quantiles[MIDDLE, 0] == pytest.approx(in_scale()[0], abs=LEAST[0])
    assert yard.blocks[0].quantiles[MIDDLE, 0] == pytest.approx(in_scale({"brightness": 8})[0], abs=LEAST[0])
    assert gate.scene is not None
    assert np.array_equal(gate.scene, paint(0))
    assert yard.scene is None


def test_a_reference_of_one_recording_was_made_for_any_camera() -> None:
    reference = with_scene(build(("gate",)), "gate")
    found = TrainingNormal.of(reference, "another name")
    assert len(found.blocks) == 5
    assert found.scene is not None
    assert np.array_equal(found.scene, paint(0))


@pytest.mark.parametrize("cameras", [("gate", "yard"), ("gate", None), (None,)])
def test_a_camera_that_was_not_trained_on_has_no_normal_in_it(cameras: tuple[str | None, ...]) -> None:
    found = TrainingNormal.of(build(cameras), "elsewhere")
    assert (found.blocks, found.scene, found.normal()) == ((), None, None)


def test_recordings_tell_how_much_a_camera_varies_by_nature() -> None:
    found = TrainingNormal.of(build(("gate", "yard")), "elsewhere")
    assert found.natural is not None
    assert (found.natural[KNOWN] > 0).all()
    assert (found.natural[KNOWN] < LEAST[KNOWN]).all()
    assert TrainingNormal.of(build((None,)), "elsewhere").natural is None


def test_a_change_between_two_cameras_is_not_how_one_varies() -> None:
    alike = TrainingNormal.of(build(("gate", "yard")), "elsewhere")
    apart = TrainingNormal.of(build(("gate", "yard"), brightness=20), "elsewhere")
    assert alike.natural is not None
    assert apart.natural is not None
    assert apart.natural[0] == pytest.approx(alike.natural[0], rel=0.01)


def test_the_normal_of_a_camera_is_made_of_its_blocks() -> None:
    normal = TrainingNormal.of(with_scene(build(), "gate"), "gate").normal()
    assert normal is not None
    assert len(normal) == 5
    assert normal.hours == ()
    assert normal.profiles(-1, 0.0)[0].median[KNOWN] == pytest.approx(in_scale()[KNOWN], abs=0.3 * LEAST.max())
    assert np.array_equal(normal.scenes(-1, (90, 160))[0].picture, paint(0))


@pytest.mark.parametrize(("seconds", "num_blocks"), [(10, 0), (36, 2), (90, 2), (300, 5)])
def test_a_recording_is_cut_into_two_or_more_stretches_or_too_short(seconds: float, num_blocks: int) -> None:
    assert len(TrainingNormal.of(build(seconds=seconds), "gate").blocks) == num_blocks


def test_boxes_give_the_classes_and_the_range_of_sizes() -> None:
    found = TrainingNormal.of(build(), "gate")
    assert found.labels == LABELS
    assert found.class_counts.shape == (3,)
    assert found.class_counts[2] == 0
    assert found.class_counts.sum() == 300
    assert 0.07 < found.size_range[0] < 0.1 < found.size_range[1] < 0.13
    assert -0.5 < found.aspect_range[0] < 0 < found.aspect_range[1] < 0.5


def test_without_boxes_any_size_is_known() -> None:
    found = TrainingNormal.of(build(boxes_each=0), "gate")
    assert found.class_counts.tolist() == [0, 0, 0]
    assert found.size_range == (-np.inf, np.inf)


def test_an_empty_reference_says_nothing() -> None:
    found = TrainingNormal.of(build(cameras=()), "gate")
    assert (found.outside(np.tile(in_scale({"brightness": 50}), (5, 1))) == 0).all()
    assert (found.natural, found.normal()) == (None, None)
