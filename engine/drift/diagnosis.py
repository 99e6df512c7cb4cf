"""What a change is put down to: each cause leaves its own marks on the statistics.

`SIGNATURES` are those marks: directions in the space of scores, averaged over the real clips and conditions of
`tests/benchmarks/make_drift_signatures.py`. The cause whose direction fits best is named; what
stands still, is covered or has moved is told by its own measure.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from engine.drift.distance import Values
from engine.drift.sample import PICTURE_STATISTICS
from engine.drift.signatures import SIGNATURES

SCENE_MEASURES = ("frozen", "covered", "moved", "elsewhere", "dirty", "scene_detail")
"""What the view as a whole says, after the statistics of the picture."""

MEASURES = (*PICTURE_STATISTICS, *SCENE_MEASURES)
"""What a check scores, in this order; 1 is the threshold, the sign says which way."""

_INDEX = {name: position for position, name in enumerate(MEASURES)}
# Below this cosine no cause fits.
_FITS = 0.55
_ELSEWHERE = 0.2


@dataclass(frozen=True)
class Diagnosis:
    """A cause, and how well it fits, 0 to 1."""

    cause: str
    fit: float


def diagnose(scores: Values) -> Diagnosis:
    """Name the cause of scores (len(MEASURES),)."""

    def score(name: str) -> float:
        return float(scores[_INDEX[name]])

    if score("frozen") >= 1:
        return Diagnosis("frozen", 1.0)
    if score("moved") >= 1:
        return Diagnosis("moved", 1.0)
    # Where something else is to be seen, nothing covers it.
    if score("covered") >= 1 and score("elsewhere") < _ELSEWHERE * score("covered"):
        return Diagnosis("covered", 1.0)
    if max(score("elsewhere"), score("covered")) >= 1:
        return Diagnosis("moved", 0.7)
    return nearest(marks_of(scores), SIGNATURES)


def nearest(marks: Values, signatures: Mapping[str, Sequence[Sequence[float]]]) -> Diagnosis:
    """Name the cause that has the signature of the greatest cosine with marks (len(MARKS),)."""
    length = float(np.linalg.norm(marks))
    if length == 0:
        return Diagnosis("changed", 0.0)
    fits = {
        cause: max(float(marks @ np.asarray(one) / np.linalg.norm(one)) for one in each) / length
        for cause, each in signatures.items()
    }
    cause = max(fits, key=lambda name: fits[name], default="changed")
    return (
        Diagnosis(cause, fits[cause]) if fits.get(cause, 0.0) >= _FITS else Diagnosis("changed", fits.get(cause, 0.0))
    )


MARKS = (
    *(name for name in PICTURE_STATISTICS if not name.startswith("color_cast")),
    "color_cast", "dirty", "scene_detail",
)  # fmt: skip
"""What a signature is made of: the direction of a colour cast says nothing about its cause."""


def marks_of(scores: Values) -> Values:
    """Give the marks of scores: (len(MARKS),), damped, so that one wild measure does not drown the others."""
    by_name = {name: float(scores[position]) for name, position in _INDEX.items()}
    by_name["color_cast"] = float(np.hypot(by_name["color_cast_blue"], by_name["color_cast_red"]))
    marks = np.nan_to_num(np.array([by_name[name] for name in MARKS]))
    return np.asarray(np.sign(marks) * np.log1p(np.minimum(np.abs(marks), 10)))
