"""The scales on which statistics are compared."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from engine.drift.distance import Values
from engine.drift.sample import PICTURE_STATISTICS
from engine.drift.scale import LEAST, RAISES, SCALES, from_scale, to_scale

NUM = len(PICTURE_STATISTICS)


def at(name: str, value: float) -> float:
    values = np.zeros(NUM)
    values[PICTURE_STATISTICS.index(name)] = value
    return float(to_scale(values)[PICTURE_STATISTICS.index(name)])


def test_every_statistic_has_a_scale_in_the_order_of_samples() -> None:
    assert set(SCALES) == set(PICTURE_STATISTICS)
    assert LEAST.tolist() == [SCALES[name].least for name in PICTURE_STATISTICS]
    assert RAISES.tolist() == [SCALES[name].raises for name in PICTURE_STATISTICS]
    assert (LEAST > 0).all()


@given(arrays(np.float64, (3, NUM), elements=st.floats(0, 1e5)))
def test_there_and_back_is_where_it_was(values: Values) -> None:
    assert from_scale(to_scale(values)) == pytest.approx(values, rel=1e-9, abs=1e-8)


def test_what_is_given_is_not_changed() -> None:
    values = np.ones((2, NUM), np.float32)
    scaled = to_scale(values)
    kept = scaled.copy()
    from_scale(scaled)
    assert (values == 1).all()
    assert np.array_equal(scaled, kept)


@pytest.mark.parametrize("name", [name for name, scale in SCALES.items() if scale.offset is not None])
def test_half_is_as_far_as_double_where_light_multiplies(name: str) -> None:
    value = 1000 * float(SCALES[name].offset or 0)
    assert at(name, value) - at(name, value / 2) == pytest.approx(at(name, 2 * value) - at(name, value), rel=0.01)


@pytest.mark.parametrize("name", [name for name, scale in SCALES.items() if scale.offset is None])
def test_the_others_are_compared_as_they_are(name: str) -> None:
    assert at(name, -3.25) == -3.25


def test_nothing_at_all_has_a_place_on_the_scale() -> None:
    assert np.isfinite(to_scale(np.zeros(NUM))).all()
    assert np.isfinite(to_scale(np.full(NUM, -5.0))).all()
    assert np.isnan(to_scale(np.full(NUM, np.nan))).all()
