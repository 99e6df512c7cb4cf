"""The batched filter against matrices, and its boxes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from engine.kalman import SORT_NOISE, BoxFilter, from_area_ratio, stop_shrinking, to_area_ratio


class MatrixFilter:
    """The textbook's Kalman filter of one box: eight numbers, and matrices."""

    def __init__(self, measured: NDArray[np.float64]) -> None:
        self.state = np.concatenate([measured, np.zeros(4)])
        self.variance = np.diag(np.concatenate([SORT_NOISE.start_position, SORT_NOISE.start_velocity]))

    def predict(self, elapsed: float) -> None:
        transition = np.eye(8)
        transition[:4, 4:] = elapsed * np.eye(4)
        noise = elapsed * np.diag(np.concatenate([SORT_NOISE.step_position, SORT_NOISE.step_velocity]))
        self.state = transition @ self.state
        self.variance = transition @ self.variance @ transition.T + noise

    def update(self, measured: NDArray[np.float64], sees: NDArray[np.float64], noise: NDArray[np.float64]) -> None:
        gain = self.variance @ sees.T @ np.linalg.inv(sees @ self.variance @ sees.T + noise)
        self.state = self.state + gain @ (measured - sees @ self.state)
        self.variance = (np.eye(8) - gain @ sees) @ self.variance


@settings(max_examples=30, deadline=None, derandomize=True)
@given(seed=st.integers(0, 10_000))
def test_blocks_give_what_matrices_give(seed: int) -> None:
    rng = np.random.default_rng(seed)
    start = rng.uniform(1, 500, (3, 4))
    boxes, matrices = BoxFilter(SORT_NOISE), [MatrixFilter(row) for row in start]
    boxes.start(start)
    for _ in range(12):
        elapsed = float(rng.uniform(0.2, 3))
        rows = np.flatnonzero(rng.random(3) < 0.7)
        measured, moved = rng.uniform(1, 500, (len(rows), 4)), rng.normal(0, 9, (len(rows), 2))
        boxes.predict(elapsed)
        boxes.update(rows, measured)
        boxes.update_velocity(rows, moved, np.array([0.5, 2.0]))
        for matrix in matrices:
            matrix.predict(elapsed)
        for row, z, v in zip(rows, measured, moved, strict=True):
            matrices[row].update(z, np.eye(4, 8), np.diag(SORT_NOISE.measurement))
            matrices[row].update(v, np.eye(8)[4:6], np.diag([0.5, 2.0]))

    for index, matrix in enumerate(matrices):
        assert np.allclose(boxes.position[index], matrix.state[:4])
        assert np.allclose(boxes.velocity[index], matrix.state[4:])
        assert np.allclose(boxes.state[2, index], np.diag(matrix.variance)[:4])
        assert np.allclose(boxes.state[3, index], np.diag(matrix.variance[:4, 4:]))
        assert np.allclose(boxes.state[4, index], np.diag(matrix.variance)[4:])


def test_no_boxes_are_no_trouble() -> None:
    boxes = BoxFilter(SORT_NOISE)
    boxes.predict(1.0)
    boxes.update(np.array([], np.intp), np.zeros((0, 4)))
    boxes.keep(np.zeros(0, np.bool_))

    assert len(boxes) == 0
    assert from_area_ratio(boxes.position).shape == (0, 4)


def test_keep_and_start_keep_the_order() -> None:
    boxes = BoxFilter(SORT_NOISE)
    boxes.start(np.array([[1.0, 1, 1, 1], [2, 2, 2, 2]]))
    boxes.keep(np.array([False, True]))
    boxes.start(np.array([[3.0, 3, 3, 3]]))

    assert boxes.position[:, 0].tolist() == [2, 3]


def test_boxes_survive_the_way_to_area_and_ratio_and_back() -> None:
    xyxy = np.array([[0, 10, 20, 50], [-5, -5, 5, 5], [100, 100, 1000, 101]], np.float32)

    assert np.allclose(from_area_ratio(to_area_ratio(xyxy)), xyxy, atol=1e-4)
    assert to_area_ratio(xyxy)[0].tolist() == [10, 30, 800, 0.5]


def test_a_box_without_size_stays_finite() -> None:
    assert np.isfinite(to_area_ratio(np.array([[5, 5, 5, 5], [5, 5, 3, 9]], np.float32))).all()


@pytest.mark.parametrize(("elapsed", "growth"), [(1.0, -30.0), (4.0, 0.0)])
def test_an_area_that_would_vanish_stops_shrinking(elapsed: float, growth: float) -> None:
    boxes = BoxFilter(SORT_NOISE)
    boxes.start(np.array([[0.0, 0, 100, 1]]))
    boxes.velocity[0, 2] = -30

    stop_shrinking(boxes, elapsed)

    assert boxes.velocity[0, 2] == growth
