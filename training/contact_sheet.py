"""A contact sheet: small pictures with their boxes, to see at a glance whether labels are what they should be."""

from __future__ import annotations

import math
from pathlib import Path
from typing import cast

import cv2
import numpy as np

from engine.errors import SourceError, UsageError
from engine.picture import Pixels
from training.dataset import Dataset, Sample

TILE_WH = (300, 225)
COLUMNS = 6
MOST = 36

_GREY = (150, 150, 150)
_CAPTION_PX = 18


def choose(dataset: Dataset, most: int = MOST) -> list[int]:
    """Choose pictures that show the data set: one for every class, rare ones first, then spread over the rest."""
    counts = dataset.box_counts()
    rank = {column: counts[label] for column, label in enumerate(dataset.labels)}
    chosen: dict[int, None] = {}
    for column in sorted(rank, key=lambda column: rank[column]):
        holders = (i for i, sample in enumerate(dataset.samples) if column in sample.class_id[~sample.ignore])
        found = next((i for i in holders if i not in chosen), None)
        if found is not None and len(chosen) < most // 2:
            chosen[found] = None
    rest = [i for i in range(len(dataset)) if i not in chosen]
    room = min(most - len(chosen), len(rest))
    spread = np.linspace(0, len(rest) - 1, room).round().astype(int).tolist() if room else []
    return sorted([*chosen, *(rest[i] for i in spread)])


def draw_sheet(dataset: Dataset, most: int = MOST) -> Pixels:
    """Draw the sheet: uint8 (h, w, 3) BGR, up to six pictures in a row. Boxes to ignore are grey.

    A picture that cannot be read is a grey tile with its name.
    """
    chosen = [dataset.samples[i] for i in choose(dataset, most)]
    columns = min(COLUMNS, max(len(chosen), 1))
    width, height = TILE_WH[0], TILE_WH[1] + _CAPTION_PX
    sheet = np.full((max(1, math.ceil(len(chosen) / columns)) * height, columns * width, 3), 32, np.uint8)
    for number, sample in enumerate(chosen):
        top, left = number // columns * height, number % columns * width
        sheet[top : top + height, left : left + width] = _tile(sample, dataset.labels)
    return sheet


def write_sheet(dataset: Dataset, path: Path) -> None:
    """Draw the sheet into an image file.

    Raises:
        UsageError: the name does not end in .png or .jpg.
        SourceError: it cannot be written.
    """
    if path.suffix.lower() not in (".png", ".jpg", ".jpeg"):
        raise UsageError(f"{path}: a contact sheet's name must end in .png or .jpg")
    _, data = cv2.imencode(path.suffix, draw_sheet(dataset))
    temporary = path.with_name(f".{path.name}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_bytes(data.tobytes())
        temporary.replace(path)
    except OSError as error:
        raise SourceError(f"{path}: cannot be written: {error.strerror}") from None


def _tile(sample: Sample, labels: tuple[str, ...]) -> Pixels:
    width, height = TILE_WH
    tile = np.full((height + _CAPTION_PX, width, 3), 32, np.uint8)
    try:
        bgr = sample.read().bgr
    except SourceError:
        cv2.putText(tile, "cannot be read", (8, height // 2), cv2.FONT_HERSHEY_SIMPLEX, 0.5, _GREY, 1, cv2.LINE_AA)
    else:
        scale = min(width / bgr.shape[1], height / bgr.shape[0])
        inner_wh = max(1, round(bgr.shape[1] * scale)), max(1, round(bgr.shape[0] * scale))
        tile[: inner_wh[1], : inner_wh[0]] = cv2.resize(bgr, inner_wh, interpolation=cv2.INTER_AREA)
        _draw_boxes(tile, sample, scale, labels)
    caption = f"{sample.camera} {sample.path.name}".strip()
    cv2.putText(tile, caption, (2, height + 13), cv2.FONT_HERSHEY_SIMPLEX, 0.38, (220, 220, 220), 1, cv2.LINE_AA)
    return cast(Pixels, tile)


def _draw_boxes(tile: Pixels, sample: Sample, scale: float, labels: tuple[str, ...]) -> None:
    for corners, class_id, ignore in zip(sample.xyxy * scale, sample.class_id, sample.ignore, strict=True):
        x1, y1, x2, y2 = (round(float(value)) for value in corners)
        colour = _GREY if ignore else _colour(int(class_id))
        cv2.rectangle(tile, (x1, y1), (x2 - 1, y2 - 1), colour, 1)
        at = (x1 + 1, max(y1 - 2, 9))
        for paint, thickness in (((0, 0, 0), 2), (colour, 1)):
            cv2.putText(tile, labels[class_id], at, cv2.FONT_HERSHEY_SIMPLEX, 0.34, paint, thickness, cv2.LINE_AA)


def _colour(class_id: int) -> tuple[int, int, int]:
    """Give a bright BGR colour; neighbouring classes get very different hues (steps of the golden angle)."""
    hue = round(class_id * 180 * 0.381966) % 180
    blue, green, red = cv2.cvtColor(np.array([[[hue, 170, 255]]], np.uint8), cv2.COLOR_HSV2BGR)[0, 0].tolist()
    return blue, green, red
