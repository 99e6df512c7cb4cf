"""Crops: what a classifier looks at, and what it says."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engine.picture import Pixels


@dataclass(frozen=True, slots=True, eq=False)
class Crops:
    """Pictures of objects, cut out of one frame, on their way to a classifier.

    Attributes:
        pixels: uint8 (N, 3, h, w), channels in the model's order.
        track_id: int64 (N,), whose picture each is.
    """

    pixels: Pixels
    track_id: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.pixels)


@dataclass(frozen=True, slots=True)
class Recognition:
    """What a classifier is sure enough of after one look at one object."""

    track_id: int
    label: str
    confidence: float
