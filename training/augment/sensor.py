"""Conditions of sensor and coder: noise, white balance, compression."""

from __future__ import annotations

import math
from typing import cast

import cv2
import numpy as np

from engine.picture import Pixels

_LEVEL = np.arange(256, dtype=np.float32) / 255
_BEST_QUALITY, _WORST_QUALITY = 80, 8


def sensor_noise(bgr: Pixels, strength: float, scene: np.random.Generator, rng: np.random.Generator) -> Pixels:
    """Add the noise of a high gain: a standard deviation of 10 levels at mid grey at strength 0.5, 20 at 1."""
    return add_noise(bgr, 16 * strength, 17 * strength, rng)


def add_noise(bgr: Pixels, read: float, shot: float, rng: np.random.Generator) -> Pixels:
    """Add read noise, and shot noise whose variance grows with the light.

    Args:
        bgr: uint8 (h, w, 3).
        read: standard deviation of the read noise in levels.
        shot: standard deviation of the shot noise in levels, at white.
        rng: of the grain.
    """
    height, width = bgr.shape[:2]
    deviation = np.sqrt(read**2 + shot**2 * _LEVEL)
    grain = rng.standard_normal((height, width), np.float32)
    grain *= cv2.LUT(cv2.cvtColor(bgr, cv2.COLOR_BGR2GRAY), deviation)
    # Cameras send colour at half the resolution and smooth it: its noise comes in blotches.
    colour = rng.standard_normal(((height + 1) // 2, (width + 1) // 2, 3), np.float32) * np.float32(0.4 * read)
    blotches = cv2.resize(colour, (width, height), interpolation=cv2.INTER_LINEAR)
    return cast(Pixels, cv2.add(bgr, blotches + grain[..., None], dtype=cv2.CV_8U))


def color_cast(bgr: Pixels, strength: float, scene: np.random.Generator, rng: np.random.Generator) -> Pixels:
    """Set the white balance wrong: a mid grey moves by 12 levels of chroma at strength 0.5, 24 at 1.

    Which way is the scene's: gains of red and blue for a direction in the plane of Cb and Cr; green makes up for their
    luma, so that grey stays as bright as it was.
    """
    direction = scene.uniform(0, 2 * math.pi)
    shift = 24 / 128 * strength
    # Cb = 0.564 (B - Y) and Cr = 0.713 (R - Y), BT.601.
    blue, red = 1 + shift * math.cos(direction) / 0.564, 1 + shift * math.sin(direction) / 0.713
    green = (1 - 0.114 * blue - 0.299 * red) / 0.587
    curves = 255 * np.minimum(1, np.array([blue, green, red]) * _LEVEL[:, None])
    return cast(Pixels, cv2.LUT(bgr, np.rint(curves).astype(np.uint8)[:, None]))


def compression(bgr: Pixels, strength: float, scene: np.random.Generator, rng: np.random.Generator) -> Pixels:
    """Write and read a JPEG: quality 25 at strength 0.5, 8 at 1, in equal ratios."""
    quality = round(_BEST_QUALITY * (_WORST_QUALITY / _BEST_QUALITY) ** strength)
    _, data = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return cast(Pixels, cv2.imdecode(data, cv2.IMREAD_COLOR))
