"""FastestDet (Ma 2022, github.com/dog-qiuqiu/FastestDet): one scale, no anchors, a quarter million parameters."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.heads.head import Candidates, Head, Rows, cxcywh_to_xyxy, pick, sigmoid
from engine.input_spec import InputSpec

_OBJECT_POWER, _CLASS_POWER = 0.6, 0.4


class Fastestdet(Head):
    """One output (1, 5 + classes, rows, columns): objectness, offsets before tanh, sizes before sigmoid, classes."""

    family = "fastestdet"
    layout = "one output (1, 5 + classes, rows, columns) of one stride"
    defaults = InputSpec(size_wh=(352, 352), color="bgr", resize="stretch", std=(255.0, 255.0, 255.0))
    min_confidence = 0.6

    def __init__(self, outputs: Sequence[NDArray[Any]], input_wh: tuple[int, int]) -> None:
        if len(outputs) != 1 or outputs[0].ndim != 4 or outputs[0].shape[1] < 6:
            raise ValueError("one output (1, 5 + classes, rows, columns) is expected")
        _, channels, rows, columns = outputs[0].shape
        if not 4 <= input_wh[0] // columns == input_wh[1] // rows <= 64:
            raise ValueError(f"one output (1, 5 + classes, rows, columns) is expected, got {rows} x {columns} cells")
        self.num_classes = channels - 5
        y, x = np.divmod(np.arange(rows * columns), columns)
        self._cells = np.stack([x, y], axis=1).astype(np.float32)
        self._cell_wh = np.array([input_wh[0] / columns, input_wh[1] / rows], np.float32)
        self._input_wh = np.array(input_wh, np.float32)

    def candidates(
        self, outputs: Sequence[NDArray[Any]], min_confidence: float, columns: Rows | None = None
    ) -> Candidates:
        """See Head. The score is objectness^0.6 times class^0.4, so objectness alone rules most cells out."""
        raw = outputs[0].reshape(outputs[0].shape[0], -1)
        likely = np.flatnonzero(raw[0] ** _OBJECT_POWER >= min_confidence)
        near = raw[:, likely].T
        scores = near[:, :1] ** _OBJECT_POWER * near[:, 5:] ** _CLASS_POWER
        rows, column, confidence = pick(scores, min_confidence, columns)
        boxes = near[rows, 1:5]
        cxcywh = np.empty_like(boxes)
        cxcywh[:, :2] = (np.tanh(boxes[:, :2]) + self._cells[likely[rows]]) * self._cell_wh
        cxcywh[:, 2:] = sigmoid(boxes[:, 2:]) * self._input_wh
        return Candidates(cxcywh_to_xyxy(cxcywh), confidence, column)
