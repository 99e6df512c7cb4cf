"""What is measured of a picture: the same for a model's training pictures and for live cameras.

Most of it is taken from a picture reduced to 240 pixels, since a camera that is watched must not cost more because it
has a better sensor. Noise and blockiness are not visible there: they are taken from rows of the picture as decoded.
"""

from __future__ import annotations

import math
from typing import cast

import cv2
import numpy as np
from numpy.typing import NDArray

from engine.picture import Picture, Pixels

VERSION = 1
"""Goes up when a statistic changes its meaning: references made before it no longer compare."""

FRAME_STATISTICS = (
    "brightness", "contrast", "saturation", "sharpness", "noise", "entropy", "edge_density",
    "color_cast_blue", "color_cast_red", "blockiness",
)  # fmt: skip
"""What `measure_frame` gives, in this order."""

_WORK_LENGTH = 240
_COLOR_LENGTH = 60
# |dx| + |dy| of Sobel's kernels: a step of 25 grey levels, well above what noise makes of a reduced picture.
_EDGE = 100
_NOISE_PIXELS = 40_000
_MIN_BANDS = 8
_BLOCK_ROWS = 32
_BLOCK = 8
# In a flat picture both differences are next to nothing, and their ratio would mean nothing.
_BLOCK_FLOOR = 0.1
_LEVELS = np.arange(256.0)


def measure_frame(picture: Picture) -> dict[str, float]:
    """Measure a picture of any size from 1x1 in any pixel format; every value is finite.

    Luma runs from 0 to 255 whatever range the decoder uses, colour is BT.601.

    Returns:
        `brightness` and `contrast`: mean and standard deviation of luma, 0..255.
        `saturation`: mean length of the chroma vector (Cb, Cr); 0 is grey.
        `sharpness`: variance of the Laplacian (Pech-Pacheco et al., Diatom autofocusing in brightfield microscopy,
        ICPR 2000); falls out of focus, in fog and with a dirty or wet lens. 0 below 3x3 pixels.
        `noise`: standard deviation in grey levels (Immerkaer, Fast noise variance estimation, CVIU 1996, with the
        median in place of the mean, so that texture hardly counts).
        `entropy`: of 64 grey levels, 0..6 bits.
        `edge_density`: share of pixels on an edge, 0..1.
        `color_cast_blue` and `color_cast_red`: mean Cb and Cr, -128..128; 0 and 0 where the picture is grey on average.
        `blockiness`: luma steps across the codec's 8x8 grid over luma steps elsewhere; 1 where no grid is visible
        (Wang, Sheikh and Bovik, No-reference perceptual quality assessment of JPEG compressed images, ICIP 2002).
        A picture that was scaled or cropped after it was decoded has lost its grid.

    Costs 0.25 ms for 640x360 and 0.45 ms for 1920x1080 as decoded from video, on a free core with the picture in its
    cache; two to three times as much where others keep core and memory busy. Pictures in BGR cost up to 1 ms more.

    Pictures of the same scene compare: decoded planes, BGR and JPEG of quality 95 are within 4 % of each other in
    brightness and contrast and within 15 % elsewhere, blockiness within 0.1. At half the resolution only noise and
    blockiness change. At any other, the last uneven step of the reduction moves sharpness by up to a factor of two.
    """
    full, offset, scale = _luma(picture)
    reduced = _reduce(full)
    levels = np.clip((_LEVELS - offset) * scale, 0, 255)
    shares = cv2.calcHist([reduced], [0], None, [256], [0, 256]).ravel().astype(np.float64) / reduced.size
    brightness = float(shares @ levels)
    saturation, blue, red = _color(picture)
    return {
        "brightness": brightness,
        "contrast": math.sqrt(shares @ (levels - brightness) ** 2),
        "saturation": saturation,
        "sharpness": _sharpness(reduced) * scale**2,
        "noise": _noise(full) * scale,
        "entropy": _entropy(np.bincount((levels / 4).astype(np.intp), shares).astype(np.float64)),
        "edge_density": _edge_density(reduced, round(_EDGE / scale)),
        "color_cast_blue": blue,
        "color_cast_red": red,
        "blockiness": _blockiness(full),
    }


def _luma(picture: Picture) -> tuple[Pixels, float, float]:
    """Give the luma plane, and what to subtract from it and to multiply it with for 0..255."""
    if picture.pixel_format == "yuv420p" and not picture.full_range:
        return picture.planes[0], 16.0, 255 / 219
    return picture.gray(), 0.0, 1.0


def _reduce(plane: Pixels) -> Pixels:
    """Average down to 240 pixels on the longer side; smaller pictures stay as they are."""
    # Halving averages every pixel and has a fast path in OpenCV; INTER_AREA by other factors is ten times slower.
    while max(plane.shape) >= 2 * _WORK_LENGTH and min(plane.shape) >= 2:
        height, width = plane.shape[0] // 2, plane.shape[1] // 2
        plane = cast(
            Pixels, cv2.resize(plane[: 2 * height, : 2 * width], (width, height), interpolation=cv2.INTER_AREA)
        )
    return _fit(plane, _WORK_LENGTH)


def _fit(pixels: Pixels, length: int) -> Pixels:
    height, width = pixels.shape[:2]
    ratio = length / max(height, width)
    if ratio >= 1:
        return pixels
    size_wh = (max(1, round(width * ratio)), max(1, round(height * ratio)))
    return cast(Pixels, cv2.resize(pixels, size_wh, interpolation=cv2.INTER_LINEAR))


def _color(picture: Picture) -> tuple[float, float, float]:
    """Give the mean length of the chroma vector, mean Cb and mean Cr."""
    if picture.pixel_format == "gray":
        return 0.0, 0.0, 0.0
    if picture.pixel_format == "bgr24":
        _, red, blue = cv2.split(cv2.cvtColor(_fit(picture.planes[0], _COLOR_LENGTH), cv2.COLOR_BGR2YCrCb))
        scale = np.float32(1)
    else:
        blue, red = (_fit(plane, _COLOR_LENGTH) for plane in picture.planes[1:])
        scale = np.float32(1 if picture.full_range else 255 / 224)
    cb, cr = (blue - np.float32(128)) * scale, (red - np.float32(128)) * scale
    return float(np.sqrt(cb * cb + cr * cr).mean()), float(cb.mean()), float(cr.mean())


def _sharpness(plane: Pixels) -> float:
    if min(plane.shape) < 3:
        return 0.0
    # Its mean is 0 but for what leaves at the border: the mean square is the variance.
    inside = cv2.Laplacian(plane, cv2.CV_16S)[1:-1, 1:-1]
    return float(cv2.norm(inside)) ** 2 / inside.size


def _noise(plane: Pixels) -> float:
    """Take Immerkaer's mask over bands of three rows each, spread over the picture."""
    height, width = plane.shape
    if min(height, width) < 3:
        return 0.0
    num_bands = min(max(_MIN_BANDS, _NOISE_PIXELS // (3 * width)), height // 3)
    pitch = height // num_bands
    bands = plane[: num_bands * pitch].reshape(num_bands, pitch, width)[:, :3].reshape(-1, width)
    # The mask is Sobel's second derivative both ways, [1, -2, 1] across [1, -2, 1]: noise times 6.
    filtered = cv2.Sobel(bands, cv2.CV_16S, 2, 2)[1::3, 1:-1]
    absolute = cv2.convertScaleAbs(np.ascontiguousarray(filtered))
    counts = cv2.calcHist([absolute], [0], None, [256], [0, 256]).ravel().astype(np.float64)
    # Texture lies in the upper half. The mean of the lower half is steadier than the median itself, which is a whole
    # number; of a normal distribution it is 0.32465 standard deviations.
    lower = np.diff(np.minimum(np.cumsum(counts), absolute.size / 2), prepend=0.0)
    return float(lower @ _LEVELS / (absolute.size / 2)) / 0.32465 / 6


def _entropy(shares: NDArray[np.float64]) -> float:
    filled = shares[shares > 0]
    return max(0.0, float(-(filled @ np.log2(filled))))


def _edge_density(plane: Pixels, threshold: int) -> float:
    dx, dy = cv2.spatialGradient(plane)
    return float(np.count_nonzero(np.abs(dx) + np.abs(dy) > threshold)) / plane.size


def _blockiness(plane: Pixels) -> float:
    height, width = plane.shape
    if width < 2 * _BLOCK:
        return 1.0
    pitch = max(1, height // _BLOCK_ROWS)
    rows = plane[pitch // 2 :: pitch]
    steps = cv2.reduce(cv2.absdiff(rows[:, 1:], rows[:, :-1]), 0, cv2.REDUCE_AVG, dtype=cv2.CV_32F).ravel()
    # Step x lies between columns x and x + 1: every eighth crosses the grid.
    on_grid = np.arange(width - 1) % _BLOCK == _BLOCK - 1
    return float((steps[on_grid].mean() + _BLOCK_FLOOR) / (steps[~on_grid].mean() + _BLOCK_FLOOR))
