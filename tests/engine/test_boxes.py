from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from engine.boxes import areas, batched_nms, clip_boxes, iou_matrix


def boxes(*rows: tuple[float, float, float, float]) -> NDArray[np.float32]:
    return np.array(rows, np.float32).reshape(-1, 4)


def greedy_nms(
    xyxy: NDArray[np.float32], confidence: NDArray[np.float32], class_id: NDArray[np.int64], threshold: float
) -> list[int]:
    """The plain rule, box by box."""
    overlaps = iou_matrix(xyxy, xyxy)
    left = list(np.argsort(-confidence, kind="stable"))
    keep = []
    while left:
        best = left.pop(0)
        keep.append(int(best))
        left = [i for i in left if class_id[i] != class_id[best] or overlaps[best, i] <= threshold]
    return keep


def test_iou_of_equal_half_and_distant_boxes() -> None:
    a = boxes((0, 0, 10, 10))
    b = boxes((0, 0, 10, 10), (5, 0, 15, 10), (10, 0, 20, 10), (50, 50, 60, 60))
    np.testing.assert_allclose(iou_matrix(a, b), [[1, 1 / 3, 0, 0]], rtol=1e-6)


def test_iou_is_float32_of_every_pair_even_of_none() -> None:
    for n, m in ((0, 0), (0, 3), (3, 0)):
        result = iou_matrix(np.zeros((n, 4)), np.zeros((m, 4)))
        assert result.shape == (n, m)
        assert result.dtype == np.float32


def test_boxes_without_area_overlap_nothing_and_warn_nobody() -> None:
    flat = boxes((5, 5, 5, 9), (9, 9, 3, 3))
    assert not iou_matrix(flat, boxes((0, 0, 10, 10), (5, 5, 5, 9))).any()
    assert areas(flat).tolist() == [0, 0]


def test_clipping_cuts_to_the_picture_and_keeps_the_order() -> None:
    clipped = clip_boxes(boxes((-5, 2, 30, 70), (90, 90, 99, 99)), (20, 60))
    assert clipped.tolist() == [[0, 2, 20, 60], [20, 60, 20, 60]]


def test_nms_keeps_the_best_of_overlapping_boxes_of_one_class() -> None:
    xyxy = boxes((0, 0, 10, 10), (1, 0, 11, 10), (1, 0, 11, 10), (40, 0, 50, 10))
    kept = batched_nms(xyxy, np.array([0.5, 0.9, 0.8, 0.1]), np.array([0, 0, 1, 0]), 0.5)
    assert kept.tolist() == [1, 2, 3]


def test_nms_lets_a_box_stay_whose_rival_has_gone() -> None:
    # The middle one goes because of the first; the last overlaps the middle one only.
    xyxy = boxes((0, 0, 10, 10), (4, 0, 14, 10), (8, 0, 18, 10))
    assert batched_nms(xyxy, np.array([0.9, 0.8, 0.7]), np.zeros(3, int), 0.3).tolist() == [0, 2]


def test_nms_takes_equal_confidences_in_the_order_given() -> None:
    xyxy = boxes((0, 0, 10, 10), (0, 0, 10, 10))
    assert batched_nms(xyxy, np.array([0.5, 0.5]), np.zeros(2, int), 0.5).tolist() == [0]


def test_nms_of_nothing_is_nothing() -> None:
    assert batched_nms(boxes(), np.zeros(0), np.zeros(0, int), 0.5).tolist() == []


@pytest.mark.parametrize("count", [1, 2, 7, 60, 256, 257, 400])
def test_nms_equals_the_plain_rule_on_random_boxes(count: int) -> None:
    rng = np.random.default_rng(count)
    for threshold in (0.0, 0.3, 0.6, 1.0):
        corners = rng.uniform(0, 120, (count, 2))
        xyxy = np.concatenate([corners, corners + rng.uniform(5, 90, (count, 2))], axis=1).astype(np.float32)
        confidence = rng.choice(np.linspace(0.1, 1, 20), count).astype(np.float32)
        class_id = rng.integers(0, 3, count)
        kept = batched_nms(xyxy, confidence, class_id, threshold)
        assert kept.tolist() == greedy_nms(xyxy, confidence, class_id, threshold)
