"""Conditions of weather: fog and rain."""

from __future__ import annotations

import math
from typing import cast

import cv2
import numpy as np

from engine.picture import Pixels

_HAZE_BGR = (226, 222, 218)
_RAIN_VEIL_BGR = (138, 135, 132)
_NUM_STREAKS = 600


def fog(bgr: Pixels, strength: float, scene: np.random.Generator, rng: np.random.Generator) -> Pixels:
    """Let contrast fade into haze by Koschmieder's law: what comes through falls exponentially with distance.

    Distance is taken from the height in the picture, as a camera that looks down at the ground sees it: the top is
    four times as far as the bottom. At strength 0.5 a third comes through at the top, three quarters at the bottom.
    """
    height, width = bgr.shape[:2]
    distance = np.linspace(1.0, 0.25, 9)[:, None] ** 1.2
    thickness = (distance * scene.uniform(0.8, 1.2, (9, 9))).astype(np.float32)
    clear = np.exp(-2.2 * strength * cv2.resize(thickness, (width, height), interpolation=cv2.INTER_LINEAR))
    haze = np.full_like(bgr, _HAZE_BGR)
    return cast(Pixels, cv2.blendLinear(bgr, haze, clear, 1 - clear))


def rain(bgr: Pixels, strength: float, scene: np.random.Generator, rng: np.random.Generator) -> Pixels:
    """Draw streaks over a greyer picture; the wind is the scene's, the drops are the frame's."""
    height, width = bgr.shape[:2]
    short = min(height, width)
    slant = math.radians(scene.normal(0, 12)) + np.radians(rng.normal(0, 2, _NUM_STREAKS))
    length = short * rng.uniform(0.05, 0.17, _NUM_STREAKS)
    start = rng.uniform(-0.1, 1.0, (_NUM_STREAKS, 2)) * (width, height)
    end = start + length[:, None] * np.stack([np.sin(slant), np.cos(slant)], axis=1)
    # All drops are drawn from `rng` whatever the strength: more strength adds drops and moves none.
    num = math.ceil(_NUM_STREAKS * strength)
    lines = np.rint(16 * np.stack([start, end], axis=1)[:num]).astype(np.int32)
    streaks = np.zeros((height, width), np.uint8)
    cv2.polylines(streaks, list(lines), False, (255,), max(1, round(short / 400)), cv2.LINE_AA, shift=4)
    veil = 0.4 * strength
    grey = cv2.addWeighted(bgr, 1 - veil, np.full_like(bgr, _RAIN_VEIL_BGR), veil, 0)
    # A streak lets the background through: a drop is in front of a pixel for part of the exposure only.
    weight = streaks.astype(np.float32) * ((0.2 + 0.3 * strength) / 255)
    return cast(Pixels, cv2.blendLinear(grey, np.full_like(bgr, 225), 1 - weight, weight))
