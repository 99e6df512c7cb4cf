from __future__ import annotations

import numpy as np
import pytest

from training.evaluation.detections.calibration import calibrate
from training.evaluation.detections.matches import Matches, Table


def matches(confidence: list[float], right: list[bool], ignore: list[bool] | None = None) -> Matches:
    num = len(confidence)
    table = Table(
        image=np.zeros(num, np.intp),
        class_id=np.arange(num) % 2,
        xyxy=np.zeros((num, 4), np.float32),
        ignore=np.array(ignore or [False] * num, np.bool_),
        match=np.where(right, 0, -1).astype(np.intp),
    )
    return Matches(("even", "odd"), table, table, np.array(confidence, np.float64))


def test_confidence_that_comes_true_has_no_error() -> None:
    calibration = calibrate(matches([0.75] * 4, [True, True, True, False]))
    assert (calibration.num, calibration.error, calibration.bias) == (4, 0, 0)


def test_the_error_weighs_bins_by_their_results() -> None:
    calibration = calibrate(matches([0.95, 0.95, 0.95, 0.35], [True, True, True, True]))
    assert calibration.error == pytest.approx((3 * 0.05 + 0.65) / 4)
    assert calibration.bias == pytest.approx(-calibration.error)
    (high,) = [one for one in calibration.bins if one.stop == 1]
    assert (high.start, high.num, high.precision) == (0.9, 3, 1.0)


def test_over_and_under_confidence_cancel_in_the_bias_alone() -> None:
    calibration = calibrate(matches([0.8, 0.8, 0.2, 0.2], [True, False, True, False]))
    assert calibration.error == pytest.approx(0.3)
    assert calibration.bias == pytest.approx(0)


def test_weak_results_and_crowds_are_left_out_and_certain_ones_are_not() -> None:
    calibration = calibrate(matches([0.05, 0.6, 1.0], [False, False, True], [False, True, False]))
    assert (calibration.num, calibration.bins[-1].num, calibration.error) == (1, 1, 0)


def test_one_class_alone() -> None:
    both = matches([0.9, 0.5], [True, False])
    assert calibrate(both, 0).num == 1
    assert calibrate(both, 1).bias == pytest.approx(0.5)


def test_nothing_to_calibrate() -> None:
    calibration = calibrate(matches([], []))
    assert (calibration.num, calibration.error, calibration.bias) == (0, 0, 0)
