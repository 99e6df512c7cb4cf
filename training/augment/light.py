"""Conditions of light: night, dusk, too much of it."""

from __future__ import annotations

from typing import cast

import cv2
import numpy as np
from numpy.typing import NDArray

from engine.picture import Pixels
from training.augment.sensor import add_noise

_LEVEL = np.arange(256, dtype=np.float32) / 255
# Rec. 601 luma of B, G, R.
_LUMA = np.array([0.114, 0.587, 0.299], np.float32)
_POOLS = 3


def night(bgr: Pixels, strength: float, scene: np.random.Generator, rng: np.random.Generator) -> Pixels:
    """Darken towards pools of light, take colour out, and add the noise of a high gain.

    Between the pools a grey of 128 falls to 56 at strength 0.5 and to 26 at 1, and white to 151 and 78: what shines
    stands out, as the darkening is a power law.
    """
    curve = 255 * _LEVEL ** (1 + 0.9 * strength) * (1 - 0.45 * strength)
    dark = cast(Pixels, cv2.LUT(bgr, np.rint(curve).astype(np.uint8)))
    # Towards grey, and a little towards the blue of a camera whose white balance has run out of light.
    pale = (1 - 0.6 * strength) * np.eye(3, dtype=np.float32) + 0.6 * strength * _LUMA
    tint = 1 + strength * np.array([0.12, 0.0, -0.08], np.float32)
    dark = cast(Pixels, cv2.transform(dark, pale * tint[:, None]))
    height, width = bgr.shape[:2]
    light = cv2.resize(1 - 0.5 * strength * (1 - _pools(scene)), (width, height), interpolation=cv2.INTER_CUBIC)
    # The gain lifts black a little, so that noise goes both ways there.
    black = np.full_like(dark, round(14 * strength))
    return add_noise(cast(Pixels, cv2.blendLinear(dark, black, light, 1 - light)), 8 * strength, 10 * strength, rng)


def _pools(scene: np.random.Generator) -> NDArray[np.float32]:
    """Light on a small grid, 0 to 1: soft pools under a few lamps."""
    y, x = np.mgrid[0:1:16j, 0:1:16j]
    light = np.zeros_like(x)
    for _ in range(_POOLS):
        (centre_x, centre_y), radius = scene.uniform(0.05, 0.95, 2), scene.uniform(0.15, 0.35)
        light = np.maximum(light, np.exp(-((x - centre_x) ** 2 + (y - centre_y) ** 2) / (2 * radius**2)))
    pools: NDArray[np.float32] = light.astype(np.float32)
    return pools


def dusk(bgr: Pixels, strength: float, scene: np.random.Generator, rng: np.random.Generator) -> Pixels:
    """Dim and flatten, with blue shadows; the bright parts lean to orange (sunset) or to blue (the hour after)."""
    warm, blue = np.array([0.26, 0.34, 0.47], np.float32), np.array([0.40, 0.33, 0.27], np.float32)
    mix = np.float32(scene.random())
    gain = 1 + strength * (mix * warm + (1 - mix) * blue - 1)
    lift = strength * np.array([0.09, 0.055, 0.045], np.float32)
    curves = 255 * (lift + gain * _LEVEL[:, None] ** (1 + 0.3 * strength))
    return cast(Pixels, cv2.LUT(bgr, np.rint(curves).astype(np.uint8)[:, None]))


def overexposed(bgr: Pixels, strength: float, scene: np.random.Generator, rng: np.random.Generator) -> Pixels:
    """Expose too long: 1.5 stops at strength 0.5, 3 at 1; highlights are clipped, shadows lifted, colours washed out.

    At strength 0.5 a grey of 128 becomes 207, and all from 159 on is white.
    """
    # Stops are of light, and a display's level goes with light to the power of 1/2.2.
    gain = 2 ** (3 * strength / 2.2)
    lift = 0.08 * strength
    curve = 255 * np.minimum(1, lift + (1 - lift) * gain * _LEVEL)
    bright = cast(Pixels, cv2.LUT(bgr, np.rint(curve).astype(np.uint8)))
    pale = (1 - 0.3 * strength) * np.eye(3, dtype=np.float32) + 0.3 * strength * _LUMA
    return cast(Pixels, cv2.transform(bright, pale))
