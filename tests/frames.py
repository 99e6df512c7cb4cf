"""Builders of frames for tests that need no video."""

from __future__ import annotations

import numpy as np

from engine.frame import CaptureTime, Frame
from engine.picture import Picture


def make_frame(
    index: int = 0,
    *,
    camera: str = "cam",
    epoch: int = 0,
    fps: float = 10.0,
    pts_s: float | None = None,
    size_wh: tuple[int, int] = (64, 48),
    unix_s: float | None = None,
) -> Frame:
    """Make a grey frame; stream time follows from index and fps unless given."""
    pts_us = round((index / fps if pts_s is None else pts_s) * 1e6)
    captured = CaptureTime(pts_us) if unix_s is None else CaptureTime(round(unix_s * 1e6), "arrival", 500)
    picture = Picture.from_bgr(np.full((size_wh[1], size_wh[0], 3), 128, np.uint8))
    return Frame(camera, epoch, index, pts_us, captured, picture, is_key=index == 0)
