"""The world of the replay scenes: a pinhole camera over flat ground, and things that move along routes.

Metres, seconds and radians. x points right, y up, z away from the camera; the camera stands at (0, height, 0).
A ground point is (x, z). Nothing here draws or draws lots, so truth can be computed without a single pixel.
"""

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Point = tuple[float, float]

SIZE_WH = (640, 360)
STEP_S = 0.01


@dataclass(frozen=True)
class View:
    """A fixed pinhole camera: focal length in pixels, height in metres, pitch down and yaw to the right in degrees."""

    focal_px: float
    height_m: float
    pitch_deg: float
    yaw_deg: float = 0.0

    @property
    def eye(self) -> Floats:
        """Where the camera stands."""
        return np.array([0.0, self.height_m, 0.0])

    @cached_property
    def axes(self) -> Floats:
        """Rows: the camera's right, up and forward axes in the world."""
        pitch, yaw = math.radians(self.pitch_deg), math.radians(self.yaw_deg)
        forward = (math.sin(yaw) * math.cos(pitch), -math.sin(pitch), math.cos(yaw) * math.cos(pitch))
        up = (math.sin(yaw) * math.sin(pitch), math.cos(pitch), math.cos(yaw) * math.sin(pitch))
        return np.array([(math.cos(yaw), 0.0, -math.sin(yaw)), up, forward])

    def project(self, xyz: Floats) -> Floats:
        """Map world points (N, 3) to (N, 3): x and y in source pixels (may lie outside the frame), depth in metres."""
        seen = (xyz - self.eye) @ self.axes.T
        depth = np.maximum(seen[:, 2], 0.1)
        seen[:, 0] = SIZE_WH[0] / 2 + self.focal_px * seen[:, 0] / depth
        seen[:, 1] = SIZE_WH[1] / 2 - self.focal_px * seen[:, 1] / depth
        seen[:, 2] = depth
        return np.asarray(seen, dtype=np.float64)

    def rays(self, scale: int) -> Floats:
        """The direction of every pixel of a picture `scale` times the source size: (h, w, 3), forward component 1."""
        width, height = SIZE_WH[0] * scale, SIZE_WH[1] * scale
        x = ((np.arange(width) + 0.5) / scale - SIZE_WH[0] / 2) / self.focal_px
        y = (SIZE_WH[1] / 2 - (np.arange(height) + 0.5) / scale) / self.focal_px
        right, up, forward = self.axes
        return np.asarray(x[None, :, None] * right + y[:, None, None] * up + forward)


@dataclass(frozen=True)
class Stop:
    """A pause of `for_s` seconds at the point of the route nearest to `at`."""

    at: Point
    for_s: float


@dataclass(frozen=True)
class Route:
    """A polyline over the ground, corners rounded, followed at one speed with braking for every stop.

    `start_s` may be negative: the object is then on its way at frame 0. It vanishes at the end of the route, which
    therefore lies out of sight.
    """

    points: tuple[Point, ...]
    speed: float
    start_s: float = 0.0
    stops: tuple[Stop, ...] = ()
    accel: float = 1.8


@dataclass(frozen=True)
class State:
    """Where an object is at one frame: ground position, heading (0 is +z, pi/2 is +x), metres done, metres a second."""

    x: float
    z: float
    heading: float
    travelled_m: float
    speed: float

    def place(self, forward_side_up: Floats) -> Floats:
        """Move points (N, 3) from the object's own axes (forward, right-hand side, up) into the world."""
        sin, cos = math.sin(self.heading), math.cos(self.heading)
        placed = np.empty((len(forward_side_up), 3))
        forward, side, placed[:, 1] = forward_side_up.T
        placed[:, 0] = self.x + forward * sin + side * cos
        placed[:, 2] = self.z + forward * cos - side * sin
        return placed


def round_corners(points: tuple[Point, ...]) -> Floats:
    """Chaikin's corner cutting, three times; the ends stay."""
    line = np.array(points, dtype=np.float64)
    for _ in range(3):
        near, far = 0.75 * line[:-1] + 0.25 * line[1:], 0.25 * line[:-1] + 0.75 * line[1:]
        line = np.concatenate((line[:1], np.stack((near, far), 1).reshape(-1, 2), line[-1:]))
    return line


def follow(route: Route, fps: float, num_frames: int) -> list[State | None]:
    """Walk a route and note the state at every frame; None before its start and after its end."""
    line = round_corners(route.points)
    marks = np.concatenate(([0.0], np.cumsum(np.hypot(*np.diff(line, axis=0).T))))
    length = float(marks[-1])
    fine = np.linspace(0.0, length, max(int(length / 0.02), 2))
    fine_x, fine_z = np.interp(fine, marks, line[:, 0]), np.interp(fine, marks, line[:, 1])
    waits = sorted((float(fine[np.argmin(np.hypot(fine_x - s.at[0], fine_z - s.at[1]))]), s.for_s) for s in route.stops)

    states: list[State | None] = [None] * num_frames
    done, speed, wait_s = 0.0, route.speed, 0.0
    step, frame = round(route.start_s / STEP_S), 0
    while done < length and frame < num_frames:
        frame_step = round(frame / fps / STEP_S)
        if step > frame_step:
            frame += 1
            continue
        if step == frame_step:
            states[frame] = _state_at(line, marks, done, speed)
            frame += 1
        step += 1
        if wait_s > 0:
            wait_s -= STEP_S
            continue
        brake = math.sqrt(max(2 * route.accel * (waits[0][0] - done), 0.0)) if waits else math.inf
        speed = min(route.speed, speed + route.accel * STEP_S, brake)
        done += speed * STEP_S
        if waits and waits[0][0] - done < 0.01:
            wait_s, speed = waits.pop(0)[1], 0.0
    return states


def _state_at(line: Floats, marks: Floats, done: float, speed: float) -> State:
    # The heading looks half a pace each way, so that nobody turns on the spot at a vertex.
    behind, ahead = max(done - 0.35, 0.0), min(done + 0.35, float(marks[-1]))
    x, x0, x1 = (float(v) for v in np.interp((done, behind, ahead), marks, line[:, 0]))
    z, z0, z1 = (float(v) for v in np.interp((done, behind, ahead), marks, line[:, 1]))
    return State(x, z, math.atan2(x1 - x0, z1 - z0), done, speed)
