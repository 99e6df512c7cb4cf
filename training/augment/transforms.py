"""The only door to Albumentations: mirroring, turning, colour and Cutout, each driven by our generator.

Version 2.0.8 is the last one under the MIT licence and is no longer maintained; what replaces it replaces this file.
Its transforms are called one by one and not through its `Compose`, which would filter boxes by a rule of its own and
costs as much as the transforms.
"""

from __future__ import annotations

import functools
import os
import random
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from engine.errors import UsageError
from engine.picture import Pixels
from training.augment.placing import PAD, keep_visible, mark_hidden
from training.dataset import Boxes, Example


@dataclass(frozen=True)
class _Transforms:
    flip: Any
    turn: Any
    colour: tuple[Any, ...]
    cutout: Any


@functools.cache
def _transforms() -> _Transforms:
    # Otherwise the import asks a server whether there is a newer version.
    os.environ["NO_ALBUMENTATIONS_UPDATE"] = "1"
    try:
        import albumentations as library
    except ModuleNotFoundError as error:
        raise UsageError(f"augmentation needs {error.name}: pip install 'vedette[training]'") from None
    return _Transforms(
        flip=library.HorizontalFlip(p=1),
        # A box around a turned box is too wide for what is in it; around a turned ellipse it fits most objects.
        turn=library.Affine(rotate=(-4, 4), shear=(-4, 4), fill=PAD, rotate_method="ellipse", p=1),
        colour=(
            library.RandomBrightnessContrast(brightness_limit=0.25, contrast_limit=0.25, p=1),
            # Its three conversions cost most of what a picture costs: half of the pictures get it.
            library.HueSaturationValue(hue_shift_limit=8, sat_shift_limit=35, val_shift_limit=0, p=0.5),
            # Cameras with infrared light send grey pictures at night.
            library.ToGray(p=0.05),
        ),
        cutout=library.CoarseDropout(
            num_holes_range=(1, 4), hole_height_range=(0.05, 0.2), hole_width_range=(0.05, 0.2),
            fill="random_uniform", p=1,
        ),
    )  # fmt: skip


def _apply(transform: Any, rng: np.random.Generator, **targets: Any) -> dict[str, Any]:
    transform.set_random_state(rng, random.Random(int(rng.integers(2**63))))
    result: dict[str, Any] = transform(**targets)
    return result


def flip(example: Example) -> Example:
    """Mirror left to right."""
    result = _transforms().flip(image=example.bgr, bboxes=_to_unit(example))
    return replace(example, bgr=result["image"], xyxy=_to_pixels(result["bboxes"], example.size_wh))


def turn(example: Example, rng: np.random.Generator) -> Example:
    """Rotate and shear by up to four degrees each, as cameras hang; corners that open are grey."""
    # The transform drops boxes that leave the picture; their row travels as a fifth column, which it passes on.
    rows = np.arange(len(example.xyxy), dtype=np.float32)[:, None]
    result = _apply(_transforms().turn, rng, image=example.bgr, bboxes=np.hstack([_to_unit(example), rows]))
    xyxy, kept = _to_pixels(result["bboxes"][:, :4], example.size_wh), result["bboxes"][:, 4].astype(np.intp)
    return keep_visible(Example(result["image"], xyxy, example.class_id[kept], example.ignore[kept]))


def vary_colour(bgr: Pixels, rng: np.random.Generator) -> Pixels:
    """Vary brightness and contrast; of some pictures also hue and saturation; make a few grey.

    The transforms take our BGR for RGB, which turns the sign of a hue shift that is symmetric anyway.
    """
    for transform in _transforms().colour:
        bgr = _apply(transform, rng, image=bgr)["image"]
    return bgr


def cut_out(example: Example, rng: np.random.Generator) -> Example:
    """Paint one to four rectangles over the picture, each up to a fifth of its width and height (arXiv 1708.04552)."""
    transform = _transforms().cutout
    bgr = _apply(transform, rng, image=example.bgr)["image"]
    return mark_hidden(replace(example, bgr=bgr), transform.get_applied_params()["holes"])


def _to_unit(example: Example) -> Boxes:
    return np.divide(example.xyxy, np.array(example.size_wh * 2, np.float32))


def _to_pixels(xyxy_unit: Any, size_wh: tuple[int, int]) -> Boxes:
    return np.asarray(xyxy_unit, np.float32) * np.array(size_wh * 2, np.float32)
