"""Incidents: what befalls a camera. They hide or move what is labelled, so training does not use them; drift tests do.

Like a production condition each has a strength from 0 to 1: 0 changes no pixel, 1 is all there is to it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import cast

import cv2
import numpy as np

from engine.errors import UsageError
from engine.load import did_you_mean
from engine.picture import Pixels
from training.augment.conditions import Condition

MOVED_SHARE = 0.06
"""Shift of `moved` at strength 1, as a share of the width."""

_COVER_EDGE = 0.1
_BRIGHT_CLOTH = 0.25


def moved(bgr: Pixels, strength: float, scene: np.random.Generator, rng: np.random.Generator) -> Pixels:
    """Shift the view by up to 6 % of the width in the scene's direction; in every second scene it turns by up to 1°.

    What comes into view at the border is unknown: the picture is mirrored there.
    """
    height, width = bgr.shape[:2]
    shift_x, shift_y = moved_px(width, strength, scene)
    turn_deg = strength * scene.uniform(-1, 1) if scene.random() < 0.5 else 0.0
    if turn_deg == 0:
        # Whole pixels: a shift must not soften the picture.
        shift_x, shift_y = round(shift_x), round(shift_y)
    matrix = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), turn_deg, 1)
    matrix[:, 2] += np.array([shift_x, shift_y])
    how = cv2.INTER_NEAREST if turn_deg == 0 else cv2.INTER_CUBIC
    return cast(Pixels, cv2.warpAffine(bgr, matrix, (width, height), flags=how, borderMode=cv2.BORDER_REFLECT))


def moved_px(width: int, strength: float, scene: np.random.Generator) -> tuple[float, float]:
    """Say how far `moved` shifts the middle of a picture.

    Args:
        width: of the picture in pixels.
        strength: 0 to 1.
        scene: fresh from the scene's seed.

    Returns:
        pixels to the right and pixels down.
    """
    direction = scene.uniform(0, 2 * math.pi)
    length = MOVED_SHARE * strength * width
    return length * math.cos(direction), length * math.sin(direction)


def covered(bgr: Pixels, strength: float, scene: np.random.Generator, rng: np.random.Generator) -> Pixels:
    """Put something opaque in front of the lens, so near that it has no sharp edge: it grows in from one side.

    It hides 60 % of the view at strength 0.5 and all of it at 1. Mostly it is dark: it keeps the light out itself.
    """
    height, width = bgr.shape[:2]
    y, x = np.mgrid[0:1:48j, 0:1:48j]
    side = scene.uniform(0, 2 * math.pi)
    wave = 0.08 * np.sin(scene.uniform(3, 7) * (x - y) + scene.uniform(0, 6))
    along = x * math.cos(side) + y * math.sin(side) + wave
    # By rank rather than by distance: then a share of the ranks is that share of the picture.
    rank = along.ravel().argsort().argsort().reshape(along.shape) / along.size
    hidden = 1 - (1 - strength) ** 1.32
    cover = np.clip((hidden * (1 + _COVER_EDGE) - rank) / _COVER_EDGE, 0, 1).astype(np.float32)
    level = scene.uniform(90, 190) if scene.random() < _BRIGHT_CLOTH else scene.uniform(4, 40)
    folds = scene.uniform(0.85, 1.15, (4, 4, 1)) * scene.uniform(0.9, 1.1, 3) * level
    cloth = cv2.resize(np.rint(folds).astype(np.uint8), (width, height), interpolation=cv2.INTER_LINEAR)
    cover = cv2.resize(cover, (width, height), interpolation=cv2.INTER_LINEAR)
    return cast(Pixels, cv2.blendLinear(bgr, cloth, 1 - cover, cover))


INCIDENTS: Mapping[str, Condition] = MappingProxyType({
    incident.name: incident
    for incident in (
        Condition("moved", "the camera was bumped: the view is shifted, sometimes turned a little", moved),
        Condition("covered", "something opaque and out of focus in front of the lens, from one side on", covered),
    )
})  # fmt: skip


def apply_incident(
    name: str, bgr: Pixels, strength: float, rng: np.random.Generator, scene: int | None = None
) -> Pixels:
    """Show what a camera would have given after an incident; see `apply_condition` for all arguments.

    Args:
        name: a key of `INCIDENTS`.

    Raises:
        UsageError: an unknown incident.
        ValueError: a strength that is not from 0 to 1.
    """
    incident = INCIDENTS.get(name)
    if incident is None:
        raise UsageError(f"unknown incident '{name}'{did_you_mean(name, INCIDENTS)}")
    return incident.apply(bgr, strength, rng, scene)
