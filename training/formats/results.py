"""COCO results, as `vedette detect` writes them, laid on their pictures: a model's boxes for a person to check."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.boxes import areas, clip_boxes
from engine.errors import SourceError
from training.dataset import Dataset, Sample
from training.formats.image_files import image_size, list_images


def with_results(
    pictures: Path, results: Sequence[Any], labels: Sequence[str], min_confidence: float = 0.0
) -> tuple[Dataset, list[NDArray[np.float32]]]:
    """Lay results on the pictures of a folder.

    Args:
        pictures: the folder that the model has seen.
        results: `image_id` (the file's name without suffix, as a number where it is one), `category_id`, `bbox` and
            `score` each.
        labels: the model's classes.
        min_confidence: weaker boxes are left out.

    Returns:
        The pictures with the boxes, strongest first, and one array of confidences for each. Boxes outside a picture
        are left out.

    Raises:
        SourceError: no pictures, results of other pictures or of a class that the model does not have.
    """
    paths = list_images(pictures)
    found: dict[int | str, list[Any]] = {_image_id(path): [] for path in paths}
    if not paths:
        raise SourceError(f"{pictures}: holds no pictures")
    for number, result in enumerate(results):
        if result["image_id"] not in found:
            raise SourceError(f"results[{number}]: no picture '{result['image_id']}' in {pictures}")
        if result["category_id"] not in range(len(labels)):
            at = f"results[{number}]: category_id {result['category_id']}"
            raise SourceError(f"{at} is none of the model's {len(labels)} classes; name the model that wrote them")
        if result["score"] >= min_confidence:
            found[result["image_id"]].append(result)
    samples, confidence = [], []
    for path in paths:
        size_wh = image_size(path)
        ranked = sorted(found[_image_id(path)], key=lambda result: -float(result["score"]))
        left_top_size = np.array([result["bbox"] for result in ranked], np.float32).reshape(-1, 2, 2)
        xyxy = clip_boxes(left_top_size.cumsum(axis=1).reshape(-1, 4), size_wh)
        inside = areas(xyxy) > 0
        class_id = np.array([result["category_id"] for result in ranked], np.intp)[inside]
        samples.append(Sample(path, size_wh, xyxy[inside], class_id, np.zeros(len(class_id), np.bool_)))
        confidence.append(np.array([result["score"] for result in ranked], np.float32)[inside])
    return Dataset(tuple(labels), tuple(samples)), confidence


def _image_id(path: Path) -> int | str:
    return int(path.stem) if path.stem.isdecimal() else path.stem
