"""Pictures whose boxes can be read off their pixels: every object has a colour of its own."""

from __future__ import annotations

import numpy as np

from engine.picture import Pixels
from training.dataset import Boxes, Example

GROUND = (60, 60, 60)
COLOURS = ((255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 0), (255, 0, 255), (0, 255, 255))


def painted(size_wh: tuple[int, int], *boxes: tuple[int, int, int, int], ignore: tuple[int, ...] = ()) -> Example:
    """Paint filled rectangles; the class of a box is its number, and so is its colour's."""
    bgr = np.full((size_wh[1], size_wh[0], 3), GROUND, np.uint8)
    for number, (x1, y1, x2, y2) in enumerate(boxes):
        bgr[y1:y2, x1:x2] = COLOURS[number]
    xyxy = np.array(boxes, np.float32).reshape(-1, 4)
    flags = np.isin(np.arange(len(boxes)), ignore)
    return Example(bgr, xyxy, np.arange(len(boxes), dtype=np.intp), flags)


def seen(bgr: Pixels, number: int) -> Boxes:
    """Find the box around all pixels of a number's colour, half mixed with the ground or better."""
    towards = np.array(COLOURS[number], np.float64) - GROUND
    share = (bgr.astype(np.float64) - GROUND) @ towards / (towards @ towards)
    off = np.abs(bgr - (GROUND + share[..., None] * towards)).max(axis=2)
    y, x = np.nonzero((share >= 0.5) & (off < 20))
    return np.array([x.min(), y.min(), x.max() + 1, y.max() + 1], np.float32)


def same(first: Example, second: Example) -> bool:
    """Whether two examples are equal, pixels and labels."""
    columns = ("bgr", "xyxy", "class_id", "ignore")
    return all(np.array_equal(getattr(first, name), getattr(second, name)) for name in columns)
