from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import pytest

from engine.errors import UsageError
from engine.picture import Pixels
from training.augment.conditions import CONDITIONS, apply_condition

STRENGTHS = (0.0, 0.25, 0.5, 0.75, 1.0)
NAMES = list(CONDITIONS)


def street(width: int = 208, height: int = 160) -> Pixels:
    """Large shapes, fine texture, black and white: something for every condition to act on."""
    rng = np.random.default_rng(7)
    coarse = cv2.resize(rng.integers(30, 226, (6, 8, 3), np.uint8), (width, height), interpolation=cv2.INTER_NEAREST)
    texture = cv2.resize(rng.integers(-25, 26, (height // 2 + 1, width // 2 + 1, 1), np.int16), (width, height))
    bgr: Pixels = np.clip(coarse.astype(np.int16) + texture[..., None], 0, 255).astype(np.uint8)
    return bgr


def at(name: str, strength: float, bgr: Pixels | None = None, seed: int = 3) -> Pixels:
    return apply_condition(name, street() if bgr is None else bgr, strength, np.random.default_rng(seed))


def brightness(bgr: Pixels) -> float:
    return float(bgr.mean())


def contrast(bgr: Pixels) -> float:
    return float(bgr.std())


def sharpness(bgr: Pixels) -> float:
    return float(cv2.Laplacian(cv2.cvtColor(bgr, cv2.COLOR_BGR2GRAY), cv2.CV_64F).var())


def saturation(bgr: Pixels) -> float:
    return float(np.ptp(bgr.astype(np.int16), axis=2).mean())


def grain(bgr: Pixels) -> float:
    """What a median filter takes away."""
    return float(cv2.absdiff(bgr, cv2.medianBlur(bgr, 3)).mean())


def blockiness(bgr: Pixels) -> float:
    """How much larger steps are between the coder's blocks than inside of them."""
    steps = np.abs(np.diff(bgr.astype(np.int16), axis=1)).mean(axis=(0, 2))
    return float(steps[7::8].mean() / steps[3::8].mean())


def clipped(bgr: Pixels) -> float:
    """Share of the picture that is white."""
    return float((bgr == 255).all(axis=2).mean())


def cast(bgr: Pixels) -> float:
    """How far the mean colour is from that of the clean picture, in levels of Cb and Cr."""
    before, after = (cv2.cvtColor(p, cv2.COLOR_BGR2YCrCb).mean(axis=(0, 1))[1:] for p in (street(), bgr))
    return float(np.hypot(*(after - before)))


def distance_from_clean(bgr: Pixels) -> float:
    return float(cv2.absdiff(bgr, street()).mean())


@pytest.mark.parametrize("name", NAMES)
def test_strength_zero_changes_no_pixel(name: str) -> None:
    assert np.array_equal(at(name, 0.0), street())


@pytest.mark.parametrize("name", NAMES)
def test_a_picture_is_changed_more_by_more_strength(name: str) -> None:
    distances = [distance_from_clean(at(name, strength)) for strength in STRENGTHS]

    assert distances == sorted(set(distances))
    assert distances[-1] > 2


@pytest.mark.parametrize(
    ("name", "measure", "grows"),
    [
        ("night", brightness, False),
        ("night", saturation, False),
        ("dusk", brightness, False),
        ("dusk", contrast, False),
        ("fog", contrast, False),
        ("fog", brightness, True),
        ("rain", saturation, False),
        ("defocus", sharpness, False),
        ("motion_blur", sharpness, False),
        ("camera_shake", sharpness, False),
        ("overexposed", brightness, True),
        ("overexposed", clipped, True),
        ("sensor_noise", grain, True),
        ("color_cast", cast, True),
        ("compression", blockiness, True),
    ],
)
def test_a_condition_does_steadily_what_it_is_named_for(
    name: str, measure: Callable[[Pixels], float], grows: bool
) -> None:
    figures = [measure(at(name, strength)) for strength in STRENGTHS]

    assert figures == sorted(set(figures), reverse=not grows)


def test_night_adds_grain_to_a_plain_wall() -> None:
    wall = np.full((64, 96, 3), 120, np.uint8)

    assert 2 < grain(at("night", 0.5, wall)) < grain(at("night", 1.0, wall))


def test_night_leaves_lamps_brighter_against_the_street_than_day_does() -> None:
    scene = np.full((64, 64, 3), 80, np.uint8)
    scene[:, 32:] = 240
    dark = at("night", 0.5, scene)

    assert dark[:, 32:].mean() / dark[:, :32].mean() > 3.2


@pytest.mark.parametrize("seed", range(8))
def test_a_colour_cast_moves_grey_and_keeps_its_luma(seed: int) -> None:
    grey = np.full((40, 40, 3), 128, np.uint8)

    for strength, moved in ((0.5, 12), (1.0, 24)):
        luma, red, blue = cv2.cvtColor(at("color_cast", strength, grey, seed), cv2.COLOR_BGR2YCrCb)[0, 0].astype(int)
        assert abs(luma - 128) <= 1
        assert np.hypot(red - 128, blue - 128) == pytest.approx(moved, abs=1.5)


def test_overexposure_clips_what_was_bright_and_lifts_black() -> None:
    for level, expected in ((0, 10), (128, 207), (159, 255), (255, 255)):
        assert (at("overexposed", 0.5, np.full((8, 8, 3), level, np.uint8)) == expected).all()


def test_fog_is_thicker_at_the_top() -> None:
    foggy = at("fog", 0.5, stripes())[..., 0].astype(np.float64)
    loss = 160 - np.abs(np.diff(foggy, axis=1)).mean(axis=1)

    assert loss[:40].mean() > 1.5 * loss[-40:].mean()


def stripes() -> Pixels:
    bgr = np.zeros((160, 208, 3), np.uint8)
    bgr[:, ::2] = 160
    return bgr


@pytest.mark.parametrize("name", NAMES)
def test_the_same_random_state_gives_the_same_pixels(name: str) -> None:
    assert np.array_equal(at(name, 0.7), at(name, 0.7))


@pytest.mark.parametrize("name", [name for name in NAMES if name not in ("defocus", "overexposed", "compression")])
def test_another_random_state_gives_other_pixels(name: str) -> None:
    assert not np.array_equal(at(name, 0.7, seed=3), at(name, 0.7, seed=4))


@pytest.mark.parametrize(
    "name", ["lens_dirt", "fog", "dusk", "motion_blur", "defocus", "overexposed", "color_cast", "compression"]
)
def test_a_still_scene_stays_still_along_a_video(name: str) -> None:
    first, second = (apply_condition(name, street(), 0.8, np.random.default_rng(k), scene=5) for k in (1, 2))

    assert np.array_equal(first, second)


@pytest.mark.parametrize("name", ["night", "rain", "camera_shake", "sensor_noise"])
def test_what_changes_from_frame_to_frame_does_so_in_one_scene(name: str) -> None:
    first, second = (apply_condition(name, street(), 0.8, np.random.default_rng(k), scene=5) for k in (1, 2))

    assert not np.array_equal(first, second)


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


@pytest.mark.parametrize("name", NAMES)
def test_a_view_into_a_larger_picture_will_do(name: str) -> None:
    large = street()

    assert np.array_equal(at(name, 0.6, large[10:90, 20:150]), at(name, 0.6, large[10:90, 20:150].copy()))


@pytest.mark.parametrize("name", ["defocus", "motion_blur", "camera_shake"])
def test_blur_keeps_the_light_and_its_place(name: str) -> None:
    black = np.zeros((400, 400, 3), np.uint8)
    black[197:203, 197:203] = 255
    blurred = at(name, 1.0, black)[..., 0].astype(np.float64)
    y, x = np.mgrid[:400, :400]
    centre = (blurred * x).sum() / blurred.sum(), (blurred * y).sum() / blurred.sum()

    assert blurred.sum() == pytest.approx(255 * 36, rel=0.1)
    assert np.hypot(centre[0] - 199.5, centre[1] - 199.5) <= 0.01 * 400


def test_shake_moves_no_corner_further_than_a_hundredth_of_the_shorter_side() -> None:
    dots = np.zeros((360, 640, 3), np.uint8)
    at_xy = np.array([(12, 12), (627, 12), (12, 347), (627, 347)])
    for x, y in at_xy:
        dots[y - 2 : y + 3, x - 2 : x + 3] = 255
    for seed in range(20):
        shaken = at("camera_shake", 1.0, dots, seed)[..., 0].astype(np.float64)
        for x, y in at_xy:
            part = shaken[y - 12 : y + 13, x - 12 : x + 13]
            v, u = np.mgrid[-12:13, -12:13]
            moved = np.hypot((part * u).sum(), (part * v).sum()) / part.sum()
            assert moved <= 3.6


def test_dirt_lies_in_the_same_places_at_any_size() -> None:
    grey = np.full((120, 160, 3), 128, np.uint8)
    small = at("lens_dirt", 0.8, grey).astype(np.int16)
    large = cv2.resize(at("lens_dirt", 0.8, np.full((480, 640, 3), 128, np.uint8)), (160, 120)).astype(np.int16)

    assert np.ptp(small) > 60
    assert np.abs(small - large).max() <= 4


def test_an_unknown_condition_is_named_with_its_neighbour() -> None:
    with pytest.raises(UsageError, match=r"unknown condition 'nihgt' \(did you mean 'night'\?\)"):
        at("nihgt", 0.5)


@pytest.mark.parametrize("strength", [-0.1, 1.1, float("nan")])
def test_a_strength_out_of_range_is_refused(strength: float) -> None:
    with pytest.raises(ValueError, match="strength: must be from 0 to 1, got"):
        at("night", strength)
