"""Backdrops: textured ground, walls and boxes, ray-cast once per scene; plus the masks of what stands in front.

A texture is a function (u, v, fine) -> (h, w, 3): u and v in metres along the surface, `fine` the metres that one
picture element covers there. Detail finer than that fades out, or distant paving would shimmer with moire.
"""

import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from figures import Colour
from numpy.typing import NDArray
from world import SIZE_WH, Floats, View

Field = NDArray[np.float32]
Texture = Callable[[Field, Field, Field], Field]

SCALE = 2
_GRAIN = np.random.default_rng(20240611).uniform(-1, 1, (256, 256)).astype(np.float32)


def noise(u: Field, v: Field, per_m: float, fine: Field, seed: int = 0) -> Field:
    """Smooth noise in -1..1 with `per_m` grains a metre, faded where a grain is below one picture element."""
    grain = np.roll(_GRAIN, (seed * 37, seed * 91), (0, 1))
    x, y = np.mod(u * per_m, 256).astype(np.float32), np.mod(v * per_m, 256).astype(np.float32)
    value = cv2.remap(grain, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP)
    return np.asarray(value * np.clip(1.6 - fine * per_m * 1.6, 0, 1), dtype=np.float32)


def edge(distance: Field, fine: Field, soft_m: float = 0.0) -> Field:
    """1 where distance is positive, 0 where negative, with a step as wide as one picture element (or `soft_m`)."""
    return np.asarray(np.clip(0.5 + distance / np.maximum(fine, max(soft_m, 1e-4)), 0, 1), dtype=np.float32)


def cells(u: Field, v: Field, seed: int = 0) -> Field:
    """A random number in -1..1 for every unit cell."""
    i, j = np.floor(u).astype(np.int64), np.floor(v).astype(np.int64)
    return np.asarray(_GRAIN[np.mod(i * 7 + seed * 13, 256), np.mod(j * 11 + i * 3 + seed * 29, 256)])


def _paint(bgr: Colour, value: Field) -> Field:
    return np.asarray(np.array(bgr, np.float32) * (1 + value[..., None]), dtype=np.float32)


def _joint(x: Field, size: float, width: float, fine: Field) -> Field:
    """1 on joints that repeat every `size` metres."""
    off = np.abs(np.mod(x / size + 0.5, 1.0) - 0.5) * size
    cover = np.clip(width / np.maximum(fine, width), 0, 1)
    return np.asarray(edge(np.maximum(width, fine) / 2 - off, fine) * cover, dtype=np.float32)


def asphalt(bgr: Colour = (92, 91, 90), seed: int = 0) -> Texture:
    def texture(u: Field, v: Field, fine: Field) -> Field:
        value = 0.07 * noise(u, v, 0.22, fine, seed) + 0.05 * noise(u, v, 0.9, fine, seed + 1)
        value += 0.06 * noise(u, v, 5.0, fine, seed + 2) + 0.09 * noise(u, v, 17.0, fine, seed + 3)
        crack = np.float32(0.012) - np.abs(noise(u, v, 0.35, fine, seed + 4) + 0.35 * noise(u, v, 2.2, fine, seed + 5))
        value -= 0.20 * edge(crack, fine * np.float32(0.35), 0.012)
        return _paint(bgr, value)

    return texture


def paving(bgr: Colour, size: tuple[float, float], seed: int = 0, joint: float = 0.025,
           contrast: float = 0.06) -> Texture:  # fmt: skip
    """Slabs or cobbles in staggered rows."""

    def texture(u: Field, v: Field, fine: Field) -> Field:
        row = np.floor(v / size[1])
        shifted = (u + np.mod(row, 2) * size[0] / 2).astype(np.float32)
        far = np.clip(1.5 - fine / min(size) * 1.5, 0, 1)
        value = contrast * cells(shifted / size[0], v / size[1], seed) * far
        value += 0.05 * noise(u, v, 0.3, fine, seed) + 0.05 * noise(u, v, 7.0, fine, seed + 1)
        lines = np.maximum(_joint(shifted, size[0], joint, fine), _joint(v, size[1], joint, fine))
        return _paint(bgr, value - 0.28 * lines)

    return texture


def grass(bgr: Colour = (52, 104, 84), seed: int = 0) -> Texture:
    def texture(u: Field, v: Field, fine: Field) -> Field:
        value = 0.10 * noise(u, v, 0.4, fine, seed) + 0.12 * noise(u, v, 3.0, fine, seed + 1)
        value += 0.20 * noise(u, v * 0.5, 14.0, fine, seed + 2)
        dry = np.clip(noise(u, v, 0.6, fine, seed + 3), 0, 1)[..., None]
        return np.asarray(_paint(bgr, value) + dry * np.array((6, 14, 26), np.float32), dtype=np.float32)

    return texture


def leaves(bgr: Colour = (40, 84, 62), seed: int = 0) -> Texture:
    def texture(u: Field, v: Field, fine: Field) -> Field:
        value = 0.22 * noise(u, v, 1.7, fine, seed) + 0.30 * noise(u, v, 6.0, fine, seed + 1)
        return _paint(bgr, value + 0.30 * noise(u, v, 13.0, fine, seed + 2) - 0.10)

    return texture


def bricks(bgr: Colour = (72, 92, 148), seed: int = 0) -> Texture:
    return paving(bgr, (0.34, 0.12), seed, 0.02, 0.14)


def plaster(bgr: Colour, seed: int = 0) -> Texture:
    def texture(u: Field, v: Field, fine: Field) -> Field:
        value = 0.05 * noise(u, v, 0.5, fine, seed) + 0.04 * noise(u, v, 5.0, fine, seed + 1)
        streaks = np.clip(noise(u, v * 0.06, 3.0, fine, seed + 2) - 0.2, 0, 1)
        return _paint(bgr, value - 0.14 * streaks - 0.16 * np.clip(0.6 - v, 0, 1))

    return texture


def ribbed(bgr: Colour, size: float = 0.25, *, upright: bool = True, seed: int = 0) -> Texture:
    """Corrugated sheet, boards or a roller shutter: ribs every `size` metres."""

    def texture(u: Field, v: Field, fine: Field) -> Field:
        along = u if upright else v
        wave = np.sin(along * (2 * np.pi / size)) * np.clip(1.4 - fine / size * 2.8, 0, 1)
        rust = np.clip(noise(u, v, 0.9, fine, seed + 1) - 0.35, 0, 1)
        value = 0.13 * wave + 0.05 * noise(u, v, 1.1, fine, seed) - 0.25 * rust
        return _paint(bgr, np.asarray(value, dtype=np.float32))

    return texture


def facade(wall: Texture, pitch: tuple[float, float], window: tuple[float, float], sill_m: float, seed: int = 0,
           frame: Colour = (225, 230, 232), lit: float = 0.0, storeys: int = 9) -> Texture:  # fmt: skip
    """A wall with a grid of windows: `pitch` metres apart, `window` metres large, the lowest sill at `sill_m`."""

    def texture(u: Field, v: Field, fine: Field) -> Field:
        picture = wall(u, v, fine)
        column, storey = np.floor(u / pitch[0]), np.floor((v - sill_m) / pitch[1])
        x = u - (column + 0.5) * pitch[0]
        y = v - sill_m - storey * pitch[1]
        tone = cells(column, storey, seed)
        there = ((storey >= 0) & (storey < storeys)).astype(np.float32)

        def pane(margin: float) -> Field:
            beside = edge(window[0] / 2 + margin - np.abs(x), fine)
            inside = beside * edge(y + margin, fine) * edge(window[1] + margin - y, fine)
            return np.asarray(inside * there, dtype=np.float32)

        def lay(cover: Field, bgr: Field) -> None:
            picture[:] = picture * (1 - cover[..., None]) + bgr * cover[..., None]

        flat = np.ones_like(u)[..., None]
        lay(edge(window[0] / 2 + 0.16 - np.abs(x), fine) * edge(-y, fine) * edge(y + 0.14, fine) * there,
            np.array((205, 208, 208), np.float32) * flat)  # fmt: skip
        lay(pane(0.07), np.array(frame, np.float32) * flat)
        sky = np.clip(0.30 + 0.45 * y / window[1] + 0.10 * x, 0, 1)[..., None]
        glass = np.array((70, 62, 55), np.float32) + sky * np.array((95, 85, 72), np.float32) + 10 * tone[..., None]
        curtain = edge(np.abs(x) - window[0] * (0.30 + 0.10 * tone), fine) * (tone > 0.1)
        glass = glass * (1 - 0.6 * curtain[..., None]) + 0.6 * curtain[..., None] * np.float32(185)
        glow = ((tone > 1 - 2 * lit) * 1.0)[..., None]
        glass = glass * (1 - glow) + glow * np.array((300, 520, 700), np.float32) * (0.8 + 0.4 * sky)
        lay(pane(0.0), np.asarray(glass, dtype=np.float32))
        bars = np.maximum(edge(0.025 - np.abs(x), fine), edge(0.025 - np.abs(y - window[1] * 0.62), fine))
        lay(np.asarray(bars * pane(0.0), dtype=np.float32), np.array(frame, np.float32) * 0.95 * flat)
        return picture

    return texture


def plain(bgr: Colour) -> Texture:
    def texture(u: Field, v: Field, fine: Field) -> Field:
        return _paint(bgr, 0.03 * noise(u, v, 3.0, fine))

    return texture


@dataclass(frozen=True)
class Patch:
    """A rectangle of ground, x0..x1 by z0..z1, covered with a texture; `worn` lets the ground beneath show through."""

    x0: float
    x1: float
    z0: float
    z1: float
    texture: Texture
    alpha: float = 1.0
    soft_m: float = 0.0
    worn: float = 0.0


@dataclass(frozen=True)
class Wall:
    """A flat rectangle in the air: corner, direction of u (unit, horizontal), sizes in metres; v goes up.

    With `lying`, v runs along the ground, away from the camera: a roof or the top of a wall.
    """

    corner: tuple[float, float, float]
    along: tuple[float, float]
    size_uv: tuple[float, float]
    texture: Texture
    lying: tuple[float, float] | None = None
    gain: float = 1.0


@dataclass(frozen=True)
class Block:
    """A box on the ground; objects behind it are hidden by it."""

    x0: float
    x1: float
    z0: float
    z1: float
    height: float
    texture: Texture
    top: Texture
    low: float = 0.0

    @property
    def corners(self) -> Floats:
        """The eight corners."""
        return np.array([(x, y, z) for x in (self.x0, self.x1) for y in (self.low, self.height)
                         for z in (self.z0, self.z1)])  # fmt: skip

    def walls(self) -> tuple[Wall, ...]:
        """The faces that a camera at x = 0 in front of the block can see."""
        width, depth, height = self.x1 - self.x0, self.z1 - self.z0, self.height - self.low
        side_x = self.x0 if self.x0 > 0 else self.x1  # the side that looks to the camera
        return (
            Wall((side_x, self.low, self.z0), (0, 1), (depth, height), self.texture, gain=0.78),
            Wall((self.x0, self.low, self.z0), (1, 0), (width, height), self.texture),
            Wall((self.x0, self.height, self.z0), (1, 0), (width, depth), self.top, (0, 1), 1.08),
        )


def cast(view: View, ground: Sequence[Patch], walls: Sequence[Wall], sky: Colour) -> tuple[Field, Field]:
    """Ray-cast ground and walls (given far to near) into a picture of the source size.

    Returns:
        The picture, float32 (h, w, 3), and the world point that each pixel shows, float32 (h, w, 3); values above
        255 are windows that glow at dusk.
    """
    rays = view.rays(SCALE)
    height, width = rays.shape[:2]
    shine = np.linspace(1.0, 1.12, height, dtype=np.float32)[:, None, None]
    picture = np.asarray(np.array(sky, np.float32) * shine * np.ones((height, width, 1), np.float32))
    reach = np.where(rays[..., 1] < -1e-3, view.height_m / np.maximum(-rays[..., 1], 1e-3), 0)
    sees = reach > 0
    u, v = (rays[..., 0] * reach).astype(np.float32), (rays[..., 2] * reach).astype(np.float32)
    fine = (reach / view.focal_px / SCALE * np.sqrt(np.clip(reach / view.height_m, 1, 12))).astype(np.float32)
    for patch in ground:
        _lay_patch(picture, patch, u, v, fine, sees)
    reach = np.where(sees, reach, 300.0)
    for wall in walls:
        _lay_wall(picture, reach, wall, view, rays)
    small = cv2.resize(np.clip(picture, 0, 900), SIZE_WH, interpolation=cv2.INTER_AREA)
    points = (view.eye + rays * reach[..., None])[::SCALE, ::SCALE]
    return np.asarray(small, dtype=np.float32), points.astype(np.float32)


def _lay_patch(picture: Field, patch: Patch, u: Field, v: Field, fine: Field, sees: NDArray[np.bool_]) -> None:
    cover = edge(u - patch.x0, fine, patch.soft_m) * edge(patch.x1 - u, fine, patch.soft_m)
    cover = cover * edge(v - patch.z0, fine, patch.soft_m) * edge(patch.z1 - v, fine, patch.soft_m) * sees
    rows, columns = np.flatnonzero(cover.any(1)), np.flatnonzero(cover.any(0))
    if not len(rows):
        return
    part = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    pu, pv, pf = (np.ascontiguousarray(a[part]) for a in (u, v, fine))
    alpha = cover[part] * patch.alpha
    if patch.worn:
        rub = noise(pu, pv, 6.0, pf, 5) + 0.7 * noise(pu, pv, 1.3, pf, 6)
        alpha = alpha * np.clip(1 - patch.worn * (0.5 + rub), 0, 1)
    picture[part] = picture[part] * (1 - alpha[..., None]) + patch.texture(pu, pv, pf) * alpha[..., None]


def _lay_wall(picture: Field, reach: Floats, wall: Wall, view: View, rays: Floats) -> None:
    along = np.array((wall.along[0], 0.0, wall.along[1]))
    up = np.array((0.0, 1.0, 0.0)) if wall.lying is None else np.array((wall.lying[0], 0.0, wall.lying[1]))
    part = _part_that_shows(wall, along, up, view)
    normal = np.cross(along, up)
    offset = np.array(wall.corner) - view.eye
    slope = rays[part] @ normal
    hit_reach = float(offset @ normal) / np.where(np.abs(slope) < 1e-6, 1e-6, slope)
    hit = rays[part] * hit_reach[..., None] - offset
    u, v = (hit @ along).astype(np.float32), (hit @ up).astype(np.float32)
    graze = np.abs(slope) / np.sqrt((rays[part] ** 2).sum(-1))
    fine = (np.abs(hit_reach) / view.focal_px / SCALE / np.clip(graze, 0.15, 1)).astype(np.float32)
    cover = edge(u, fine) * edge(wall.size_uv[0] - u, fine) * edge(v, fine) * edge(wall.size_uv[1] - v, fine)
    cover = cover * (hit_reach > 0.3)
    if cover.any():
        alpha = cover[..., None]
        picture[part] = picture[part] * (1 - alpha) + wall.texture(u, v, fine) * wall.gain * alpha
        reach[part][cover > 0.5] = hit_reach[cover > 0.5]


def _part_that_shows(wall: Wall, along: Floats, up: Floats, view: View) -> tuple[slice, slice]:
    """Rows and columns around a wall's corners; the whole picture if it reaches behind the camera."""
    u, v = wall.size_uv
    seen = view.project(np.array(wall.corner) + np.array([0 * up, u * along, v * up, u * along + v * up]))
    if seen[:, 2].min() < 0.5:
        return np.s_[:, :]
    (x1, y1), (x2, y2) = seen[:, :2].min(0) * SCALE, seen[:, :2].max(0) * SCALE
    return np.s_[max(int(y1) - 3, 0) : max(int(y2) + 4, 0), max(int(x1) - 3, 0) : max(int(x2) + 4, 0)]


@dataclass(frozen=True)
class Tree:
    """A tree or (with `trunk_m` 0) a bush: foot, height of the trunk, radius of the crown."""

    x: float
    z: float
    trunk_m: float
    crown_m: float
    bgr: Colour = (46, 98, 74)


def plant(picture: Field, trees: Sequence[Tree], view: View) -> None:
    """Paint trees, far to near, in place: clumps of leaves, lighter towards the sun."""
    for tree in sorted(trees, key=lambda t: -t.z):
        rng = np.random.default_rng(zlib.crc32(repr(tree).encode()))
        x, y, depth = view.project(np.array([(tree.x, tree.trunk_m + tree.crown_m * 0.8, tree.z)]))[0]
        per_m = view.focal_px / depth * 4
        layer = np.zeros((SIZE_WH[1] * 4, SIZE_WH[0] * 4, 3), np.uint8)
        mask = np.zeros(layer.shape[:2], np.uint8)
        if tree.trunk_m:
            foot = view.project(np.array([(tree.x, 0.0, tree.z)]))[0]
            ends = [(round(foot[0] * 4), round(foot[1] * 4)), (round(x * 4), round(y * 4))]
            for target, bgr in ((layer, (52.0, 66.0, 78.0)), (mask, (255.0,))):
                cv2.line(target, ends[0], ends[1], bgr, max(2, round(0.24 * per_m)), cv2.LINE_AA)
        count = 420
        spread = rng.standard_normal((count, 2)) * 0.46
        spread /= np.maximum(np.hypot(*spread.T)[:, None], 1.0)
        for dx, dy in spread[np.argsort(spread[:, 1] - 0.4 * spread[:, 0])[::-1]]:
            at = (round(x * 4 + dx * tree.crown_m * per_m), round(y * 4 + dy * 0.85 * tree.crown_m * per_m))
            gain = 0.86 - 0.34 * dy - 0.16 * dx + 0.22 * float(rng.uniform(-1, 1))
            size = max(1, round(per_m * tree.crown_m * float(rng.uniform(0.05, 0.13))))
            cv2.circle(layer, at, size, tuple(float(np.clip(c * gain, 0, 255)) for c in tree.bgr), -1)
            cv2.circle(mask, at, size, (255.0,), -1)
        alpha = cv2.resize(mask, SIZE_WH, interpolation=cv2.INTER_AREA).astype(np.float32)[..., None] / 255
        layer[mask == 0] = 0
        colour = cv2.resize(layer, SIZE_WH, interpolation=cv2.INTER_AREA).astype(np.float32)
        picture[:] = picture * (1 - alpha) + colour
