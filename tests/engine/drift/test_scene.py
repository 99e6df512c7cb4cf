"""Scenes: moved, covered, dirty or only in another light."""

from __future__ import annotations

from typing import cast

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.drift.camera import LEAST_COVERED, LEAST_DETAIL, LEAST_DIRTY, LEAST_ELSEWHERE, LEAST_MOVED
from engine.drift.scene import CELL, Scene, SceneChange
from engine.picture import Pixels
from tests.engine.drift.painted_camera import grain, paint

WIDTH, HEIGHT = 160, 90


def scene(picture: Pixels, seed: int = 0, num: int = 12) -> Scene:
    rng = np.random.default_rng(seed)
    return Scene([grain(picture, rng) for _ in range(num)])


def change(then: Pixels, now: Pixels) -> SceneChange:
    return scene(then).change_to(scene(now, 1))


def assert_unchanged(found: SceneChange) -> None:
    assert found.shift_of_width == 0
    assert found.covered < LEAST_COVERED / 4
    assert found.elsewhere < LEAST_ELSEWHERE / 4
    assert found.dirty < LEAST_DIRTY / 2


@pytest.mark.parametrize("seed", range(5))
def test_the_same_view_has_not_changed(seed: int) -> None:
    found = change(paint(seed), paint(seed))
    assert_unchanged(found)
    assert abs(found.detail) < LEAST_DETAIL


@pytest.mark.parametrize("size_wh", [(160, 90), (90, 160), (160, 120), (120, 80), (160, 67)])
@pytest.mark.parametrize("at", [(5.0, 0.0), (-7.0, 2.0), (0.0, -4.0), (3.4, 1.7), (-20.5, 9.25)])
def test_a_shift_is_found_within_half_a_pixel(size_wh: tuple[int, int], at: tuple[float, float]) -> None:
    found = change(paint(3, size_wh), paint(3, size_wh, at)).shift
    assert found is not None
    # What the camera turns to the right moves to the left.
    assert (found[0] * size_wh[0], found[1] * size_wh[0]) == pytest.approx((-at[0], -at[1]), abs=0.5)


@settings(max_examples=15, deadline=None)
@given(st.floats(-25, 25), st.floats(-12, 12))
def test_any_shift_of_some_pixels_is_found(dx: float, dy: float) -> None:
    found = change(paint(1), paint(1, at=(dx, dy))).shift
    if abs(dx) < 1 and abs(dy) < 1:
        return
    assert found is not None
    assert (found[0] * WIDTH, found[1] * WIDTH) == pytest.approx((-dx, -dy), abs=0.5)


@pytest.mark.parametrize("size_wh", [(160, 90), (160, 120)])
@pytest.mark.parametrize("at", [(8.0, 0.0), (0.0, 8.0)])
def test_a_shift_is_measured_in_widths_of_the_picture(size_wh: tuple[int, int], at: tuple[float, float]) -> None:
    found = change(paint(3, size_wh), paint(3, size_wh, at))
    assert found.shift_of_width == pytest.approx(8 / WIDTH, abs=0.5 / WIDTH)
    assert found.shift_of_width > 2 * LEAST_MOVED


def test_a_shift_is_found_in_other_light() -> None:
    darker = (paint(2, at=(6.0, 3.0)) * 0.5 + 10).astype(np.uint8)
    found = change(paint(2), darker).shift
    assert found is not None
    assert (found[0] * WIDTH, found[1] * WIDTH) == pytest.approx((-6, -3), abs=0.5)


@pytest.mark.parametrize(("gain", "offset"), [(0.6, 0), (0.8, 30), (1.0, 25), (1.15, -10)])
def test_light_alone_neither_moves_covers_nor_soils(gain: float, offset: float) -> None:
    lit = np.clip(paint(0) * gain + offset, 0, 255).astype(np.uint8)
    assert_unchanged(change(paint(0), lit))


def test_another_view_is_elsewhere() -> None:
    found = change(paint(0), paint(1))
    assert found.shift is None
    assert found.elsewhere > LEAST_ELSEWHERE


@pytest.mark.parametrize("share", [0.4, 0.7, 1.0])
def test_a_part_that_is_covered_is_counted(share: float) -> None:
    now = paint(0)
    now[:, : round(WIDTH * share)] = 60
    found = change(paint(0), now)
    assert found.covered == pytest.approx(share, abs=0.15)
    assert found.covered > LEAST_COVERED
    assert found.shift is None


def test_a_shift_by_less_than_a_pixel_is_no_dirt() -> None:
    smooth = cast(Pixels, cv2.GaussianBlur(paint(0), (0, 0), 1.5))
    matrix = np.array([[1, 0, 0.6], [0, 1, -0.6]], np.float32)
    now = cast(Pixels, cv2.warpAffine(smooth, matrix, (WIDTH, HEIGHT), borderMode=cv2.BORDER_REPLICATE))
    assert change(smooth, now).dirty < LEAST_DIRTY / 2


def test_a_tinted_patch_is_dirt() -> None:
    now = paint(0).astype(np.float32)
    now[20:60, 30:100] = 0.7 * now[20:60, 30:100] + 50
    assert change(paint(0), now.astype(np.uint8)).dirty > 2 * LEAST_DIRTY


def test_dirt_is_seen_in_other_light() -> None:
    now = paint(0).astype(np.float32)
    now[20:60, 30:100] = 0.7 * now[20:60, 30:100] + 50
    assert change(paint(0), (now * 0.7).astype(np.uint8)).dirty > LEAST_DIRTY


def test_a_van_that_has_parked_is_no_dirt() -> None:
    street, now = np.full((HEIGHT, WIDTH), 120, np.uint8), paint(0)
    street[:40] = now[:40]
    with_van = street.copy()
    with_van[50:80, 40:90] = paint(9)[50:80, 40:90]
    assert change(street, with_van).dirty < LEAST_DIRTY


def test_people_are_not_part_of_a_scene() -> None:
    rng = np.random.default_rng(0)
    passing = []
    for x in range(0, 120, 10):
        picture = grain(paint(0), rng)
        picture[40:70, x : x + 12] = 20
        passing.append(picture)
    assert_unchanged(scene(paint(0)).change_to(Scene(passing)))


def test_all_softer_is_less_detail() -> None:
    now = cv2.GaussianBlur(paint(0), (0, 0), 1.5)
    assert change(paint(0), np.asarray(now, np.uint8)).detail < -LEAST_DETAIL


@pytest.mark.parametrize("level", [0, 128, 255])
def test_a_constant_picture_compares_with_itself_and_with_a_street(level: int) -> None:
    blank = np.full((HEIGHT, WIDTH), level, np.uint8)
    assert Scene([blank]).change_to(Scene([blank])) == SceneChange(None, 0.0, 0.0, 0.0, 0.0)
    assert change(paint(0), blank).covered > 2 * LEAST_COVERED
    assert change(blank, paint(0)).shift is None


@pytest.mark.parametrize("shape", [(CELL, CELL), (CELL, 160), (160, CELL), (7, 9)])
def test_a_picture_of_one_cell_is_enough(shape: tuple[int, int]) -> None:
    pictures = [np.random.default_rng(seed).integers(0, 255, shape, np.uint8) for seed in range(2)]
    found = Scene(pictures[:1]).change_to(Scene(pictures[1:]))
    assert np.isfinite([found.covered, found.elsewhere, found.dirty, found.detail]).all()


def test_a_scene_of_one_picture_is_that_picture() -> None:
    assert np.array_equal(Scene([paint(0)]).picture, paint(0))
    assert_unchanged(Scene([paint(0)]).change_to(scene(paint(0))))
