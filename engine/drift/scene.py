"""The scene without its people: whether the camera has moved, the view is covered, the lens is dirty.

The median of thumbnails over a window shows what stands still. Two such pictures are compared cell by cell, after the
light that all of the picture shares has been taken out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from engine.picture import Pixels

Plane = NDArray[np.float32]
Region = tuple[slice, slice]

CELL = 5
"""Side of a cell in pixels of the thumbnail."""

# Grey levels a pixel: below, a cell has no texture whose loss could be seen.
_TEXTURE = 2.0
_MIN_TEXTURED = 8
# Correlation of a cell's gradients with those it had: above, the same thing is still to be seen there.
_SEEN = 0.3
# ln: half of the detail is lost where something opaque stands before the scene.
_COVERED_LOSS = -0.7
_TINT = 4.0
# Pixels of the thumbnail that a view may be off without having been moved: mounts creep, crops change.
_SHIFT = 1.0
_QUIET = 6.0
# A shift is believed when the shifted pictures fit, and the unshifted ones do not.
_FITS, _FITS_BETTER = 0.5, 0.25


@dataclass(frozen=True)
class SceneChange:
    """How a scene differs from what it was.

    Attributes:
        shift: (dx, dy) of the scene, both as shares of the picture's width; None where no shift explains it.
        covered: share of the textured cells whose detail is gone, with nothing else in its place.
        elsewhere: share of the textured cells that show something else.
        dirty: share of the quiet cells that are tinted, darker or brighter, while the scene is still to be seen.
        detail: change of ln(detail) of the middle cell.
    """

    shift: tuple[float, float] | None
    covered: float
    elsewhere: float
    dirty: float
    detail: float

    @property
    def shift_of_width(self) -> float:
        """Length of the shift as a share of the width."""
        return 0.0 if self.shift is None else float(np.hypot(*self.shift))


class _Shift(NamedTuple):
    """How far a scene has moved, (dx, dy): in whole pixels of the thumbnail, and finer as shares of its width."""

    pixels: tuple[int, int]
    of_width: tuple[float, float]


class Scene:
    """What stands still in a view, and how much each cell of it usually varies.

    Args:
        thumbnails: uint8 (h, w), at least one, all of one size.
    """

    def __init__(self, thumbnails: Sequence[Pixels]) -> None:
        stack = np.stack(thumbnails)
        self.num = len(stack)
        self.picture: Pixels = np.median(stack, axis=0).astype(np.uint8)
        levels = _cells(stack.astype(np.float32))
        apart = levels - np.median(levels, axis=0)
        # Exposure moves all cells alike.
        apart -= np.median(apart, axis=(1, 2), keepdims=True)
        self.level_spread: Plane = apart.std(axis=0)

    @cached_property
    def gradients(self) -> tuple[Plane, Plane]:
        """Horizontal and vertical differences of the picture."""
        return _gradients(self.picture)

    def change_to(self, now: Scene) -> SceneChange:
        """Compare a later scene of the same size with this one."""
        shift = self._shift_to(now)
        here, there = np.s_[:, :], np.s_[:, :]
        if shift is not None and max(map(abs, shift.pixels)) < CELL:
            # Cells are compared where they have gone to, or a mount that creeps would show as another view.
            here, there = _overlap(self.picture.shape, *shift.pixels)
        (ax, ay), (bx, by) = (tuple(p[here] for p in self.gradients), tuple(p[there] for p in now.gradients))
        energy, energy_now = _cells(ax * ax + ay * ay), _cells(bx * bx + by * by)
        seen = (_cells(ax * bx + ay * by) + 0.5) / np.sqrt((energy + 0.5) * (energy_now + 0.5))
        detail, detail_now = np.sqrt(energy), np.sqrt(energy_now)
        loss = np.log((detail_now + 0.7) / (detail + 0.7))
        textured = detail > _TEXTURE
        if textured.sum() < _MIN_TEXTURED:
            textured = detail >= np.sort(detail, axis=None)[-_MIN_TEXTURED:].min()
        gone = textured & (seen < _SEEN)
        covered = float((gone & (loss < _COVERED_LOSS)).sum() / textured.sum())
        elsewhere = float((gone & (loss >= _COVERED_LOSS)).sum() / textured.sum())
        # Where the picture is steep a shift by less than a pixel shows as a change of level.
        steep = np.abs(_cells(ax)) + np.abs(_cells(ay))
        rest = np.abs(_left_over(_cells(self._float[here]), _cells(now._float[there])))
        spread = self.level_spread[: rest.shape[0], : rest.shape[1]]
        tint = rest > _TINT + 1.5 * spread + _SHIFT * steep
        # A van that has parked has texture where there was none; dirt has not.
        tint &= np.where(textured, seen > _SEEN, detail_now < 4 * _TEXTURE)
        quiet = spread < _QUIET
        dirty = float((tint & quiet).sum() / max(1, quiet.sum()))
        of_width = None if shift is None else shift.of_width
        return SceneChange(of_width, covered, elsewhere, dirty, float(np.median(loss[textured])))

    def _shift_to(self, now: Scene) -> _Shift | None:
        """Find the shift of the whole scene by phase correlation of gradients (Foroosh et al., IEEE TIP 2002)."""
        height, width = self.picture.shape
        (ax, ay), (bx, by) = self.gradients, now.gradients
        window = np.hanning(height)[:, None] * np.hanning(width)
        cross = np.fft.fft2((bx + 1j * by) * window) * np.conj(np.fft.fft2((ax + 1j * ay) * window))
        # Half-whitened: sharper than plain correlation, steadier than pure phase in flat scenes.
        surface = np.fft.ifft2(cross / (np.sqrt(np.abs(cross)) + 1e-6)).real
        y, x = np.unravel_index(int(surface.argmax()), surface.shape)
        dx, dy = _signed(int(x), width), _signed(int(y), height)
        if (dx, dy) == (0, 0) or abs(dx) > width // 3 or abs(dy) > height // 3:
            return None
        fits, fitted = self._correlation(now, dx, dy), self._correlation(now, 0, 0)
        if fits < _FITS or fits < fitted + _FITS_BETTER:
            return None
        dx_fine = dx + _peak(surface[y, [(x - 1) % width, x, (x + 1) % width]])
        dy_fine = dy + _peak(surface[[(y - 1) % height, y, (y + 1) % height], x])
        return _Shift((dx, dy), (dx_fine / width, dy_fine / width))

    def _correlation(self, now: Scene, dx: int, dy: int) -> float:
        here, there = _overlap(self.picture.shape, dx, dy)
        a = np.stack([plane[here] for plane in self.gradients])
        b = np.stack([plane[there] for plane in now.gradients])
        return float((a * b).sum() / np.sqrt((a * a).sum() * (b * b).sum() + 1e-6))

    @property
    def _float(self) -> Plane:
        return self.picture.astype(np.float32)


def _overlap(shape: tuple[int, ...], dx: int, dy: int) -> tuple[Region, Region]:
    """Give what both pictures show, in the first and in the one that is shifted by (dx, dy)."""
    height, width = shape
    here = np.s_[max(0, -dy) : height + min(0, -dy), max(0, -dx) : width + min(0, -dx)]
    there = np.s_[max(0, dy) : height + min(0, dy), max(0, dx) : width + min(0, dx)]
    return here, there


def _gradients(pixels: NDArray[np.uint8]) -> tuple[Plane, Plane]:
    dy, dx = np.gradient(pixels.astype(np.float32), axis=(-2, -1))
    return np.asarray(dx, np.float32), np.asarray(dy, np.float32)


def _cells(plane: Plane) -> Plane:
    """Average (..., h, w) over cells; what is left at the right and lower edge belongs to none."""
    height, width = plane.shape[-2] // CELL, plane.shape[-1] // CELL
    cut = plane[..., : height * CELL, : width * CELL]
    return np.asarray(cut.reshape(*plane.shape[:-2], height, CELL, width, CELL).mean(axis=(-3, -1)), np.float32)


def _left_over(then: Plane, now: Plane) -> Plane:
    """Give what a common gain and offset of the light does not explain."""
    x, y = then.ravel().astype(np.float64), now.ravel().astype(np.float64)
    keep = np.ones(len(x), bool)
    for _ in range(4):
        # Fitted to the cells that agree: what is covered or dirty must not bend the line.
        variance = x[keep].var()
        gain = float(np.mean((x[keep] - x[keep].mean()) * (y[keep] - y[keep].mean())) / variance) if variance > 1 else 1
        rest = y - y[keep].mean() - gain * (x - x[keep].mean())
        keep = np.abs(rest) <= np.quantile(np.abs(rest), 0.7)
    return np.asarray((rest - np.median(rest)).reshape(then.shape), np.float32)


def _signed(position: int, length: int) -> int:
    return position - length if position > length // 2 else position


def _peak(values: NDArray[np.floating]) -> float:
    """Give the top of the parabola through three values, relative to the middle one."""
    left, middle, right = values.tolist()
    curve = left - 2 * middle + right
    return 0.0 if curve >= 0 else 0.5 * (left - right) / curve
