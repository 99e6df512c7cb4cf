"""Conditions of lens and mount: defocus, motion blur, dirt, shake."""

from __future__ import annotations

import math
from typing import cast

import cv2
import numpy as np
from numpy.typing import NDArray

from engine.picture import Pixels

# OpenCV filters through a Fourier transform from 12x12 on, which costs 20 times as much as the few cells of a line.
_DIRECT = 11
_NUM_PATCHES = 14


def defocus(bgr: Pixels, strength: float, scene: np.random.Generator, rng: np.random.Generator) -> Pixels:
    """Spread every point over a disc with a radius of up to 2 % of the shorter side."""
    height, width = bgr.shape[:2]
    radius = 0.02 * strength * min(height, width)
    # A wide disc leaves nothing that a smaller picture could not hold, and is cheap there.
    shrink = max(1.0, radius / (_DIRECT // 2))
    small_wh = (max(1, round(width / shrink)), max(1, round(height / shrink)))
    small = bgr if shrink == 1 else cv2.resize(bgr, small_wh, interpolation=cv2.INTER_AREA)
    reach = math.ceil(radius / shrink)
    y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    disc = np.clip(radius / shrink + 0.5 - np.hypot(x, y), 0, 1)
    # Below half a pixel the disc would be its centre alone, and pale.
    disc[reach, reach] = 1
    blurred = cv2.filter2D(small, -1, disc / disc.sum())
    return cast(Pixels, blurred if shrink == 1 else cv2.resize(blurred, (width, height)))


def motion_blur(bgr: Pixels, strength: float, scene: np.random.Generator, rng: np.random.Generator) -> Pixels:
    """Spread every point over a line of up to 5 % of the shorter side, in the scene's direction."""
    length = 0.05 * strength * min(bgr.shape[:2])
    angle = scene.uniform(0, math.pi)
    along = np.linspace(-length / 2, length / 2, 2 * math.ceil(length) + 1)
    return _smear(bgr, along[:, None] * (math.cos(angle), math.sin(angle)))


def camera_shake(bgr: Pixels, strength: float, scene: np.random.Generator, rng: np.random.Generator) -> Pixels:
    """Shift and turn the frame, and smear it along the crooked path of the exposure.

    At strength 1 the shift is at most 0.4 % of the shorter side in each direction and the turn 0.15 degrees; the path
    has steps of 0.3 %.
    """
    height, width = bgr.shape[:2]
    reach = strength * min(height, width)
    turn = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), strength * rng.uniform(-0.15, 0.15), 1)
    turn[:, 2] += 0.004 * reach * rng.uniform(-1, 1, 2)
    moved = cv2.warpAffine(bgr, turn, (width, height), borderMode=cv2.BORDER_REPLICATE)
    corners = np.cumsum(rng.normal(0, 0.003 * reach, (6, 2)), axis=0)
    along = np.linspace(0, 5, 26)
    path = np.stack([np.interp(along, np.arange(6), column) for column in corners.T], axis=1)
    return _smear(cast(Pixels, moved), path - path.mean(axis=0))


def _smear(bgr: Pixels, path_xy: NDArray[np.float64]) -> Pixels:
    """Average the picture over shifts.

    Args:
        bgr: uint8 (h, w, 3).
        path_xy: (N, 2), shifts in pixels along a path, with fractions.
    """
    extent = float(np.ptp(path_xy, axis=0).max())
    # Pieces that are small enough to be filtered directly; each is filtered around its own middle, then shifted.
    pieces = np.array_split(path_xy, max(1, math.ceil(extent / (_DIRECT - 4))))
    middles = [np.rint((piece.min(axis=0) + piece.max(axis=0)) / 2).astype(int) for piece in pieces]
    border = max(int(np.abs(middle).max()) for middle in middles)
    padded = cv2.copyMakeBorder(bgr, border, border, border, border, cv2.BORDER_REPLICATE) if border else bgr
    height, width = bgr.shape[:2]
    out, done = bgr, 0
    for piece, (shift_x, shift_y) in zip(pieces, middles, strict=True):
        filtered = cv2.filter2D(padded, -1, _kernel(piece - (shift_x, shift_y)))
        top, left = border + shift_y, border + shift_x
        part = filtered[top : top + height, left : left + width]
        share = len(piece) / (done + len(piece))
        out = cast(Pixels, part if share == 1 else cv2.addWeighted(out, 1 - share, part, share, 0))
        done += len(piece)
    return np.ascontiguousarray(out)


def _kernel(path_xy: NDArray[np.float64]) -> NDArray[np.float32]:
    """Mark the points of a path on a grid, each shared among its four nearest cells."""
    reach = int(np.ceil(np.abs(path_xy).max())) + 1
    kernel = np.zeros((2 * reach + 1, 2 * reach + 1), np.float32)
    low = np.floor(path_xy).astype(int)
    part = path_xy - low
    for step_x, step_y in ((0, 0), (0, 1), (1, 0), (1, 1)):
        share = np.abs(1 - step_x - part[:, 0]) * np.abs(1 - step_y - part[:, 1])
        np.add.at(kernel, (low[:, 1] + step_y + reach, low[:, 0] + step_x + reach), share)
    kernel /= len(path_xy)
    return kernel


def lens_dirt(bgr: Pixels, strength: float, scene: np.random.Generator, rng: np.random.Generator) -> Pixels:
    """Lay patches out of focus over the picture: mud, which takes light away, and water, which scatters it."""
    height, width = bgr.shape[:2]
    # What a patch lets through comes from all around: the picture at a sixteenth, smoothed.
    around = cv2.resize(bgr, (max(1, width // 16), max(1, height // 16)), interpolation=cv2.INTER_AREA)
    around = cv2.resize(cv2.blur(around, (3, 3)), (width, height))
    mud = cv2.convertScaleAbs(around, alpha=0.3, beta=8)
    water = cv2.convertScaleAbs(around, alpha=0.55, beta=100)
    out = bgr
    for patch in (mud, water):
        cover = cv2.resize(_patches(width / height, strength, scene), (width, height), interpolation=cv2.INTER_LINEAR)
        out = cast(Pixels, cv2.blendLinear(out, patch, 1 - cover, cover))
    return out


def _patches(aspect: float, strength: float, scene: np.random.Generator) -> NDArray[np.float32]:
    """Cover on a small grid, 0 to 1: soft blobs, which grow and thicken with the strength."""
    rows = 72 if aspect >= 1 else round(72 / aspect)
    columns = round(72 * aspect) if aspect >= 1 else 72
    y, x = np.mgrid[:rows, :columns].astype(np.float32) / 72
    clear = np.ones((rows, columns), np.float32)
    for _ in range(_NUM_PATCHES // 2):
        centre_x, centre_y = scene.uniform(0, 1, 2) * (columns / 72, rows / 72)
        radius = scene.uniform(0.04, 0.16) * (0.4 + 0.6 * strength)
        distance = np.hypot(x - centre_x, (y - centre_y) * scene.uniform(0.7, 1.4))
        clear *= 1 - 0.92 * strength**0.6 * np.clip(1.5 - distance / radius, 0, 1) ** 2
    return 1 - clear
