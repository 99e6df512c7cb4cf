"""Detections of several detectors in one table."""

from __future__ import annotations

import numpy as np

from engine.detections import Detections, add_detections

Box = tuple[str, float, float]


def table(labels: tuple[str, ...], *boxes: Box) -> Detections:
    """Squares of 20 pixels: label, left edge, confidence."""
    return Detections(
        np.array([[x, 0, x + 20, 20] for _, x, _ in boxes], np.float32).reshape(-1, 4),
        np.array([confidence for _, _, confidence in boxes], np.float32),
        np.array([labels.index(label) for label, _, _ in boxes], np.int64),
        labels,
    )


def rows(detections: Detections) -> list[Box]:
    return [
        (detections.label(i), float(detections.xyxy[i, 0]), round(float(detections.confidence[i]), 3))
        for i in range(len(detections))
    ]


STREET, PLATES = ("person", "car"), ("plate", "person")


def test_boxes_of_both_stay_with_their_names() -> None:
    merged = add_detections(
        table(STREET, ("car", 0, 0.5), ("person", 50, 0.6)), table(PLATES, ("plate", 0, 0.9), ("person", 200, 0.7)), 0.5
    )
    assert merged.labels == ("person", "car", "plate")
    assert rows(merged) == [("car", 0, 0.5), ("person", 50, 0.6), ("plate", 0, 0.9), ("person", 200, 0.7)]


def test_of_two_boxes_of_one_object_the_earlier_detector_s_stays() -> None:
    first, more = table(STREET, ("person", 0, 0.5)), table(PLATES, ("person", 4, 0.9), ("person", 12, 0.8))
    assert rows(add_detections(first, more, 0.5)) == [("person", 0, 0.5), ("person", 12, 0.8)]


def test_the_later_detector_s_own_boxes_may_overlap_as_it_left_them() -> None:
    more = table(PLATES, ("plate", 0, 0.9), ("plate", 1, 0.8))
    assert rows(add_detections(Detections.empty(STREET), more, 0.5)) == [("plate", 0, 0.9), ("plate", 1, 0.8)]


def test_nothing_found_by_either_keeps_the_labels_of_both() -> None:
    merged = add_detections(Detections.empty(STREET), Detections.empty(PLATES), 0.5)
    assert (len(merged), merged.labels) == (0, ("person", "car", "plate"))
    first = table(STREET, ("car", 0, 0.5))
    assert rows(add_detections(first, Detections.empty(PLATES), 0.5)) == rows(first)
