"""Distances between distributions, how sure they are, and since when: against SciPy and plain definitions."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.spatial.distance
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import t

from engine.drift.distance import (
    LEVELS,
    MIDDLE,
    Cusum,
    Values,
    effective_samples,
    holm,
    jensen_shannon,
    kolmogorov,
    natural_deviation,
    p_value,
    quantiles,
    wasserstein,
)

NUM = len(LEVELS)
quantile_sets = arrays(np.float64, (NUM, 2), elements=st.floats(-100, 100)).map(lambda q: np.sort(q, axis=0))
counts = arrays(np.float64, 5, elements=st.integers(0, 50).map(float))
p_values = arrays(np.float64, st.integers(1, 12), elements=st.floats(0, 1))


def autoregression(r: float, num: int, seed: int, columns: int = 1) -> Values:
    rng = np.random.default_rng(seed)
    out = rng.normal(size=(num, columns))
    for row in range(1, num):
        out[row] = r * out[row - 1] + np.sqrt(1 - r * r) * out[row]
    return out


def test_levels_are_symmetric_about_the_median() -> None:
    assert LEVELS[MIDDLE] == 0.5
    assert LEVELS + LEVELS[::-1] == pytest.approx(np.ones(NUM))


def test_quantiles_are_taken_of_each_column() -> None:
    samples = np.stack([np.arange(101.0), 10 * np.arange(101.0)], axis=1)
    assert quantiles(samples) == pytest.approx(np.stack([100 * LEVELS, 1000 * LEVELS], axis=1))


def test_one_sample_has_itself_for_every_quantile() -> None:
    assert np.array_equal(quantiles(np.array([[3.0, 4.0]])), np.tile([3.0, 4.0], (NUM, 1)))


@pytest.mark.parametrize("change", [(3.0, 1.0), (0.0, 2.0), (-1.0, 0.5)])
def test_wasserstein_is_close_to_that_of_the_samples(change: tuple[float, float]) -> None:
    rng = np.random.default_rng(0)
    now, then = rng.normal(change[0], change[1], 4000), rng.normal(0, 1, 4000)
    found = wasserstein(quantiles(now[:, None]), quantiles(then[:, None]))[0]
    # Eleven quantiles stand for all: the outer two count for a little more than their share.
    assert found == pytest.approx(scipy.stats.wasserstein_distance(now, then), rel=0.15)


@given(quantile_sets, quantile_sets, quantile_sets)
def test_wasserstein_is_a_distance(a: Values, b: Values, c: Values) -> None:
    assert (wasserstein(a, b) >= 0).all()
    assert (wasserstein(a, a) == 0).all()
    assert np.array_equal(wasserstein(a, b), wasserstein(b, a))
    assert (wasserstein(a, c) <= wasserstein(a, b) + wasserstein(b, c) + 1e-9).all()


@given(quantile_sets, st.floats(-50, 50))
def test_wasserstein_of_a_shift_is_the_shift(a: Values, shift: float) -> None:
    assert wasserstein(a + shift, a) == pytest.approx([abs(shift)] * 2)


@given(counts, counts)
def test_jensen_shannon_is_that_of_scipy(p: Values, q: Values) -> None:
    found = jensen_shannon(p, q)
    assert 0 <= found <= 1
    if p.sum() and q.sum():
        assert found == pytest.approx(scipy.spatial.distance.jensenshannon(p, q, base=2), abs=1e-6)


def test_jensen_shannon_runs_from_alike_to_nothing_in_common_and_does_not_count() -> None:
    assert jensen_shannon(np.array([3.0, 1]), np.array([30.0, 10])) == pytest.approx(0, abs=1e-7)
    assert jensen_shannon(np.array([3.0, 0]), np.array([0, 8.0])) == 1
    assert jensen_shannon(np.zeros(2), np.array([0, 8.0])) == 0


@pytest.mark.parametrize("shift", [0.0, 0.4, -1.5, 20.0])
def test_kolmogorov_is_the_statistic_of_scipy_as_far_as_the_levels_tell(shift: float) -> None:
    samples = np.random.default_rng(1).normal(shift, 1, 300)
    exact = scipy.stats.ks_1samp(samples, scipy.stats.norm.cdf).statistic
    found = kolmogorov(samples[:, None], scipy.stats.norm.ppf(LEVELS)[:, None])[0]
    # Between two levels it cannot look.
    assert exact - np.diff(LEVELS).max() <= found <= exact + 1e-9


def test_samples_that_equal_a_constant_reference_are_no_distance_away() -> None:
    assert kolmogorov(np.full((9, 1), 4.0), np.full((NUM, 1), 4.0))[0] == 0
    assert kolmogorov(np.full((9, 1), 5.0), np.full((NUM, 1), 4.0))[0] == LEVELS[-1]


@pytest.mark.parametrize("num", [5, 30, 200])
def test_the_chance_is_never_said_to_be_smaller_than_it_is(num: int) -> None:
    distance = np.linspace(0.01, 0.99, 50)
    found = p_value(distance, np.full(50, float(num)))
    assert (found >= scipy.stats.kstwo.sf(distance, num) - 1e-12).all()
    assert found.max() <= 1
    assert (np.diff(found) <= 0).all()


@given(p_values, st.floats(1e-4, 0.5))
def test_holm_stands_between_no_correction_and_bonferroni(p: Values, alpha: float) -> None:
    passed = holm(p, alpha)
    assert (passed <= (p <= alpha)).all()
    assert (passed >= (p <= alpha / len(p))).all()


@given(p_values, st.floats(1e-4, 0.5))
def test_holm_rejects_step_by_step_until_the_first_that_holds(p: Values, alpha: float) -> None:
    left = sorted(p.tolist())
    num_passed = 0
    while left and left[0] <= alpha / len(left):
        left.pop(0)
        num_passed += 1
    assert holm(p, alpha).sum() == num_passed


def test_holm_makes_false_findings_as_rare_as_it_says() -> None:
    rng = np.random.default_rng(2)
    wrong = np.mean([holm(rng.uniform(size=12), 0.05).any() for _ in range(4000)])
    assert wrong == pytest.approx(0.05, abs=0.012)


@given(arrays(np.float64, st.tuples(st.integers(1, 40), st.just(2)), elements=st.floats(-1e3, 1e3)))
def test_effective_samples_are_between_one_and_all(samples: Values) -> None:
    found = effective_samples(samples)
    assert found.shape == (2,)
    assert (found >= 1).all()
    assert (found <= len(samples)).all()


@pytest.mark.parametrize("r", [0.0, 0.3, 0.6])
def test_correlated_samples_count_as_an_autoregression_says(r: float) -> None:
    num = 5000
    found = effective_samples(autoregression(r, num, 3))[0]
    assert found == pytest.approx(num * (1 - r) / (1 + r), rel=0.1)


def test_a_constant_column_counts_in_full() -> None:
    assert effective_samples(np.full((20, 1), 7.0))[0] == 20


def test_cusum_notices_a_change_and_when_it_began() -> None:
    noise = autoregression(0.5, 200, 4, 3) * 0.3
    for sign in (1, -1):
        cusum = Cusum(3)
        for second, deviation in enumerate(noise):
            cusum.add(float(second), deviation + (sign * 2 * np.array([0, 1, 0]) if second >= 100 else 0))
            if second < 100:
                assert cusum.changed_s is None
        assert cusum.changed_s == pytest.approx(100, abs=3)


def test_one_wild_sample_is_no_change() -> None:
    cusum = Cusum(2)
    for second in range(20):
        cusum.add(float(second), np.array([0.0, 1e6 if second == 10 else 0.0]))
        assert cusum.changed_s is None


def test_cusum_is_over_soon_after_a_change_that_lasted_long() -> None:
    cusum = Cusum(1)
    for second in range(5000):
        cusum.add(float(second), np.array([3.0]))
    after = 0
    while cusum.changed_s is not None:
        cusum.add(5000.0 + after, np.array([0.0]))
        after += 1
    assert after < 20


def test_cusum_forgets() -> None:
    cusum = Cusum(1)
    for second in range(10):
        cusum.add(float(second), np.array([3.0]))
    cusum.reset()
    assert cusum.changed_s is None
    cusum.add(10.0, np.array([3.0]))
    assert cusum.changed_s is None


def test_of_a_new_camera_only_the_assumption_is_known() -> None:
    deviation, limit = natural_deviation(np.zeros((1, 1)), np.ones(1))
    assert deviation == pytest.approx([1])
    assert limit == pytest.approx(t.isf(1e-6, 10) * np.sqrt(2), rel=0.01)


def test_with_many_blocks_the_limit_is_what_they_show() -> None:
    blocks = np.abs(np.random.default_rng(0).normal(0, 2.0, (3000, 1)))
    deviation, limit = natural_deviation(blocks, np.full(1, 0.1))
    assert deviation == pytest.approx([2.0], rel=0.05)
    assert limit / deviation == pytest.approx([5.26], rel=0.01)


def test_three_blocks_in_a_row_count_as_one() -> None:
    few, many = (natural_deviation(np.full((num, 1), 3.0), np.ones(1))[0] for num in (4, 31))
    # One independent block beside ten assumed ones, and ten.
    assert few == pytest.approx([np.sqrt((10 * 1 + 1 * 36 / 3) / 11)])
    assert many == pytest.approx([np.sqrt((10 * 1 + 10 * 31 * 9 / 30) / 20)])
