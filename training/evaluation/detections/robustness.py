"""How much a model loses under production conditions: night, rain, fog and the rest of `training.augment`."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from engine.errors import UsageError
from engine.load import did_you_mean
from training.evaluation.detections.bootstrap import Difference, difference, figures_of_draws
from training.evaluation.detections.evaluate import Evaluation, as_list
from training.evaluation.detections.judge import Judge, Rows, mean_ap
from training.evaluation.detections.predict import Change, predict

if TYPE_CHECKING:
    from engine.picture import Pixels
    from training.dataset import Dataset


@dataclass(frozen=True)
class UnderCondition:
    """What is left under a condition.

    Attributes:
        name: of the condition.
        strength: 0..1.
        ap: mean over IoU .50 to .95.
        ap50: at IoU .5, without the condition (`a`) and with it (`b`).
    """

    name: str
    strength: float
    ap: float
    ap50: Difference

    def as_json(self) -> dict[str, Any]:
        """Give it as one object."""
        return {
            "condition": self.name,
            "strength": self.strength,
            "ap": round(self.ap, 5),
            "ap50": round(self.ap50.b, 5),
            "change": round(self.ap50.b - self.ap50.a, 5),
            "change_interval": as_list(self.ap50.interval),
        }


def condition_names(text: str) -> tuple[str, ...]:
    """Read `night,rain` or `all`.

    Raises:
        UsageError: a condition that is not known.
    """
    from training.augment.conditions import CONDITIONS

    if text.strip() == "all":
        return tuple(CONDITIONS)
    names = tuple(name.strip() for name in text.split(","))
    for name in names:
        if name not in CONDITIONS:
            raise UsageError(f"--conditions: unknown condition '{name}'{did_you_mean(name, CONDITIONS)}")
    return names


def judge_condition(
    model: str | Path,
    dataset: Dataset,
    name: str,
    strength: float,
    clean: Evaluation,
    *,
    min_confidence: float,
    seed: int = 0,
    tick: Callable[[], None] = lambda: None,
) -> UnderCondition:
    """Judge a model on the pictures as they would be under a condition.

    Args:
        model, dataset, min_confidence: as for `predict`.
        name: of the condition.
        strength: 0..1.
        clean: the evaluation of the same model on the pictures as they are.
        seed: of the condition's chance, and of the draws: the one that `clean` was made with.
        tick: called after each picture.

    Raises:
        BundleError: the model cannot be used.
        SourceError: a picture cannot be read.
    """
    results = predict(model, dataset, min_confidence, change=under(dataset, name, strength, seed), tick=tick)
    judge = Judge(dataset.to_coco(), results)

    def ap50(images: Rows) -> Any:
        return np.array([mean_ap(judge.precision(images, iou50=True))])

    drawn = figures_of_draws(clean.blocks, len(clean.draws), seed, ap50, lambda: None).reshape(-1)
    precision = judge.precision()
    before = clean.draws[:, list(clean.figures).index("ap50")]
    change = difference(clean.figures["ap50"], mean_ap(precision[0]), before, drawn)
    return UnderCondition(name, strength, mean_ap(precision), change)


def under(dataset: Dataset, name: str, strength: float, seed: int) -> Change:
    """Give the change that a condition makes to each picture of a data set.

    What stays the same along a video, such as dirt on the lens, is the same in all pictures of a camera.
    """
    from training.augment.conditions import apply_condition

    def change(position: int, bgr: Pixels) -> Pixels:
        camera = dataset.samples[position].camera
        scene = zlib.crc32(camera.encode()) ^ seed if camera else None
        return apply_condition(name, bgr, strength, np.random.default_rng([seed, position]), scene)

    return change
