"""Looks drawn by lot: colours, people and vehicles of the training scenes."""

import math

import numpy as np
from figures import Colour, Person
from vehicles import Vehicle

Rng = np.random.Generator
Range = tuple[float, float]

PAINTS: tuple[Colour, ...] = (
    (226, 228, 230), (196, 196, 198), (120, 122, 124), (66, 62, 60), (34, 32, 32), (52, 44, 168), (96, 30, 26),
    (176, 96, 40), (70, 60, 52), (60, 100, 60), (60, 170, 214), (110, 150, 180),
)  # fmt: skip
SKINS: tuple[Colour, ...] = ((140, 170, 215), (168, 190, 226), (66, 92, 136), (90, 120, 170))
HAIRS: tuple[Colour, ...] = ((30, 38, 48), (24, 26, 30), (96, 150, 190), (46, 66, 118), (150, 152, 156))
SHELL_ODDS = {"sedan": 0.24, "hatch": 0.22, "estate": 0.18, "van": 0.14, "truck": 0.13, "bus": 0.09}


def uniform(rng: Rng, low: float, high: float) -> float:
    return float(rng.uniform(low, high))


def tone(rng: Rng, brightness: Range, tint: Colour = (0, 0, 0), spread: float = 14.0) -> Colour:
    """A colour near grey."""
    grey = uniform(rng, *brightness)
    b, g, r = (float(np.clip(grey + c + rng.normal(0, spread), 8, 245)) for c in tint)
    return b, g, r


def colour(rng: Rng) -> Colour:
    """A colour of clothes: often dark or grey, sometimes strong."""
    if rng.random() < 0.55:
        return tone(rng, (25, 210))
    b, g, r = (float(c) for c in rng.uniform(20, 230, 3))
    return b, g, r


def random_person(rng: Rng) -> Person:
    def maybe(chance: float) -> Colour | None:
        return colour(rng) if rng.random() < chance else None

    height_m = uniform(rng, 1.05, 1.45) if rng.random() < 0.07 else float(np.clip(rng.normal(1.73, 0.09), 1.5, 2.0))
    return Person(
        colour(rng), tone(rng, (25, 150), (15, 0, -10)), height_m, HAIRS[rng.integers(len(HAIRS))],
        SKINS[rng.integers(len(SKINS))], tone(rng, (25, 120)),
        coat=uniform(rng, 0.2, 0.85) if rng.random() < 0.3 else 0.0,
        backpack=maybe(0.2), bag=maybe(0.2), hat=maybe(0.15), phase=uniform(rng, 0, 2 * math.pi),
    )  # fmt: skip


def random_vehicle(rng: Rng, lights: bool) -> Vehicle:
    shell = str(rng.choice(list(SHELL_ODDS), p=list(SHELL_ODDS.values())))
    b, g, r = PAINTS[rng.integers(len(PAINTS))]
    gain = uniform(rng, 0.8, 1.1)
    return Vehicle(shell, (min(b * gain, 245), min(g * gain, 245), min(r * gain, 245)), tone(rng, (130, 225)), lights)
