"""People and cyclists as lists of small solid parts in world coordinates (vehicles are in `vehicles.py`).

A part is the hull of a few balls, a polygon or a line. The painter fills parts in the order given; truth takes an
object's box from the very same parts, so a box is exact by construction. No picture library is needed here.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from world import Floats, State, View

Colour = tuple[float, float, float]
"""Blue, green, red, 0 to 255."""


@dataclass(frozen=True)
class Part:
    """A piece of one colour: `balls` is (N, 4), x, y, z and radius in metres (radius 0 for a polygon's corners).

    A hull is flat, a round part is a hull that the painter shades. An inlay lies within the part before it, such as a
    gleam or a window; it adds nothing to outline, shadow or box.
    """

    balls: Floats
    bgr: Colour
    kind: Literal["hull", "round", "polygon", "line"] = "hull"
    inlay: bool = False


@dataclass(frozen=True)
class Lamp:
    """A light that shines at dusk: where, how large, which colour, and how well it faces the camera (0 to 1)."""

    xyz: tuple[float, float, float]
    radius_m: float
    bgr: Colour
    facing: float


@dataclass(frozen=True)
class Figure:
    """An object at one instant: parts in painting order, its lamps, and the ground that its headlights reach."""

    parts: tuple[Part, ...]
    lamps: tuple[Lamp, ...] = ()
    beam: Floats | None = None


@dataclass(frozen=True)
class Sun:
    """Where the light comes from (a vector towards it), and how dark a shadow is (0 none, 1 black)."""

    towards: tuple[float, float, float] = (-0.45, 0.80, -0.40)
    shadow: float = 0.30

    def shade(self, normal: tuple[float, float, float]) -> float:
        """How bright a surface is that looks along `normal`, a unit vector in the axes of `towards`."""
        x, y, z = self.towards
        towards = (normal[0] * x + normal[1] * y + normal[2] * z) / math.hypot(x, y, z)
        return 0.62 + 0.42 * max(0.0, towards)


def tint(bgr: Colour, gain: float) -> Colour:
    return (min(bgr[0] * gain, 255.0), min(bgr[1] * gain, 255.0), min(bgr[2] * gain, 255.0))


def balls(xyz: Floats, radius: float = 0.0) -> Floats:
    """Give points (N, 3) one radius: (N, 4)."""
    spheres = np.full((len(xyz), 4), radius)
    spheres[:, :3] = xyz
    return spheres


# People ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Person:
    """A pedestrian's looks. `coat` is how far a coat or skirt reaches below the hip, in parts of the leg."""

    top: Colour
    legs: Colour
    height_m: float = 1.74
    hair: Colour = (30, 38, 48)
    skin: Colour = (140, 170, 215)
    shoes: Colour = (35, 35, 38)
    coat: float = 0.0
    backpack: Colour | None = None
    bag: Colour | None = None
    hat: Colour | None = None
    phase: float = 0.0

    class_id = 1
    label = "person"

    def figure(self, state: State, view: View, sun: Sun) -> Figure:
        """The body in mid-stride, or standing when the state does."""
        h = self.height_m
        stride = 0.80 * h
        phase = self.phase + 2 * math.pi * state.travelled_m / stride
        vigour = min(1.0, state.speed / 0.9)
        return Figure(_body(self, state, view, _walking_joints(h, phase, vigour)))


Joints = dict[str, tuple[float, float, float]]


def _walking_joints(h: float, phase: float, vigour: float) -> Joints:
    """Joints in (forward, side, up) metres; the lower foot stands on the ground, so the hips bob by themselves."""
    thigh, shin, ankle = 0.245 * h, 0.235 * h, 0.045 * h
    angles = []
    for leg in (phase, phase + math.pi):
        swing = 0.40 * math.sin(leg) * vigour
        bend = (0.10 + 0.85 * max(0.0, math.cos(leg + 0.25)) ** 2) * vigour
        angles.append((swing, swing - bend))
    hip = ankle + max(thigh * math.cos(a) + shin * math.cos(b) for a, b in angles)
    lean = 0.045 * h * vigour
    joints: Joints = {
        "neck": (lean, 0.0, hip + 0.315 * h),
        "head": (lean + 0.015 * h, 0.0, hip + 0.405 * h),
        "waist": (lean * 0.3, 0.0, hip + 0.10 * h),
    }
    for side, name, (a, b), arm in ((-1, "l", angles[0], phase + math.pi), (1, "r", angles[1], phase)):
        hip_f, hip_s = 0.0, side * 0.052 * h
        knee = (hip_f + thigh * math.sin(a), hip_s, hip - thigh * math.cos(a))
        foot = (knee[0] + shin * math.sin(b), hip_s, knee[2] - shin * math.cos(b))
        toe_up = 0.25 * math.sin(b)
        joints |= {f"hip_{name}": (hip_f, hip_s, hip), f"knee_{name}": knee, f"foot_{name}": foot}
        joints[f"toe_{name}"] = (foot[0] + 0.10 * h, hip_s, max(foot[2] - ankle * 0.45 + toe_up * 0.05 * h, 0.02 * h))
        joints[f"heel_{name}"] = (foot[0] - 0.02 * h, hip_s, max(foot[2] - ankle * 0.45, 0.02 * h))
        swing = 0.50 * math.sin(arm) * vigour
        bend = swing + 0.18 + 0.25 * vigour
        shoulder = (lean, side * 0.105 * h, hip + 0.275 * h)
        elbow = (shoulder[0] + 0.165 * h * math.sin(swing), side * 0.125 * h, shoulder[2] - 0.165 * h * math.cos(swing))
        hand = (elbow[0] + 0.15 * h * math.sin(bend), side * 0.115 * h, elbow[2] - 0.15 * h * math.cos(bend))
        joints |= {f"shoulder_{name}": shoulder, f"elbow_{name}": elbow, f"hand_{name}": hand}
    return joints


def _body(look: Person, state: State, view: View, joints: Joints) -> tuple[Part, ...]:
    """Dress the joints; what is farther from the camera is painted first."""
    h = look.height_m
    joints = joints | _dress(look, joints)
    world = dict(zip(joints, state.place(np.array(list(joints.values()))), strict=True))
    groups: list[tuple[float, list[Part]]] = []

    def add(nudge: float, *pieces: tuple[Sequence[str], Sequence[float], Colour]) -> None:
        parts: list[Part] = []
        for names, radii, bgr in pieces:
            limb = balls(np.array([world[name] for name in names]))
            limb[:, 3] = np.array(radii) * h
            parts.append(Part(limb, bgr, "round"))
        x, _, z = np.mean([world[name] for name in pieces[0][0]], 0) - view.eye
        groups.append((math.hypot(x, z) + nudge, parts))

    sleeve = tint(look.top, 0.93)
    for s in "lr":
        add(
            0.0,
            ((f"heel_{s}", f"toe_{s}"), (0.021, 0.017), look.shoes),
            ((f"knee_{s}", f"foot_{s}"), (0.036, 0.024), look.legs),
            ((f"hip_{s}", f"knee_{s}"), (0.055, 0.038), look.legs),
        )
        add(
            0.0,
            ((f"elbow_{s}", f"hand_{s}"), (0.025, 0.018), sleeve),
            ((f"hand_{s}",), (0.021,), look.skin),
            ((f"shoulder_{s}", f"elbow_{s}"), (0.034, 0.026), sleeve),
        )
    torso = ("shoulder_l", "shoulder_r", "waist", "hip_l", "hip_r")
    add(0.0, (torso, (0.045, 0.045, 0.062, 0.060, 0.060), look.top))
    if look.coat:
        add(-0.02, (("hip_l", "hip_r", "hem_l", "hem_r"), (0.062, 0.062, 0.045, 0.045), look.top))
    if look.backpack:
        add(0.0, (("pack_high", "pack_low"), (0.055, 0.065), look.backpack))
    if look.bag:
        add(-0.01, (("bag_back", "bag_front", "bag_grip"), (0.035, 0.035, 0.01), look.bag))
    face = (("head", "chin"), (0.050, 0.038), look.skin)
    hair = (("crown", "nape"), (0.050, 0.040), look.hat or look.hair)
    faces_camera = math.cos(state.heading) * state.z + math.sin(state.heading) * state.x < 0
    neck = (("neck", "head"), (0.030, 0.030), tint(look.skin, 0.85))
    add(-0.05, neck, *((hair, face) if faces_camera else (face, hair)))
    if look.hat:
        add(-0.06, (("brim", "crown"), (0.042, 0.050), look.hat))
    return tuple(part for _, parts in sorted(groups, key=lambda g: -g[0]) for part in parts)


def _dress(look: Person, joints: Joints) -> Joints:
    """Points for what hangs on the joints: hair, hat, coat, backpack, bag."""
    h = look.height_m

    def beside(name: str, forward: float, up: float) -> tuple[float, float, float]:
        f, s, u = joints[name]
        return (f + forward * h, s, u + up * h)

    dress: Joints = {"crown": beside("head", -0.015, 0.022), "chin": beside("head", 0.012, -0.030)}
    dress |= {"nape": beside("head", -0.032, -0.012), "brim": beside("head", 0.03, 0.03)}
    dress |= {"pack_high": (-0.11 * h, 0.0, joints["neck"][2] - 0.07 * h)}
    dress |= {"pack_low": (-0.11 * h, 0.0, joints["waist"][2] - 0.02 * h)}
    dress |= {"bag_back": beside("hand_r", -0.06, -0.10), "bag_front": beside("hand_r", 0.06, -0.10)}
    dress |= {"bag_grip": beside("hand_r", 0.0, -0.03)}
    for s in "lr":  # a coat's hem follows thigh and shin, a little behind the knees
        (f0, s0, u0), (f1, _, u1), (f2, _, u2) = (joints[f"{name}_{s}"] for name in ("hip", "knee", "foot"))
        thigh, shin = min(look.coat * 2, 1.0), max(look.coat * 2 - 1.0, 0.0)
        forward = f0 + (f1 - f0) * thigh + (f2 - f1) * shin
        dress[f"hem_{s}"] = (forward * 0.8, s0 * 1.2, u0 + (u1 - u0) * thigh + (u2 - u1) * shin)
    return dress


# Cyclists ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Cyclist:
    """A rider and the bicycle under them: one object of class bicycle."""

    rider: Person
    frame: Colour = (40, 40, 170)

    class_id = 2
    label = "bicycle"

    def figure(self, state: State, view: View, sun: Sun) -> Figure:
        """The bicycle, the rider on it, and a front lamp."""
        parts = [*self._bicycle(state), *_body(self.rider, state, view, self._riding_joints(state))]
        lamps = (lamp(state, view, (0.75, 0.0, 0.80), 0.05, (215, 240, 255), 1.0),)
        return Figure(tuple(parts), lamps)

    def _riding_joints(self, state: State) -> Joints:
        h = self.rider.height_m
        hip, crank = (-0.22, 0.0, 0.98), (0.02, 0.0, 0.29)
        joints: Joints = {
            "waist": (-0.10, 0.0, 1.12),
            "neck": (0.16, 0.0, 1.46),
            "head": (0.24, 0.0, 1.59),
        }
        turn = state.travelled_m / 0.62
        for side, name, angle in ((-1, "l", turn), (1, "r", turn + math.pi)):
            s = side * 0.09
            foot = (crank[0] + 0.17 * math.cos(angle), s, crank[2] - 0.17 * math.sin(angle) + 0.05)
            joints |= {f"hip_{name}": (hip[0], s, hip[2]), f"foot_{name}": foot}
            joints[f"knee_{name}"] = _knee((hip[0], s, hip[2]), foot, 0.245 * h, 0.245 * h)
            joints[f"toe_{name}"] = (foot[0] + 0.14, s, foot[2] - 0.05)
            joints[f"heel_{name}"] = (foot[0] - 0.06, s, foot[2] - 0.05)
            joints[f"shoulder_{name}"] = (0.13, side * 0.18, 1.40)
            joints[f"elbow_{name}"] = (0.30, side * 0.23, 1.17)
            joints[f"hand_{name}"] = (0.52, side * 0.22, 1.05)
        return joints

    def _bicycle(self, state: State) -> list[Part]:
        tyre, steel = (38.0, 38.0, 40.0), (150.0, 150.0, 150.0)
        parts: list[Part] = []
        for hub in (-0.52, 0.52):
            circle = [(hub + 0.34 * math.cos(a), 0.0, 0.34 + 0.34 * math.sin(a)) for a in np.linspace(0, 2 * np.pi, 25)]
            spin = state.travelled_m / 0.34
            for a in (spin, spin + math.pi / 3, spin + 2 * math.pi / 3):
                f, u = 0.32 * math.cos(a), 0.32 * math.sin(a)
                parts.append(_bar(state, [(hub - f, 0.0, 0.34 + u), (hub + f, 0.0, 0.34 - u)], 0.008, steel))
            parts.append(_bar(state, circle, 0.024, tyre))
        rear, crank, seat, head, front = (
            (-0.52, 0.0, 0.34),
            (0.02, 0.0, 0.29),
            (-0.18, 0.0, 0.86),
            (0.38, 0.0, 0.84),
            (0.52, 0.0, 0.34),
        )
        parts.append(_bar(state, [rear, crank, head, seat, crank, seat, rear], 0.026, self.frame))
        parts.append(_bar(state, [front, head, (0.40, 0.0, 1.02)], 0.024, self.frame))
        parts.append(_bar(state, [(0.46, -0.26, 1.03), (0.46, 0.26, 1.03)], 0.020, tyre))
        parts.append(_bar(state, [(-0.32, 0.0, 0.93), (-0.10, 0.0, 0.92)], 0.035, tyre))
        return parts


def _knee(
    hip: tuple[float, float, float], foot: tuple[float, float, float], thigh: float, shin: float
) -> tuple[float, float, float]:
    df, du = foot[0] - hip[0], foot[2] - hip[2]
    reach = min(math.hypot(df, du), thigh + shin - 1e-3)
    bend = math.acos((thigh**2 + reach**2 - shin**2) / (2 * thigh * reach))
    angle = math.atan2(du, df) + bend
    return (hip[0] + thigh * math.cos(angle), hip[1], hip[2] + thigh * math.sin(angle))


def _bar(state: State, points: Sequence[tuple[float, float, float]], radius: float, bgr: Colour) -> Part:
    return Part(balls(state.place(np.array(points)), radius), bgr, "line")


def lamp(state: State, view: View, at: tuple[float, float, float], radius: float, bgr: Colour, forward: float) -> Lamp:
    xyz = state.place(np.array([at]))[0]
    nose = np.array((math.sin(state.heading), 0.0, math.cos(state.heading))) * forward
    towards = view.eye - xyz
    facing = max(0.0, float(nose @ towards) / float(np.linalg.norm(towards)))
    return Lamp((float(xyz[0]), float(xyz[1]), float(xyz[2])), radius, bgr, facing)
