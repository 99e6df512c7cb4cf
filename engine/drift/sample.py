"""What the drift monitor gets to see of a camera: numbers of sampled frames, and now and then a small picture."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engine.detection_statistics import DETECTION_STATISTICS
from engine.frame import ClockName
from engine.frame_statistics import FRAME_STATISTICS, THUMBNAIL_LENGTH
from engine.picture import Pixels

__all__ = ["PICTURE_STATISTICS", "PREVIEW_LENGTH", "THUMBNAIL_LENGTH", "BoxSample", "DriftSample"]

PICTURE_STATISTICS = (*FRAME_STATISTICS, "motion")
"""One number a sample, in the order of `DriftSample.values`."""

PREVIEW_LENGTH = 320
"""Longer side of a preview in pixels."""


@dataclass(frozen=True, slots=True, eq=False)
class BoxSample:
    """What the model saw in a sampled frame.

    Attributes:
        columns: float32 (len(DETECTION_STATISTICS), N); N may be 0.
        class_id: (N,), position in `labels`.
        labels: the model's class names.
    """

    columns: NDArray[np.float32]
    class_id: NDArray[np.intp]
    labels: tuple[str, ...]

    def __post_init__(self) -> None:
        if self.columns.shape != (len(DETECTION_STATISTICS), len(self.class_id)):
            expected = (len(DETECTION_STATISTICS), len(self.class_id))
            raise ValueError(f"columns: expected the shape {expected}, got {self.columns.shape}")


@dataclass(frozen=True, slots=True, eq=False)
class DriftSample:
    """One sampled frame.

    Attributes:
        epoch: of the frame.
        pts_s: stream time in seconds.
        unix_s: capture time, seconds since 1970.
        clock: where the capture time came from; `container` may know no time of day.
        size_wh: of the source frame, in pixels.
        values: float32 (len(PICTURE_STATISTICS),). `motion` is the mean absolute difference of luma to the thumbnail of
            the sample before, in grey levels; NaN for the first sample of an epoch.
        boxes: None means that no model looked at this frame.
        thumbnail: uint8 (h, w) luma 0..255, longer side `THUMBNAIL_LENGTH`; None in most samples.
        preview: JPEG for people, longer side `PREVIEW_LENGTH` at most; None in most samples, and always where pictures
            are switched off.
    """

    epoch: int
    pts_s: float
    unix_s: float
    clock: ClockName
    size_wh: tuple[int, int]
    values: NDArray[np.float32]
    boxes: BoxSample | None = None
    thumbnail: Pixels | None = None
    preview: bytes | None = None
