from __future__ import annotations

from typing import cast

import cv2
import numpy as np
import pytest

from engine.errors import UsageError
from engine.picture import Pixels
from training.augment.incidents import INCIDENTS, apply_incident, moved_px

STRENGTHS = (0.0, 0.25, 0.5, 0.75, 1.0)
NAMES = list(INCIDENTS)


def street(width: int = 320, height: int = 180) -> Pixels:
    rng = np.random.default_rng(7)
    return cast(Pixels, cv2.resize(rng.integers(60, 200, (9, 16, 3), np.uint8), (width, height)))


def at(name: str, strength: float, bgr: Pixels | None = None, seed: int = 3) -> Pixels:
    return apply_incident(name, street() if bgr is None else bgr, strength, np.random.default_rng(0), scene=seed)


@pytest.mark.parametrize("name", NAMES)
def test_strength_zero_changes_no_pixel(name: str) -> None:
    assert np.array_equal(at(name, 0.0), street())


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("seed", range(4))
def test_a_picture_is_changed_more_by_more_strength(name: str, seed: int) -> None:
    distances = [float(cv2.absdiff(at(name, strength, seed=seed), street()).mean()) for strength in STRENGTHS]

    assert distances == sorted(set(distances))
    assert distances[-1] > 5


@pytest.mark.parametrize("name", NAMES)
def test_the_same_scene_gives_the_same_pixels_and_another_gives_others(name: str) -> None:
    assert np.array_equal(at(name, 0.6), at(name, 0.6))
    assert not np.array_equal(at(name, 0.6, seed=3), at(name, 0.6, seed=4))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("shape_hw", [(1, 1), (3, 2), (5, 7), (97, 33), (33, 301)])
def test_any_size_comes_back_as_it_was(name: str, shape_hw: tuple[int, int]) -> None:
    bgr = np.random.default_rng(0).integers(0, 256, (*shape_hw, 3), np.uint8)
    before = bgr.copy()

    changed = at(name, 1.0, bgr)

    assert changed.shape == (*shape_hw, 3)
    assert changed.dtype == np.uint8
    assert changed.flags.c_contiguous
    assert np.array_equal(bgr, before), "the picture itself was written to"


@pytest.mark.parametrize("seed", range(6))
def test_a_cover_hides_sixty_percent_at_half_strength_and_all_at_full(seed: int) -> None:
    dots = np.zeros((180, 320, 3), np.uint8)
    dots[::6, ::6] = 255

    def shown(strength: float) -> float:
        """Share of the dots that can still be told from what is beside them."""
        bgr = at("covered", strength, dots, seed)[..., 0].astype(int)
        return float((bgr[:-6:6, :-6:6] - bgr[3:-3:6, 3:-3:6] > 64).mean())

    assert shown(0.5) == pytest.approx(0.4, abs=0.06)
    assert shown(1.0) == 0


def test_most_covers_are_dark_and_some_are_bright() -> None:
    levels = [at("covered", 1.0, seed=seed).mean() for seed in range(40)]

    assert 25 <= sum(level < 50 for level in levels) < 40


@pytest.mark.parametrize("seed", range(8))
def test_the_view_is_shifted_by_what_is_said(seed: int) -> None:
    dot = np.zeros((360, 640, 3), np.uint8)
    dot[176:184, 316:324] = 255

    moved = at("moved", 0.5, dot, seed)[..., 0].astype(float)

    y, x = np.mgrid[:360, :640]
    found = (moved * x).sum() / moved.sum() - 319.5, (moved * y).sum() / moved.sum() - 179.5
    expected = moved_px(640, 0.5, np.random.default_rng(seed))
    assert found == pytest.approx(expected, abs=0.6)
    assert np.hypot(*expected) == pytest.approx(0.03 * 640)


def test_nothing_black_comes_in_at_the_border() -> None:
    white = np.full((90, 160, 3), 255, np.uint8)

    assert all((at("moved", 1.0, white, seed) == 255).all() for seed in range(8))


def test_an_unknown_incident_is_named_with_its_neighbour() -> None:
    with pytest.raises(UsageError, match=r"unknown incident 'mowed' \(did you mean 'moved'\?\)"):
        at("mowed", 0.5)


@pytest.mark.parametrize("strength", [-0.1, 1.1, float("nan")])
def test_a_strength_out_of_range_is_refused(strength: float) -> None:
    with pytest.raises(ValueError, match="strength: must be from 0 to 1, got"):
        at("covered", strength)
