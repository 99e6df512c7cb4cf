"""What a model's training pictures say about a camera: the range that they cover, and how a camera varies by nature."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from engine.drift.distance import Values, wasserstein
from engine.drift.normal import Block, Normal
from engine.drift.sample import PICTURE_STATISTICS
from engine.drift.scale import HARMS_HIGH, HARMS_LOW, LEAST, to_scale
from engine.picture import Pixels
from engine.reference import ReferenceStatistics

# A stretch of a recording that is compared with the rest of it.
_BLOCK_S = 60.0
_MIN_BLOCK = 8
# Shares of the training pictures that are outside of the range that counts as known.
_OUTSIDE = 0.01


@dataclass(frozen=True, eq=False)
class TrainingNormal:
    """Reference statistics, made ready for the monitor.

    Attributes:
        low: (s,), on the scale of `to_scale`; NaN for what training pictures cannot say.
        high: (s,).
        middle: (s,), the median.
        natural: (s,), standard deviation of stretches of one training recording, as Wasserstein distance; None
            where there are no recordings.
        blocks: of this very camera, if it was trained on.
        scene: the median thumbnail of this very camera.
        labels: the model's class names.
        class_counts: (len(labels),), boxes of each class.
        size_range: of boxes, the middle 98 %; as in `measure_detections`.
        aspect_range: likewise.
        low_confidence: of boxes; three quarters of them are above. 0 without boxes.
    """

    low: Values
    high: Values
    middle: Values
    natural: Values | None
    blocks: tuple[Block, ...]
    scene: Pixels | None
    labels: tuple[str, ...]
    class_counts: Values
    size_range: tuple[float, float]
    aspect_range: tuple[float, float]
    low_confidence: float

    @classmethod
    def of(cls, reference: ReferenceStatistics, camera: str) -> TrainingNormal:
        """Prepare the statistics for one camera.

        A camera is taken for one of the training set if it has its name, or if the statistics are of one recording
        only: then they were made for it.
        """
        samples = to_scale(_values(reference))
        known = [name for name in reference.cameras if name]
        alone = known[0] if len(known) == 1 == len(reference.cameras) else None
        same = camera if camera in known else alone
        blocks = _blocks(reference, samples)
        own = tuple(block for name, block in blocks if name == same)
        confidence = reference.boxes["confidence"]
        low, high = np.quantile(samples, [_OUTSIDE, 1 - _OUTSIDE], axis=0) if len(samples) else _unknown()
        return cls(
            low=low,
            high=high,
            middle=np.median(samples, axis=0) if len(samples) else low,
            natural=_natural(blocks),
            blocks=own,
            scene=reference.scenes.get(same) if same is not None else None,
            labels=reference.labels,
            class_counts=np.bincount(reference.class_id, minlength=len(reference.labels)).astype(np.float64),
            size_range=_range(reference.boxes["size"]),
            aspect_range=_range(reference.boxes["aspect"]),
            low_confidence=float(np.quantile(confidence, 0.25)) if len(confidence) else 0.0,
        )

    def normal(self) -> Normal | None:
        """Give the normal of a camera that the model was trained on; None where it is not known well enough."""
        if len(self.blocks) < 2:
            return None
        normal = Normal(self.natural)
        for block in self.blocks:
            normal.add(block, [self.scene] if self.scene is not None else [], None)
        return normal

    def outside(self, samples: Values) -> Values:
        """Say how far the median of (n, s) samples is outside of what training covered: (s,), signed, in `LEAST`.

        Only on the side that harms: a picture that is sharper than all of those is not outside.
        """
        middle = np.median(samples, axis=0)
        over = np.where(HARMS_HIGH, np.maximum(middle - self.high, 0.0), 0.0)
        under = np.where(HARMS_LOW, np.maximum(self.low - middle, 0.0), 0.0)
        return np.nan_to_num((over - under) / LEAST)


def _values(reference: ReferenceStatistics) -> NDArray[np.float32]:
    """Give (n, len(PICTURE_STATISTICS)); pictures on their own have no motion."""
    nothing = np.full(len(reference), np.nan, np.float32)
    return np.stack([reference.samples.get(name, nothing) for name in PICTURE_STATISTICS], axis=1)


def _range(column: NDArray[np.float32]) -> tuple[float, float]:
    if len(column) == 0:
        return -np.inf, np.inf
    low, high = np.quantile(column, [_OUTSIDE, 1 - _OUTSIDE])
    return float(low), float(high)


def _unknown() -> tuple[Values, Values]:
    return np.full(len(LEAST), np.nan), np.full(len(LEAST), np.nan)


def _blocks(reference: ReferenceStatistics, samples: Values) -> list[tuple[str, Block]]:
    """Cut each training recording into stretches of time."""
    out = []
    for position, camera in enumerate(reference.cameras):
        for tag_set in range(len(reference.tag_sets)):
            rows = np.flatnonzero((reference.camera == position) & (reference.tag_set == tag_set))
            rows = rows[np.isfinite(reference.time_s[rows])]
            if not camera or len(rows) < 2 * _MIN_BLOCK:
                continue
            # At least two stretches, however short the recording.
            span_s = min(_BLOCK_S, float(np.ptp(reference.time_s[rows])) / 2 + 1e-6)
            number = ((reference.time_s[rows] - reference.time_s[rows[0]]) // span_s).astype(int)
            for one in np.unique(number):
                part = samples[rows[number == one]]
                if len(part) >= _MIN_BLOCK:
                    out.append((camera, Block.of(part, 0.0, -1)))
    return out


def _natural(blocks: list[tuple[str, Block]]) -> Values | None:
    """Give the standard deviation of stretches of one recording: neighbours differ with twice its variance."""
    distances = [
        wasserstein(now.quantiles.astype(np.float64), then.quantiles.astype(np.float64))
        for (camera, then), (next_camera, now) in pairwise(blocks)
        if camera == next_camera
    ]
    return np.nan_to_num(np.sqrt(np.mean(np.square(distances), axis=0) / 2)) if distances else None
