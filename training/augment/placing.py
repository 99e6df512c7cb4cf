"""What is left of a picture and its boxes in a window of a given size, and which boxes still count.

A box counts while at least a fifth of it can be seen. With less, nobody can tell what it is: it becomes `ignore`,
because to call a stranger's arm background would teach the detector to miss people at the frame's edge, and to call it
a person would teach it to see people in sleeves. Below two pixels there is nothing to be right or wrong about: such a
box is dropped.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, cast

import cv2
import numpy as np
from numpy.typing import NDArray

from engine.boxes import areas, clip_boxes
from engine.picture import Letterbox, Pixels
from training.dataset import Example

# Grey level around pictures: that of the letterbox which the model meets live.
PAD = Letterbox((0, 0)).pad
MIN_VISIBLE = 0.2
MIN_SIDE_PX = 2.0


def keep_visible(example: Example) -> Example:
    """Cut boxes that reach beyond the picture; ignore or drop those of which too little is left.

    Args:
        example: its boxes lie in pixels of the picture and are whole, as if the picture had no edge.
    """
    visible = clip_boxes(example.xyxy, example.size_wh)
    sides = visible[:, 2:] - visible[:, :2]
    hidden = areas(visible) < MIN_VISIBLE * areas(example.xyxy)
    kept = (sides >= MIN_SIDE_PX).all(axis=1)
    return replace(example, xyxy=visible[kept], class_id=example.class_id[kept], ignore=(example.ignore | hidden)[kept])


def mark_hidden(example: Example, holes: NDArray[np.integer[Any]]) -> Example:
    """Ignore boxes of which too little shows between painted rectangles, and drop those that show nothing.

    A box keeps its extent: it is that of the object, as where a lamp post hides a part of it.

    Args:
        example: the painted picture.
        holes: (M, 4) xyxy, whole pixels.
    """
    shows = np.ones(example.bgr.shape[:2], np.float32)
    for x1, y1, x2, y2 in holes:
        shows[y1:y2, x1:x2] = 0
    share = np.empty(len(example.xyxy), np.float32)
    for row, box in enumerate(example.xyxy):
        (x1, y1), (x2, y2) = np.floor(box[:2]).astype(int), np.ceil(box[2:]).astype(int)
        share[row] = shows[y1:y2, x1:x2].mean()
    kept = share > 0
    ignore = example.ignore | (share < MIN_VISIBLE)
    return replace(example, xyxy=example.xyxy[kept], class_id=example.class_id[kept], ignore=ignore[kept])


def letterbox(example: Example, size_wh: tuple[int, int]) -> Example:
    """Scale a picture as the model's letterbox does, without its grey border."""
    inner_wh = Letterbox(size_wh).geometry(example.size_wh).inner_wh
    return keep_visible(_resize(example, inner_wh))


def window(example: Example, size_wh: tuple[int, int], scale: float, rng: np.random.Generator) -> Example:
    """Scale a picture and cut a random window out of it.

    Args:
        example: a picture of any size.
        size_wh: the largest size of the result; along a side that the scaled picture does not fill, it is smaller.
        scale: pixels of the result per pixel of the picture.
        rng: of the window's place.
    """
    # The window is cut first, so that nothing is scaled that is not shown.
    (width, height), (max_w, max_h) = example.size_wh, size_wh
    cut_w, cut_h = (min(length, max(1, round(limit / scale))) for length, limit in ((width, max_w), (height, max_h)))
    left, top = int(rng.integers(width - cut_w + 1)), int(rng.integers(height - cut_h + 1))
    xyxy = example.xyxy - np.array((left, top) * 2, np.float32)
    cut = replace(example, bgr=example.bgr[top : top + cut_h, left : left + cut_w], xyxy=xyxy)
    inner_wh = min(max_w, max(1, round(cut_w * scale))), min(max_h, max(1, round(cut_h * scale)))
    return keep_visible(_resize(cut, inner_wh))


def _resize(example: Example, size_wh: tuple[int, int]) -> Example:
    factor = np.array([size_wh[0] / example.bgr.shape[1], size_wh[1] / example.bgr.shape[0]] * 2, np.float32)
    bgr = example.bgr
    if example.size_wh != size_wh:
        bgr = cast(Pixels, cv2.resize(bgr, size_wh, interpolation=cv2.INTER_LINEAR))
    return replace(example, bgr=bgr, xyxy=example.xyxy * factor)


def paste(canvas: Pixels, example: Example, left: int, top: int) -> Example:
    """Write a picture into a larger one; give its labels there."""
    width, height = example.size_wh
    canvas[top : top + height, left : left + width] = example.bgr
    return replace(example, bgr=canvas, xyxy=example.xyxy + np.array((left, top) * 2, np.float32))
