"""DETR-like detectors, one box an object: RT-DETR (arXiv 2304.08069), D-FINE, RF-DETR. No suppression."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.heads.head import Candidates, Head, Rows, cxcywh_to_xyxy, pick, sigmoid
from engine.heads.yolo import by_class_number
from engine.input_spec import InputSpec


class Detr(Head):
    """Raw: class logits (1, Q, classes) and boxes (1, Q, 4) as cx, cy, w, h in fractions of the input, any order.

    Finished: class numbers (1, Q) of an integer type, scores (1, Q) and boxes (1, Q, 4) as x1, y1, x2, y2 in pixels
    of the size given as `orig_target_sizes`, which the backend sets to the input's size.
    """

    family = "detr"
    layout = "logits (1, Q, classes) and boxes (1, Q, 4), or labels (1, Q), boxes (1, Q, 4) and scores (1, Q)"
    defaults = InputSpec(size_wh=(640, 640), color="rgb", resize="stretch", std=(255.0, 255.0, 255.0))
    min_confidence = 0.4
    needs_nms = False

    def __init__(self, outputs: Sequence[NDArray[Any]], input_wh: tuple[int, int]) -> None:
        self._input = np.array(input_wh * 2, np.float32)
        boxes = [i for i, o in enumerate(outputs) if o.ndim == 3 and o.shape[2] == 4]
        queries = {o.shape[1] for o in outputs if o.ndim > 1}
        if not boxes or len(queries) != 1:
            raise ValueError(f"{self.layout} are expected")
        self._boxes = boxes[-1]
        rest = [i for i in range(len(outputs)) if i != self._boxes]
        integers = [i for i in rest if outputs[i].ndim == 2 and np.issubdtype(outputs[i].dtype, np.integer)]
        scores = [i for i in rest if outputs[i].ndim == 2 and i not in integers]
        self._finished = len(outputs) == 3 and len(integers) == len(scores) == 1
        if self._finished:
            self._labels, self._scores, self.num_classes = integers[0], scores[0], None
        elif len(outputs) == 2 and outputs[rest[0]].ndim == 3:
            self._scores, self.num_classes = rest[0], outputs[rest[0]].shape[2]
        else:
            raise ValueError(f"{self.layout} are expected")

    def candidates(
        self, outputs: Sequence[NDArray[Any]], min_confidence: float, columns: Rows | None = None
    ) -> Candidates:
        """See Head. The threshold is compared as a logit; only what passes goes through the sigmoid."""
        boxes = outputs[self._boxes]
        if self._finished:
            return by_class_number(boxes, outputs[self._scores], outputs[self._labels], min_confidence, columns)
        least = math.log(min_confidence / (1 - min_confidence)) if 0 < min_confidence < 1 else -math.inf
        rows, column, logits = pick(outputs[self._scores], least, columns)
        return Candidates(cxcywh_to_xyxy(boxes[rows]) * self._input, sigmoid(logits), column)
