"""Places drawn by lot: a street, a road that runs away from the camera, an open square or yard, and a room."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from backdrop import (
    Block,
    Patch,
    Texture,
    Tree,
    Wall,
    asphalt,
    bricks,
    facade,
    grass,
    leaves,
    paving,
    plain,
    plaster,
    ribbed,
)
from random_looks import Range, Rng, random_vehicle, tone, uniform
from scenes import SHADE
from vehicles import Vehicle
from world import Point, State


@dataclass
class Place:
    """A place while it is furnished: scenery, where vehicles drive, and where people walk."""

    ground: list[Patch] = field(default_factory=list)
    walls: list[Wall] = field(default_factory=list)
    blocks: list[Block] = field(default_factory=list)
    trees: list[Tree] = field(default_factory=list)
    parked: list[tuple[Vehicle, State]] = field(default_factory=list)
    lanes: list[tuple[Point, Point]] = field(default_factory=list)
    walks: list[tuple[Range, Range]] = field(default_factory=list)
    """Rectangles of ground, x then z."""


def _ground(rng: Rng, *kinds: str) -> Texture:
    seed, kind = int(rng.integers(99)), str(rng.choice(kinds))
    if kind == "grass":
        return grass((uniform(rng, 40, 64), uniform(rng, 90, 124), uniform(rng, 70, 104)), seed)
    if kind == "asphalt":
        return asphalt(tone(rng, (70, 130), spread=3), seed)
    size = uniform(rng, 0.3, 1.2)
    return paving(tone(rng, (120, 185), (-4, 0, 4), 5), (size, size * uniform(rng, 0.5, 1.0)), seed)


def _wall(rng: Rng) -> Texture:
    seed, kind = int(rng.integers(99)), rng.random()
    if kind < 0.4:
        return bricks(tone(rng, (80, 130), (-25, -10, 30), 10), seed)
    if kind < 0.8:
        return plaster(tone(rng, (120, 210), (-10, 0, 8)), seed)
    return ribbed(tone(rng, (90, 180), spread=22), uniform(rng, 0.2, 0.6), seed=seed)


def _houses(rng: Rng, z: float) -> list[Wall]:
    """A row of house fronts along x."""
    walls, x = [], -75.0
    while x < 75:
        width = uniform(rng, 9, 30)
        pitch = (uniform(rng, 2.6, 3.6), uniform(rng, 3.0, 3.6))
        window = (pitch[0] * uniform(rng, 0.35, 0.6), pitch[1] * uniform(rng, 0.4, 0.6))
        lit = uniform(rng, 0.0, 0.3) if rng.random() < 0.4 else 0.0
        front = facade(_wall(rng), pitch, window, uniform(rng, 0.6, 4.0), int(rng.integers(99)), lit=lit)
        walls.append(Wall((x, 0, z), (1, 0), (width, uniform(rng, 8, 16)), front))
        x += width
    return walls


def _clutter(rng: Rng, x: Range, z: Range, count: int) -> list[Block]:
    """Things that hide people: hedges, low walls, columns, crates, containers."""
    blocks = []
    for _ in range(count):
        at_x, at_z = uniform(rng, *x), uniform(rng, *z)
        kind = str(rng.choice(["hedge", "wall", "column", "crate", "container"]))
        wide, deep, high = {
            "hedge": (uniform(rng, 2, 8), 0.9, uniform(rng, 0.5, 1.2)),
            "wall": (uniform(rng, 2, 7), 0.3, uniform(rng, 0.6, 1.4)),
            "column": (0.5, 0.5, uniform(rng, 2.5, 6.0)),
            "crate": (1.2, 1.2, uniform(rng, 0.7, 1.5)),
            "container": (uniform(rng, 2.4, 4.0), 2.4, 2.5),
        }[kind]
        seed = int(rng.integers(99))
        if kind == "hedge":
            side, top = leaves(seed=seed), leaves((52, 108, 84), seed + 1)
        else:
            side, top = _wall(rng), plain(tone(rng, (110, 180)))
        blocks.append(Block(at_x - wide / 2, at_x + wide / 2, at_z, at_z + deep, high, side, top))
    return blocks


def _greenery(rng: Rng, z: Range, count: int) -> list[Tree]:
    return [
        Tree(uniform(rng, -25, 25), uniform(rng, *z), uniform(rng, 0, 3), uniform(rng, 0.8, 2.4)) for _ in range(count)
    ]


def _row_of_parked(rng: Rng, z: float, share: float) -> list[tuple[Vehicle, State]]:
    heading = math.pi / 2 * float(rng.choice([-1, 1]))
    return [
        (random_vehicle(rng, lights=False), State(x + uniform(rng, -0.5, 0.5), z, heading, uniform(rng, 0, 2), 0.0))
        for x in np.arange(-30, 30, 7.5)
        if rng.random() < share
    ]


def _street(rng: Rng) -> Place:
    """A street across the picture with pavements, perhaps parked cars, houses or a park behind."""
    start, num_lanes, lane_m = uniform(rng, 11, 19), int(rng.integers(2, 5)), uniform(rng, 2.9, 3.6)
    stop, kerb = start + num_lanes * lane_m, plain(tone(rng, (160, 195), spread=4))
    near_m, far_m = uniform(rng, 2, 4.5), uniform(rng, 2, 5)
    pavement = _ground(rng, "paving")
    place = Place(ground=[
        Patch(-150, 150, 0, 80, _ground(rng, "grass", "asphalt", "paving")),
        Patch(-150, 150, start - near_m, start, pavement),
        Patch(-150, 150, start, stop, _ground(rng, "asphalt")),
        Patch(-150, 150, stop, stop + far_m, pavement),
        Patch(-150, 150, start - 0.1, start + 0.1, kerb),
        Patch(-150, 150, stop - 0.1, stop + 0.1, kerb),
    ])  # fmt: skip
    white = plain((215, 219, 219))
    for k in range(1, num_lanes):
        z = start + k * lane_m
        place.ground += [Patch(x, x + 2.0, z - 0.07, z + 0.07, white, worn=0.3) for x in range(-60, 60, 5)]
    for k in range(num_lanes):
        z = start + (k + 0.5) * lane_m
        ends = ((-45.0, z), (45.0, z))
        place.lanes.append(ends if k < num_lanes / 2 else ends[::-1])
    place.walks = [((-25, 25), (start - near_m + 0.4, start - 0.4)), ((-25, 25), (stop + 0.4, stop + far_m - 0.4))]
    if rng.random() < 0.45:
        x = uniform(rng, -7, 5)
        stripes = np.arange(start + 0.4, stop - 0.6, 1.0)
        place.ground += [Patch(x, x + 2.6, float(z), float(z) + 0.5, white, worn=0.2) for z in stripes]
        place.walks.append(((x, x + 2.6), (start - 1, stop + 1)))
    if rng.random() < 0.45:
        place.parked = _row_of_parked(rng, stop - 1.1, 0.45)
        place.lanes.pop()
    if rng.random() < 0.75:
        place.walls = _houses(rng, stop + far_m)
        place.ground.append(Patch(-150, 150, stop + far_m - 0.8, stop + far_m + 0.1, SHADE, alpha=0.35, soft_m=0.6))
    else:
        place.trees = _greenery(rng, (stop + far_m, stop + far_m + 12), int(rng.integers(3, 12)))
    if rng.random() < 0.4:
        place.blocks = _clutter(rng, (-9, 9), (start - near_m - 3, start - near_m - 1), int(rng.integers(1, 4)))
    return place


def _road(rng: Rng) -> Place:
    """A road that runs away from the camera: vehicles from ahead and from behind, people beside it."""
    middle, lane_m = uniform(rng, -3, 3), uniform(rng, 3.0, 3.6)
    side = _ground(rng, "grass", "paving", "asphalt")
    x0, x1, walk_m = middle - lane_m, middle + lane_m, uniform(rng, 2, 4)
    place = Place(ground=[
        Patch(-150, 150, 0, 150, side),
        Patch(x0 - walk_m, x1 + walk_m, 0, 120, _ground(rng, "paving")),
        Patch(x0, x1, 0, 120, _ground(rng, "asphalt")),
        *(Patch(middle - 0.07, middle + 0.07, z, z + 2.0, plain((215, 219, 219)), worn=0.3)
          for z in range(2, 110, 5)),
    ])  # fmt: skip
    far = 75.0
    place.lanes = [((middle + lane_m / 2, 3.0), (middle + lane_m / 2, far)),
                   ((middle - lane_m / 2, far), (middle - lane_m / 2, 3.0))]  # fmt: skip
    place.walks = [((x0 - walk_m, x0 - 0.3), (6, 45)), ((x1 + 0.3, x1 + walk_m), (6, 45))]
    place.trees = _greenery(rng, (40, 70), int(rng.integers(0, 9)))
    if rng.random() < 0.5:
        place.walls = _houses(rng, uniform(rng, 80, 95))
    return place


def _square(rng: Rng) -> Place:
    """An open square or yard: people in every direction, now and then a vehicle, things in the way."""
    back = uniform(rng, 22, 42)
    place = Place(ground=[Patch(-150, 150, 0, 150, _ground(rng, "asphalt", "paving", "paving", "grass"))])
    if rng.random() < 0.4:
        z = uniform(rng, 8, 14)
        place.ground.append(Patch(-150, 150, z, z + uniform(rng, 3, 9), _ground(rng, "grass", "paving", "asphalt")))
    if rng.random() < 0.8:
        place.walls = _houses(rng, back)
    place.trees = _greenery(rng, (back - 6, back - 1), int(rng.integers(0, 6)))
    place.blocks = _clutter(rng, (-10, 10), (12, back - 4), int(rng.integers(0, 5)))
    place.walks = [((-14, 14), (6.5, back - 2))]
    if rng.random() < 0.5:
        z = uniform(rng, 10, back - 4)
        place.lanes = [((-40.0, z), (40.0, z)), ((40.0, z + 4), (-40.0, z + 4))]
    for _ in range(int(rng.integers(0, 4))):
        state = State(uniform(rng, -12, 12), uniform(rng, 11, back - 3), uniform(rng, -math.pi, math.pi), 0.0, 0.0)
        place.parked.append((random_vehicle(rng, lights=False), state))
    return place


def _room(rng: Rng) -> Place:
    """A hall or a shop seen from its ceiling: close people, shelves, no vehicles."""
    back = uniform(rng, 9, 18)
    place = Place(ground=[Patch(-60, 60, 0, 60, _ground(rng, "paving", "paving", "asphalt"))])
    place.walls = [Wall((-40, 0, back), (1, 0), (80, 5), _wall(rng))]
    for _ in range(int(rng.integers(0, 6))):
        x, z = uniform(rng, -5, 5), uniform(rng, 5, back - 1)
        wide, high = uniform(rng, 0.8, 3.5), uniform(rng, 0.7, 1.8)
        side = ribbed(tone(rng, (80, 190), spread=30), uniform(rng, 0.2, 0.5), upright=rng.random() < 0.3)
        place.blocks.append(Block(x - wide / 2, x + wide / 2, z, z + 0.6, high, side, plain(tone(rng, (90, 200)))))
    place.walks = [((-6, 6), (2.5, back - 0.8))]
    return place


PLACES: dict[str, Callable[[Rng], Place]] = {"street": _street, "road": _road, "square": _square, "room": _room}
