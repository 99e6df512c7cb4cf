"""What held-out pictures say about a bundle: as they are, and as they would be at night, in rain, in fog."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from engine.bundle import Bundle
from engine.progress import FrameProgress
from training.augment.conditions import CONDITIONS
from training.dataset import Dataset
from training.evaluation.detections import Evaluation, evaluate, predict
from training.evaluation.detections.predict import MIN_CONFIDENCE
from training.evaluation.detections.robustness import UnderCondition, judge_condition
from training.evaluation.detections.slices import measure
from training.parity import spread

# Enough for intervals to two digits.
_DRAWS = 200
# Every condition costs another look at every picture; a part of them shows what it does.
_MAX_CONDITION_PICTURES = 64
_STRENGTH = 0.5


@dataclass(frozen=True, eq=False)
class BundleEvaluation:
    """Figures of a bundle.

    Attributes:
        clean: on the pictures as they are.
        conditions: on at most 64 of them, evenly spread, under every production condition at half strength.
        part: pictures and judged boxes of the conditions.
    """

    clean: Evaluation
    conditions: tuple[UnderCondition, ...]
    part: tuple[int, int]

    def as_json(self) -> dict[str, Any]:
        """Give it as `vedette evaluate detections --json` does."""
        under = [one.as_json() for one in self.conditions]
        return {"data": "held out", **self.clean.as_json(), "conditions": under}


def judge_bundle(bundle: Bundle, val: Dataset) -> BundleEvaluation:
    """Judge a bundle through the operators that run live.

    Raises:
        BundleError: the model cannot be used.
        SourceError: a picture cannot be read, or there is no box to judge by.
    """
    results = predict(bundle.root, val)
    measured = measure(lambda i: val.samples[i].read().bgr, len(val))
    with FrameProgress("bootstrap", {"draws": _DRAWS}, "draws") as progress:
        clean = evaluate(
            val.to_coco(), results, name=bundle.manifest.name, measured=measured, draws=_DRAWS,
            tick=lambda: progress.frame("draws"),
        )  # fmt: skip
    part = spread(val, _MAX_CONDITION_PICTURES)
    before = evaluate(part.to_coco(), predict(bundle.root, part))
    conditions = []
    with FrameProgress("conditions", {"pictures": len(part) * len(CONDITIONS)}, "pictures") as progress:
        for name in CONDITIONS:
            conditions.append(
                judge_condition(
                    bundle.root, part, name, _STRENGTH, before, min_confidence=MIN_CONFIDENCE,
                    tick=lambda: progress.frame("pictures"),
                )
            )  # fmt: skip
    return BundleEvaluation(clean, tuple(conditions), (len(part), sum(part.box_counts().values())))
