"""Scenes drawn by lot, for training: other places, people, vehicles and light than in the four that are replayed.

Scene `index` of `seed` is always the same. It has no lines and no zones: whoever is in the picture is what counts.
"""

import math

import numpy as np
from figures import Cyclist, Person, Sun
from paint import Light, StreetLamp, extent
from random_looks import Rng, colour, random_person, random_vehicle, tone, uniform
from random_places import PLACES, Place
from scenes import Actor, Scene
from vehicles import SHELLS, Vehicle
from world import SIZE_WH, Point, Route, State, View

DURATION_S = 24.0


def random_scene(seed: int, index: int) -> Scene:
    """Draw one scene: place, camera, light, and who comes by."""
    rng = np.random.default_rng([seed, index])
    kind = str(rng.choice(["street", "road", "square", "room"], p=[0.42, 0.16, 0.27, 0.15]))
    place = PLACES[kind](rng)
    view = _view(rng, kind)
    light_kind = "indoor" if kind == "room" else str(rng.choice(["day", "dusk", "night"], p=[0.6, 0.22, 0.18]))
    lights = light_kind in ("dusk", "night")
    return Scene(
        name=f"{light_kind}-{seed}-{index:04d}",
        view=view,
        light=_light(rng, light_kind),
        duration_s=DURATION_S,
        seed=int(rng.integers(2**31)),
        crf=25,
        ground=tuple(place.ground),
        walls=tuple(place.walls),
        blocks=tuple(place.blocks),
        trees=tuple(place.trees),
        parked=_seen(place.parked, view),
        actors=(*_traffic(rng, place, view, lights), *_passers_by(rng, place, view)),
        sky=tone(rng, (90, 110) if lights else (170, 235), (30, 0, -15)),
    )


def light_of(scene: Scene) -> str:
    """Say `day`, `dusk`, `night` or `indoor`."""
    return scene.name.split("-")[0]


def _view(rng: Rng, kind: str) -> View:
    if kind == "room":
        return View(uniform(rng, 340, 560), uniform(rng, 2.5, 4.2), uniform(rng, 18, 36), uniform(rng, -20, 20))
    height_m = uniform(rng, 3.2, 9.5)
    # The middle of the picture looks at the ground 14 to 28 metres away.
    pitch_deg = math.degrees(math.atan2(height_m, uniform(rng, 14, 28)))
    yaw_deg = uniform(rng, -12, 12) if kind == "road" else uniform(rng, -36, 36)
    return View(uniform(rng, 420, 820), height_m, pitch_deg, yaw_deg)


def _light(rng: Rng, kind: str) -> Light:
    if kind == "indoor":
        return Light(Sun((0.1, 1.0, -0.1), 0.14), flicker=0.004, noise=uniform(rng, 1.0, 3.5))
    if kind == "day":
        towards = (uniform(rng, -1, 1), uniform(rng, 0.6, 1.2), uniform(rng, -0.9, 0.3))
        overcast = rng.random() < 0.4
        shadow = uniform(rng, 0.02, 0.10) if overcast else uniform(rng, 0.22, 0.45)
        return Light(Sun(towards, shadow), noise=uniform(rng, 1.0, 3.0))
    dark = uniform(rng, 0.30, 0.55) if kind == "dusk" else uniform(rng, 0.17, 0.28)
    xs = np.arange(-40, 41, uniform(rng, 12, 20)) + uniform(rng, -6, 6)
    z, power = uniform(rng, 12, 26), uniform(rng, 6, 12)
    warm = (0.45, 0.80, 1.0) if rng.random() < 0.6 else (0.95, 1.0, 0.95)
    lamps = tuple(StreetLamp((float(x), 5.5, z), power, warm) for x in xs)
    ambient = (dark * 1.15, dark, dark * 0.92)
    return Light(Sun((-0.2, 1.0, 0.2), 0.12), ambient, 0.008, uniform(rng, 2.5, 5.5), lamps)


def _depth_m(view: View, point: Point) -> float:
    """How far ahead of the camera a ground point is."""
    return float(view.axes[2] @ (point[0], -view.height_m, point[1]))


def _seen(parked: list[tuple[Vehicle, State]], view: View) -> tuple[tuple[Vehicle, State], ...]:
    """Parked vehicles that are in the picture and clear of one another, far to near."""
    kept: list[tuple[Vehicle, State]] = []
    for vehicle, state in sorted(parked, key=lambda p: -_depth_m(view, (p[1].x, p[1].z))):
        if _depth_m(view, (state.x, state.z)) < 7:
            continue
        reach_m = SHELLS[vehicle.shell].length / 2 + 0.3
        if any(math.dist((state.x, state.z), (s.x, s.z)) < reach_m + SHELLS[v.shell].length / 2 for v, s in kept):
            continue
        x1, y1, x2, y2 = extent(vehicle.figure(state, view, Sun()), view)
        if x2 > 0 and y2 > 0 and x1 < SIZE_WH[0] and y1 < SIZE_WH[1]:
            kept.append((vehicle, state))
    return tuple(kept)


def _ahead(view: View, way: tuple[Point, Point], nearest_m: float) -> tuple[Point, Point] | None:
    """Cut a straight way to what lies ahead of the camera: nothing is painted beside or behind the lens."""
    (ax, az), (bx, bz) = way
    a, b = _depth_m(view, way[0]), _depth_m(view, way[1])
    if max(a, b) <= nearest_m + 1:
        return None
    start, stop = 0.0, 1.0
    if a < nearest_m:
        start = (nearest_m - a) / (b - a)
    if b < nearest_m:
        stop = (a - nearest_m) / (a - b)
    return (ax + (bx - ax) * start, az + (bz - az) * start), (ax + (bx - ax) * stop, az + (bz - az) * stop)


def _start_s(rng: Rng, points: tuple[Point, ...], speed: float) -> float:
    """Start so that the middle part of the way falls into the clip."""
    return uniform(rng, 0, DURATION_S) - uniform(rng, 0.25, 0.75) * math.dist(points[0], points[-1]) / speed


def _traffic(rng: Rng, place: Place, view: View, lights: bool) -> list[Actor]:
    """Vehicles and cyclists that keep their distance within a lane."""
    actors: list[Actor] = []
    for whole_lane in place.lanes:
        lane = _ahead(view, whole_lane, 8.0)
        if lane is None:
            continue
        speed, busy = uniform(rng, 4, 9), uniform(rng, 0.15, 1.0)
        start_s = -math.dist(*lane) / speed
        while start_s < DURATION_S - 3:
            if rng.random() < busy:
                actor: Vehicle | Cyclist = random_vehicle(rng, lights)
                if rng.random() < 0.2:
                    actor = Cyclist(random_person(rng), colour(rng))
                actors.append((actor, Route(lane, speed, start_s)))
            longest_m = max(shell.length for shell in SHELLS.values())
            start_s += (longest_m + uniform(rng, 0.5, 12)) / speed
    return actors


def _passers_by(rng: Rng, place: Place, view: View) -> list[Actor]:
    """People alone and in pairs; now and then a crowd, now and then nobody."""
    actors: list[Actor] = []
    for _ in range(int(rng.choice([0, 4, 9, 18, 32], p=[0.08, 0.22, 0.35, 0.25, 0.10]))):
        (x0, x1), (z0, z1) = place.walks[rng.integers(len(place.walks))]
        a = (uniform(rng, x0, x1), uniform(rng, z0, z1))
        b = (uniform(rng, x0, x1), uniform(rng, z0, z1))
        way = _ahead(view, (a, b), 2.5)
        if way is None or math.dist(*way) < 1:
            continue
        speed = uniform(rng, 0.02, 0.1) if rng.random() < 0.2 else uniform(rng, 0.8, 1.8)
        start_s = _start_s(rng, way, speed)
        actor: Person | Cyclist = random_person(rng)
        if rng.random() < 0.07:
            actor, speed = Cyclist(random_person(rng), colour(rng)), 4.0
        actors.append((actor, Route(way, speed, start_s)))
        if rng.random() < 0.35:
            dx, dz = uniform(rng, -0.9, 0.9), uniform(rng, -0.9, 0.9)
            actors.append((random_person(rng), Route(tuple((x + dx, z + dz) for x, z in way), speed, start_s)))
    return actors
