"""A picture of pictures: every production condition at several strengths, for people."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import cast

import cv2
import numpy as np

from engine.picture import Pixels
from training.augment.conditions import CONDITIONS, apply_condition

_CELL_W = 288
_TITLE_H = 22
_BACKGROUND, _INK = (255, 255, 255), (40, 40, 40)


def condition_sheet(bgr: Pixels, strengths: Sequence[float], seed: int = 0) -> Pixels:
    """Draw the picture as it is, then one row for each condition with one column for each strength.

    Conditions are applied at the size that is shown, 288 pixels wide: a wider sheet is not shown whole on most screens.

    Args:
        bgr: uint8 (h, w, 3).
        strengths: from 0 to 1, at least one.
        seed: of what is random.
    """
    height = max(1, round(bgr.shape[0] * _CELL_W / bgr.shape[1]))
    small = cast(Pixels, cv2.resize(bgr, (_CELL_W, height), interpolation=cv2.INTER_AREA))
    blank = [_cell(np.full_like(small, _BACKGROUND), "") for _ in strengths[1:]]
    rows = [np.hstack([_cell(small, "as it is"), *blank])]
    for name in CONDITIONS:
        shown = [apply_condition(name, small, s, np.random.default_rng(seed), scene=seed) for s in strengths]
        rows.append(np.hstack([_cell(bgr, f"{name} {s:g}") for bgr, s in zip(shown, strengths, strict=True)]))
    return np.vstack(rows)


def _cell(bgr: Pixels, title: str) -> Pixels:
    head = np.full((_TITLE_H, _CELL_W, 3), _BACKGROUND, np.uint8)
    cv2.putText(head, title, (4, _TITLE_H - 7), cv2.FONT_HERSHEY_SIMPLEX, 0.45, _INK, 1, cv2.LINE_AA)
    return np.vstack([head, bgr])


def write_image(path: Path, bgr: Pixels) -> None:
    """Write a JPEG (quality 75) or PNG; the file appears when it is whole.

    Raises:
        OSError: it cannot be written there.
    """
    _, data = cv2.imencode(path.suffix, bgr, [cv2.IMWRITE_JPEG_QUALITY, 75] if path.suffix.lower() != ".png" else [])
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.partial")
    try:
        partial.write_bytes(data.tobytes())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
