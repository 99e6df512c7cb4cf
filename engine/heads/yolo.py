"""YOLO v8 and later as Ultralytics and others export them: boxes decoded inside the model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.heads.head import Candidates, Head, Rows, cxcywh_to_xyxy, num_anchors
from engine.input_spec import InputSpec

_PYRAMIDS = ((8, 16, 32), (4, 8, 16, 32), (8, 16, 32, 64))
_MAX_END_TO_END = 1000


class Yolo(Head):
    """One output: (1, 4 + classes, anchors) with cx, cy, w, h in input pixels and class scores, or end to end.

    End to end (v10 and v26) is (1, boxes, 6): x1, y1, x2, y2 in input pixels, confidence, class; no suppression.
    """

    family = "yolo"
    layout = "one output (1, 4 + classes, anchors), or (1, boxes, 6) end to end"
    defaults = InputSpec(size_wh=(640, 640), color="rgb", resize="letterbox_center", pad=114, std=(255.0, 255.0, 255.0))
    min_confidence = 0.25

    def __init__(self, outputs: Sequence[NDArray[Any]], input_wh: tuple[int, int]) -> None:
        anchors = [num_anchors(input_wh, strides) for strides in _PYRAMIDS]
        shape = outputs[0].shape if len(outputs) == 1 and outputs[0].ndim == 3 else (0, 0, 0)
        self.needs_nms = not (shape[2] == 6 and 0 < shape[1] <= _MAX_END_TO_END)
        if self.needs_nms and (shape[2] not in anchors or shape[1] < 5):
            raise ValueError(f"one output (1, 4 + classes, {anchors[0]}) or (1, boxes, 6) is expected")
        self.num_classes = shape[1] - 4 if self.needs_nms else None

    def candidates(
        self, outputs: Sequence[NDArray[Any]], min_confidence: float, columns: Rows | None = None
    ) -> Candidates:
        """See Head."""
        raw = outputs[0]
        if not self.needs_nms:
            return by_class_number(raw[:, :4], raw[:, 4], raw[:, 5], min_confidence, columns)
        scores = raw[4:] if columns is None else raw[4 + columns]
        column, rows = np.divmod(np.flatnonzero(scores >= min_confidence), raw.shape[1])
        return Candidates(cxcywh_to_xyxy(raw[:4, rows].T), scores[column, rows], column)


def by_class_number(
    xyxy: NDArray[Any], confidence: NDArray[Any], number: NDArray[Any], min_confidence: float, columns: Rows | None
) -> Candidates:
    """Select from finished boxes that carry a class number instead of a score for each class."""
    rows = np.flatnonzero(confidence >= min_confidence)
    column = np.rint(number[rows]).astype(np.intp)
    if columns is not None:
        wanted = np.isin(column, columns)
        rows, column = rows[wanted], np.searchsorted(columns, column[wanted])
    return Candidates(xyxy[rows].astype(np.float32), confidence[rows].astype(np.float32), column)
