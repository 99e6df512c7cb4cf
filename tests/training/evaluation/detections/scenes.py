"""Builders of COCO truth and results, for tests of the judges."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

LABELS = ("person", "car", "boat")


def truth(*images: dict[str, Any], boxes: list[dict[str, Any]], labels: tuple[str, ...] = LABELS) -> dict[str, Any]:
    """Ground truth; images get ids 0, 1, … and boxes get ids from 1."""
    return {
        "images": [
            {"id": i, "file_name": f"{i}.png", "width": 200, "height": 200, **one} for i, one in enumerate(images)
        ],
        "annotations": [{"id": i, **box} for i, box in enumerate(boxes, 1)],
        "categories": [{"id": i, "name": name} for i, name in enumerate(labels)],
    }


def box(image: int, label: str, x: float, y: float, w: float = 40, h: float = 40, **more: Any) -> dict[str, Any]:
    """A true box, or with `score` a result."""
    return {"image_id": image, "category_id": LABELS.index(label), "bbox": [x, y, w, h], **more}


def random_scene(num_images: int, seed: int) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Truth with crowds, and results that are right, shifted, of the wrong class, doubled or made up, with ties."""
    rng = np.random.default_rng(seed)
    boxes, results = [], []
    for image in range(num_images):
        for _ in range(rng.integers(0, 6)):
            label = LABELS[rng.integers(2)]
            x, y, w, h = *rng.uniform(0, 140, 2), *rng.uniform(15, 110, 2)
            boxes.append(box(image, label, x, y, w, h, iscrowd=int(rng.random() < 0.15)))
            for _ in range(rng.integers(0, 3)):
                seen = label if rng.random() < 0.85 else LABELS[rng.integers(3)]
                dx, dy = rng.normal(0, 6, 2)
                results.append(box(image, seen, x + dx, y + dy, w, h, score=_score(rng)))
        for _ in range(rng.integers(0, 3)):
            x, y, w, h = rng.uniform(10, 100, 4)
            results.append(box(image, LABELS[rng.integers(3)], x, y, w, h, score=_score(rng)))
    return truth(*({} for _ in range(num_images)), boxes=boxes), results


def drawn(
    of_truth: dict[str, Any], results: list[dict[str, Any]], images: NDArray[np.intp]
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Write out a choice of pictures as a data set of its own, with copies where a picture was drawn twice."""
    boxes, found = [], []
    for number, image in enumerate(images.tolist()):
        boxes += [{**a, "image_id": number} for a in of_truth["annotations"] if a["image_id"] == image]
        found += [{**r, "image_id": number} for r in results if r["image_id"] == image]
    copies = [{**of_truth["images"][image], "id": number} for number, image in enumerate(images.tolist())]
    annotations = [{**a, "id": number} for number, a in enumerate(boxes, 1)]
    return {"images": copies, "annotations": annotations, "categories": of_truth["categories"]}, found


def _score(rng: np.random.Generator) -> float:
    return float(rng.integers(1, 40)) / 40
