"""Painting: figures, soft shadows, light at dusk and sensor noise, laid over a backdrop frame by frame."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from figures import Figure, Part, Sun, balls, tint
from numpy.typing import NDArray
from world import SIZE_WH, Floats, View

Picture = NDArray[np.float32]
"""(h, w, 3) blue, green, red, 0 to 255, or (h, w) a coverage from 0 to 1."""

FINE = 4
"""A figure is painted this many times larger and averaged down, which smooths its edges."""

_CIRCLE = np.stack((np.cos(np.linspace(0, 2 * np.pi, 16, endpoint=False)),
                    np.sin(np.linspace(0, 2 * np.pi, 16, endpoint=False))), 1)  # fmt: skip


DAYLIGHT = Sun()


@dataclass(frozen=True)
class StreetLamp:
    """A lamp in the air that lights what is near it."""

    at: tuple[float, float, float]
    power: float
    bgr: tuple[float, float, float] = (0.55, 0.85, 1.0)


@dataclass(frozen=True)
class Light:
    """The light of a scene. `ambient` scales the painted colours; by day it is (1, 1, 1)."""

    sun: Sun = DAYLIGHT
    ambient: tuple[float, float, float] = (1.0, 1.0, 1.0)
    flicker: float = 0.006
    noise: float = 2.0
    lamps: tuple[StreetLamp, ...] = ()

    @property
    def dark(self) -> bool:
        """Whether lamps decide what is seen."""
        return bool(self.lamps)

    def at(self, points: NDArray[np.floating]) -> Picture:
        """The light that reaches world points (..., 3), per colour channel: ambient plus every lamp."""
        gain = np.zeros(points.shape, np.float32) + np.array(self.ambient, np.float32)
        for lamp in self.lamps:
            square = ((points - np.array(lamp.at)) ** 2).sum(-1, keepdims=True)
            gain += (lamp.power / (square + 6.0)).astype(np.float32) * np.array(lamp.bgr, np.float32)
        return np.asarray(gain, dtype=np.float32)


@dataclass(frozen=True)
class Outline:
    """A part as it is seen: corners in source pixels (N, 2), and for lines the width in pixels."""

    part: Part
    points: Floats
    width: float = 0.0


def _shaded(part: Part, sun: Sun) -> list[Part]:
    """A round part in shade, and inside it two lit cores that lean towards the sun."""
    if part.kind != "round":
        return [part]
    towards = np.array(sun.towards) * 0.38 + np.array((0.0, 0.10, 0.0))
    radii = part.balls[:, 3]
    layers = []
    for lean, size, gain in ((0.0, 1.0, 0.70), (0.5, 0.82, 0.86), (1.0, 0.55, 1.06)):
        core = balls(part.balls[:, :3] + radii[:, None] * (towards * lean))
        core[:, 3] = radii * size
        layers.append(Part(core, tint(part.bgr, gain), inlay=lean > 0))
    return layers


def outlines(parts: Sequence[Part], view: View) -> list[Outline]:
    """Project parts to pixels, all at once."""
    everything = np.concatenate([part.balls for part in parts])
    seen = view.project(everything[:, :3])
    radii = everything[:, 3] * view.focal_px / seen[:, 2]
    found, start = [], 0
    for part in parts:
        stop = start + len(part.balls)
        xy, r = seen[start:stop, :2], radii[start:stop]
        start = stop
        if part.kind in ("hull", "round"):
            rim = (xy[:, None] + _CIRCLE * r[:, None, None]).reshape(-1, 2).astype(np.float32)
            found.append(Outline(part, np.asarray(cv2.convexHull(rim), dtype=np.float64).reshape(-1, 2)))
        else:
            found.append(Outline(part, xy, 2 * float(r[0])))
    return found


def extent(figure: Figure, view: View) -> tuple[float, float, float, float]:
    """The amodal box of a figure, xyxy in source pixels, not clipped: exactly what its parts cover."""
    everything = np.concatenate([part.balls for part in figure.parts if not part.inlay])
    seen = view.project(everything[:, :3])
    radii = everything[:, 3] * view.focal_px / seen[:, 2]
    x, y = seen[:, 0], seen[:, 1]
    return float((x - radii).min()), float((y - radii).min()), float((x + radii).max()), float((y + radii).max())


def fill(canvas: NDArray[np.uint8], shapes: Iterable[Outline], offset_xy: Sequence[float], scale: int,
         bgr: tuple[float, ...] | None = None) -> None:  # fmt: skip
    """Fill shapes on a canvas that shows the source frame from `offset_xy` on, enlarged by `scale`.

    With `bgr`, all of them in that one colour: a silhouette.
    """
    for shape in shapes:
        if bgr is not None and shape.part.inlay:
            continue
        points = np.rint((shape.points - offset_xy) * (scale * 16)).astype(np.int32)
        colour = shape.part.bgr if bgr is None else bgr
        if shape.part.kind == "line":
            cv2.polylines(canvas, [points], False, colour, max(1, round(shape.width * scale)), cv2.LINE_8, 4)
        elif shape.part.kind in ("hull", "round"):
            cv2.fillConvexPoly(canvas, points, colour, cv2.LINE_8, 4)
        else:
            cv2.fillPoly(canvas, [points], colour, cv2.LINE_8, 4)


def paint_figure(frame: Picture, figure: Figure, view: View, sun: Sun, gain: Picture | float = 1.0) -> None:
    """Lay a figure over the frame, in place, with smooth edges; `gain` is the light where it stands."""
    x1, y1, x2, y2 = window(extent(figure, view))
    canvas = np.zeros(((y2 - y1) * FINE, (x2 - x1) * FINE, 3), np.uint8)
    mask = np.zeros(canvas.shape[:2], np.uint8)
    shapes = outlines([layer for part in figure.parts for layer in _shaded(part, sun)], view)
    fill(canvas, shapes, (x1, y1), FINE)
    fill(mask, shapes, (x1, y1), FINE, (255,))
    size = (x2 - x1, y2 - y1)
    colour = cv2.resize(canvas, size, interpolation=cv2.INTER_AREA).astype(np.float32)
    alpha = cv2.resize(mask, size, interpolation=cv2.INTER_AREA).astype(np.float32)[..., None] / 255
    patch = frame[y1:y2, x1:x2]
    patch *= 1 - alpha
    patch += colour * gain


def window(xyxy: tuple[float, float, float, float], beside: float = 0.0) -> tuple[int, int, int, int]:
    """The whole pixels of the frame around a box that overlaps it, widened by `beside` to left and right."""
    x1, y1 = max(int(xyxy[0] - beside) - 3, 0), max(int(xyxy[1]) - 3, 0)
    x2, y2 = min(int(xyxy[2] + beside) + 4, SIZE_WH[0]), min(int(xyxy[3]) + 4, SIZE_WH[1])
    return x1, y1, x2, y2


def shadow_mask(figures: Iterable[Figure], view: View, sun: Sun) -> Picture:
    """The share of sun that figures keep from the ground, (h, w): cast shadows, and the dark right below them."""
    scale = 2
    mask = np.zeros((SIZE_WH[1] * scale, SIZE_WH[0] * scale), np.uint8)
    drift = np.array((sun.towards[0], sun.towards[2])) / sun.towards[1]
    flat = []
    for figure in figures:
        for part in figure.parts:
            if part.inlay:
                continue
            fallen = part.balls.copy()
            fallen[:, [0, 2]] -= fallen[:, 1:2] * drift
            fallen[:, 1] = 0.0
            fallen[:, 3] *= 0.75
            flat.append(Part(fallen, part.bgr, part.kind))
    if flat:
        fill(mask, outlines(flat, view), (0, 0), scale, (255,))
    small = cv2.resize(mask, SIZE_WH, interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.GaussianBlur(small, (0, 0), 1.3) / 255, dtype=np.float32)


def headlights(figures: Iterable[Figure], view: View) -> tuple[Picture, Picture]:
    """What lamps add at dusk: light on surfaces (h, w, 3; times their colour) and glare (h, w, 3; added)."""
    height, width = SIZE_WH[1], SIZE_WH[0]
    pool = np.zeros((height // 2, width // 2, 3), np.float32)
    glare, halo = np.zeros((height, width, 3), np.float32), np.zeros((height, width, 3), np.float32)
    for figure in figures:
        if figure.beam is not None:
            points = np.rint(view.project(figure.beam)[:, :2] / 2 * 16).astype(np.int32)
            cv2.fillPoly(pool, [points], (0.26, 0.32, 0.36), cv2.LINE_AA, 4)
        for lamp in figure.lamps:
            if lamp.facing < 0.05:
                continue
            x, y, depth = view.project(np.array([lamp.xyz]))[0]
            centre = (round(x * 16), round(y * 16))
            size = max(lamp.radius_m * view.focal_px / depth, 0.8)
            bright = [c * min(1.0, 0.35 + lamp.facing) for c in lamp.bgr]
            cv2.circle(glare, centre, round(size * 16), bright, -1, cv2.LINE_AA, 4)
            cv2.circle(halo, centre, round(size * 1.6 * 16), [c * lamp.facing for c in bright], -1, cv2.LINE_AA, 4)
    glare += cv2.GaussianBlur(halo, (0, 0), 4.0) * np.float32(0.9)
    soft = cv2.resize(cv2.GaussianBlur(pool, (0, 0), 3.0), SIZE_WH)
    return np.asarray(soft, dtype=np.float32), glare


def to_sensor(frame: Picture, light: Light, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Turn a picture into what the camera delivers: planar I420 (h * 3 / 2, w) with flicker, blur and noise."""
    gain = 1.0 + light.flicker * float(rng.standard_normal())
    soft = cv2.GaussianBlur(np.clip(frame * gain, 0, 255).astype(np.uint8), (0, 0), 0.55)
    planar = cv2.cvtColor(soft, cv2.COLOR_BGR2YUV_I420).astype(np.float32)
    height = SIZE_WH[1]
    luma = rng.standard_normal((height, SIZE_WH[0]), dtype=np.float32)
    chroma = rng.standard_normal((height // 2, SIZE_WH[0]), dtype=np.float32)
    planar[:height] += luma * light.noise
    planar[height:] += chroma * (light.noise * 0.5)
    return np.asarray(np.clip(np.rint(planar), 0, 255), dtype=np.uint8)
