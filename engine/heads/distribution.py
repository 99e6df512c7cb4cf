"""PicoDet (arXiv 2111.00902) and NanoDet: a box side is a distribution over distances (GFL, arXiv 2006.04388)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from engine.heads.head import Candidates, Head, Rows, grid, level_shapes, pick
from engine.input_spec import InputSpec


class _DistributionHead(Head):
    """Per stride one output (1, cells, classes) of class scores, and one (1, cells, 4 x bins) of side logits."""

    strides: ClassVar[tuple[int, ...]]
    min_confidence = 0.4

    def __init__(self, outputs: Sequence[NDArray[Any]], input_wh: tuple[int, int]) -> None:
        cells = [columns * rows for columns, rows in level_shapes(input_wh, self.strides)]
        expected = f"{2 * len(cells)} outputs (1, cells, classes or 4 x bins), cells {', '.join(map(str, cells))}"
        if [o.shape[1] if o.ndim == 3 else 0 for o in outputs] != cells * 2:
            raise ValueError(f"{expected} are expected")
        scores, sides = outputs[: len(cells)], outputs[len(cells) :]
        num_classes, num_logits = scores[0].shape[2], sides[0].shape[2]
        uniform = {o.shape[2] for o in scores} == {num_classes} and {o.shape[2] for o in sides} == {num_logits}
        if not uniform or num_logits % 4 or num_logits < 8:
            raise ValueError(f"{expected}, class scores first")
        self.num_classes = num_classes
        self._grid = grid(input_wh, self.strides)
        self._starts = np.concatenate([[0], np.cumsum(cells)[:-1]])
        self._bins = np.arange(num_logits // 4, dtype=np.float32)

    def candidates(
        self, outputs: Sequence[NDArray[Any]], min_confidence: float, columns: Rows | None = None
    ) -> Candidates:
        """See Head. A side is the expectation of its distribution, in strides from the cell's centre."""
        levels = len(self.strides)
        picked = [pick(scores, min_confidence, columns) for scores in outputs[:levels]]
        logits = np.concatenate([sides[rows] for sides, (rows, _, _) in zip(outputs[levels:], picked, strict=True)])
        cells = self._grid[np.concatenate([start + p[0] for start, p in zip(self._starts, picked, strict=True)])]
        weights = logits.reshape(-1, 4, len(self._bins)).astype(np.float32, copy=False)
        weights = np.exp(weights - weights.max(axis=2, keepdims=True))
        distances = (weights * self._bins).sum(axis=2) / weights.sum(axis=2) * cells[:, 2:]
        centres = (cells[:, :2] + np.float32(0.5)) * cells[:, 2:]
        xyxy = np.concatenate([centres - distances[:, :2], centres + distances[:, 2:]], axis=1)
        return Candidates(xyxy, np.concatenate([p[2] for p in picked]), np.concatenate([p[1] for p in picked]))


class Picodet(_DistributionHead):
    """PicoDet without its built-in postprocessing: strides 8, 16, 32, 64."""

    family = "picodet"
    layout = "8 outputs: class scores of strides 8, 16, 32, 64, then their box distributions"
    strides = (8, 16, 32, 64)
    defaults = InputSpec(
        size_wh=(416, 416), color="rgb", resize="stretch", mean=(123.675, 116.28, 103.53), std=(58.395, 57.12, 57.375)
    )


class Nanodet(_DistributionHead):
    """NanoDet (not Plus): strides 8, 16, 32."""

    family = "nanodet"
    layout = "6 outputs: class scores of strides 8, 16, 32, then their box distributions"
    strides = (8, 16, 32)
    # The border is zero after normalising in training; grey 114 is within half a standard deviation of it.
    defaults = InputSpec(
        size_wh=(416, 416),
        color="bgr",
        resize="letterbox_center",
        pad=114,
        mean=(103.53, 116.28, 123.675),
        std=(57.375, 57.12, 58.395),
    )
