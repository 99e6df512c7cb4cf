"""What every family of detectors has in common: the contract, and the thresholding that comes before all else."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from engine.input_spec import InputSpec

Floats = NDArray[np.float32]
Rows = NDArray[np.intp]

# Suppression compares boxes in pairs: a model that is sure of everything must not take time and memory with it.
# Between 1000 and 10000 the COCO AP of four models moves by 0.0004 at most.
MAX_CANDIDATES = 3000


@dataclass(frozen=True, slots=True)
class Candidates:
    """Boxes of one picture before suppression, in no particular order.

    Attributes:
        xyxy: float32 (N, 4), pixels of the model's input.
        confidence: float32 (N,).
        column: intp (N,), position in the columns that were asked for, or class column where all were.
    """

    xyxy: Floats
    confidence: Floats
    column: Rows


class Head(ABC):
    """How one family's raw outputs become boxes.

    Args:
        outputs: what the model gave for one picture, with the batch dimension: only shapes and types are looked at.
        input_wh: the model's input size.

    Attributes:
        num_classes: class columns of the output; None where the model gives class numbers.
        needs_nms: the model gives several boxes an object.

    Class attributes:
        family: its name.
        layout: what its outputs look like, for messages.
        defaults: preprocessing that the family was trained with.
        min_confidence: where to cut unless told.
        iou: overlap at which boxes of one class are one object, unless told.

    Raises:
        ValueError: these are not outputs of this family.
    """

    family: ClassVar[str]
    layout: ClassVar[str]
    defaults: ClassVar[InputSpec]
    # The families' thresholds are where F1 at IoU .5 was best on 192 COCO pictures; yolo's and detr's are customary.
    min_confidence: ClassVar[float] = 0.3
    iou: ClassVar[float] = 0.6
    num_classes: int | None
    needs_nms: bool = True

    @abstractmethod
    def __init__(self, outputs: Sequence[NDArray[Any]], input_wh: tuple[int, int]) -> None: ...

    @abstractmethod
    def candidates(
        self, outputs: Sequence[NDArray[Any]], min_confidence: float, columns: Rows | None = None
    ) -> Candidates:
        """Decode one picture.

        Args:
            outputs: the model's outputs of one picture, without the batch dimension.
            min_confidence: boxes below it are never decoded.
            columns: the class columns to look at; None means all.
        """


def pick(scores: NDArray[Any], min_confidence: float, columns: Rows | None) -> tuple[Rows, Rows, Floats]:
    """Find every (anchor, class) pair that is sure enough, at most the MAX_CANDIDATES best.

    Args:
        scores: (anchors, classes).
        min_confidence: what passes.
        columns: the classes to look at; None means all.

    Returns:
        Anchor rows, positions in `columns`, and scores, by row.
    """
    if columns is not None:
        scores = scores[:, columns]
    # One comparison over everything: a maximum over classes first takes four times as long.
    flat = np.flatnonzero(scores >= min_confidence)
    if len(flat) > MAX_CANDIDATES:
        best = np.argpartition(-scores.reshape(-1)[flat], MAX_CANDIDATES)[:MAX_CANDIDATES]
        flat = flat[np.sort(best)]
    rows, column = np.divmod(flat, scores.shape[1])
    return rows, column, scores[rows, column].astype(np.float32, copy=False)


def grid(input_wh: tuple[int, int], strides: Sequence[int]) -> Floats:
    """Give column, row and stride of every cell, float32 (A, 3), level by level, row-major."""
    levels = []
    for stride, (columns, rows) in zip(strides, level_shapes(input_wh, strides), strict=True):
        y, x = np.divmod(np.arange(columns * rows), columns)
        levels.append(np.stack([x, y, np.full(len(x), stride)], axis=1))
    return np.concatenate(levels).astype(np.float32)


def level_shapes(input_wh: tuple[int, int], strides: Sequence[int]) -> list[tuple[int, int]]:
    """Give columns and rows of every level of a feature pyramid."""
    return [(-(-input_wh[0] // stride), -(-input_wh[1] // stride)) for stride in strides]


def num_anchors(input_wh: tuple[int, int], strides: Sequence[int]) -> int:
    """Count the cells of a feature pyramid."""
    return sum(columns * rows for columns, rows in level_shapes(input_wh, strides))


def cxcywh_to_xyxy(cxcywh: Floats) -> Floats:
    """Turn centres and sizes into corners."""
    half = cxcywh[:, 2:] / 2
    return np.concatenate([cxcywh[:, :2] - half, cxcywh[:, :2] + half], axis=1)


def sigmoid(x: Floats) -> Floats:
    """The logistic function, by tanh, which cannot overflow."""
    return ((np.tanh(x / 2) + 1) / 2).astype(np.float32, copy=False)
