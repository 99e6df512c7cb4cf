"""YOLOX (Ge et al. 2021, arXiv 2107.08430), exported with raw box outputs, as its own demos do."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.heads.head import Candidates, Head, Rows, cxcywh_to_xyxy, grid, num_anchors, pick
from engine.input_spec import InputSpec

STRIDES = (8, 16, 32)
# exp(10) cells are wider than any picture; a damaged model must not overflow into infinities.
_MAX_LOG_SIZE = 10.0


class Yolox(Head):
    """One output (1, anchors, 5 + classes): cx, cy, log w, log h in cells, objectness, class scores."""

    family = "yolox"
    layout = "one output (1, anchors, 5 + classes) with strides 8, 16, 32"
    defaults = InputSpec(size_wh=(416, 416), color="bgr", resize="letterbox", pad=114)
    min_confidence = 0.3

    def __init__(self, outputs: Sequence[NDArray[Any]], input_wh: tuple[int, int]) -> None:
        anchors = num_anchors(input_wh, STRIDES)
        if len(outputs) != 1 or outputs[0].ndim != 3 or outputs[0].shape[1] != anchors or outputs[0].shape[2] < 6:
            raise ValueError(f"one output (1, {anchors}, 5 + classes) is expected")
        self.num_classes = outputs[0].shape[2] - 5
        self._grid = grid(input_wh, STRIDES)

    def candidates(
        self, outputs: Sequence[NDArray[Any]], min_confidence: float, columns: Rows | None = None
    ) -> Candidates:
        """See Head. The score is objectness times class score, so objectness alone rules most anchors out."""
        raw = outputs[0]
        likely = np.flatnonzero(raw[:, 4] >= min_confidence)
        near = raw[likely]
        rows, column, confidence = pick(near[:, 5:] * near[:, 4:5], min_confidence, columns)
        boxes, cells = near[rows, :4], self._grid[likely[rows]]
        cxcywh = np.empty_like(boxes)
        cxcywh[:, :2] = (boxes[:, :2] + cells[:, :2]) * cells[:, 2:]
        cxcywh[:, 2:] = np.exp(np.minimum(boxes[:, 2:], _MAX_LOG_SIZE)) * cells[:, 2:]
        return Candidates(cxcywh_to_xyxy(cxcywh), confidence, column)
