"""The worst failures with their pictures: what to look at first."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from engine.boxes import iou_matrix
from training.evaluation.detections.evaluate import Evaluation
from training.evaluation.detections.matches import explain

if TYPE_CHECKING:
    from engine.picture import Pixels

Read = Callable[[int], "Pixels"]

NUM_SHOWN = 18
_LONGEST = 220


@dataclass(frozen=True, eq=False)
class Failure:
    """A crop with one mistake in it.

    Attributes:
        title: what went wrong, for a person.
        place: which picture.
        jpeg: the crop as a data URI.
        size_wh: of the crop, in its own pixels.
        box: float32 (4,) xyxy of the mistake, in pixels of the crop.
        truth: float32 (N, 4) true boxes in view.
    """

    title: str
    place: str
    jpeg: str
    size_wh: tuple[int, int]
    box: NDArray[np.float32]
    truth: NDArray[np.float32]


def false_alarms(evaluation: Evaluation, read: Read, num: int = NUM_SHOWN) -> list[Failure]:
    """Show the most confident results that are wrong, at most one of each block of the bootstrap.

    Args:
        evaluation: whose.
        read: gives a picture's BGR pixels by its position.
        num: how many at most.
    """
    matches = evaluation.matches
    failures = []
    rows = matches.false_alarms(evaluation.at.min_confidence)
    for row in _spread(rows, evaluation.blocks.number[matches.found.image[rows]], num):
        label = matches.labels[matches.found.class_id[row]]
        title = f"{label} {matches.confidence[row]:.2f}: {explain(matches, row)}"
        failures.append(_failure(evaluation, read, title, int(matches.found.image[row]), matches.found.xyxy[row]))
    return failures


def misses(evaluation: Evaluation, read: Read, num: int = NUM_SHOWN) -> list[Failure]:
    """Show the largest objects that were not found, at most one of each block of the bootstrap. See `false_alarms`."""
    matches = evaluation.matches
    failures = []
    seen = matches.seen_with()
    rows = matches.misses(evaluation.at.min_confidence)
    for row in _spread(rows, evaluation.blocks.number[matches.truth.image[rows]], num):
        label = matches.labels[matches.truth.class_id[row]]
        title = f"{label}: " + (f"only {seen[row]:.2f}" if seen[row] else "not seen at all")
        failures.append(_failure(evaluation, read, title, int(matches.truth.image[row]), matches.truth.xyxy[row]))
    return failures


def _spread(rows: Iterable[int], blocks: NDArray[np.intp], num: int) -> list[int]:
    """Keep the first of each block: neighbouring frames would show the same mistake again and again."""
    taken: dict[int, int] = {}
    for row, block in zip(rows, blocks.tolist(), strict=True):
        taken.setdefault(block, int(row))
    return list(taken.values())[:num]


def _failure(evaluation: Evaluation, read: Read, title: str, image: int, xyxy: NDArray[np.float32]) -> Failure:
    truth = evaluation.matches.truth
    bgr = read(image)
    window = _window(xyxy, (bgr.shape[1], bgr.shape[0]))
    left, top, right, bottom = window
    here = truth.xyxy[(truth.image == image) & ~truth.ignore]
    inside = here[iou_matrix(np.array([window], np.float32), here)[0] > 0]
    facts = evaluation.judge.images[image]
    place = str(facts.get("file_name") or facts["id"])
    if facts.get("camera"):
        place = f"{facts['camera']}: {place}"
    offset = np.array([left, top, left, top], np.float32)
    jpeg, scale = _jpeg(bgr[top:bottom, left:right])
    size_wh = (round((right - left) * scale), round((bottom - top) * scale))
    return Failure(title, place, jpeg, size_wh, (xyxy - offset) * scale, (inside - offset) * scale)


def _window(xyxy: NDArray[np.float32], size_wh: tuple[int, int]) -> tuple[int, int, int, int]:
    """A square around a box, twice as large and of 64 pixels at least, cut to the picture."""
    side = max(64.0, 2 * float((xyxy[2:] - xyxy[:2]).max()))
    center, limit = (xyxy[:2] + xyxy[2:]) / 2, np.array(size_wh)
    # One pixel at least, even of a true box that lies outside.
    start = np.clip((center - side / 2).astype(np.intp), 0, limit - 1)
    stop = np.clip((center + side / 2).astype(np.intp) + 1, start + 1, limit)
    return int(start[0]), int(start[1]), int(stop[0]), int(stop[1])


def _jpeg(bgr: Pixels) -> tuple[str, float]:
    """Give a data URI, and by how much the pixels were scaled down."""
    import cv2

    scale = min(1.0, _LONGEST / max(bgr.shape[:2]))
    size = (round(bgr.shape[1] * scale), round(bgr.shape[0] * scale))
    small = cv2.resize(bgr, size, interpolation=cv2.INTER_AREA) if scale < 1 else bgr
    encoded = cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, 85])[1]
    return "data:image/jpeg;base64," + base64.b64encode(encoded.tobytes()).decode("ascii"), scale
