"""Everything that is said about one set of results: figures by class, size and slice, mistakes, calibration."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.evaluation.detections.bootstrap import (
    BLOCK_S,
    MIN_BLOCKS,
    Blocks,
    Interval,
    blocks_of,
    figures_of_draws,
    interval,
)
from training.evaluation.detections.calibration import Calibration, calibrate
from training.evaluation.detections.judge import SIZES, DetectionScores, Judge, Rows, mean_ap
from training.evaluation.detections.matches import (
    MISTAKES,
    Matches,
    WorkingPoint,
    best_f1,
    confusion,
    explain,
    match,
)
from training.evaluation.detections.slices import Slice, slices_of

# Recalls at which JSON states the precision.
_TENTHS = slice(0, 101, 10)


@dataclass(frozen=True)
class Counts:
    """Objects and results of a part of the data, at the working point.

    Attributes:
        num_images: pictures.
        num_truth: objects that are to be found.
        num_found: objects found.
        num_false: results that are wrong.
    """

    num_images: int
    num_truth: int
    num_found: int
    num_false: int

    def as_json(self) -> dict[str, float | int | None]:
        """Give counts and rates."""
        num_results = self.num_found + self.num_false
        return {
            "num_images": self.num_images,
            "num_truth": self.num_truth,
            "recall": round(self.num_found / self.num_truth, 5) if self.num_truth else None,
            "precision": round(self.num_found / num_results, 5) if num_results else None,
            "false_alarms_per_image": round(self.num_false / self.num_images, 5),
        }


@dataclass(frozen=True, eq=False)
class Evaluation:
    """What there is to say about one set of results.

    Attributes:
        name: of the model or the results file.
        judge: pycocotools.
        matches: at IoU .5.
        scores: COCO's numbers over everything.
        at: the working point, where precision, recall, mistakes and confusion are counted.
        slices: parts of the data.
        blocks: what the bootstrap draws.
        calibration: of all classes together.
        figures: AP by key: `ap`, `ap50`, `class/NAME` and `slice/AXIS/VALUE` (AP at IoU .5 both). NaN where there is
            nothing to be found.
        draws: float64 (draws, figures) in the order of `figures`; no rows without bootstrap. NaN where fewer than
            MIN_BLOCKS blocks hold objects that the figure is about: draws would tell nothing.
    """

    name: str
    judge: Judge
    matches: Matches
    scores: DetectionScores
    at: WorkingPoint
    slices: tuple[Slice, ...]
    blocks: Blocks
    calibration: Calibration
    figures: dict[str, float]
    draws: NDArray[np.float64]

    def interval(self, key: str) -> Interval | None:
        """Give the 95 % interval of a figure, None without bootstrap or where it is undefined."""
        return interval(self.figures[key], self.draws[:, list(self.figures).index(key)])

    def counts(self, images: Rows | None = None, class_id: int | None = None) -> Counts:
        """Count objects and results at the working point, in some pictures, of a class."""
        chosen = np.ones(len(self.judge.images), np.bool_)
        if images is not None:
            chosen = np.isin(np.arange(len(chosen)), images)
        truth, found = self.matches.truth, self.matches.found
        objects, results = chosen[truth.image] & ~truth.ignore, chosen[found.image] & ~found.ignore
        if class_id is not None:
            objects, results = objects & (truth.class_id == class_id), results & (found.class_id == class_id)
        results &= self.matches.confidence >= self.at.min_confidence
        return Counts(
            num_images=int(chosen.sum()),
            num_truth=int(objects.sum()),
            num_found=int((results & self.matches.is_right).sum()),
            num_false=int((results & ~self.matches.is_right).sum()),
        )

    def mistakes(self) -> dict[str, int]:
        """Count false alarms at the working point by kind, most telling first, and the objects missed."""
        kinds = [explain(self.matches, row) for row in self.matches.false_alarms(self.at.min_confidence)]
        missed = len(self.matches.misses(self.at.min_confidence))
        return {**{kind: kinds.count(kind) for kind in MISTAKES}, "missed": missed}

    def confusion(self) -> tuple[tuple[str, ...], NDArray[np.int64]]:
        """Give the labels that occur, and what they were taken for: see `matches.confusion`; background is last."""
        counts = confusion(self.matches, self.at.min_confidence)
        used = (counts.sum(axis=0) + counts.sum(axis=1)) > 0
        used[-1] = True
        labels = tuple(np.array([*self.matches.labels, "background"], object)[used])
        return labels, counts[np.ix_(used, used)]

    def as_json(self) -> dict[str, Any]:
        """Give everything as one object; the first keys are those of `DetectionScores`."""
        labels, counts = self.confusion()
        return {
            "name": self.name,
            **self.scores.as_json(),
            "classes": self._classes(),
            "slices": [
                {"axis": one.axis, "value": one.value, **self._ap50(f"slice/{one.axis}/{one.value}"),
                 **self.counts(one.images).as_json()}
                for one in self.slices
            ],
            "working_point": {
                "min_confidence": round(self.at.min_confidence, 6),
                "precision": round(self.at.precision, 5),
                "recall": round(self.at.recall, 5),
                "f1": round(self.at.f1, 5),
            },
            "mistakes": self.mistakes(),
            "confusion": {"labels": list(labels), "counts": counts.tolist()},
            "calibration": {
                "error": round(self.calibration.error, 5),
                "bias": round(self.calibration.bias, 5),
                "num": self.calibration.num,
                "bins": [
                    {"start": b.start, "stop": b.stop, "num": b.num, "confidence": round(b.confidence, 5),
                     "precision": round(b.precision, 5)}
                    for b in self.calibration.bins
                ],
            },
            "bootstrap": {
                "num_draws": len(self.draws),
                "num_blocks": self.blocks.num,
                "block_s": self.blocks.seconds,
                "what": self.blocks.sentence(),
                "ap": as_list(self.interval("ap")),
                "ap50": as_list(self.interval("ap50")),
            },
        }  # fmt: skip

    def _classes(self) -> dict[str, Any]:
        precision = self.judge.precision_by_size()
        out = {}
        for column, label in enumerate(self.judge.labels):
            if label not in self.scores.per_class:
                continue
            sizes = {f"ap_{size}": number(mean_ap(precision[:, :, column, i])) for i, size in enumerate(SIZES) if i}
            out[label] = {
                "ap": self.scores.per_class[label]["ap"],
                **self._ap50(f"class/{label}"),
                **sizes,
                **self.counts(class_id=column).as_json(),
                "calibration_error": round(calibrate(self.matches, column).error, 5),
                "precision_at_recall_tenths": np.round(precision[0, _TENTHS, column, 0], 4).tolist(),
            }
        return out

    def _ap50(self, key: str) -> dict[str, Any]:
        return {"ap50": number(self.figures[key]), "ap50_interval": as_list(self.interval(key))}


def evaluate(
    truth: dict[str, Any],
    results: list[dict[str, Any]],
    *,
    name: str = "results",
    measured: Mapping[str, NDArray[np.float64]] | None = None,
    draws: int = 0,
    block_s: float = BLOCK_S,
    seed: int = 0,
    tick: Callable[[], None] = lambda: None,
) -> Evaluation:
    """Judge results in COCO's format, and say where they fail.

    Args:
        truth: images, annotations and categories; images may have `camera`, `time_s` and `tags`.
        results: image_id, category_id, bbox and score each.
        name: of what made the results.
        measured: by name, a number for each picture to make slices of.
        draws: of the bootstrap; 0 gives no intervals.
        block_s: see `blocks_of`.
        seed: of the bootstrap. The same seed draws the same pictures for every evaluation of the same truth, so
            that two of them can be compared draw by draw.
        tick: called after each draw.

    Raises:
        UsageError: pycocotools is not installed.
        SourceError: there is nothing to judge.
    """
    judge = Judge(truth, results)
    matches = match(judge)
    objects = np.bincount(matches.truth.image[~matches.truth.ignore], minlength=len(judge.images))
    slices = slices_of(judge.images, objects, measured or {})
    blocks = blocks_of(judge.images, block_s)
    scores = judge.scores()
    labels = [label for label in judge.labels if label in scores.per_class]
    keys = ["ap", "ap50", *(f"class/{label}" for label in labels), *(f"slice/{s.axis}/{s.value}" for s in slices)]

    def figures(images: Rows) -> NDArray[np.float64]:
        return _figures(judge, labels, slices, images)

    drawn = figures_of_draws(blocks, draws, seed, figures, tick).reshape(draws, len(keys))
    drawn[:, _num_blocks(matches, blocks, labels, slices) < MIN_BLOCKS] = math.nan
    return Evaluation(
        name=name,
        judge=judge,
        matches=matches,
        scores=scores,
        at=best_f1(matches),
        slices=slices,
        blocks=blocks,
        calibration=calibrate(matches),
        figures=dict(zip(keys, figures(np.arange(len(judge.images))).tolist(), strict=True)),
        draws=drawn,
    )


def _figures(judge: Judge, labels: Sequence[str], slices: Sequence[Slice], images: Rows) -> NDArray[np.float64]:
    precision = judge.precision(images)
    columns = [judge.labels.index(label) for label in labels]
    values = [mean_ap(precision), mean_ap(precision[0]), *(mean_ap(precision[0, :, c]) for c in columns)]
    for one in slices:
        here = images[np.isin(images, one.images)]
        values.append(mean_ap(judge.precision(here, iou50=True)) if len(here) else math.nan)
    return np.array(values)


def _num_blocks(matches: Matches, blocks: Blocks, labels: Sequence[str], slices: Sequence[Slice]) -> Rows:
    """Count, for each figure, the blocks with objects that it is about."""
    judged = ~matches.truth.ignore
    block, image = blocks.number[matches.truth.image], matches.truth.image
    chosen = [judged, judged, *(judged & (matches.truth.class_id == matches.labels.index(label)) for label in labels)]
    chosen += [judged & np.isin(image, one.images) for one in slices]
    return np.array([len(np.unique(block[rows])) for rows in chosen])


def number(value: float) -> float | None:
    """Round a figure for JSON, which has no word for what is not a number."""
    return None if math.isnan(value) else round(value, 5)


def as_list(within: Interval | None) -> list[float] | None:
    """Give an interval as JSON does."""
    return None if within is None else [round(within.low, 5), round(within.high, 5)]
