from __future__ import annotations

import numpy as np
import pytest

from training.evaluation.detections.bootstrap import blocks_of, difference, figures_of_draws, interval


def test_frames_of_a_camera_are_drawn_in_blocks_of_time() -> None:
    images = [{"camera": "gate", "time_s": t} for t in (0.0, 4.9, 5.0, 12.0)] + [{"camera": "dock", "time_s": 1.0}]
    blocks = blocks_of(images)
    assert (blocks.number.tolist(), blocks.num, blocks.seconds) == ([0, 0, 1, 2, 3], 4, 5.0)
    assert "4 blocks drawn, each 5 s of one camera; 4 are few" in blocks.sentence()


def test_recordings_of_a_camera_do_not_share_blocks() -> None:
    images = [{"camera": "gate", "time_s": 0.0, "tags": {"recording": name}} for name in ("mon", "tue", "mon")]
    assert blocks_of(images).number.tolist() == [0, 1, 0]


def test_photographs_are_drawn_one_by_one() -> None:
    blocks = blocks_of([{"id": i} for i in range(30)])
    assert (blocks.num, blocks.seconds) == (30, None)
    assert blocks.sentence().startswith("30 pictures drawn one by one, as if they were independent")


def test_pictures_of_a_camera_without_times_count_as_a_second_apart() -> None:
    assert blocks_of([{"camera": "gate"}] * 7).number.tolist() == [0, 0, 0, 0, 0, 1, 1]


def test_a_draw_takes_whole_blocks_and_the_same_seed_the_same_ones() -> None:
    blocks = blocks_of([{"camera": "gate", "time_s": float(t)} for t in range(20)])
    draws = list(blocks.draws(50, seed=3))
    for images in draws:
        times = np.bincount(images, minlength=20).reshape(4, 5)
        assert (times == times[:, :1]).all()
        assert times[:, 0].sum() == 4
    assert all((a == b).all() for a, b in zip(draws, blocks.draws(50, seed=3), strict=True))
    assert any((a != b).any() for a, b in zip(draws, blocks.draws(50, seed=4), strict=True))


def test_the_interval_of_a_mean_is_as_wide_as_theory_says() -> None:
    numbers = np.random.default_rng(0).normal(5, 2, 400)
    blocks = blocks_of([{}] * 400)
    draws = figures_of_draws(blocks, 2000, 0, lambda i: np.array([numbers[i].mean()]), lambda: None)
    found = interval(float(numbers.mean()), draws[:, 0])
    assert found is not None
    half = 1.96 * numbers.std() / 20
    assert found.low == pytest.approx(numbers.mean() - half, abs=0.02)
    assert found.high == pytest.approx(numbers.mean() + half, abs=0.02)


def test_blocks_keep_the_interval_honest_where_neighbours_are_alike() -> None:
    # Ten values, each seen in forty frames one after the other: there are ten things to know, not four hundred.
    numbers = np.repeat(np.random.default_rng(0).normal(0, 1, 10), 40)

    def width(images: list[dict[str, object]]) -> float:
        draws = figures_of_draws(blocks_of(images), 500, 0, lambda i: np.array([numbers[i].mean()]), lambda: None)
        found = interval(float(numbers.mean()), draws[:, 0])
        assert found is not None
        return found.high - found.low

    single = width([{}] * 400)
    blocks = width([{"camera": "gate", "time_s": i / 8} for i in range(400)])
    assert blocks > 4 * single


def test_an_interval_is_moved_where_draws_come_out_higher_than_the_figure() -> None:
    draws = np.random.default_rng(0).normal(0.55, 0.05, 5000)
    found = interval(0.5, draws)
    assert found is not None
    # What draws add to the figure, the figure has had added to the truth: 0.45 is the middle.
    assert found.high == pytest.approx(0.45 + 1.96 * 0.05, abs=0.01)
    assert found.low == pytest.approx(0.45 - 1.96 * 0.05, abs=0.03)


def test_figures_that_are_never_there_have_no_interval() -> None:
    assert interval(0.5, np.array([])) is None
    assert interval(0.5, np.array([0.5, np.nan, np.nan])) is None
    assert difference(0.5, 0.6, np.array([np.nan]), np.array([0.6])).p is None


def test_a_difference_that_every_draw_shows_is_significant_though_both_vary_widely() -> None:
    rng = np.random.default_rng(0)
    a = rng.normal(0.5, 0.2, 500)
    apart = difference(0.5, 0.53, a, a + rng.normal(0.03, 0.005, 500))
    assert apart.is_significant
    assert apart.p is not None
    assert 0 < apart.p < 0.01
    assert apart.interval is not None
    assert 0.015 < apart.interval.low < 0.03 < apart.interval.high < 0.045


def test_a_difference_of_chance_is_not() -> None:
    rng = np.random.default_rng(0)
    apart = difference(0.5, 0.505, rng.normal(0.5, 0.05, 500), rng.normal(0.505, 0.05, 500))
    assert not apart.is_significant
    assert apart.p is not None
    assert apart.p > 0.5


def test_the_same_results_do_not_differ() -> None:
    draws = np.random.default_rng(0).normal(0.5, 0.1, 100)
    apart = difference(0.5, 0.5, draws, draws)
    assert (apart.p, apart.is_significant) == (1.0, False)


@pytest.mark.parametrize("effect", [0.0, 0.05, 0.1, 0.2])
def test_p_is_below_a_twentieth_where_the_interval_leaves_out_nought(effect: float) -> None:
    draws = np.random.default_rng(1).normal(effect, 0.05, 5000)
    apart = difference(0.0, effect, np.zeros(5000), draws)
    assert apart.p is not None
    assert apart.is_significant == (apart.p < 0.05)


def test_every_draw_ticks() -> None:
    ticks: list[int] = []
    figures_of_draws(blocks_of([{}] * 3), 7, 0, lambda i: np.zeros(1), lambda: ticks.append(1))
    assert len(ticks) == 7
