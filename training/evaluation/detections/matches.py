"""Which result found which object, at IoU .5: what confusion, calibration and the failure gallery are made of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from engine.boxes import iou_matrix
from training.evaluation.detections.judge import Judge, Rows

MIN_IOU = 0.5
# Below this overlap a box has nothing to do with the object: the bound of TIDE (arXiv 2008.08115).
NEAR_IOU = 0.1

Mistake = Literal["wrong class", "poorly placed", "duplicate", "background"]
MISTAKES: tuple[Mistake, ...] = ("wrong class", "poorly placed", "duplicate", "background")


@dataclass(frozen=True, eq=False)
class Table:
    """Boxes of all pictures, found or true, one row each.

    Attributes:
        image: intp (N,), the picture's position.
        class_id: intp (N,), position in the labels.
        xyxy: float32 (N, 4), pixels of the picture.
        ignore: bool (N,): a crowd, or a result that lies in one: neither right nor wrong.
        match: intp (N,), row of the other table, -1 where there is none.
    """

    image: Rows
    class_id: Rows
    xyxy: NDArray[np.float32]
    ignore: NDArray[np.bool_]
    match: Rows

    def __len__(self) -> int:
        return len(self.image)


@dataclass(frozen=True, eq=False)
class Matches:
    """What pycocotools matched at IoU .5, class by class.

    Results rank by confidence, and a match does not depend on weaker results: so these matches hold for every
    threshold on confidence.

    Attributes:
        labels: class names.
        truth: true boxes.
        found: results; those beyond the 100 best of a class in a picture are left out, as COCO does.
        confidence: float64 (N,) of the results.
    """

    labels: tuple[str, ...]
    truth: Table
    found: Table
    confidence: NDArray[np.float64]

    @property
    def is_right(self) -> NDArray[np.bool_]:
        """Which results found an object."""
        return (self.found.match >= 0) & ~self.found.ignore

    def seen_with(self) -> NDArray[np.float64]:
        """Give the confidence with which each true box was found, 0 where it was not."""
        seen = np.zeros(len(self.truth))
        hit = self.truth.match >= 0
        seen[hit] = self.confidence[self.truth.match[hit]]
        return seen

    def false_alarms(self, min_confidence: float) -> Rows:
        """Give the results that found nothing, the most confident first."""
        rows = np.flatnonzero((self.found.match < 0) & ~self.found.ignore & (self.confidence >= min_confidence))
        return rows[np.argsort(-self.confidence[rows], kind="stable")]

    def misses(self, min_confidence: float) -> Rows:
        """Give the true boxes that were not found, the largest first."""
        rows = np.flatnonzero((self.seen_with() < min_confidence) & ~self.truth.ignore)
        sides = self.truth.xyxy[rows, 2:] - self.truth.xyxy[rows, :2]
        return rows[np.argsort(-sides.prod(axis=1), kind="stable")]


def match(judge: Judge) -> Matches:
    """Gather what a judge has matched."""
    truth_rows, found_rows, truth_match, found_match, ignore, crowd = ([np.zeros(0, np.intp)] for _ in range(6))
    for pair in judge.pairs_at50():
        truth_rows.append(np.array(pair["gtIds"], np.intp) - 1)
        found_rows.append(np.array(pair["dtIds"], np.intp) - 1)
        truth_match.append(pair["gtMatches"][0].astype(np.intp) - 1)
        found_match.append(pair["dtMatches"][0].astype(np.intp) - 1)
        ignore.append(pair["dtIgnore"][0].astype(np.intp))
        crowd.append(np.array(pair["gtIgnore"], np.intp))
    rows, found = np.concatenate(truth_rows), np.concatenate(found_rows)
    # Positions in the judge's lists become rows of the two tables.
    row_of_truth, row_of_found = np.full(len(judge.truth) + 1, -1), np.full(len(judge.results) + 1, -1)
    row_of_truth[rows], row_of_found[found] = np.arange(len(rows)), np.arange(len(found))
    return Matches(
        judge.labels,
        _table(judge, [judge.truth[i] for i in rows], np.concatenate(crowd), row_of_found[np.concatenate(truth_match)]),
        _table(
            judge, [judge.results[i] for i in found], np.concatenate(ignore), row_of_truth[np.concatenate(found_match)]
        ),
        np.array([judge.results[i]["score"] for i in found], np.float64),
    )


def _table(judge: Judge, boxes: list[dict[str, Any]], ignore: Rows, matched: Rows) -> Table:
    xywh = np.array([box["bbox"] for box in boxes], np.float64).reshape(-1, 4)
    return Table(
        image=np.array([judge.positions[box["image_id"]] for box in boxes], np.intp),
        class_id=np.array([judge.columns[box["category_id"]] for box in boxes], np.intp),
        xyxy=np.concatenate([xywh[:, :2], xywh[:, :2] + xywh[:, 2:]], axis=1).astype(np.float32),
        ignore=ignore.astype(np.bool_),
        match=matched.astype(np.intp),
    )


@dataclass(frozen=True)
class WorkingPoint:
    """Where to cut: the confidence with the best F1 over all boxes.

    Attributes:
        min_confidence: results from here on count.
        precision: share of them that is right.
        recall: share of the objects that they find.
    """

    min_confidence: float
    precision: float
    recall: float

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall."""
        total = self.precision + self.recall
        return 2 * self.precision * self.recall / total if total else 0.0


def best_f1(matches: Matches) -> WorkingPoint:
    """Find the confidence with the best F1; without any result it is 1."""
    rows = np.flatnonzero(~matches.found.ignore)
    rows = rows[np.argsort(-matches.confidence[rows], kind="stable")]
    if not len(rows):
        return WorkingPoint(1.0, 0.0, 0.0)
    confidence = matches.confidence[rows]
    right = np.cumsum(matches.is_right[rows])
    num_objects = int((~matches.truth.ignore).sum())
    f1 = 2 * right / (np.arange(1, len(rows) + 1) + num_objects)
    # Equal confidences pass together.
    f1[:-1][confidence[:-1] == confidence[1:]] = -1
    return working_point(matches, float(confidence[int(np.argmax(f1))]))


def working_point(matches: Matches, min_confidence: float) -> WorkingPoint:
    """Give precision and recall at a confidence; precision is 0 where nothing is left."""
    kept = (matches.confidence >= min_confidence) & ~matches.found.ignore
    right = int((kept & matches.is_right).sum())
    num_objects = int((~matches.truth.ignore).sum())
    return WorkingPoint(min_confidence, right / max(int(kept.sum()), 1), right / max(num_objects, 1))


def confusion(matches: Matches, min_confidence: float) -> NDArray[np.int64]:
    """Count what objects were taken for.

    What pycocotools matched stands. What is left over of both sides is then paired across classes, in each picture so
    that the total overlap is the largest, where boxes overlap by IoU .5.

    Returns:
        int64 (classes + 1, classes + 1): rows are truth, columns are results, the last of each is background: an
        object that nobody saw, a result where nothing is.
    """
    # Late, since it brings SciPy, and `vedette --help` imports this file.
    from engine.association import assign

    num, truth, found = len(matches.labels), matches.truth, matches.found
    counts = np.zeros((num + 1, num + 1), np.int64)
    right = found.class_id[(matches.confidence >= min_confidence) & matches.is_right]
    np.add.at(counts, (right, right), 1)
    missed, alarms = matches.misses(min_confidence), matches.false_alarms(min_confidence)
    for image in np.union1d(truth.image[missed], found.image[alarms]):
        rows, columns = missed[truth.image[missed] == image], alarms[found.image[alarms] == image]
        iou = iou_matrix(truth.xyxy[rows], found.xyxy[columns])
        taken, by = assign(iou, iou >= MIN_IOU)
        np.add.at(counts, (truth.class_id[rows[taken]], found.class_id[columns[by]]), 1)
        np.add.at(counts, (truth.class_id[np.delete(rows, taken)], num), 1)
        np.add.at(counts, (num, found.class_id[np.delete(columns, by)]), 1)
    return counts


def explain(matches: Matches, row: int) -> Mistake:
    """Say what a false alarm is, in the kinds of TIDE (arXiv 2008.08115)."""
    truth, found = matches.truth, matches.found
    here = np.flatnonzero((truth.image == found.image[row]) & ~truth.ignore)
    iou = iou_matrix(found.xyxy[row : row + 1], truth.xyxy[here])[0]
    same = truth.class_id[here] == found.class_id[row]
    if (iou[same] >= MIN_IOU).any():
        return "duplicate"
    if (iou[~same] >= MIN_IOU).any():
        return "wrong class"
    return "poorly placed" if (iou[same] >= NEAR_IOU).any() else "background"
