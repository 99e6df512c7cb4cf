"""Kalman filters of many boxes at once.

A box is four quantities that move independently of one another, each with its own velocity. The 8x8 (SORT: 7x7)
matrices of a general filter are then zero outside 2x2 blocks, so that four such blocks a box, written out as plain
arithmetic on columns, give the general filter's result without a matrix product or an inverse.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Noise:
    """Variances of a box filter, one for each of the four quantities.

    Attributes:
        start_position, start_velocity: of a new box.
        step_position, step_velocity: added by one unit of time.
        measurement: of a measured position.
    """

    start_position: Floats
    start_velocity: Floats
    step_position: Floats
    step_velocity: Floats
    measurement: Floats


# Rows of the state array.
POSITION, VELOCITY, VAR_POSITION, COVARIANCE, VAR_VELOCITY = range(5)


class BoxFilter:
    """Constant-velocity filters of N boxes.

    Args:
        noise: variances; those of SORT are in `SORT_NOISE`.

    Attributes:
        state: float64 (5, N, 4): position, velocity, variance of position, covariance, variance of velocity.
    """

    def __init__(self, noise: Noise) -> None:
        self.noise = noise
        self.state: Floats = np.zeros((5, 0, 4))

    def __len__(self) -> int:
        return int(self.state.shape[1])

    @property
    def position(self) -> Floats:
        """Positions, float64 (N, 4); writing into it changes the filter."""
        position: Floats = self.state[POSITION]
        return position

    @property
    def velocity(self) -> Floats:
        """Velocities in units of position a unit of time, float64 (N, 4); writing into it changes the filter."""
        velocity: Floats = self.state[VELOCITY]
        return velocity

    def start(self, measured: Floats) -> None:
        """Add boxes, (K, 4), at rest, behind those that are there."""
        new = np.zeros((5, len(measured), 4))
        new[POSITION] = measured
        new[VAR_POSITION] = self.noise.start_position
        new[VAR_VELOCITY] = self.noise.start_velocity
        self.state = np.concatenate([self.state, new], axis=1)

    def keep(self, rows: NDArray[Any]) -> None:
        """Keep the boxes that a mask or an index array selects."""
        self.state = self.state[:, rows]

    def predict(self, elapsed: float | Floats) -> None:
        """Move every box by its velocity.

        Args:
            elapsed: units of time since the last prediction, for all boxes or (N, 1), one each.
        """
        position, velocity, var_position, covariance, var_velocity = self.state
        position += elapsed * velocity
        var_position += elapsed * (2 * covariance + elapsed * var_velocity + self.noise.step_position)
        covariance += elapsed * var_velocity
        var_velocity += elapsed * self.noise.step_velocity

    def update(self, rows: NDArray[np.intp], measured: Floats) -> None:
        """Take in measured positions.

        Args:
            rows: (K,), which boxes were measured, each at most once.
            measured: (K, 4), in their order.
        """
        state = self.state[:, rows]
        position, velocity, var_position, covariance, var_velocity = state
        gain = var_position / (var_position + self.noise.measurement)
        gain_velocity = covariance / (var_position + self.noise.measurement)
        surprise = measured - position
        position += gain * surprise
        velocity += gain_velocity * surprise
        var_velocity -= gain_velocity * covariance
        var_position -= gain * var_position
        covariance -= gain * covariance
        self.state[:, rows] = state

    def update_velocity(self, rows: NDArray[np.intp], measured: Floats, variance: Floats) -> None:
        """Take in measured velocities of the first two quantities, such as those of optical flow.

        Args:
            rows: (K,), which boxes were measured, each at most once.
            measured: (K, 2), in their order.
            variance: of the measurement, broadcast to (K, 2).
        """
        state = self.state[:, rows, :2]
        position, velocity, var_position, covariance, var_velocity = state
        gain = covariance / (var_velocity + variance)
        gain_velocity = var_velocity / (var_velocity + variance)
        surprise = measured - velocity
        position += gain * surprise
        velocity += gain_velocity * surprise
        var_position -= gain * covariance
        covariance -= gain_velocity * covariance
        var_velocity -= gain_velocity * var_velocity
        self.state[:, rows, :2] = state


SORT_NOISE = Noise(
    start_position=np.array([10.0, 10.0, 10.0, 10.0]),
    start_velocity=np.array([1e4, 1e4, 1e4, 0.0]),
    step_position=np.ones(4),
    step_velocity=np.array([1e-2, 1e-2, 1e-4, 0.0]),
    measurement=np.array([1.0, 1.0, 10.0, 10.0]),
)
"""Variances that SORT was published with (arXiv 1602.00763): centre, area, and a ratio that has no velocity."""


def stop_shrinking(boxes: BoxFilter, elapsed: float | Floats) -> None:
    """Hold the area of boxes (centre, area, ratio) that would have none left.

    Args:
        boxes: a filter of such boxes.
        elapsed: after so many units of time; one number, or (N,) for one each.
    """
    area, growth = boxes.position[:, 2], boxes.velocity[:, 2]
    growth[area + elapsed * growth <= 0] = 0


def to_area_ratio(xyxy: NDArray[np.floating[Any]]) -> Floats:
    """Turn (N, 4) xyxy into SORT's centre x, centre y, area, width over height, float64."""
    boxes = xyxy.astype(np.float64)
    size = boxes[:, 2:] - boxes[:, :2]
    out = np.empty_like(boxes)
    out[:, :2] = boxes[:, :2] + size / 2
    # A box without height has no ratio; a thousandth of a pixel keeps it finite.
    width, height = np.maximum(size, 1e-3).T
    out[:, 2] = width * height
    out[:, 3] = width / height
    return out


def from_area_ratio(position: Floats) -> NDArray[np.float32]:
    """Turn (N, 4) centre x, centre y, area, ratio into xyxy, float32."""
    half = np.empty((len(position), 2))
    half[:, 0] = np.sqrt(position[:, 2] * position[:, 3]) / 2
    half[:, 1] = position[:, 2] / half[:, 0] / 4
    centre = position[:, :2]
    xyxy = np.concatenate([centre - half, centre + half], axis=1)
    return xyxy.astype(np.float32)
