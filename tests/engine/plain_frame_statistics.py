"""The statistics of a picture without any haste: every pixel, in floating point, by the definitions."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from engine.frame_statistics import FRAME_STATISTICS, THUMBNAIL_LENGTH
from engine.picture import Picture

Plane = NDArray[np.float64]


def measure_plainly(picture: Picture) -> dict[str, float]:
    luma, cb, cr = planes(picture)
    reduced = average(luma)
    inner = reduced[1:-1, 1:-1]
    laplacian = reduced[:-2, 1:-1] + reduced[2:, 1:-1] + reduced[1:-1, :-2] + reduced[1:-1, 2:] - 4 * inner
    dx, dy = (cv2.Sobel(reduced, cv2.CV_64F, *order, borderType=cv2.BORDER_REPLICATE) for order in ((1, 0), (0, 1)))
    shares = np.bincount((reduced / 4).astype(int).ravel(), minlength=64) / reduced.size
    grain = np.sort(np.abs(second(second(luma, 0), 1)).ravel()) / 6
    steps = np.abs(np.diff(luma, axis=1)).mean(0)
    crosses = np.arange(len(steps)) % 8 == 7
    values = {
        "brightness": reduced.mean(), "contrast": reduced.std(), "saturation": np.hypot(cb, cr).mean(),
        "sharpness": laplacian.var(), "noise": grain[: grain.size // 2].mean() / 0.32465,
        "detail": grain[grain.size // 2 :].mean(), "entropy": -sum(p * np.log2(p) for p in shares if p > 0),
        "edge_density": (np.abs(dx) + np.abs(dy) > 100).mean(), "color_cast_blue": cb.mean(),
        "color_cast_red": cr.mean(), "blockiness": (steps[crosses].mean() + 0.1) / (steps[~crosses].mean() + 0.1),
    }  # fmt: skip
    return {name: float(values[name]) for name in FRAME_STATISTICS}


def planes(picture: Picture) -> tuple[Plane, Plane, Plane]:
    """Give luma in 0..255, and Cb and Cr around 0."""
    if picture.pixel_format == "yuv420p":
        luma, cb, cr = (plane.astype(np.float64) for plane in picture.planes)
        if picture.full_range:
            return luma, cb - 128, cr - 128
        return np.clip((luma - 16) * 255 / 219, 0, 255), (cb - 128) * 255 / 224, (cr - 128) * 255 / 224
    ycrcb = np.asarray(cv2.cvtColor(picture.bgr(), cv2.COLOR_BGR2YCrCb), np.float64)
    return ycrcb[..., 0], ycrcb[..., 2] - 128, ycrcb[..., 1] - 128


def average(plane: Plane) -> Plane:
    ratio = min(1, THUMBNAIL_LENGTH / max(plane.shape))
    size_wh = round(plane.shape[1] * ratio), round(plane.shape[0] * ratio)
    return np.asarray(cv2.resize(plane, size_wh, interpolation=cv2.INTER_AREA), np.float64)


def second(plane: Plane, axis: int) -> Plane:
    return np.diff(plane, 2, axis=axis)
