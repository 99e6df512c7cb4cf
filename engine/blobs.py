"""Boxes of moving blobs: people side by side are cut apart, and objects stay apart while one passes before another.

Foreground masks show where something moves, not how many. What is known besides is the outline of a blob, and what
the blobs were a moment ago. Works on masks and boxes alone; `operators/motion_blobs.py` makes them.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.boxes import iou_matrix
from engine.detections import Detections

Box = tuple[int, int, int, int]
Floats = NDArray[np.float32]

# When a blob is a group of people: how wide it must be for its height, how high in pixels, how low the valley between
# two heads must be, and how wide one person may be.
MIN_GROUP_ASPECT = 0.5
MIN_GROUP_HEIGHT = 12
VALLEY_DEPTH = 0.8
MAX_PERSON_ASPECT = 0.75
# How wide a blob may be that has lost its legs, and how narrow a whole person is.
MAX_TORSO_ASPECT = 1.3
MIN_PERSON_ASPECT = 0.4


def split_group(blob: NDArray[np.bool_]) -> list[Box]:
    """Cut a blob where its height has a clear valley, if every piece is upright: people side by side, not a car.

    Args:
        blob: bool (h, w), touching all four edges.

    Returns:
        One box or several, `(x1, y1, x2, y2)` in pixels of the blob.
    """
    height, width = blob.shape
    whole = [(0, 0, width, height)]
    if width < MIN_GROUP_ASPECT * height or height < MIN_GROUP_HEIGHT:
        return whole
    heights = height - blob.argmax(axis=0) - blob[::-1].argmax(axis=0)
    heights[~blob.any(axis=0)] = 0
    reach = max(1, round(0.06 * height)) | 1
    smooth = np.convolve(heights, np.full(reach, 1 / reach), "same")
    edges = [0, *_valleys(smooth, 0.4 * height), width]
    pieces = []
    for left, right in itertools.pairwise(edges):
        rows, columns = np.flatnonzero(blob[:, left:right].any(axis=1)), np.flatnonzero(blob[:, left:right].any(axis=0))
        if len(rows):
            pieces.append((left + int(columns[0]), int(rows[0]), left + int(columns[-1]) + 1, int(rows[-1]) + 1))
    upright = all(x2 - x1 <= MAX_PERSON_ASPECT * (y2 - y1) for x1, y1, x2, y2 in pieces)
    return pieces if upright else whole


def _valleys(heights: NDArray[np.float64], min_peak: float) -> list[int]:
    """Find the lowest column between neighbouring peaks, where it is clearly lower than both."""
    cuts: list[int] = []
    peak, valley, valley_at = 0.0, math.inf, 0
    for x, value in enumerate(heights.tolist()):
        if valley == math.inf:
            peak = max(peak, value)
        if peak < min_peak:
            continue
        if value < valley and value <= VALLEY_DEPTH * peak:
            valley, valley_at = value, x
        if value >= min_peak and valley <= VALLEY_DEPTH * min(value, peak):
            cuts.append(valley_at)
            peak, valley = value, math.inf
    return cuts


def with_legs(box: Box, around: NDArray[np.uint8]) -> Box:
    """Follow an upright blob down through what was taken for a shadow: grey trousers on grey ground look like one.

    Down to the height that a person of this width may have; a shadow beyond that stays out.

    Args:
        box: of the blob, in pixels.
        around: uint8 (h, w), not 0 where the picture differs from the background in any way.
    """
    x1, y1, x2, y2 = box
    if x2 - x1 > MAX_TORSO_ASPECT * (y2 - y1):
        return box
    lowest = min(around.shape[0], y1 + round((x2 - x1) / MIN_PERSON_ASPECT))
    below: NDArray[np.bool_] = np.any(around[y2:lowest, x1:x2] > 0, axis=1)
    gap = np.flatnonzero(~below)
    return x1, y1, x2, y2 + (int(gap[0]) if len(gap) else len(below))


def covered(xyxy: NDArray[np.floating[Any]], by: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
    """Give the share of each box (N, 4) that lies in each other one (M, 4), as (N, M)."""
    top_left = np.maximum(xyxy[:, None, :2], by[None, :, :2])
    bottom_right = np.minimum(xyxy[:, None, 2:], by[None, :, 2:])
    shared = np.clip(bottom_right - top_left, 0, None).prod(axis=2)
    share: NDArray[np.float64] = shared / np.maximum(_area(xyxy), 1e-6)[:, None]
    return share


def pieces(xyxy: Floats) -> NDArray[np.bool_]:
    """Mark boxes of which most lies in a larger one: shoes, bags, parts of a car."""
    area = _area(xyxy)
    inside: NDArray[np.bool_] = (covered(xyxy, xyxy) > 0.7) & (area[:, None] < area[None, :])
    marked: NDArray[np.bool_] = np.any(inside, axis=1)
    return marked


def _area(xyxy: NDArray[np.floating[Any]]) -> NDArray[np.floating[Any]]:
    return (xyxy[:, 2] - xyxy[:, 0]) * (xyxy[:, 3] - xyxy[:, 1])


@dataclass(slots=True, eq=False)
class _Object:
    """What was one blob: its box, where it is heading, and for how long that has not been seen."""

    box: NDArray[np.float64]
    velocity: NDArray[np.float64] = field(default_factory=lambda: np.zeros(2))
    age_s: float = 0.0
    inner_s: float = 0.0
    unseen_s: float = 0.0


class KeepApart:
    """Remembers the objects of the last pictures, so that two that become one blob stay two boxes.

    While several share a blob, each keeps its size: who is outermost in a direction moves with that edge of the blob,
    who is inside moves on at its last velocity, for at most MAX_INNER_S.
    """

    # Fragments come and go; only what has been a blob of its own for this long is kept apart.
    MATURE_S = 0.6
    MAX_INNER_S = 1.5
    MAX_UNSEEN_S = 0.25
    MAX_STEP_S = 1.0
    # Containers whose time steps back give frames a microsecond apart: no speed can be told from those.
    MIN_STEP_S = 0.005
    SAME_IOU = 0.3
    SAME_SHARE = 0.65
    FOLLOW = 0.3

    def __init__(self) -> None:
        self._objects: list[_Object] = []
        self._last_s: float | None = None

    def separate(self, blobs: Detections, now_s: float) -> Detections:
        """Give one box for each object of each blob; what is new in a blob of others is part of them."""
        step_s = 0.0 if self._last_s is None else now_s - self._last_s
        self._last_s = now_s
        if not 0 <= step_s <= self.MAX_STEP_S:
            self._objects = []
        moved = [each.box + np.tile(each.velocity * step_s, 2) for each in self._objects]
        members = self._members(moved, blobs.xyxy)
        kept: list[_Object] = []
        source: list[int] = []
        for blob, rows in enumerate(members):
            box = blobs.xyxy[blob].astype(np.float64)
            mature = [row for row in rows if self._objects[row].age_s >= self.MATURE_S]
            if len(mature) > 1:
                here = self._share(box, mature, moved, step_s)
            else:
                oldest = max(rows, key=lambda row: self._objects[row].age_s, default=None)
                here = [self._alone(box, None if oldest is None else self._objects[oldest], step_s)]
            kept += here
            source += [blob] * len(here)
        xyxy = np.array([each.box for each in kept], np.float32).reshape(-1, 4)
        self._objects = kept + self._unseen(kept, moved, step_s)
        of_blob = np.array(source, np.int64)
        return Detections(xyxy, blobs.confidence[of_blob], blobs.class_id[of_blob], blobs.labels)

    def _members(self, moved: list[NDArray[np.float64]], xyxy: Floats) -> list[list[int]]:
        """Say which objects are in which blob: where they fit best, or else where most of them is."""
        members: list[list[int]] = [[] for _ in xyxy]
        if not moved or not len(xyxy):
            return members
        boxes = np.array(moved)
        overlap, share = iou_matrix(boxes.astype(np.float32), xyxy), covered(boxes, xyxy)
        for row in range(len(boxes)):
            fits, holds = int(overlap[row].argmax()), int(share[row].argmax())
            if overlap[row, fits] >= self.SAME_IOU:
                members[fits].append(row)
            elif share[row, holds] >= self.SAME_SHARE:
                members[holds].append(row)
        return members

    def _alone(self, box: NDArray[np.float64], known: _Object | None, step_s: float) -> _Object:
        if known is None:
            return _Object(box)
        if step_s >= self.MIN_STEP_S:
            velocity = (box[:2] + box[2:] - known.box[:2] - known.box[2:]) / 2 / step_s
            known.velocity += (1.0 if known.age_s == 0 else self.FOLLOW) * (velocity - known.velocity)
        known.box, known.inner_s, known.unseen_s = box, 0.0, 0.0
        known.age_s += step_s
        return known

    def _share(
        self, blob: NDArray[np.float64], rows: list[int], moved: list[NDArray[np.float64]], step_s: float
    ) -> list[_Object]:
        boxes = np.array([moved[row] for row in rows])
        outermost = (*boxes[:, :2].argmin(axis=0), *boxes[:, 2:].argmax(axis=0))
        kept = []
        for place, row in enumerate(rows):
            known, box = self._objects[row], boxes[place]
            size = box[2:] - box[:2]
            shift = np.zeros(2)
            for axis in (0, 1):
                steps = [blob[edge] - box[edge] for edge in (axis, axis + 2) if outermost[edge] == place]
                if steps:
                    # A blob's edge may jump when somebody else joins it; nobody moves by half a body at once.
                    shift[axis] = np.clip(np.mean(steps), -size[axis] / 4, size[axis] / 4)
                    if step_s >= self.MIN_STEP_S:
                        known.velocity[axis] += self.FOLLOW / 2 * shift[axis] / step_s
            known.inner_s = known.inner_s + step_s if place not in (outermost[0], outermost[2]) else known.inner_s
            if known.inner_s > self.MAX_INNER_S:
                continue
            known.box, known.unseen_s = box + np.tile(shift, 2), 0.0
            known.age_s += step_s
            kept.append(known)
        return kept

    def _unseen(self, kept: list[_Object], moved: list[NDArray[np.float64]], step_s: float) -> list[_Object]:
        """Keep in mind who was missed for a moment; they are not reported."""
        out = []
        for known, box in zip(self._objects, moved, strict=True):
            known.unseen_s += step_s
            if known.age_s >= self.MATURE_S and known not in kept and known.unseen_s <= self.MAX_UNSEEN_S:
                known.box = box
                out.append(known)
        return out
