from __future__ import annotations

import math

import numpy as np
import pytest

from engine.detection_statistics import DETECTION_STATISTICS, measure_detections
from engine.detections import Detections


def boxes(*xyxy: tuple[float, float, float, float]) -> Detections:
    count = len(xyxy)
    return Detections(
        np.array(xyxy, np.float32).reshape(-1, 4), np.full(count, 0.5, np.float32), np.zeros(count, np.int64)
    )


def test_a_box_is_measured_as_shares_of_the_picture() -> None:
    found = measure_detections(boxes((20, 10, 60, 30)), (200, 100))
    expected = {"confidence": 0.5, "size": 0.2, "aspect": math.log(2), "cx": 0.2, "cy": 0.2, "foot": 0.3}
    assert {name: float(column[0]) for name, column in found.items()} == pytest.approx(expected)
    assert tuple(found) == DETECTION_STATISTICS


def test_resolution_does_not_matter() -> None:
    small, large = (measure_detections(boxes((20 * k, 10 * k, 60 * k, 30 * k)), (200 * k, 100 * k)) for k in (1, 3))
    for name in DETECTION_STATISTICS:
        assert small[name] == pytest.approx(large[name])


def test_no_boxes_give_empty_columns() -> None:
    found = measure_detections(Detections.empty(), (200, 100))
    assert {(column.shape, column.dtype) for column in found.values()} == {((0,), np.dtype(np.float32))}


def test_a_box_without_extent_has_finite_numbers() -> None:
    found = measure_detections(boxes((5, 5, 5, 5), (0, 5, 9, 5)), (200, 100))
    assert all(np.isfinite(column).all() for column in found.values())
