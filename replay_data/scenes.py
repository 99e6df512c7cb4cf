"""The four scenes: camera, light, scenery, who comes by and when, and the lines and zones that are counted.

Routes are in metres on the ground (see `world.py`); lines and zones are in fractions of the frame and are the one
source for truth and for `site.yaml`. Scenery never moves: parked cars here are background, not objects.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from backdrop import (
    Block,
    Patch,
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
from figures import Colour, Cyclist, Person, Sun
from paint import Light, StreetLamp
from vehicles import Vehicle
from world import SIZE_WH, Point, Route, State, Stop, View

FPS = 12.5
Actor = tuple[Person | Cyclist | Vehicle, Route]


@dataclass(frozen=True)
class Line:
    """A directed counting line a to b; crossing from its negative to its positive side is "in"."""

    name: str
    a: Point
    b: Point


@dataclass(frozen=True)
class Zone:
    """A polygon; whoever stays inside for `dwell_s` has dwelled."""

    name: str
    polygon: tuple[Point, ...]
    dwell_s: float


@dataclass(frozen=True)
class Scene:
    """Everything about one camera. An actor's track id is its place in `actors`, counted from 1."""

    name: str
    view: View
    light: Light
    duration_s: float
    seed: int
    crf: float
    ground: tuple[Patch, ...]
    actors: tuple[Actor, ...]
    walls: tuple[Wall, ...] = ()
    blocks: tuple[Block, ...] = ()
    trees: tuple[Tree, ...] = ()
    parked: tuple[tuple[Vehicle, State], ...] = ()
    signs: tuple[Wall, ...] = ()
    lines: tuple[Line, ...] = ()
    zones: tuple[Zone, ...] = ()
    sky: Colour = (222, 205, 188)

    @property
    def num_frames(self) -> int:
        """Frames in the clip."""
        return round(self.duration_s * FPS)


def on_ground(view: View, *points: Point) -> tuple[Point, ...]:
    """See ground points as fractions of the frame, three decimals: what the configuration will say."""
    seen = view.project(np.array([(x, 0.0, z) for x, z in points]))
    return tuple((round(float(x) / SIZE_WH[0], 3), round(float(y) / SIZE_WH[1], 3)) for x, y, _ in seen)


SHADE = plain((30, 30, 34))
EAST, WEST = math.pi / 2, -math.pi / 2

WHITE, BLACK, TEAL, SLATE = (214, 218, 220), (44, 42, 42), (150, 170, 70), (52, 44, 44)
RED, NAVY, BLUE, GREEN = (52, 48, 176), (96, 58, 38), (176, 112, 52), (70, 112, 52)
SAND, YELLOW, OLIVE, WINE = (140, 178, 200), (60, 186, 226), (62, 92, 92), (62, 40, 104)
DENIM, BLOND, AUBURN = (118, 84, 56), (96, 150, 190), (46, 66, 118)
DARK_SKIN, FAIR_SKIN = (66, 92, 136), (168, 190, 226)

ALEX = Person(RED, DENIM, 1.78)
BRIT = Person(TEAL, SLATE, 1.68, hair=BLOND, skin=FAIR_SKIN, backpack=GREEN)
CARO = Person(SAND, BLACK, 1.70, hair=AUBURN, skin=FAIR_SKIN, coat=0.55, bag=WINE)
DREW = Person(WHITE, NAVY, 1.84, skin=DARK_SKIN)
EMRE = Person(BLACK, DENIM, 1.76, bag=(70, 90, 120))
FAYE = Person(YELLOW, DENIM, 1.66, hair=BLOND)
GUST = Person(GREEN, SAND, 1.80, hat=NAVY)
HANA = Person(WINE, BLACK, 1.64, hair=(24, 26, 30), coat=0.75)
IVAN = Person(BLUE, BLACK, 1.86, backpack=BLACK)
JUNE = Person(WHITE, RED, 1.67, hair=AUBURN, coat=0.35, skin=FAIR_SKIN)
KOFI = Person(OLIVE, SAND, 1.79, skin=DARK_SKIN, hair=(22, 22, 26))
LENA = Person((150, 96, 170), NAVY, 1.69, hair=BLOND, bag=BLACK)
WORKER = Person((40, 140, 250), NAVY, 1.80, hat=(50, 200, 240))
WORKER_2 = Person((60, 220, 220), (70, 66, 60), 1.75, hat=WHITE, skin=DARK_SKIN)


def gate() -> Scene:
    """People pass a gate in a garden wall, both ways; the camera looks from the courtyard to the street."""
    wall, coping = bricks((84, 104, 152), 3), plain((168, 174, 178))
    slabs = paving((146, 152, 158), (0.9, 0.6), 1)
    border = plain((176, 180, 182))
    view = View(focal_px=640, height_m=5.8, pitch_deg=15.5)
    a, b = on_ground(view, (-3.3, 15.0), (3.7, 15.0))
    return Scene(
        name="gate",
        view=view,
        light=Light(noise=1.7),
        duration_s=28.0,
        seed=101,
        crf=25,
        ground=(
            Patch(-60, 60, 0, 16.3, grass(seed=2)),
            Patch(-4.4, 4.8, 0, 17, slabs),
            Patch(-4.55, -4.4, 0, 16, border),
            Patch(4.8, 4.95, 0, 16, border),
            Patch(-60, 60, 16.3, 20.5, paving((158, 160, 162), (0.5, 0.5), 4)),
            Patch(-60, 60, 20.5, 20.7, border),
            Patch(-60, 60, 20.7, 27.0, asphalt(seed=5)),
            Patch(-60, 60, 23.8, 23.95, plain((215, 220, 220)), worn=0.3),
            Patch(-60, 60, 27.0, 27.2, border),
            Patch(-60, 60, 27.2, 31, paving((150, 154, 158), (0.5, 0.5), 6)),
            Patch(-60, -3.0, 16.0, 17.6, SHADE, alpha=0.35, soft_m=0.7),
            Patch(3.4, 60, 16.0, 17.6, SHADE, alpha=0.35, soft_m=0.7),
            Patch(-60, 60, 29.6, 31, SHADE, alpha=0.4, soft_m=0.8),
        ),
        walls=(
            Wall((-39.4, 0, 31), (1, 0), (31, 12), facade(plaster((168, 196, 208), 3), (3.1, 3.4), (1.2, 1.7), 0.9, 3)),
            Wall((-8.4, 0, 31), (1, 0), (15, 12), facade(bricks((78, 98, 140), 5), (3.0, 3.5), (1.4, 1.8), 1.0, 8)),
            Wall((6.6, 0, 31), (1, 0), (33, 12), facade(plaster((182, 178, 160), 9), (3.3, 3.4), (1.3, 1.6), 1.0, 4)),
        ),
        blocks=(
            Block(-40, -3.4, 16.0, 16.35, 2.0, wall, coping),
            Block(3.8, 40, 16.0, 16.35, 2.0, wall, coping),
            Block(-3.7, -3.0, 15.85, 16.5, 2.45, wall, coping),
            Block(3.4, 4.1, 15.85, 16.5, 2.45, wall, coping),
            Block(-40, -5.6, 13.6, 14.6, 0.75, leaves(seed=1), leaves((52, 108, 84), 2)),
            Block(6.2, 40, 13.6, 14.6, 0.75, leaves(seed=3), leaves((52, 108, 84), 4)),
        ),
        trees=(Tree(-10.9, 30.4, 2.4, 1.9), Tree(10.4, 30.4, 2.3, 2.0, (50, 104, 92))),
        lines=(Line("entrance", a, b),),
        actors=(
            (DREW, Route(((0.9, 9.0), (1.2, 13.0), (0.7, 18.0), (1.0, 26.8), (8.0, 28.6), (25.0, 28.6)), 1.35, -1.5)),
            (CARO, Route(((-9.0, 17.4), (-2.6, 17.4), (-1.4, 15.2), (-1.6, 11.0), (-2.2, 7.0)), 1.25, -4.5)),
            (IVAN, Route(((2.4, 27.8), (2.0, 20.0), (1.6, 15.0), (1.4, 11.0), (1.0, 7.0)), 1.4, -1.0)),
            (FAYE, Route(((-3.4, 7.0), (-2.9, 11.0), (-1.9, 15.0), (-0.2, 17.6), (2.5, 17.8), (10.0, 17.8)), 1.3, 3.4)),
            # Close to the line and back again: looks through the gate for someone, then returns. Never counted.
            (LENA, Route(((3.0, 7.0), (2.4, 11.0), (1.9, 13.2), (2.2, 13.9), (2.8, 13.4), (3.6, 11.0), (4.4, 7.0)),
                         1.2, 9.2, (Stop((2.2, 13.6), 1.6),))),
            (EMRE, Route(((9.0, 17.4), (2.8, 17.4), (0.6, 15.2), (-0.8, 11.5), (-1.6, 7.0)), 1.35, 4.6)),
            # Two who come in side by side.
            (JUNE, Route(((-10.0, 17.2), (-2.2, 17.3), (-0.5, 15.2), (0.0, 11.0), (0.2, 7.0)), 1.2, 8.6)),
            (KOFI, Route(((-10.9, 17.5), (-2.6, 17.6), (-1.5, 15.2), (-1.2, 11.0), (-1.2, 7.0)), 1.22, 8.8)),
            # The next two meet in front of the gate: one walks through behind the other.
            (BRIT, Route(((3.8, 7.0), (2.6, 10.5), (0.9, 13.6), (0.2, 15.5), (-2.0, 17.8), (-10.0, 17.8)), 1.35, 14.4)),
            (GUST, Route(((1.4, 28.6), (1.5, 21.0), (1.2, 16.0), (1.3, 13.0), (2.2, 10.0), (2.6, 7.0)), 1.35, 10.6)),
            (HANA, Route(((9.0, 17.0), (3.0, 17.1), (2.2, 15.2), (2.7, 11.0), (3.0, 7.0)), 1.15, 14.8)),
            (ALEX, Route(((-3.4, 7.0), (-2.8, 11.0), (-1.0, 15.5), (0.0, 20.0), (-0.6, 28.0), (-12, 28.6)), 1.45, 18)),
            (EMRE, Route(((-10.0, 17.0), (-2.0, 17.0), (-1.3, 15.2), (-1.4, 11.0), (-2.0, 7.0)), 1.3, 19.4)),
        ),
    )  # fmt: skip


def street() -> Scene:
    """A two-lane street seen from a first floor; the near lane drives right. A car stops in the bay and leaves."""
    view = View(focal_px=590, height_m=7.0, pitch_deg=17.5, yaw_deg=-9.0)
    near, far = 18.0, 21.3
    a, b = on_ground(view, (-2.9, 15.1), (-3.4, 22.7))
    kerb, slab = plain((184, 186, 186)), (150, 154, 158)
    dashes = tuple(Patch(x, x + 2.0, 19.50, 19.64, plain((218, 222, 222)), worn=0.25) for x in range(-42, 40, 5))
    chalk = plain((210, 214, 214))
    stalls = tuple(Patch(x, x + 0.1, 15.1, 16.7, chalk, worn=0.3) for x in (-12.5, -6.9, -1.3, 4.3, 9.9))
    signs = tuple(
        Wall((x, 2.55, 25.19), (1, 0), (3.6, 0.5), plain(bgr))
        for x, bgr in ((-15.8, (60, 60, 150)), (-11.8, (96, 110, 60)), (-3.8, (70, 160, 190)), (0.2, (120, 70, 90)))
    )
    shop = Block(-60, 60, 25.2, 26.0, 3.2, facade(plain((96, 84, 74)), (4.0, 9), (3.2, 2.1), 0.5, 12, (60, 58, 56)),
                 plain((150, 148, 146)))  # fmt: skip
    return Scene(
        name="street",
        view=view,
        light=Light(noise=1.7),
        duration_s=30.0,
        seed=202,
        crf=27,
        ground=(
            Patch(-99, 99, 0, 12.2, grass(seed=7)),
            Patch(-99, 99, 12.2, 15.0, paving(slab, (0.6, 0.4), 1)),
            Patch(-99, 99, 16.1, 23.0, asphalt(seed=1)),
            Patch(-99, -12.5, 14.9, 16.2, paving(slab, (0.6, 0.4), 1)),
            Patch(9.9, 99, 14.9, 16.2, paving(slab, (0.6, 0.4), 1)),
            Patch(-12.5, 9.9, 15.0, 16.2, asphalt((84, 82, 81), 3)),
            Patch(-99, -12.5, 16.1, 16.28, kerb),
            Patch(9.9, 99, 16.1, 16.28, kerb),
            Patch(-12.5, 9.9, 14.86, 15.0, kerb),
            Patch(-99, 99, 17.0, 17.4, plain((66, 66, 66)), alpha=0.20, soft_m=0.5),
            Patch(-99, 99, 18.5, 18.9, plain((66, 66, 66)), alpha=0.20, soft_m=0.5),
            Patch(-99, 99, 20.3, 20.7, plain((66, 66, 66)), alpha=0.20, soft_m=0.5),
            Patch(-99, 99, 21.8, 22.2, plain((66, 66, 66)), alpha=0.20, soft_m=0.5),
            Patch(-99, 99, 22.9, 23.08, kerb),
            Patch(-99, 99, 23.08, 25.3, paving((156, 158, 160), (0.5, 0.5), 2)),
            Patch(-99, 99, 24.6, 25.4, SHADE, alpha=0.35, soft_m=0.6),
            Patch(-6.2, -5.5, 20.6, 21.3, plain((58, 58, 60)), soft_m=0.1),
            *dashes,
            *stalls,
        ),
        walls=(
            Wall((-70, 0, 26), (1, 0), (52, 14), facade(bricks((74, 94, 140), 1), (3.0, 3.2), (1.3, 1.7), 4.2, 2)),
            Wall((-18, 0, 26), (1, 0), (14, 14), facade(plaster((176, 200, 212), 4), (2.8, 3.3), (1.2, 1.8), 4.3, 6)),
            Wall((-4, 0, 26), (1, 0), (12, 14), facade(bricks((92, 104, 126), 7), (3.0, 3.2), (1.5, 1.7), 4.2, 9)),
            Wall((8, 0, 26), (1, 0), (60, 14), facade(plaster((150, 176, 170), 6), (3.2, 3.2), (1.3, 1.7), 4.2, 3)),
        ),
        blocks=(shop,),
        signs=signs,
        parked=((Vehicle("hatch", (92, 128, 60)), State(-9.9, 15.75, EAST, 0.4, 0.0)),),
        lines=(Line("road", a, b),),
        actors=(
            (Vehicle("estate", (176, 96, 40)), Route(((-24, near), (24, near)), 7.5, -0.4)),
            (JUNE, Route(((9.0, 14.0), (-20.0, 14.0)), 1.35, -4.0)),
            (Vehicle("sedan", (52, 44, 168)), Route(((26, far), (-34, far)), 7.0, -0.6)),
            (Vehicle("van", (222, 226, 228)), Route(((-28, near), (26, near)), 6.5, 2.8)),
            (Cyclist(Person(YELLOW, DENIM, 1.74)), Route(((24, far + 0.5), (-34, far + 0.5)), 4.6, 3.0)),
            # Pulls into the bay, waits, and leaves again while others drive past behind it.
            (Vehicle("sedan", (196, 196, 198)), Route(
                ((-30, near), (-7, near), (-2.6, near), (-0.4, 16.6), (1.4, 15.5), (4.0, 15.9), (7.6, 17.6), (11, near),
                 (28, near)), 5.6, 5.6, (Stop((1.5, 15.7), 8.0),))),
            (ALEX, Route(((-16.0, 24.1), (16.0, 24.1)), 1.4, 2.0)),
            (Vehicle("hatch", (60, 170, 214)), Route(((27, far), (-35, far)), 7.5, 10.4)),
            (Vehicle("truck", (150, 84, 36)), Route(((-32, near + 0.3), (28, near + 0.3)), 6.2, 11.4)),
            (BRIT, Route(((-12.0, 13.1), (12.0, 13.1)), 1.3, 11.0)),
            (Vehicle("estate", (66, 62, 60)), Route(((27, far), (-35, far)), 7.0, 17.4)),
            (Cyclist(Person(RED, BLACK, hair=BLOND), (160, 110, 40)), Route(((-22, near), (24, near)), 4.8, 18.6)),
            (GUST, Route(((14.0, 24.7), (-18.0, 24.75)), 1.35, 14.6)),
            (Vehicle("van", (58, 52, 150)), Route(((27, far), (-36, far)), 6.8, 22.4)),
            (Vehicle("hatch", (206, 206, 208)), Route(((-32, near), (26, near)), 7.2, 24.2)),
            (Vehicle("sedan", (120, 92, 34)), Route(((27, far), (-36, far)), 7.2, 26.6)),
        ),
    )  # fmt: skip


def yard() -> Scene:
    """A works yard with a marked loading area; people stop in it, and pass behind a parked van and a column."""
    view = View(focal_px=620, height_m=6.2, pitch_deg=18.5, yaw_deg=3.0)
    x0, x1, z0, z1 = -0.7, 4.8, 10.6, 14.6
    mark = plain((70, 190, 220))
    edges = (
        Patch(x0, x1, z0, z0 + 0.14, mark, worn=0.3), Patch(x0, x1, z1 - 0.14, z1, mark, worn=0.3),
        Patch(x0, x0 + 0.14, z0, z1, mark, worn=0.3), Patch(x1 - 0.14, x1, z0, z1, mark, worn=0.3),
    )  # fmt: skip
    steel, concrete = ribbed((128, 112, 92), 0.5, seed=2), plaster((168, 172, 174), 3)
    shutter = ribbed((186, 188, 188), 0.28, upright=False)
    crate = ribbed((92, 138, 168), 0.15, upright=False)
    return Scene(
        name="yard",
        view=view,
        light=Light(noise=1.8),
        duration_s=28.0,
        seed=303,
        crf=25,
        ground=(
            Patch(-99, 99, 0, 60, asphalt((126, 130, 132), 4)),
            Patch(-99, 99, 0, 60, paving((138, 142, 144), (5.0, 5.0), 5, 0.05, 0.02), alpha=0.65),
            Patch(1.8, 4.1, 15.2, 17.0, plain((60, 60, 62)), alpha=0.12, soft_m=1.0),
            Patch(-99, 99, 20.8, 22, SHADE, alpha=0.35, soft_m=1.0),
            Patch(-99, 99, 22.0, 40, SHADE, alpha=0.45, soft_m=0.6),
            *edges,
        ),
        walls=(Wall((-20, 0, 29), (1, 0), (40, 9), plaster((120, 126, 130), 5)),),
        blocks=(
            Block(-60, 0.0, 22.0, 22.3, 9.0, steel, concrete),
            Block(4.2, 60, 22.0, 22.3, 9.0, steel, concrete),
            Block(0.0, 4.2, 22.0, 22.3, 9.0, steel, concrete, low=4.0),
            Block(9.3, 12.0, 16.0, 21.5, 2.5, ribbed((74, 92, 168), 0.3, seed=5), ribbed((80, 98, 176), 0.3)),
            Block(-13, -9.2, 17.5, 21, 2.5, ribbed((132, 108, 48), 0.3, seed=6), ribbed((140, 112, 52), 0.3)),
            Block(6.9, 7.5, 14.6, 15.2, 6.0, concrete, concrete),
            Block(-6.9, -5.7, 19.9, 21.1, 0.9, crate, plain((104, 150, 180))),
            Block(-8.3, -7.1, 19.7, 20.9, 1.5, crate, plain((104, 150, 180))),
        ),
        signs=(
            Wall((-60, 0, 21.98), (1, 0), (60, 0.9), concrete),
            Wall((4.2, 0, 21.98), (1, 0), (60, 0.9), concrete),
            Wall((-6.6, 0, 21.97), (1, 0), (4.2, 4.0), shutter),
            Wall((7.4, 0, 21.97), (1, 0), (4.2, 4.0), shutter),
            Wall((5.2, 0, 21.96), (1, 0), (1.1, 2.1), plain((92, 70, 52))),
            Wall((-0.15, 0, 21.97), (1, 0), (0.15, 4.1), mark),
            Wall((4.2, 0, 21.97), (1, 0), (0.15, 4.1), mark),
            Wall((-60, 4.6, 21.97), (1, 0), (120, 0.5), plain((96, 78, 58))),
        ),
        parked=((Vehicle("van", (226, 228, 230)), State(-4.8, 14.6, WEST, 0.2, 0.0)),),
        zones=(Zone("loading", on_ground(view, (x0, z0), (x0, z1), (x1, z1), (x1, z0)), 5.0),),
        actors=(
            (WORKER, Route(((2.2, 19.5), (2.6, 15.0), (3.4, 12.0), (6.8, 9.8), (12.0, 8.8)), 1.2, -2.4,
                           (Stop((3.2, 12.2), 6.2),))),
            (ALEX, Route(((-3.6, 7.0), (-2.8, 9.5), (-1.55, 13.0), (-0.8, 17.0), (0.9, 20.0), (1.2, 23.0),
                          (-3.0, 24.5)), 1.3, -1.6)),
            # Behind the van, later behind the column.
            (HANA, Route(((-12.0, 16.8), (-1.4, 16.9), (3.0, 17.4), (8.3, 15.9), (9.8, 14.0), (14.0, 13.0)), 1.2, 0.2)),
            (BRIT, Route(((13.0, 12.4), (8.0, 11.9), (4.0, 11.3), (-1.6, 10.9), (-9.0, 10.2)), 1.5, 7.8)),
            (WORKER_2, Route(((6.0, 24.6), (2.8, 23.6), (2.2, 17.0), (1.7, 12.6), (1.9, 10.0), (2.2, 6.5)), 1.25, 2.0,
                             (Stop((1.7, 12.6), 6.2),))),
            # Out of the hall and behind the van.
            (DREW, Route(((7.0, 24.6), (3.3, 23.4), (2.6, 19.5), (-1.6, 17.0), (-12.0, 16.8)), 1.35, 10.6)),
            (FAYE, Route(((13.5, 14.4), (9.0, 15.6), (5.5, 15.9), (3.3, 18.0), (3.1, 22.5), (7.0, 24.8)), 1.35, 15.8)),
            # Two who walk across the area together, one half hidden by the other.
            (GUST, Route(((-9.0, 11.6), (-2.0, 11.9), (3.0, 12.1), (9.0, 12.8), (14.0, 13.2)), 1.5, 14.6)),
            (LENA, Route(((-9.4, 12.5), (-2.4, 12.8), (2.6, 13.0), (8.6, 13.7), (14.0, 14.1)), 1.5, 14.6)),
            (IVAN, Route(((0.6, 6.0), (0.5, 9.5), (1.2, 13.0), (2.0, 17.0), (2.0, 22.5), (-3.0, 24.5)), 1.4, 19.8)),
            (CARO, Route(((12.0, 9.6), (7.5, 10.2), (4.2, 11.2), (2.0, 11.6), (-6.0, 12.0)), 1.2, 14.0,
                         (Stop((3.9, 11.2), 20.0),))),
        ),
    )  # fmt: skip


def dusk() -> Scene:
    """A street after sunset: headlights, lamps, lit windows, more noise; people wait at a stop and cross the road."""
    view = View(focal_px=575, height_m=6.4, pitch_deg=15.8, yaw_deg=-31.0)
    near, far = 18.8, 21.9
    slab, kerb = (150, 152, 154), plain((176, 178, 178))
    lamps = tuple(StreetLamp((x, 5.0, z), p) for x, z, p in (
        (-2.4, 16.5, 9.0), (-17.0, 16.5, 9.0), (-32.0, 16.5, 9.0),
        (-9.0, 23.8, 7.0), (-25.0, 23.8, 7.0), (6.0, 23.8, 7.0),
    ))  # fmt: skip
    house = facade(bricks((80, 96, 132), 2), (3.0, 3.2), (1.3, 1.7), 4.2, 5, lit=0.28)
    plaster_house = facade(plaster((170, 190, 200), 4), (2.8, 3.2), (1.2, 1.7), 4.2, 7, lit=0.24)
    shop = facade(plain((90, 80, 72)), (4.4, 9), (3.4, 2.1), 0.6, 12, (64, 62, 60), lit=0.42)
    white = plain((214, 218, 218))
    dashes = tuple(Patch(x, x + 2.0, 20.03, 20.17, white, worn=0.25) for x in range(-67, 40, 5) if not -8 < x < -2)
    zebra = tuple(Patch(-6.6, -4.0, z, z + 0.5, white, worn=0.2) for z in (17.2, 18.2, 19.2, 20.2, 21.2, 22.2))
    post = plain((70, 72, 72))
    a, b = on_ground(view, (-11.5, 16.4), (-11.5, 23.3))
    return Scene(
        name="dusk",
        view=view,
        light=Light(Sun((-0.2, 1.0, 0.2), 0.14), (0.50, 0.40, 0.36), 0.008, 3.8, lamps),
        duration_s=28.0,
        seed=404,
        crf=27.5,
        sky=(150, 110, 92),
        ground=(
            Patch(-150, 99, 0, 12.0, grass((58, 96, 80), 7)),
            Patch(-150, 99, 12.0, 16.8, paving(slab, (0.6, 0.4), 1)),
            Patch(-150, 99, 16.8, 23.4, asphalt((86, 85, 84), 1)),
            Patch(-150, 99, 16.7, 16.9, kerb),
            Patch(-150, 99, 23.3, 23.5, kerb),
            Patch(-150, 99, 23.5, 26.4, paving((154, 156, 158), (0.5, 0.5), 2)),
            Patch(-150, 99, 25.6, 26.5, SHADE, alpha=0.35, soft_m=0.6),
            Patch(-13.0, -8.4, 12.6, 12.75, plain((60, 170, 200))),
            Patch(-13.0, -8.4, 15.6, 15.75, plain((60, 170, 200))),
            *dashes,
            *zebra,
        ),
        walls=(
            Wall((-82, 0, 26.4), (1, 0), (60, 14), house),
            Wall((-22, 0, 26.4), (1, 0), (14, 14), plaster_house),
            Wall((-8, 0, 26.4), (1, 0), (18, 14), house),
            Wall((-83.6, 0, 26.35), (1, 0), (92.4, 3.3), shop),
        ),
        blocks=(
            *(Block(x - 0.06, x + 0.06, 16.44, 16.56, 5.0, post, post) for x in (-2.4, -17.0, -32.0)),
            Block(-12.2, -9.6, 12.2, 12.6, 0.45, plain((60, 84, 112)), plain((70, 96, 126))),
            Block(-60, 8, 10.2, 11.3, 0.7, leaves(seed=1), leaves((52, 108, 84), 2)),
        ),
        lines=(Line("road", a, b),),
        zones=(Zone("stop", on_ground(view, (-13.0, 12.7), (-13.0, 15.7), (-8.4, 15.7), (-8.4, 12.7)), 5.0),),
        actors=(
            (Vehicle("sedan", (150, 150, 152), lights=True), Route(((-40, near), (8, near)), 7.0, -1.5)),
            # Comes to the stop, waits seven seconds, and walks on.
            (FAYE, Route(((-24.0, 14.2), (-14.0, 14.0), (-11.4, 13.5), (-9.0, 14.6), (-4.0, 14.9), (6.0, 15.0)),
                         1.25, -6.8, (Stop((-11.4, 13.6), 7.0),))),
            (DREW, Route(((-26.0, 14.9), (-13.0, 14.8), (4.0, 14.0)), 1.4, -3.6)),
            (Vehicle("hatch", (60, 150, 190), lights=True), Route(((6, far), (-60, far)), 7.2, 1.0)),
            (GUST, Route(((6.0, 25.4), (-3.0, 25.2), (-4.4, 23.4), (-4.7, 17.0), (-3.0, 15.6), (6, 15.4)), 1.35, 18.4)),
            (Vehicle("van", (200, 204, 206), lights=True), Route(((-42, near), (8, near)), 7.0, 3.6)),
            (Vehicle("estate", (140, 80, 40), lights=True), Route(((6, far), (-60, far)), 7.4, 7.6)),
            # Over the zebra, both ways, while no car comes.
            (JUNE, Route(((2.0, 15.0), (-3.2, 15.2), (-4.5, 17.0), (-4.6, 23.0), (-3.6, 24.4), (8, 24.3)), 1.35, 6.8)),
            (LENA, Route(((6.0, 24.2), (-4.6, 24.2), (-5.8, 23.0), (-6.0, 17.0), (-7.4, 14.8), (-26, 14.8)), 1.3, 6.2)),
            (Cyclist(Person(YELLOW, DENIM, 1.74)), Route(((-40, near - 0.6), (8, near - 0.6)), 4.6, 8.4)),
            # Waits at the stop, leaves the way they came.
            (CARO, Route(((2.0, 13.4), (-7.0, 13.4), (-9.9, 13.7), (-9.0, 14.4), (-6.0, 14.3), (4.0, 13.8)), 1.3, 9.4,
                         (Stop((-9.8, 13.8), 6.6),))),
            (Vehicle("hatch", (190, 190, 192), lights=True), Route(((-42, near), (8, near)), 7.2, 16.2)),
            (Vehicle("sedan", (60, 52, 150), lights=True), Route(((6, far), (-60, far)), 7.0, 18.6)),
            (Vehicle("truck", (150, 84, 36), lights=True), Route(((-44, near), (8, near)), 6.6, 20.4)),
            (Vehicle("estate", (70, 66, 62), lights=True), Route(((6, far), (-60, far)), 7.4, 24.6)),
            (ALEX, Route(((-28.0, 13.8), (-14.0, 13.6), (-10.6, 13.5), (-4.0, 13.4)), 1.35, 14.0,
                         (Stop((-10.8, 13.5), 20.0),))),
        ),
    )  # fmt: skip


SCENES: dict[str, Callable[[], Scene]] = {"gate": gate, "street": street, "yard": yard, "dusk": dusk}
