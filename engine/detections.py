"""Detections: what a detector saw in one frame, as a struct of arrays."""

from __future__ import annotations

import functools
from dataclasses import dataclass, fields
from typing import Any, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from engine.boxes import iou_matrix

T = TypeVar("T")


@dataclass(frozen=True, slots=True, eq=False)
class Detections:
    """Boxes of one frame. `len(x) == 0` means looked, and nothing is there; "not looked" is None elsewhere.

    Attributes:
        xyxy: float32 (N, 4), pixels of the source frame, x2 and y2 exclusive.
        confidence: float32 (N,), 0..1.
        class_id: int64 (N,), index into `labels`.
        labels: the model's class names, shared by all frames.
    """

    xyxy: NDArray[np.float32]
    confidence: NDArray[np.float32]
    class_id: NDArray[np.int64]
    labels: tuple[str, ...] = ("object",)

    def __post_init__(self) -> None:
        check_columns(self)

    @classmethod
    def empty(cls, labels: tuple[str, ...] = ("object",)) -> Self:
        """Looked, and nothing is there."""
        return cls(
            xyxy=np.zeros((0, 4), np.float32),
            confidence=np.zeros(0, np.float32),
            class_id=np.zeros(0, np.int64),
            labels=labels,
        )

    def __len__(self) -> int:
        return len(self.xyxy)

    def __getitem__(self, rows: NDArray[Any] | slice) -> Self:
        """Select rows by a mask, an index array or a slice."""
        return select_rows(self, rows)

    def label(self, row: int) -> str:
        """The class name of a row; `class_7` where the model names none."""
        return label_of(self.labels, int(self.class_id[row]))

    def columns(self) -> dict[str, NDArray[Any]]:
        """The arrays themselves, by name: `supervision.Detections(**x.columns())` shares them."""
        return {"xyxy": self.xyxy, "confidence": self.confidence, "class_id": self.class_id}

    @classmethod
    def of(cls, other: Any, labels: tuple[str, ...] = ("object",)) -> Self:
        """Take over any object with `xyxy`, `confidence` and `class_id`, such as `supervision.Detections`.

        Arrays that already have the right type are shared, not copied. A missing confidence is 1, a missing class 0.
        """
        xyxy = np.asarray(other.xyxy, np.float32).reshape(-1, 4)
        count = len(xyxy)
        confidence = np.ones(count) if other.confidence is None else other.confidence
        class_id = np.zeros(count) if other.class_id is None else other.class_id
        return cls(xyxy, np.asarray(confidence, np.float32), np.asarray(class_id, np.int64), labels)


def add_detections(first: Detections, more: Detections, iou: float) -> Detections:
    """Put what two detectors saw in one frame into one table; classes are told apart by name.

    Args:
        first: stays as it is.
        more: what it adds. A class that `first` has too is the same class, and a box of it that overlaps one of
            `first` by more than `iou` is the same object.
        iou: see `more`.

    Returns:
        The boxes of `first`, then those of `more`, with the labels of both.
    """
    labels, ids = _merged_labels(first.labels, more.labels)
    class_id = ids[more.class_id]
    same = (iou_matrix(first.xyxy, more.xyxy) > iou) & (first.class_id[:, None] == class_id)
    fresh = ~same.any(axis=0)
    return type(first)(
        xyxy=np.concatenate([first.xyxy, more.xyxy[fresh]]),
        confidence=np.concatenate([first.confidence, more.confidence[fresh]]),
        class_id=np.concatenate([first.class_id, class_id[fresh]]),
        labels=labels,
    )


@functools.lru_cache(maxsize=64)
def _merged_labels(first: tuple[str, ...], more: tuple[str, ...]) -> tuple[tuple[str, ...], NDArray[np.int64]]:
    """Give the labels of both, each once, and where each of `more` stands among them."""
    labels = tuple(dict.fromkeys(first + more))
    return labels, np.array([labels.index(label) for label in more], np.int64)


def label_of(labels: tuple[str, ...], class_id: int) -> str:
    """The name of a class; `class_7` where the model names none."""
    return labels[class_id] if 0 <= class_id < len(labels) else f"class_{class_id}"


def check_columns(table: Any) -> None:
    """Raise ValueError unless every array of a struct of arrays has one row per box."""
    count = len(table.xyxy)
    if table.xyxy.shape != (count, 4):
        raise ValueError(f"{type(table).__name__}.xyxy must have shape (N, 4), got {table.xyxy.shape}")
    for field in fields(table):
        column = getattr(table, field.name)
        if isinstance(column, np.ndarray) and len(column) != count:
            raise ValueError(f"{type(table).__name__}.{field.name} has {len(column)} rows where xyxy has {count}")


def select_rows(table: T, rows: NDArray[Any] | slice) -> T:
    """Apply a mask, an index array or a slice to every array of a struct of arrays."""
    columns = {f.name: getattr(table, f.name) for f in fields(table)}  # type: ignore[arg-type]
    return type(table)(**{k: v[rows] if isinstance(v, np.ndarray) else v for k, v in columns.items()})
