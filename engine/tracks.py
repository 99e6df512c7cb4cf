"""Tracks: which boxes are the same object, as a struct of arrays."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from engine.attribute import Attribute
from engine.detections import check_columns, label_of, select_rows


@dataclass(frozen=True, slots=True, eq=False)
class Tracks:
    """Every object that a tracker follows in one frame, in the order of `track_id`.

    Attributes:
        xyxy: float32 (N, 4), pixels of the source frame; where the tracker believes the object is.
        confidence: float32 (N,), of the last detection that matched.
        class_id: int64 (N,), index into `labels`.
        track_id: int64 (N,), unique within (camera, epoch), from 1.
        confirmed: bool (N,): the tracker trusts it. Rules and events look at confirmed tracks only.
        age_s: float32 (N,), seconds since the track began.
        coasted_s: float32 (N,), seconds since a detection last matched; 0 in a frame where one did.
        velocity: float32 (N, 2), pixels a second of the box centre.
        labels: the model's class names.
        attributes: by `track_id`, then by the name of the step that found it; tracks without any are absent.
    """

    xyxy: NDArray[np.float32]
    confidence: NDArray[np.float32]
    class_id: NDArray[np.int64]
    track_id: NDArray[np.int64]
    confirmed: NDArray[np.bool_]
    age_s: NDArray[np.float32]
    coasted_s: NDArray[np.float32]
    velocity: NDArray[np.float32]
    labels: tuple[str, ...] = ("object",)
    attributes: Mapping[int, dict[str, Attribute]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_columns(self)

    @classmethod
    def empty(cls, labels: tuple[str, ...] = ("object",)) -> Self:
        """No object is being followed."""
        zeros = np.zeros(0, np.float32)
        ids = np.zeros(0, np.int64)
        return cls(
            xyxy=np.zeros((0, 4), np.float32),
            confidence=zeros,
            class_id=ids,
            track_id=ids,
            confirmed=np.zeros(0, np.bool_),
            age_s=zeros,
            coasted_s=zeros,
            velocity=np.zeros((0, 2), np.float32),
            labels=labels,
        )

    def __len__(self) -> int:
        return len(self.xyxy)

    def __getitem__(self, rows: NDArray[Any] | slice) -> Self:
        """Select rows by a mask, an index array or a slice."""
        return select_rows(self, rows)

    def label(self, row: int) -> str:
        """The class name of a row."""
        return label_of(self.labels, int(self.class_id[row]))

    @property
    def foot_xy(self) -> NDArray[np.float32]:
        """Foot points, float32 (N, 2): the middle of each box's lower edge, where the object meets the ground."""
        return np.stack([(self.xyxy[:, 0] + self.xyxy[:, 2]) / 2, self.xyxy[:, 3]], axis=1)
