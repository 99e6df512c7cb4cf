"""COCO's average precision, counted by pycocotools: once for all pictures, and for any choice of them."""

from __future__ import annotations

import contextlib
import copy
import io
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.errors import SourceError, UsageError

STATS = ("ap", "ap50", "ap75", "ap_small", "ap_medium", "ap_large",
         "ar_1", "ar_10", "ar_100", "ar_small", "ar_medium", "ar_large")  # fmt: skip
SIZES = ("all", "small", "medium", "large")
"""COCO's: small is under 32x32 pixels, large from 96x96 on."""

Rows = NDArray[np.intp]


@dataclass(frozen=True)
class DetectionScores:
    """How well boxes agree with the truth.

    Attributes:
        stats: COCO's twelve numbers by name, 0..1; `ap` is the mean over IoU .50 to .95. -1 where there is no truth of
            that size.
        per_class: `ap` and `ap50` of every class that occurs in the truth.
        num_images: images judged.
        num_truth: boxes in the truth, crowds included.
        num_results: boxes judged.
        num_ignored: boxes of images or classes that the truth does not know.
        num_crowd: boxes of the truth that are neither right nor wrong to find (`iscrowd`).
    """

    stats: dict[str, float]
    per_class: dict[str, dict[str, float]]
    num_images: int
    num_truth: int
    num_results: int
    num_ignored: int
    num_crowd: int = 0

    def as_json(self) -> dict[str, Any]:
        """Give everything as one object."""
        counts = {
            "num_images": self.num_images,
            "num_truth": self.num_truth,
            "num_results": self.num_results,
            "num_ignored": self.num_ignored,
            "num_crowd": self.num_crowd,
        }
        return {**self.stats, **counts, "per_class": self.per_class}


def judge_detections(truth: dict[str, Any], results: list[dict[str, Any]]) -> DetectionScores:
    """Judge results in COCO's format. See Judge."""
    return Judge(truth, results).scores()


class Judge:
    """Matches results with the truth once, and gives COCO's figures for any choice of pictures.

    Boxes of the truth with `iscrowd` are handled as COCO does: finding them is neither right nor wrong, and any number
    of results may lie inside one.

    Args:
        truth: images, annotations and categories. Boxes of categories that it does not list are not judged.
        results: image_id, category_id, bbox and score each. Boxes of images or categories that the truth does not
            name are left out and counted.

    Attributes:
        images: the truth's images; a picture is known by its position here.
        labels: names of the classes; a class is known by its position here. In the order of category ids.
        truth: the truth's boxes that are judged, in their order.
        results: the results that are judged, in their order.
        positions: the position of an image id.
        columns: the position of a category id.

    Raises:
        UsageError: pycocotools is not installed.
        SourceError: there is nothing to judge: no truth, or results that belong to other images or classes.
    """

    def __init__(self, truth: dict[str, Any], results: list[dict[str, Any]]) -> None:
        # pycocotools sorts image ids: numbers and names together would not do.
        self.positions = {image["id"]: number for number, image in enumerate(truth["images"])}
        names = {category["id"]: category["name"] for category in sorted(truth["categories"], key=lambda c: c["id"])}
        self.columns = {category_id: number for number, category_id in enumerate(names)}
        self.images: list[dict[str, Any]] = truth["images"]
        self.labels: tuple[str, ...] = tuple(names.values())
        self.truth = [a for a in truth["annotations"] if a["category_id"] in names]
        self.results = [r for r in results if r["image_id"] in self.positions and r["category_id"] in names]
        self._num_ignored = len(results) - len(self.results)
        self._num_found = np.bincount([self.positions[r["image_id"]] for r in self.results], minlength=len(self.images))
        if all(a.get("iscrowd") for a in self.truth):
            crowds = " that is to be judged: all are crowds" if self.truth else ""
            raise SourceError(f"the ground truth holds no box{crowds or 'es'}")
        if results and not self.results:
            raise SourceError(
                f"none of the {len(results)} results belongs to an image and a category of the ground truth: image_id "
                f"{results[0]['image_id']!r} and category_id {results[0]['category_id']!r} come first, the truth has "
                f"{_some(self.positions)} and {_some(names)}"
            )
        # A flat list: classes, in them sizes, in them pictures.
        pairs, num, total = self._match(), len(SIZES), len(self.images)
        self._pairs = [pairs[i * total : (i + 1) * total] for i in range(len(names) * num)]
        self._at50 = [[pair and _at50(pair) for pair in of_images] for of_images in self._pairs[::num]]

    def _match(self) -> list[dict[str, Any] | None]:
        coco_type, eval_type = _pycocotools()
        frame = {
            "images": [{"id": i} for i in range(len(self.images))],
            "categories": [{"id": i, "name": name} for i, name in enumerate(self.labels)],
        }
        # pycocotools fills in `area` and `iscrowd` for results only.
        boxes = [self._box(number, box) for number, box in enumerate(self.truth, 1)]
        for box, stated in zip(boxes, self.truth, strict=True):
            box.update(area=stated.get("area", box["area"]), iscrowd=int(stated.get("iscrowd", 0)))
        found = [{**self._box(number, r), "score": r["score"]} for number, r in enumerate(self.results, 1)]
        coco, judged = coco_type(), coco_type()
        with contextlib.redirect_stdout(io.StringIO()):
            for side, annotations in ((coco, boxes), (judged, found)):
                side.dataset = {**frame, "annotations": annotations}
                side.createIndex()
            judge = eval_type(coco, judged, "bbox")
            judge.evaluate()
        return list(judge.evalImgs)

    def _box(self, number: int, box: dict[str, Any]) -> dict[str, Any]:
        # Numbered from 1: pycocotools takes a match with annotation 0 for no match, and many files start there.
        width, height = box["bbox"][2:]
        place = {"image_id": self.positions[box["image_id"]], "category_id": self.columns[box["category_id"]]}
        return {"id": number, **place, "bbox": list(box["bbox"]), "area": width * height, "iscrowd": 0}

    def scores(self, images: Rows | None = None) -> DetectionScores:
        """Judge some pictures.

        Args:
            images: intp positions in `images`; one that occurs twice counts twice. All by default.
        """
        chosen = self._all if images is None else images
        judge = _accumulated(self._pairs, chosen, len(SIZES))
        with contextlib.redirect_stdout(io.StringIO()):
            judge.summarize()
        crowd = [c for pairs in self._pairs[:: len(SIZES)] for i in chosen if pairs[i] for c in pairs[i]["gtIgnore"]]
        return DetectionScores(
            stats={name: round(float(value), 5) for name, value in zip(STATS, judge.stats, strict=True)},
            per_class=self._per_class(judge.eval["precision"][:, :, :, 0, -1]),
            num_images=len(chosen),
            num_truth=len(crowd),
            num_results=int(self._num_found[chosen].sum()),
            num_ignored=self._num_ignored,
            num_crowd=int(np.count_nonzero(crowd)),
        )

    def precision(self, images: Rows | None = None, iou50: bool = False) -> NDArray[np.float64]:
        """Give precision at 101 recalls, the stuff of AP, without the cost of COCO's other numbers.

        Args:
            images: as for `scores`.
            iou50: only the first of the IoU thresholds .50, .55 … .95: several times as fast.

        Returns:
            (thresholds, 101, classes) for boxes of all sizes, at most 100 a picture and class; -1 for a class that
            these pictures do not have. `mean_ap` makes AP of it.
        """
        chosen = self._all if images is None else images
        judge = _accumulated(self._at50 if iou50 else self._pairs[:: len(SIZES)], chosen, 1, 1 if iou50 else 10)
        precision: NDArray[np.float64] = judge.eval["precision"][:, :, :, 0, 0]
        return precision

    def precision_by_size(self) -> NDArray[np.float64]:
        """Give precision over all pictures as (10, 101, classes, sizes), sizes in the order of SIZES."""
        judge = _accumulated(self._pairs, self._all, len(SIZES))
        precision: NDArray[np.float64] = judge.eval["precision"][:, :, :, :, -1]
        return precision

    def pairs_at50(self) -> list[dict[str, Any]]:
        """Give what pycocotools matched at IoU .5, one entry for each class and picture that have boxes at all.

        Keys: `image_id` and `category_id` (positions in `images` and `labels`), `dtIds` and `gtIds` (positions in
        `results` and `truth`, plus 1), `dtMatches` and `gtMatches` (1, boxes): the other's id, or 0, `dtIgnore`
        (1, boxes), `gtIgnore` (boxes,).
        """
        return [pair for pairs in self._at50 for pair in pairs if pair is not None]

    @property
    def _all(self) -> Rows:
        return np.arange(len(self.images))

    def _per_class(self, precision: NDArray[np.float64]) -> dict[str, dict[str, float]]:
        out = {}
        for column, label in enumerate(self.labels):
            if (precision[..., column] > -1).any():
                ap, ap50 = mean_ap(precision[:, :, column]), mean_ap(precision[0, :, column])
                out[label] = {"ap": round(ap, 5), "ap50": round(ap50, 5)}
        return out


def mean_ap(precision: NDArray[np.float64]) -> float:
    """Average precision over whatever axes are left, as COCO does: without absent classes. NaN if all are absent."""
    known = precision[precision > -1]
    return float(np.mean(known)) if known.size else float("nan")


def _accumulated(pairs: list[list[Any]], images: Rows, num_sizes: int, num_thresholds: int = 10) -> Any:
    """Let pycocotools accumulate the matches of chosen pictures, as if it had just found them.

    It matches one picture at a time, so that the matches of a picture do not depend on what else is judged.
    """
    judge = _pycocotools()[1](iouType="bbox")
    params = judge.params
    params.imgIds, params.catIds = list(range(len(images))), list(range(len(pairs) // num_sizes))
    params.iouThrs = params.iouThrs[:num_thresholds]
    if num_sizes == 1:
        params.areaRng, params.areaRngLbl, params.maxDets = params.areaRng[:1], ["all"], [100]
    judge._paramsEval = copy.copy(params)
    judge.evalImgs = [of_images[i] for of_images in pairs for i in images]
    # It writes its progress to standard output, which is ours.
    with contextlib.redirect_stdout(io.StringIO()):
        judge.accumulate()
    return judge


def _at50(pair: dict[str, Any]) -> dict[str, Any]:
    return {**pair, **{key: pair[key][:1] for key in ("dtMatches", "gtMatches", "dtIgnore")}}


def _pycocotools() -> tuple[Any, Any]:
    try:
        from pycocotools.coco import COCO
        from pycocotools.cocoeval import COCOeval
    except ImportError:
        raise UsageError("judging detections needs pycocotools: pip install 'vedette[evaluate]'") from None
    return COCO, COCOeval


def _some(values: Any) -> str:
    first = sorted(values, key=str)[:3]
    return ", ".join(map(repr, first)) + (", …" if len(values) > len(first) else "")
