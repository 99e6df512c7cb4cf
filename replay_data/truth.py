"""Truth without pixels: who is where in every frame, how much of them shows, and which lines and zones they pass.

Boxes come from the parts that the painter fills; visibility from small silhouettes of the object and of what stands
in front of it. No frame is painted here.
"""

import itertools
import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from figures import Figure, Part, balls
from paint import extent, fill, outlines
from scenes import FPS, Scene
from vehicles import Vehicle
from world import SIZE_WH, Point, follow

MIN_VISIBILITY = 0.1
"""An object is in the clip from the first to the last frame in which a tenth of it shows."""


@dataclass(frozen=True)
class Sighting:
    """One object in one frame. `xyxy` is the amodal box in source pixels, not clipped."""

    track_id: int
    xyxy: tuple[float, float, float, float]
    visibility: float

    @property
    def foot(self) -> Point:
        """The bottom centre of the amodal box, in fractions of the frame."""
        x1, _, x2, y2 = self.xyxy
        return (x1 + x2) / 2 / SIZE_WH[0], y2 / SIZE_WH[1]


@dataclass(frozen=True)
class Presence:
    """A figure on the set. `depth` sorts far to near, `at` is where the light falls on it."""

    track_id: int
    figure: Figure
    xyxy: tuple[float, float, float, float]
    depth: float
    at: tuple[float, float, float]


class Play:
    """A scene in motion: who is on the set in any frame, and what of them can be seen."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        self._states = [follow(route, FPS, scene.num_frames) for _, route in scene.actors]
        self.occluders = [self._presence(0, x, z, figure) for x, z, figure in self._scenery()]

    def _scenery(self) -> Iterator[tuple[float, float, Figure]]:
        for block in self.scene.blocks:
            yield 0.0, block.z0, Figure((Part(balls(block.corners), (0.0, 0.0, 0.0)),))
        for vehicle, state in self.scene.parked:
            yield state.x, state.z, vehicle.figure(state, self.scene.view, self.scene.light.sun)

    def _presence(self, track_id: int, x: float, z: float, figure: Figure) -> Presence:
        # Long things lie along x, so z decides; the slant of the camera settles those in one row.
        forward = self.scene.view.axes[2]
        depth = z + 0.2 * float(forward[0] * x + forward[2] * z)
        return Presence(track_id, figure, extent(figure, self.scene.view), depth, (x, 1.0, z))

    def on_set(self, frame: int) -> list[Presence]:
        """Everyone in or near the picture at a zero-based frame, far to near, even who is hidden."""
        found = []
        for index, (actor, _) in enumerate(self.scene.actors):
            state = self._states[index][frame]
            if state is None:
                continue
            figure = actor.figure(state, self.scene.view, self.scene.light.sun)
            presence = self._presence(index + 1, state.x, state.z, figure)
            x1, y1, x2, y2 = presence.xyxy
            if x2 > 0 and y2 > 0 and x1 < SIZE_WH[0] and y1 < SIZE_WH[1]:
                found.append(presence)
        return sorted(found, key=lambda p: -p.depth)

    def sightings(self, frame: int) -> list[Sighting]:
        """The boxes of everyone on the set, with how much of them shows."""
        people = self.on_set(frame)
        return [Sighting(p.track_id, p.xyxy, self.visibility(p, self.occluders + people)) for p in people]

    def visibility(self, presence: Presence, others: list[Presence]) -> float:
        """The share of an object that shows: inside the frame, and not behind one of the others."""
        x1, y1, x2, y2 = (math.floor(v) for v in presence.xyxy)
        nearer = [o for o in others if o.depth < presence.depth and _overlap(o.xyxy, presence.xyxy)]
        if not nearer and x1 >= 0 and y1 >= 0 and x2 < SIZE_WH[0] and y2 < SIZE_WH[1]:
            return 1.0
        canvas = np.zeros((y2 - y1 + 1, x2 - x1 + 1), np.uint8)
        fill(canvas, outlines(presence.figure.parts, self.scene.view), (x1, y1), 1, (255,))
        whole = int(np.count_nonzero(canvas))
        for front in nearer:
            fill(canvas, outlines(front.figure.parts, self.scene.view), (x1, y1), 1, (0,))
        shown = canvas[max(-y1, 0) : max(SIZE_WH[1] - y1, 0), max(-x1, 0) : max(SIZE_WH[0] - x1, 0)]
        return round(int(np.count_nonzero(shown)) / max(whole, 1), 2)

    @cached_property
    def tracks(self) -> dict[int, dict[int, Sighting]]:
        """Track id to zero-based frame to sighting, from the first to the last frame in which the object shows."""
        found: dict[int, dict[int, Sighting]] = {}
        for frame in range(self.scene.num_frames):
            for sighting in self.sightings(frame):
                found.setdefault(sighting.track_id, {})[frame] = sighting
        trimmed = {}
        for track_id, frames in sorted(found.items()):
            shown = [frame for frame, s in frames.items() if s.visibility >= MIN_VISIBILITY]
            if shown:
                trimmed[track_id] = {f: s for f, s in frames.items() if shown[0] <= f <= shown[-1]}
        return trimmed


def clip(xyxy: tuple[float, float, float, float]) -> tuple[float, float, float, float]:
    """Cut a box to the frame."""
    x1, y1, x2, y2 = xyxy
    return max(x1, 0.0), max(y1, 0.0), min(x2, float(SIZE_WH[0])), min(y2, float(SIZE_WH[1]))


def _overlap(a: tuple[float, float, float, float], b: tuple[float, float, float, float]) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def gt_text(play: Play) -> str:
    """MOTChallenge rows, by frame and id: 1-based frames and pixels, visible box clipped to the frame."""
    rows = []
    for track_id, frames in play.tracks.items():
        class_id = play.scene.actors[track_id - 1][0].class_id
        for frame, sighting in frames.items():
            x1, y1, x2, y2 = clip(sighting.xyxy)
            rows.append((frame + 1, track_id, x1 + 1, y1 + 1, x2 - x1, y2 - y1, class_id, sighting.visibility))
    return "".join(
        f"{frame},{track_id},{x:.2f},{y:.2f},{w:.2f},{h:.2f},1,{class_id},{visibility:.2f}\n"
        for frame, track_id, x, y, w, h, class_id, visibility in sorted(rows)
    )


def scenery_text(play: Play) -> str:
    """Boxes of parked vehicles, `left,top,width,height,class`: in the picture, not in the truth, not to be judged."""
    rows = []
    for presence in play.occluders[len(play.scene.blocks) :]:
        x1, y1, x2, y2 = clip(presence.xyxy)
        rows.append(f"{x1 + 1:.2f},{y1 + 1:.2f},{x2 - x1:.2f},{y2 - y1:.2f},{Vehicle.class_id}\n")
    return "".join(rows)


def seqinfo_text(scene: Scene) -> str:
    return (
        f"[Sequence]\nname={scene.name}\nvideo=../../clips/{scene.name}.mp4\nframeRate={FPS:g}\n"
        f"seqLength={scene.num_frames}\nimWidth={SIZE_WH[0]}\nimHeight={SIZE_WH[1]}\n"
    )


def side_of(a: Point, b: Point, point: Point) -> float:
    """Positive on the "in" side of the directed line a to b, in fractions of the frame."""
    return (b[0] - a[0]) * (point[1] - a[1]) - (b[1] - a[1]) * (point[0] - a[0])


def crossing(a: Point, b: Point, before: Point, after: Point) -> str | None:
    """Say "in" or "out" if the step from one foot point to the next crosses the segment a to b, None if not."""
    side0, side1 = side_of(a, b, before), side_of(a, b, after)
    if (side0 > 0) == (side1 > 0):
        return None
    if (side_of(before, after, a) > 0) == (side_of(before, after, b) > 0):
        return None
    return "in" if side1 > 0 else "out"


def inside(polygon: tuple[Point, ...], point: Point) -> bool:
    """Even-odd rule."""
    x, y = point
    odd = False
    for (x0, y0), (x1, y1) in zip(polygon, polygon[1:] + polygon[:1], strict=True):
        if (y0 > y) != (y1 > y) and x < x0 + (y - y0) / (y1 - y0) * (x1 - x0):
            odd = not odd
    return odd


def events(play: Play) -> list[dict[str, Any]]:
    """All line and zone events of a scene, by time, then object."""
    scene, found = play.scene, []
    for track_id, frames in play.tracks.items():
        label = scene.actors[track_id - 1][0].label

        def event(kind: str, frame: int, track_id: int = track_id, label: str = label, **what: Any) -> None:
            found.append({"type": kind, "camera": scene.name, "pts_s": round(frame / FPS, 3),
                          "object": {"track_id": track_id, "class": label}, **what})  # fmt: skip

        steps = list(frames.items())
        for line in scene.lines:
            for (_, before), (frame, after) in itertools.pairwise(steps):
                direction = crossing(line.a, line.b, before.foot, after.foot)
                if direction:
                    event("line.crossed", frame, line={"name": line.name, "direction": direction})
        for zone in scene.zones:
            since: int | None = None
            dwelled = False
            for frame, sighting in steps:
                if inside(zone.polygon, sighting.foot):
                    if since is None:
                        since, dwelled = frame, False
                        event("zone.entered", frame, zone={"name": zone.name})
                    if not dwelled and (frame - since) / FPS >= zone.dwell_s - 1e-9:
                        dwelled = True
                        event("zone.dwelled", frame, zone={"name": zone.name})
                elif since is not None:
                    since = None
                    event("zone.exited", frame, zone={"name": zone.name})
            if since is not None and steps[-1][0] < scene.num_frames - 1:
                event("zone.exited", steps[-1][0], zone={"name": zone.name})
    return sorted(found, key=lambda e: (e["pts_s"], e["object"]["track_id"], e["type"]))


def events_text(play: Play) -> str:
    return "".join(json.dumps(event) + "\n" for event in events(play))
