"""On which scale a change of a statistic counts, and the least change that is worth a word.

What light multiplies is compared as a logarithm, so that half is as far as double, whatever the camera. The offset
keeps values near zero, where a quotient means nothing, from counting.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from engine.drift.sample import PICTURE_STATISTICS

Values = NDArray[np.float64]


@dataclass(frozen=True)
class Scale:
    """How one statistic is compared.

    Attributes:
        least: a change of the median smaller than this is never drift: what re-encoding, a cloud or people do.
        offset: None compares the value itself; otherwise ln(value + offset).
        raises: False only helps to name a cause: it follows the traffic, not the camera.
        harm: on which side of the training pictures a model is at a loss. What is sharper or less noisy than those is
            no worse, and many of them have been coded once more than a camera's picture.
    """

    least: float
    offset: float | None = None
    raises: bool = True
    harm: Literal["low", "high", "both", "neither"] = "neither"


# `least`: about twice what the clips of tests/benchmarks/drift_false_alarms.py show between encodings, crops and hours.
SCALES: Mapping[str, Scale] = MappingProxyType({
    "brightness": Scale(15.0, harm="both"),
    "contrast": Scale(0.16, 2.0, harm="low"),
    "saturation": Scale(0.25, 2.0),
    "sharpness": Scale(0.3, 4.0, harm="low"),
    "noise": Scale(0.22, 0.3, harm="high"),
    "entropy": Scale(0.4, harm="low"),
    "edge_density": Scale(0.25, 0.01, harm="low"),
    "color_cast_blue": Scale(2.5, harm="both"),
    "color_cast_red": Scale(2.5, harm="both"),
    "blockiness": Scale(0.3, harm="high"),
    "detail": Scale(0.13, 0.5),
    "motion": Scale(0.5, 0.3, raises=False),
})  # fmt: skip

_OFFSETS = np.array([np.nan if SCALES[name].offset is None else SCALES[name].offset for name in PICTURE_STATISTICS])
LEAST: Values = np.array([SCALES[name].least for name in PICTURE_STATISTICS])
HARMS_LOW, HARMS_HIGH = (
    np.array([SCALES[name].harm in (side, "both") for name in PICTURE_STATISTICS]) for side in ("low", "high")
)
RAISES = np.array([SCALES[name].raises for name in PICTURE_STATISTICS])


def to_scale(values: NDArray[np.floating]) -> Values:
    """Put statistics (..., len(PICTURE_STATISTICS)) on the scale on which they are compared."""
    out = values.astype(np.float64)
    logs = ~np.isnan(_OFFSETS)
    out[..., logs] = np.log(np.maximum(out[..., logs], 0.0) + _OFFSETS[logs])
    return out


def from_scale(scaled: Values) -> Values:
    """Undo `to_scale`."""
    out = scaled.copy()
    logs = ~np.isnan(_OFFSETS)
    out[..., logs] = np.exp(out[..., logs]) - _OFFSETS[logs]
    return out
