"""A scene's pictures: the backdrop painted once, then every frame from its sightings."""

from functools import cached_property

import cv2
import numpy as np
from backdrop import cast, plant
from numpy.typing import NDArray
from paint import Picture, fill, headlights, outlines, paint_figure, shadow_mask, to_sensor, window
from scenes import Scene
from truth import Play
from world import SIZE_WH


class Stage:
    """Paints frames of one scene in any order: frame k's noise is drawn from (seed, k) alone."""

    def __init__(self, scene: Scene, play: Play | None = None) -> None:
        self.scene = scene
        self.play = play or Play(scene)

    @cached_property
    def backdrop(self) -> Picture:
        """The empty scene as float32 (h, w, 3), lit, without noise."""
        scene = self.scene
        faces = [(block.z0, block.walls()) for block in scene.blocks]
        faces += [(sign.corner[2], (sign,)) for sign in scene.signs]
        walls = [*scene.walls, *(wall for _, group in sorted(faces, key=lambda f: -f[0]) for wall in group)]
        picture, points = cast(scene.view, scene.ground, walls, scene.sky)
        plant(picture, scene.trees, scene.view)
        parked = [v.figure(state, scene.view, scene.light.sun) for v, state in scene.parked]
        picture *= 1 - scene.light.sun.shadow * 1.4 * shadow_mask(parked, scene.view, scene.light.sun)[..., None]
        for figure in parked:
            paint_figure(picture, figure, scene.view, scene.light.sun)
        if scene.light.dark:
            picture *= scene.light.at(points)
            for lamp in scene.light.lamps:
                x, y, depth = scene.view.project(np.array([lamp.at]))[0]
                glow = np.zeros_like(picture)
                size = round(0.22 * scene.view.focal_px / depth * 16)
                cv2.circle(glow, (round(x * 16), round(y * 16)), size, (190.0, 235.0, 255.0), -1, cv2.LINE_AA, 4)
                picture += glow + cv2.GaussianBlur(glow, (0, 0), 7) * 1.2
        across, down = np.meshgrid(np.linspace(-1, 1, SIZE_WH[0]), np.linspace(-1, 1, SIZE_WH[1]))
        picture *= (1.03 - 0.10 * (across**2 + down**2))[..., None].astype(np.float32)
        return np.clip(picture, 0, 255)

    @cached_property
    def _masks(self) -> list[tuple[float, Picture]]:
        """Depth and coverage (h, w, 1) of everything that can hide an object."""
        masks = []
        for occluder in self.play.occluders:
            canvas = np.zeros((SIZE_WH[1] * 4, SIZE_WH[0] * 4), np.uint8)
            fill(canvas, outlines(occluder.figure.parts, self.scene.view), (0, 0), 4, (255,))
            small = cv2.resize(canvas, SIZE_WH, interpolation=cv2.INTER_AREA)
            masks.append((occluder.depth, np.asarray(small[..., None] / 255, dtype=np.float32)))
        return sorted(masks, key=lambda m: -m[0])

    def clean(self, frame: int) -> Picture:
        """Frame `frame` (zero-based) as float32 (h, w, 3) before the sensor."""
        view, light = self.scene.view, self.scene.light
        people = self.play.on_set(frame)
        figures = [p.figure for p in people]
        picture = self.backdrop * (1 - light.sun.shadow * shadow_mask(figures, view, light.sun)[..., None])
        glare: Picture | None = None
        if light.dark:
            pool, glare = headlights(figures, view)
            picture *= 1 + pool
        for person in people:
            gain = light.at(np.array(person.at)) if light.dark else 1.0
            paint_figure(picture, person.figure, view, light.sun, gain)
            # A shadow falls no farther to the side than its figure is high.
            x1, y1, x2, y2 = window(person.xyxy, person.xyxy[3] - person.xyxy[1])
            part = np.s_[y1:y2, x1:x2]
            for depth, mask in self._masks:
                if depth < person.depth and mask[part].any():
                    picture[part] += (self.backdrop[part] - picture[part]) * mask[part]
        return picture if glare is None else picture + glare

    def frame(self, frame: int) -> NDArray[np.uint8]:
        """Frame `frame` (zero-based) as the camera delivers it: planar I420, uint8 (h * 3 / 2, w)."""
        rng = np.random.default_rng([self.scene.seed, frame])
        return to_sensor(self.clean(frame), self.scene.light, rng)
