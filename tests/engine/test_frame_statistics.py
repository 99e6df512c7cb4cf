from __future__ import annotations

import math
from typing import Any

import cv2
import numpy as np
import pytest

from engine.frame_statistics import FRAME_STATISTICS, THUMBNAIL_LENGTH, measure, measure_frame, measure_motion
from engine.picture import Picture, PixelFormat, Pixels
from tests.engine.plain_frame_statistics import average, measure_plainly, planes


def scene(size_wh: tuple[int, int] = (640, 360), seed: int = 0) -> Pixels:
    """A smooth coloured ground with sharp boxes, the same picture at every size."""
    rng = np.random.default_rng(seed)
    big = cv2.resize(rng.integers(40, 200, (9, 16, 3), np.uint8), (1280, 720), interpolation=cv2.INTER_CUBIC)
    for x, y, w, h in rng.integers((0, 0, 30, 30), (1200, 660, 160, 160), (40, 4)).tolist():
        big[y : y + h, x : x + w] = rng.integers(0, 255, 3)
    return np.asarray(cv2.resize(big, size_wh, interpolation=cv2.INTER_AREA), np.uint8)


def yuv(bgr: Pixels, full_range: bool = False) -> Picture:
    """The picture as a decoder would hand it over."""
    height, width = bgr.shape[:2]
    if full_range:
        y, cr, cb = cv2.split(np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2YCrCb), np.uint8))
        half = ((width + 1) // 2, (height + 1) // 2)
        chroma = [np.asarray(cv2.resize(plane, half, interpolation=cv2.INTER_AREA), np.uint8) for plane in (cb, cr)]
        return Picture((np.asarray(y, np.uint8), *chroma), "yuv420p", full_range=True)
    planes = np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2YUV_I420), np.uint8).reshape(-1)
    size, quarter = width * height, width * height // 4
    shape = (height // 2, width // 2)
    u, v = planes[size : size + quarter].reshape(shape), planes[size + quarter :].reshape(shape)
    return Picture((planes[:size].reshape(height, width), u, v), "yuv420p")


def of(bgr: Pixels) -> dict[str, float]:
    return measure_frame(Picture.from_bgr(bgr))


def with_noise(bgr: Pixels, sigma: float) -> Pixels:
    grain = np.random.default_rng(1).normal(0, sigma, bgr.shape[:2])
    return np.clip(bgr + grain[..., None], 0, 255).astype(np.uint8)


def test_all_statistics_come_in_the_stated_order() -> None:
    assert tuple(of(scene())) == FRAME_STATISTICS


def test_a_flat_picture_is_bright_and_nothing_else() -> None:
    expected = dict.fromkeys(FRAME_STATISTICS, 0.0) | {"brightness": 80.0, "blockiness": 1.0}
    assert measure_frame(Picture((np.full((90, 160), 80, np.uint8),), "gray")) == pytest.approx(expected)


def test_half_black_half_white_has_full_contrast_and_one_bit() -> None:
    halves = np.zeros((64, 64), np.uint8)
    halves[:, 32:] = 255
    found = measure_frame(Picture((halves,), "gray"))
    assert (found["brightness"], found["contrast"], found["entropy"]) == pytest.approx((127.5, 127.5, 1.0))
    # One edge, seen by the two columns beside it.
    assert found["edge_density"] == pytest.approx(2 / 64)


def test_sharpness_is_the_variance_of_the_laplacian() -> None:
    gray = np.random.default_rng(0).integers(0, 255, (90, 160), np.uint8)
    laplacian = cv2.Laplacian(gray, cv2.CV_32F)[1:-1, 1:-1]
    assert measure_frame(Picture((gray,), "gray"))["sharpness"] == pytest.approx(float(laplacian.var()), rel=1e-4)


@pytest.mark.parametrize("sigma", [2.0, 5.0, 12.0])
def test_noise_is_measured_in_grey_levels_in_spite_of_texture(sigma: float) -> None:
    quiet, noisy = (of(with_noise(scene(), s))["noise"] for s in (0.0, sigma))
    assert quiet < 0.5
    assert noisy == pytest.approx(sigma, rel=0.15)


def test_detail_is_the_upper_half_where_noise_is_the_lower() -> None:
    grain = np.full((360, 640, 3), 128, np.uint8)
    found = of(with_noise(grain, 8))
    assert (found["noise"], found["detail"]) == pytest.approx((8, 1.271 * 8), rel=0.05)


def test_detail_falls_with_every_step_of_compression_though_noise_is_gone() -> None:
    textured = scene()
    textured[:, 320:] = with_noise(textured, 12)[:, 320:]
    packed = [cv2.imencode(".jpg", textured, [cv2.IMWRITE_JPEG_QUALITY, quality])[1] for quality in (60, 30, 10)]
    found = [of(np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), np.uint8)) for data in packed]
    details = [of(textured)["detail"], *(one["detail"] for one in found)]
    assert details == sorted(details, reverse=True)
    assert details[-1] < 0.7 * details[0]


def test_a_lens_out_of_focus_is_less_sharp_and_as_bright() -> None:
    textured = with_noise(scene(), 4)
    sharp, blurred = of(textured), of(np.asarray(cv2.GaussianBlur(textured, (0, 0), 3), np.uint8))
    assert blurred["sharpness"] < 0.2 * sharp["sharpness"]
    assert blurred["edge_density"] < sharp["edge_density"]
    assert blurred["detail"] < 0.2 * sharp["detail"]
    assert blurred["brightness"] == pytest.approx(sharp["brightness"], abs=1)


def test_fog_takes_contrast_saturation_and_entropy() -> None:
    clear, foggy = of(scene()), of((scene() * 0.4 + 130).astype(np.uint8))
    for name in ("contrast", "saturation", "entropy", "sharpness"):
        assert foggy[name] < 0.9 * clear[name]
    assert foggy["brightness"] > clear["brightness"]


@pytest.mark.parametrize(("channel", "sign"), [(0, "color_cast_blue"), (2, "color_cast_red")])
def test_a_lamp_of_another_colour_is_a_cast(channel: int, sign: str) -> None:
    tinted = scene().astype(np.int16)
    tinted[..., channel] += 40
    change = {name: of(np.clip(tinted, 0, 255).astype(np.uint8))[name] - of(scene())[name]
              for name in ("color_cast_blue", "color_cast_red")}  # fmt: skip
    assert change[sign] > 5
    assert max(change, key=lambda name: change[name]) == sign


def test_strong_compression_shows_its_blocks_until_the_picture_is_scaled() -> None:
    coarse = cv2.imdecode(cv2.imencode(".jpg", scene(), [cv2.IMWRITE_JPEG_QUALITY, 10])[1], cv2.IMREAD_COLOR)
    blocks = np.asarray(coarse, np.uint8)
    assert of(scene())["blockiness"] == pytest.approx(1, abs=0.15)
    assert of(blocks)["blockiness"] > 1.5
    scaled = np.asarray(cv2.resize(blocks, (500, 280), interpolation=cv2.INTER_AREA), np.uint8)
    assert of(scaled)["blockiness"] == pytest.approx(1, abs=0.2)


@pytest.mark.parametrize("full_range", [False, True])
def test_decoded_planes_and_bgr_give_the_same_numbers(full_range: bool) -> None:
    textured = with_noise(scene(), 2)
    planes, bgr = measure_frame(yuv(textured, full_range)), of(textured)
    near = {
        "brightness": 0.5, "contrast": 0.5, "saturation": 0.8, "sharpness": 0.03 * bgr["sharpness"], "noise": 0.1,
        "detail": 0.05 * bgr["detail"], "entropy": 0.05, "edge_density": 0.005, "color_cast_blue": 0.8,
        "color_cast_red": 0.8, "blockiness": 0.05,
    }  # fmt: skip
    assert {name: (planes[name], bgr[name]) for name in near if abs(planes[name] - bgr[name]) > near[name]} == {}


def test_half_the_resolution_changes_only_what_is_seen_at_full_resolution() -> None:
    half = np.asarray(cv2.resize(scene((1280, 720)), (640, 360), interpolation=cv2.INTER_AREA), np.uint8)
    large, small = of(scene((1280, 720))), of(half)
    assert small["sharpness"] == pytest.approx(large["sharpness"], rel=0.1)
    for name in set(FRAME_STATISTICS) - {"noise", "detail", "blockiness", "sharpness"}:
        assert small[name] == pytest.approx(large[name], rel=0.05, abs=0.3), name


@pytest.mark.parametrize("size_wh", [(960, 540), (800, 450), (426, 240)])
def test_any_other_resolution_stays_comparable(size_wh: tuple[int, int]) -> None:
    usual, other = of(scene((1280, 720))), of(scene(size_wh))
    for name in ("brightness", "contrast", "saturation", "entropy", "color_cast_blue", "color_cast_red"):
        assert other[name] == pytest.approx(usual[name], rel=0.05, abs=1), name
    assert other["edge_density"] == pytest.approx(usual["edge_density"], rel=0.2)
    # The last, uneven step of the reduction decides: up to a factor of two.
    assert 0.5 < other["sharpness"] / usual["sharpness"] < 2


@pytest.mark.parametrize("size_wh", [(1, 1), (2, 2), (1, 9), (9, 1), (3, 3), (16, 3), (17, 700), (2000, 1), (5, 2000)])
@pytest.mark.parametrize("pixel_format", ["gray", "bgr24", "yuv420p"])
@pytest.mark.parametrize("level", [0, 128, 255])
def test_tiny_and_odd_pictures_give_finite_numbers(
    size_wh: tuple[int, int], pixel_format: PixelFormat, level: int
) -> None:
    width, height = size_wh
    chroma = np.full(((height + 1) // 2, (width + 1) // 2), 128, np.uint8)
    planes: dict[str, tuple[Any, ...]] = {
        "gray": (np.full((height, width), level, np.uint8),),
        "bgr24": (np.full((height, width, 3), level, np.uint8),),
        "yuv420p": (np.full((height, width), level, np.uint8), chroma, chroma),
    }
    found = measure_frame(Picture(planes[pixel_format], pixel_format))
    assert all(math.isfinite(value) for value in found.values())
    assert (found["contrast"], found["noise"], found["saturation"]) == (0.0, 0.0, 0.0)


def test_a_picture_in_the_padded_buffer_of_a_decoder_is_measured_alike() -> None:
    plain = yuv(scene())
    padded = []
    for plane in plain.planes:
        buffer = np.full((plane.shape[0], plane.shape[1] + 32), 255, np.uint8)
        buffer[:, : plane.shape[1]] = plane
        padded.append(buffer[:, : plane.shape[1]])
    assert measure_frame(Picture(tuple(padded), "yuv420p")) == measure_frame(plain)


@pytest.mark.parametrize("size_wh", [(160, 90), (640, 360), (768, 432), (1280, 720), (1920, 1080)])
@pytest.mark.parametrize("full_range", [False, True])
def test_rows_tell_nearly_what_the_whole_picture_does(size_wh: tuple[int, int], full_range: bool) -> None:
    picture = yuv(with_noise(scene(size_wh), 4), full_range)
    quick, plain = measure_frame(picture), measure_plainly(picture)
    near = {
        "brightness": 1.0, "contrast": 0.04 * plain["contrast"], "saturation": 0.05 * plain["saturation"],
        "sharpness": 0.45 * plain["sharpness"], "noise": 0.15 * plain["noise"], "detail": 0.15 * plain["detail"],
        "entropy": 0.1, "edge_density": 0.2 * plain["edge_density"], "color_cast_blue": 1.5, "color_cast_red": 1.5,
        "blockiness": 0.1,
    }  # fmt: skip
    assert {name: (quick[name], plain[name]) for name in near if abs(quick[name] - plain[name]) > near[name]} == {}


@pytest.mark.parametrize("full_range", [False, True])
@pytest.mark.parametrize("size_wh", [(1920, 1080), (768, 576), (360, 640), (426, 240)])
def test_the_thumbnail_is_the_picture_at_full_range(size_wh: tuple[int, int], full_range: bool) -> None:
    picture = yuv(scene(size_wh), full_range)
    found = measure(picture)
    expected = average(planes(picture)[0])
    assert found.thumbnail.dtype == np.uint8
    assert (found.thumbnail.shape, max(found.thumbnail.shape)) == (expected.shape, THUMBNAIL_LENGTH)
    assert np.abs(found.thumbnail - expected).mean() < 3
    assert found.values == measure_frame(picture)


def test_a_small_picture_is_its_own_thumbnail() -> None:
    gray = np.random.default_rng(0).integers(0, 255, (30, 40), np.uint8)
    found = measure(Picture((gray,), "gray")).thumbnail
    np.testing.assert_array_equal(found, gray)
    assert not np.shares_memory(found, gray)


def test_motion_is_the_mean_difference_in_grey_levels() -> None:
    before, now = np.random.default_rng(0).integers(0, 255, (2, 90, 160), np.uint8)
    assert measure_motion(now, before) == pytest.approx(np.abs(now.astype(float) - before).mean())
    assert measure_motion(now, now) == 0
