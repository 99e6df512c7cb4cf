"""Cars, vans and trucks: extruded side views with glazed cabins, built from the same parts as people."""

import itertools
import math
from dataclasses import dataclass, field

import numpy as np
from figures import Colour, Figure, Lamp, Part, Sun, balls, lamp, tint
from world import Floats, State, View


@dataclass(frozen=True)
class Shell:
    """The outline of a vehicle type, metres along the length from the middle (+ is forward) and up.

    `body` is the side view of the lower body from rear bumper over the bonnet to the front bumper; `cabin` is the
    glazed part: (rear foot, front foot, rear top, front top) along the length, its foot and top heights.
    """

    length: float
    width: float
    body: tuple[tuple[float, float], ...]
    cabin: tuple[float, float, float, float, float, float]
    axles: tuple[float, float]
    wheel: float
    panes: int
    roof_inset: float = 0.14
    cargo: tuple[float, float, float, float] | None = None


SHELLS = {
    "sedan": Shell(
        4.5, 1.78,
        ((-2.25, 0.30), (-2.25, 0.72), (-2.15, 0.93), (-1.45, 0.98), (0.85, 0.95), (1.75, 0.83), (2.15, 0.70),
         (2.25, 0.52), (2.25, 0.28)),
        (-1.75, 1.05, -1.05, 0.22, 0.94, 1.44), (-1.38, 1.40), 0.33, 2,
    ),
    "hatch": Shell(
        3.9, 1.72,
        ((-1.95, 0.30), (-1.95, 0.74), (-1.88, 0.98), (0.60, 0.98), (1.45, 0.86), (1.83, 0.72), (1.95, 0.52),
         (1.95, 0.28)),
        (-1.88, 0.90, -1.50, 0.10, 0.96, 1.52), (-1.22, 1.22), 0.32, 2,
    ),
    "estate": Shell(
        4.6, 1.82,
        ((-2.30, 0.32), (-2.30, 0.78), (-2.24, 1.02), (0.85, 1.00), (1.80, 0.88), (2.18, 0.74), (2.30, 0.54),
         (2.30, 0.30)),
        (-2.24, 1.10, -1.90, 0.30, 0.99, 1.56), (-1.42, 1.42), 0.35, 3,
    ),
    "van": Shell(
        5.0, 1.95,
        ((-2.50, 0.36), (-2.50, 1.20), (1.45, 1.20), (2.20, 1.02), (2.44, 0.80), (2.50, 0.55), (2.50, 0.32)),
        (-2.50, 1.62, -2.46, 0.92, 1.18, 2.12), (-1.60, 1.62), 0.36, 0, 0.10,
    ),
    "truck": Shell(
        6.0, 2.15,
        ((1.15, 0.45), (1.15, 1.20), (2.92, 1.20), (3.00, 0.95), (3.00, 0.40)),
        (1.15, 2.94, 1.20, 2.55, 1.18, 2.25), (-1.75, 2.05), 0.42, 1, 0.10,
        (-3.00, 1.05, 0.75, 2.85),
    ),
    "bus": Shell(
        11.0, 2.5,
        ((-5.50, 0.40), (-5.50, 1.20), (5.46, 1.20), (5.50, 1.00), (5.50, 0.36)),
        (-5.50, 5.48, -5.44, 5.30, 1.18, 3.00), (-3.30, 3.40), 0.48, 7, 0.08,
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Vehicle:
    """A vehicle: its shell's name, its paint, and for trucks the colour of the box."""

    shell: str
    paint: Colour
    cargo_paint: Colour = (205, 210, 212)
    lights: bool = False

    class_id = 3

    @property
    def label(self) -> str:
        """The word of the COCO classes: there, a van is a car."""
        return self.shell if self.shell in ("truck", "bus") else "car"

    def figure(self, state: State, view: View, sun: Sun) -> Figure:
        """The faces that the camera sees, wheels turned by the way gone; with `lights`, lamps and beam, too."""
        build = _Build(state, view, sun)
        shell = SHELLS[self.shell]
        half = shell.width / 2
        build.wheels(shell, -build.near_side, state)
        if shell.cargo:
            low_chassis = ((-3.0, 0.45), (-3.0, 0.75), (1.2, 0.75), (1.2, 0.45))
            build.extrude(low_chassis, half * 0.7, (60, 60, 62))
        build.extrude(shell.body, half, self.paint)
        build.trim(shell, half, self.paint)
        build.wheels(shell, build.near_side, state)
        build.cabin(shell, half, self.paint)
        if shell.cargo:
            build.cargo(shell.cargo, half, self.cargo_paint)
        front, rear = shell.length / 2, -shell.length / 2
        tail_height = 0.80 if shell.cargo is None else 0.65
        lamps: list[Lamp] = []
        beam = None
        if self.lights:
            for s in (-0.72, 0.72):
                lamps.append(lamp(state, view, (front, s * half, 0.62), 0.10, (215, 240, 255), 1.0))
                lamps.append(lamp(state, view, (rear, s * half, tail_height), 0.08, (40, 40, 255), -1.0))
            reach = ((0.4, -0.7), (5.0, -1.7), (7.5, 0.0), (5.0, 1.7), (0.4, 0.7))
            beam = state.place(np.array([(front + f, s, 0.0) for f, s in reach]))
        return Figure(tuple(build.parts), tuple(lamps), beam)


@dataclass
class _Build:
    """Collects the visible faces of one vehicle, painter's order."""

    state: State
    view: View
    sun: Sun
    parts: list[Part] = field(default_factory=list)

    def __post_init__(self) -> None:
        # Camera and sun in the vehicle's own axes: faces are judged there, and only what shows is placed in the world.
        sin, cos = math.sin(self.state.heading), math.cos(self.state.heading)
        axes = np.array(((sin, 0.0, cos), (cos, 0.0, -sin), (0.0, 1.0, 0.0)))
        self._eye: list[float] = (axes @ (self.view.eye - (self.state.x, 0.0, self.state.z))).tolist()
        self._sun = Sun((axes @ self.sun.towards).tolist(), self.sun.shadow)
        self.near_side = 1.0 if self._eye[1] > 0 else -1.0

    def face(self, points: Floats, centre: Floats, bgr: Colour, *inlays: tuple[Floats, Colour]) -> None:
        """Add a polygon (and what lies on it) if it faces the camera; `centre` is a point inside the solid."""
        (ax, ay, az), (bx, by, bz), (cx, cy, cz) = points[:3].tolist()
        (ux, uy, uz), (vx, vy, vz) = (bx - ax, by - ay, bz - az), (cx - bx, cy - by, cz - bz)
        nx, ny, nz = uy * vz - uz * vy, uz * vx - ux * vz, ux * vy - uy * vx
        mx, my, mz = centre.tolist()
        if nx * (ax - mx) + ny * (ay - my) + nz * (az - mz) < 0:
            nx, ny, nz = -nx, -ny, -nz
        ex, ey, ez = self._eye
        if nx * (ex - ax) + ny * (ey - ay) + nz * (ez - az) <= 0:
            return
        length = math.hypot(nx, ny, nz)
        shade = self._sun.shade((nx / length, ny / length, nz / length))
        self._polygon(self.state.place(points), tint(bgr, shade))
        for inlay, colour in inlays:
            self._polygon(self.state.place(inlay), tint(colour, shade), inlay=True)

    def _polygon(self, xyz: Floats, bgr: Colour, *, inlay: bool = False) -> None:
        self.parts.append(Part(balls(xyz), bgr, "polygon", inlay))

    def _distance(self, points: Floats) -> float:
        return math.dist(points.mean(0).tolist(), self._eye)

    def extrude(self, outline: tuple[tuple[float, float], ...], half: float, bgr: Colour) -> None:
        """A side view pulled across the width: its strips, then the near side with a darker sill."""
        line = np.array(outline)
        middle = (line.min(0) + line.max(0)) / 2
        centre = np.array((middle[0], 0.0, middle[1] * 0.8))
        strips = [
            np.array([(f0, -half, u0), (f0, half, u0), (f1, half, u1), (f1, -half, u1)])
            for (f0, u0), (f1, u1) in itertools.pairwise(outline)
        ]
        for quad in sorted(strips, key=lambda q: -self._distance(q)):
            self.face(quad, centre, bgr)
        side = self.near_side * half
        flank = np.array([(f, side, u) for f, u in outline])
        low, high = line[:, 1].min(), line[:, 1].max()
        self.face(flank, centre, bgr, *((_below(flank, low + k * (high - low)), tint(bgr, g)) for k, g in BANDS))

    def trim(self, shell: Shell, half: float, paint: Colour) -> None:
        """Bumpers, grille, plates, lights, door seams."""
        front, rear = shell.length / 2, -shell.length / 2
        out = 0.01
        inside = np.array((0.0, 0.0, 0.6))
        base = shell.body[-1][1]

        def panel(f: float, s0: float, s1: float, u0: float, u1: float, bgr: Colour) -> None:
            self.face(np.array([(f, s0, u0), (f, s1, u0), (f, s1, u1), (f, s0, u1)]), inside, bgr)

        panel(front + out, -half * 0.95, half * 0.95, base, base + 0.12, tint(paint, 0.45))
        panel(front + out, -half * 0.5, half * 0.5, base + 0.14, base + 0.24, (40, 40, 42))
        panel(front + 2 * out, -0.26, 0.26, base + 0.03, base + 0.13, (225, 230, 230))
        for s in (-1.0, 1.0):
            panel(front + out, s * half * 0.55, s * half * 0.95, 0.52, 0.68, (235, 240, 240))
        if shell.cargo is None:
            panel(rear - out, -half * 0.95, half * 0.95, base, base + 0.16, tint(paint, 0.5))
            panel(rear - 2 * out, -0.26, 0.26, 0.55, 0.66, (220, 228, 230))
            for s in (-1.0, 1.0):
                panel(rear - out, s * half * 0.62, s * half * 0.97, 0.70, 0.86, (40, 40, 190))
        side = self.near_side * (half + 0.004)
        foot_rear, foot_front, foot_height = shell.cabin[0], shell.cabin[1], shell.cabin[4]
        seams = [foot_front - 0.35, (foot_rear + foot_front) / 2 + 0.1] if shell.panes else [foot_front - 0.3, 0.35]
        if shell.panes > 1:
            seams.append(foot_rear + 0.55)
        for f in seams:
            line = np.array([(f, side, base + 0.12), (f, side, foot_height)])
            self._line(line, 0.010, tint(paint, 0.45))

    def _line(self, points: Floats, radius: float, bgr: Colour) -> None:
        self.parts.append(Part(balls(self.state.place(points), radius), bgr, "line", inlay=True))

    def wheels(self, shell: Shell, side: float, state: State) -> None:
        """Wheels of one side: arch, tyre, rim and turning spokes (the far side gets only tyres)."""
        for f in shell.axles:
            s = side * (shell.width / 2 - (0.0 if side == self.near_side else 0.08))
            if side != self.near_side:
                self._polygon(state.place(_disc(f, s, shell.wheel, shell.wheel)), (26, 26, 28))
                continue
            self._polygon(state.place(_disc(f, s, shell.wheel + 0.04, shell.wheel * 1.16, upper=True)), (24, 24, 26))
            self._polygon(state.place(_disc(f, s + 0.01 * side, shell.wheel, shell.wheel)), (36, 36, 38))
            self._polygon(state.place(_disc(f, s + 0.02 * side, shell.wheel, shell.wheel * 0.62)), (150, 152, 152))
            spin = state.travelled_m / shell.wheel
            for a in (spin, spin + math.pi / 2):
                df, du = shell.wheel * 0.5 * math.cos(a), shell.wheel * 0.5 * math.sin(a)
                spoke = [(f - df, s + 0.03 * side, shell.wheel + du), (f + df, s + 0.03 * side, shell.wheel - du)]
                self._line(np.array(spoke), 0.035, (85, 86, 88))

    def cabin(self, shell: Shell, half: float, paint: Colour) -> None:
        """The glazed part: a frustum whose faces carry window inlays."""
        rear0, front0, rear1, front1, low, high = shell.cabin
        wide, narrow = half * 0.97, half - shell.roof_inset
        foot = [(rear0, -wide, low), (rear0, wide, low), (front0, wide, low), (front0, -wide, low)]
        top = [(rear1, -narrow, high), (rear1, narrow, high), (front1, narrow, high), (front1, -narrow, high)]
        centre = np.array(((rear0 + front0) / 2, 0.0, (low + high) / 2))
        glass, sheen = (78.0, 66.0, 54.0), (120.0, 106.0, 92.0)
        quads = {
            "rear": (foot[0], foot[1], top[1], top[0]),
            "front": (foot[3], foot[2], top[2], top[3]),
            "left": (foot[0], foot[3], top[3], top[0]),
            "right": (foot[1], foot[2], top[2], top[1]),
        }
        for name in sorted(quads, key=lambda n: -self._distance(np.array(quads[n]))):
            quad = np.array(quads[name])
            inlays: list[tuple[Floats, Colour]] = []
            for u0, u1 in _pane_spans(name, shell):
                inlays.append((_inset(quad, u0, u1, 0.10, 0.88), glass))
                inlays.append((_inset(quad, u0, u1, 0.50, 0.88), sheen))
            self.face(quad, centre, paint, *inlays)
        self.face(np.array(top), centre, paint)
        ridge = np.array(top)
        inner = ridge.mean(0) + (ridge - ridge.mean(0)) * np.array((0.86, 0.80, 1.0)) + np.array((0, 0, 0.005))
        self.face(inner, centre, tint(paint, 1.06))

    def cargo(self, cargo: tuple[float, float, float, float], half: float, bgr: Colour) -> None:
        """A truck's box with a coloured band along its side."""
        rear, front, low, high = cargo
        wide = half + 0.05
        corners = {(i, j, k): (f, s, u) for i, f in enumerate((rear, front)) for j, s in enumerate((-wide, wide))
                   for k, u in enumerate((low, high))}  # fmt: skip
        centre = np.array(((rear + front) / 2, 0.0, (low + high) / 2))
        for faces in (((0, 0, 0), (0, 1, 0), (0, 1, 1), (0, 0, 1)), ((1, 0, 0), (1, 1, 0), (1, 1, 1), (1, 0, 1))):
            self.face(np.array([corners[c] for c in faces]), centre, tint(bgr, 0.92))
        for j in (0, 1):
            quad = np.array([corners[c] for c in ((0, j, 0), (1, j, 0), (1, j, 1), (0, j, 1))])
            band = (_inset(quad, 0.0, 1.0, 0.0, 0.16), tint(bgr, 0.72))
            logo = (_inset(quad, 0.12, 0.88, 0.42, 0.66), (150.0, 110.0, 60.0))
            self.face(quad, centre, bgr, band, logo)
        self.face(np.array([corners[c] for c in ((0, 0, 1), (0, 1, 1), (1, 1, 1), (1, 0, 1))]), centre, tint(bgr, 1.04))


BANDS = ((0.80, 0.93), (0.45, 0.80), (0.14, 0.48))
"""A flank darkens downwards: below this share of its height, this gain."""


def _below(flank: Floats, height: float) -> Floats:
    cut = flank.copy()
    cut[:, 2] = np.minimum(cut[:, 2], height)
    return cut


def _disc(forward: float, side: float, up: float, radius: float, *, upper: bool = False) -> Floats:
    angles = np.linspace(0.0, np.pi if upper else 2 * np.pi, 20, endpoint=upper)
    return np.stack((forward + radius * np.cos(angles), np.full(20, side), up + radius * np.sin(angles)), 1)


def _inset(quad: Floats, u0: float, u1: float, v0: float, v1: float) -> Floats:
    """A smaller quad inside (foot a, foot b, top b, top a), by shares along the foot and upwards."""
    a, b, c, d = quad

    def at(u: float, v: float) -> Floats:
        low, high = a + (b - a) * u, d + (c - d) * u
        return np.asarray(low + (high - low) * v)

    return np.stack((at(u0, v0), at(u1, v0), at(u1, v1), at(u0, v1)))


def _pane_spans(face: str, shell: Shell) -> list[tuple[float, float]]:
    if face == "front":
        return [(0.05, 0.95)]
    if face == "rear":
        return [(0.08, 0.92)] if shell.panes > 1 else ([(0.10, 0.47), (0.53, 0.90)] if shell.cargo is None else [])
    if shell.panes == 0:  # a van: the driver's door alone is glazed
        return [(0.72, 0.95)]
    edges = np.linspace(0.06, 0.95, shell.panes + 1)
    return [(float(a) + 0.012, float(b) - 0.012) for a, b in itertools.pairwise(edges)]
