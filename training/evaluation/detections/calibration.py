"""Whether a confidence of 0.7 means that seven boxes out of ten are right."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from training.evaluation.detections.matches import Matches

# Weaker boxes are shown to nobody, and there are so many of them that they would be all that the error speaks of.
MIN_CONFIDENCE = 0.1
NUM_BINS = 9


@dataclass(frozen=True)
class Bin:
    """Results of like confidence.

    Attributes:
        start: lowest confidence, included.
        stop: highest, excluded except in the last bin.
        num: results in it; crowds are left out.
        confidence: their mean confidence; the bin's middle where it is empty.
        precision: share of them that is right at IoU .5; 0 where it is empty.
    """

    start: float
    stop: float
    num: int
    confidence: float
    precision: float


@dataclass(frozen=True)
class Calibration:
    """Confidence against the share that is right.

    Attributes:
        bins: of equal width, from MIN_CONFIDENCE to 1.
    """

    bins: tuple[Bin, ...]

    @property
    def num(self) -> int:
        """Results in all bins."""
        return sum(one.num for one in self.bins)

    @property
    def error(self) -> float:
        """Expected calibration error (arXiv 1706.04599): |confidence - precision| of an average result's bin."""
        return sum(one.num * abs(one.confidence - one.precision) for one in self.bins) / max(self.num, 1)

    @property
    def bias(self) -> float:
        """Mean confidence less the share that is right: above 0 the model believes more than is so."""
        return sum(one.num * (one.confidence - one.precision) for one in self.bins) / max(self.num, 1)


def calibrate(matches: Matches, class_id: int | None = None) -> Calibration:
    """Sort results into bins by confidence, of one class or of all."""
    used = ~matches.found.ignore & (matches.confidence >= MIN_CONFIDENCE)
    if class_id is not None:
        used &= matches.found.class_id == class_id
    confidence, right = matches.confidence[used], matches.is_right[used]
    edges = np.linspace(MIN_CONFIDENCE, 1, NUM_BINS + 1)
    number = np.clip(np.searchsorted(edges, confidence, side="right") - 1, 0, NUM_BINS - 1)
    bins = []
    for i in range(NUM_BINS):
        here, middle = number == i, float(edges[i] + edges[i + 1]) / 2
        some = bool(here.any())
        bins.append(
            Bin(
                start=round(float(edges[i]), 6),
                stop=round(float(edges[i + 1]), 6),
                num=int(here.sum()),
                confidence=float(confidence[here].mean()) if some else middle,
                precision=float(right[here].mean()) if some else 0.0,
            )
        )
    return Calibration(tuple(bins))
