"""COCO's two files: ground truth (images, annotations, categories) and results (a list of boxes)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from engine.errors import SourceError


def read_truth(path: Path) -> dict[str, Any]:
    """Read a COCO ground truth file.

    Raises:
        SourceError: missing, no JSON, or without images, annotations and categories.
    """
    data = _read_json(path)
    missing = [key for key in ("images", "annotations", "categories") if not isinstance(data, dict) or key not in data]
    if missing:
        raise SourceError(f"{path}: not COCO ground truth: no '{missing[0]}'")
    known: set[int | str] = set()
    for number, image in enumerate(data["images"]):
        if not isinstance(image, dict) or "id" not in image:
            raise SourceError(f"{path}: images[{number}]: expected an object with an id, got {image!r:.80}")
        if image["id"] in known:
            raise SourceError(f"{path}: images[{number}]: another image has the id {image['id']!r} too")
        known.add(image["id"])
    for number, annotation in enumerate(data["annotations"]):
        at = f"annotations[{number}]"
        _check_box(path, at, annotation, ("id", "image_id", "category_id", "bbox"))
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
        _check_box(path, f"[{number}]", result, ("image_id", "category_id", "bbox", "score"))
    return data


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError:
        raise SourceError(f"{path}: no such file") from None
    except ValueError as error:
        raise SourceError(f"{path}: not JSON: {error}") from None


def _check_box(path: Path, at: str, entry: Any, keys: tuple[str, ...]) -> None:
    expected = f"{path}: {at}: expected {', '.join(keys)} with four numbers in bbox, got {entry!r:.80}"
    if not isinstance(entry, dict) or any(key not in entry for key in keys):
        raise SourceError(expected)
    try:
        numbers = np.array([*entry["bbox"], entry.get("score", 0)], np.float64)
    except (TypeError, ValueError):
        raise SourceError(expected) from None
    # What is not a number would end up anywhere in the ranking, and nobody would notice.
    if numbers.shape != (5,) or not np.isfinite(numbers).all():
        raise SourceError(expected)
