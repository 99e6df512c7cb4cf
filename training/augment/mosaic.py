"""Mosaic and MixUp: pictures made of several pictures, with the labels of all of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import cast

import cv2
import numpy as np

from engine.picture import Pixels
from training.augment.placing import PAD, paste
from training.dataset import Example

# How near to the edge the corner may come at which the four pictures meet, as a share of the side.
_MARGIN = 0.25


def make_mosaic(
    size_wh: tuple[int, int], fill: Callable[[int, tuple[int, int]], Example], rng: np.random.Generator
) -> Example:
    """Put four pictures around a random point.

    Args:
        size_wh: of the result.
        fill: `(number, size_wh) -> Example`, a picture for part 0 to 3, not larger than the part. It is drawn for its
            part alone, at its size there: putting four pictures together costs hardly more than one.
        rng: of the point, and of where a picture lies that is smaller than its part.
    """
    width, height = size_wh
    x = round(width * rng.uniform(_MARGIN, 1 - _MARGIN))
    y = round(height * rng.uniform(_MARGIN, 1 - _MARGIN))
    canvas = np.full((height, width, 3), PAD, np.uint8)
    placed = []
    for number, (x1, y1, x2, y2) in enumerate(
        ((0, 0, x, y), (x, 0, width, y), (0, y, x, height), (x, y, width, height))
    ):
        placed.append(scatter(canvas, fill(number, (x2 - x1, y2 - y1)), (x1, y1, x2, y2), rng))
    return _join(canvas, placed)


def scatter(canvas: Pixels, example: Example, within: tuple[int, int, int, int], rng: np.random.Generator) -> Example:
    """Write a picture somewhere within a rectangle (x1, y1, x2, y2) of a larger one; give its labels there."""
    x1, y1, x2, y2 = within
    width, height = example.size_wh
    left, top = int(rng.integers(x1, x2 - width + 1)), int(rng.integers(y1, y2 - height + 1))
    return paste(canvas, example, left, top)


def mix_up(first: Example, second: Example, rng: np.random.Generator) -> Example:
    """Lay two pictures of one size over each other, about half and half (arXiv 1710.09412).

    Objects of both count in full, as in detectors since YOLOX; the paper's weighted labels are for classification.
    """
    share = float(rng.uniform(0.4, 0.6))
    mixed = cast(Pixels, cv2.addWeighted(first.bgr, share, second.bgr, 1 - share, 0))
    return _join(mixed, (first, second))


def _join(bgr: Pixels, parts: Sequence[Example]) -> Example:
    return Example(
        bgr,
        np.concatenate([part.xyxy for part in parts]),
        np.concatenate([part.class_id for part in parts]),
        np.concatenate([part.ignore for part in parts]),
    )
