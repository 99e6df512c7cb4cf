"""Judge detections against ground truth: COCO's average precision, counted by pycocotools."""

from __future__ import annotations

import contextlib
import io
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from engine.errors import SourceError, UsageError

_STATS = ("ap", "ap50", "ap75", "ap_small", "ap_medium", "ap_large",
          "ar_1", "ar_10", "ar_100", "ar_small", "ar_medium", "ar_large")  # fmt: skip


@dataclass(frozen=True)
class DetectionScores:
    """How well boxes agree with the truth.

    Attributes:
        stats: COCO's twelve numbers by name, 0..1; `ap` is the mean over IoU .50 to .95. -1 where there is no truth of
            that size.
        per_class: `ap` and `ap50` of every class that occurs in the truth.
        num_images: images judged.
        num_truth: boxes in the truth.
        num_results: boxes judged.
        num_ignored: boxes of images or classes that the truth does not know.
    """

    stats: dict[str, float]
    per_class: dict[str, dict[str, float]]
    num_images: int
    num_truth: int
    num_results: int
    num_ignored: int

    def as_json(self) -> dict[str, Any]:
        """Give everything as one object."""
        counts = {
            "num_images": self.num_images,
            "num_truth": self.num_truth,
            "num_results": self.num_results,
            "num_ignored": self.num_ignored,
        }
        return {**self.stats, **counts, "per_class": self.per_class}


def judge_detections(truth: dict[str, Any], results: list[dict[str, Any]]) -> DetectionScores:
    """Judge results in COCO's format.

    Args:
        truth: images, annotations and categories.
        results: image_id, category_id, bbox and score each. Boxes of images or categories that the truth does not
            name are left out and counted.

    Raises:
        UsageError: pycocotools is not installed.
        SourceError: there is nothing to judge: no truth, or results that belong to other images or classes.
    """
    try:
        from pycocotools.coco import COCO
        from pycocotools.cocoeval import COCOeval
    except ImportError:
        raise UsageError("judging detections needs pycocotools: pip install 'vedette[evaluate]'") from None
    # pycocotools sorts image ids: numbers and names together would not do.
    images = {image["id"]: number for number, image in enumerate(truth["images"], 1)}
    categories = {category["id"]: category["name"] for category in truth["categories"]}
    known = [r for r in results if r["image_id"] in images and r["category_id"] in categories]
    if not truth["annotations"]:
        raise SourceError("the ground truth holds no boxes")
    if results and not known:
        raise SourceError(
            f"none of the {len(results)} results belongs to an image and a category of the ground truth: image_id "
            f"{results[0]['image_id']!r} and category_id {results[0]['category_id']!r} come first, the truth has "
            f"{_some(images)} and {_some(categories)}"
        )
    # pycocotools writes its progress to standard output, and fills in `area` and `iscrowd` for results only.
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO()
        coco.dataset = {
            "images": [{**image, "id": images[image["id"]]} for image in truth["images"]],
            "categories": truth["categories"],
            "annotations": [_complete(a, images[a["image_id"]]) for a in truth["annotations"]],
        }
        coco.createIndex()
        judged = coco.loadRes([{**r, "image_id": images[r["image_id"]]} for r in known]) if known else COCO()
        if not known:
            judged.dataset = {**coco.dataset, "annotations": []}
            judged.createIndex()
        judge = COCOeval(coco, judged, "bbox")
        judge.evaluate()
        judge.accumulate()
        judge.summarize()
    return DetectionScores(
        stats={name: round(float(value), 5) for name, value in zip(_STATS, judge.stats, strict=True)},
        per_class=_per_class(judge, categories),
        num_images=len(images),
        num_truth=len(truth["annotations"]),
        num_results=len(known),
        num_ignored=len(results) - len(known),
    )


def _per_class(judge: Any, categories: dict[int, str]) -> dict[str, dict[str, float]]:
    # precision: IoU thresholds x recall levels x classes x areas x limits; -1 where the truth has no box.
    precision = judge.eval["precision"][:, :, :, 0, -1]
    out = {}
    for column, category in enumerate(judge.params.catIds):
        values = precision[:, :, column]
        if (values > -1).any():
            out[categories[category]] = {
                "ap": round(float(np.mean(values[values > -1])), 5),
                "ap50": round(float(np.mean(values[0][values[0] > -1])), 5),
            }
    return out


def _complete(annotation: dict[str, Any], image_id: int) -> dict[str, Any]:
    width, height = annotation["bbox"][2:]
    return {"area": width * height, "iscrowd": 0, **annotation, "image_id": image_id}


def _some(values: Any) -> str:
    first = sorted(values, key=str)[:3]
    return ", ".join(map(repr, first)) + (", …" if len(values) > len(first) else "")


def read_truth(path: Path) -> dict[str, Any]:
    """Read a COCO ground truth file.

    Raises:
        SourceError: missing, no JSON, or without images, annotations and categories.
    """
    data = _read_json(path)
    missing = [key for key in ("images", "annotations", "categories") if not isinstance(data, dict) or key not in data]
    if missing:
        raise SourceError(f"{path}: not COCO ground truth: no '{missing[0]}'")
    known = {image["id"] for image in data["images"]}
    for number, annotation in enumerate(data["annotations"]):
        at = f"annotations[{number}]"
        _check(path, at, annotation, ("id", "image_id", "category_id", "bbox"))
        if annotation["image_id"] not in known:
            raise SourceError(f"{path}: {at}: no image has the id {annotation['image_id']!r}")
    return dict(data)


def read_results(path: Path) -> list[dict[str, Any]]:
    """Read a COCO results file.

    Raises:
        SourceError: missing, no JSON, or not a list of results.
    """
    data = _read_json(path)
    if not isinstance(data, list):
        raise SourceError(f"{path}: not COCO results: expected a list of boxes")
    for number, result in enumerate(data):
        _check(path, f"[{number}]", result, ("image_id", "category_id", "bbox", "score"))
    return data


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError:
        raise SourceError(f"{path}: no such file") from None
    except ValueError as error:
        raise SourceError(f"{path}: not JSON: {error}") from None


def _check(path: Path, at: str, entry: Any, keys: tuple[str, ...]) -> None:
    if not isinstance(entry, dict) or any(key not in entry for key in keys) or len(entry["bbox"]) != 4:
        raise SourceError(f"{path}: {at}: expected {', '.join(keys)} with four numbers in bbox, got {entry!r:.80}")


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("detections")(detections)


def detections(
    gt: Annotated[Path, typer.Option("--gt", metavar="COCO.json", help="Ground truth.", show_default=False)],
    results: Annotated[Path, typer.Option("--results", metavar="COCO.json", help="From `vedette detect`.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Compare COCO results with COCO ground truth: average precision and recall."""
    scores = judge_detections(read_truth(gt), read_results(results))
    if scores.num_ignored:
        print(f"{scores.num_ignored} boxes of images or classes that {gt} does not name were left out", file=sys.stderr)
    if as_json:
        print(json.dumps(scores.as_json(), indent=2))
        return
    print(f"{scores.num_results} boxes against {scores.num_truth} in {scores.num_images} images")
    for name, value in scores.stats.items():
        print(f"  {name:10} {value:7.4f}")
    for label, per_class in sorted(scores.per_class.items(), key=lambda item: -item[1]["ap"]):
        print(f"  {label:20} ap {per_class['ap']:.4f}  ap50 {per_class['ap50']:.4f}")
