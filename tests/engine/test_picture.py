"""Pictures: the same pixels whatever planes the decoder left, at the size asked for."""

from __future__ import annotations

import pickle
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from engine.errors import SourceError
from engine.picture import Letterbox, Picture


def smooth_bgr(width: int, height: int) -> NDArray[np.uint8]:
    y, x = np.mgrid[0:height, 0:width]
    return np.stack([x * 200 // width + 20, y * 200 // height + 20, (x + y) * 100 // (width + height) + 60], -1).astype(
        np.uint8
    )


def yuv(bgr: NDArray[np.uint8], full_range: bool = False) -> Picture:
    height, width = bgr.shape[:2]
    i420 = np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2YUV_I420), np.uint8).reshape(-1)
    cut = width * height
    planes = [i420[:cut].reshape(height, width), *i420[cut:].reshape(2, height // 2, width // 2)]
    if full_range:
        planes[0] = np.clip((planes[0].astype(float) - 16) * 255 / 219, 0, 255).astype(np.uint8)
        planes[1:] = [np.clip((p.astype(float) - 128) * 255 / 224 + 128, 0, 255).astype(np.uint8) for p in planes[1:]]
    return Picture(tuple(planes), "yuv420p", full_range)


@pytest.mark.parametrize("full_range", [False, True])
@pytest.mark.parametrize("size_wh", [(64, 48), (32, 24), (31, 23)])
def test_planes_give_the_same_colours_as_bgr_at_every_size(size_wh: tuple[int, int], full_range: bool) -> None:
    bgr = smooth_bgr(64, 48)
    difference = yuv(bgr, full_range).bgr(size_wh).astype(int) - Picture.from_bgr(bgr).bgr(size_wh).astype(int)

    assert yuv(bgr).bgr(size_wh).shape == (size_wh[1], size_wh[0], 3)
    assert np.abs(difference).mean() < 2.5


def test_rgb_and_gray_are_the_same_picture() -> None:
    picture = yuv(smooth_bgr(64, 48))
    assert np.array_equal(picture.rgb(), picture.bgr()[..., ::-1])
    assert picture.gray() is picture.planes[0]
    assert picture.gray((16, 12)).shape == (12, 16)


@pytest.mark.parametrize("fit", ["letterbox", "letterbox_center", "stretch"])
def test_boxes_come_back_from_the_letterbox_where_they_were(fit: str) -> None:
    spec = Letterbox((416, 416), fit)  # type: ignore[arg-type]
    bgr = np.zeros((480, 640, 3), np.uint8)
    bgr[120:240, 160:480] = 255
    pixels = Picture.from_bgr(bgr).letterbox(spec)[0]
    geometry = spec.geometry((640, 480))
    content = pixels[: geometry.offset_xy[1] + geometry.inner_wh[1]]
    ys, xs = np.nonzero(content == 255)
    box = np.array([[xs.min(), ys.min(), xs.max() + 1, ys.max() + 1]], np.float32)

    assert np.abs(geometry.to_source(box) - [[160, 120, 480, 240]]).max() < 2.5


def test_the_border_of_a_letterbox_is_grey_and_channels_follow_the_order_asked_for() -> None:
    bgr = np.full((50, 100, 3), (10, 20, 30), np.uint8)
    out = Picture.from_bgr(bgr).letterbox(Letterbox((64, 64), "letterbox", "rgb"))

    assert out.shape == (3, 64, 64)
    assert out[:, 0, 0].tolist() == [30, 20, 10]
    assert out[:, 63, 63].tolist() == [114, 114, 114]


def test_boxes_are_clipped_to_the_frame_and_none_stays_none() -> None:
    geometry = Letterbox((416, 416)).geometry((640, 480))
    assert geometry.to_source(np.array([[-50.0, -50, 900, 900]])).tolist() == [[0, 0, 640, 480]]
    assert geometry.to_source(np.zeros((0, 4))).shape == (0, 4)


@pytest.mark.parametrize("size_wh", [(1, 1), (3, 5), (48, 48)])
def test_tiny_pictures_work(size_wh: tuple[int, int]) -> None:
    picture = Picture.from_bgr(np.zeros((size_wh[1], size_wh[0], 3), np.uint8))
    assert picture.letterbox(Letterbox((32, 32))).shape == (3, 32, 32)
    assert picture.gray().shape == (size_wh[1], size_wh[0])


def test_a_picture_travels_without_its_cache() -> None:
    picture = yuv(smooth_bgr(64, 48))
    picture.bgr()
    copy = pickle.loads(pickle.dumps(picture))
    assert np.array_equal(copy.bgr(), picture.bgr())
    assert len(pickle.dumps(picture)) < picture.nbytes + 1000


def test_planes_that_do_not_fit_together_are_refused() -> None:
    plane = np.zeros((48, 64), np.uint8)
    with pytest.raises(ValueError, match="yuv420p chroma of a 64x48 picture must be 32x24, got 64x48"):
        Picture((plane, plane, plane), "yuv420p")


def test_reading_an_image_that_is_none_says_so(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="no such image"):
        Picture.read(tmp_path / "none.png")
    (tmp_path / "text.png").write_text("no")
    (tmp_path / "empty.png").write_bytes(b"")
    for name in ("text.png", "empty.png"):
        with pytest.raises(SourceError, match="not an image"):
            Picture.read(tmp_path / name)


@pytest.mark.parametrize(("size_wh", "expected"), [((640, 360), (45, 80, 3)), ((36, 64), (64, 36, 3))])
def test_a_jpeg_is_as_long_as_asked_for_and_never_larger_than_the_picture(
    size_wh: tuple[int, int], expected: tuple[int, int, int]
) -> None:
    bgr = smooth_bgr(*size_wh)
    data = yuv(bgr).jpeg(80, quality=90)
    decoded = np.asarray(cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR))
    assert decoded.shape == expected
    small = cv2.resize(bgr, (expected[1], expected[0]), interpolation=cv2.INTER_AREA)
    assert np.abs(decoded.astype(int) - small).mean() < 4
    assert len(yuv(bgr).jpeg(80, quality=20)) < len(data)


@pytest.mark.parametrize("box", [(10, 6, 30, 40), (11.5, 7.2, 29.1, 39.9), (-5, -5, 8.5, 9), (40, 30, 90, 90)])
def test_a_crop_shows_the_same_pixels_as_the_picture(box: tuple[float, float, float, float]) -> None:
    picture = yuv(smooth_bgr(64, 48))
    crop = picture.crop(box)
    left, top = (max(0, int(v) // 2 * 2) for v in box[:2])
    width, height = crop.size_wh
    assert left + width >= min(box[2], 64)
    assert top + height >= min(box[3], 48)
    assert np.array_equal(crop.bgr(), picture.bgr()[top : top + height, left : left + width])
    assert crop.planes[0].base is not None, "a view, not a copy"


@pytest.mark.parametrize("make", ["bgr24", "gray"])
def test_a_crop_of_whole_pixels_is_exact(make: str) -> None:
    bgr = smooth_bgr(65, 49)
    picture = Picture.from_bgr(bgr) if make == "bgr24" else Picture((np.ascontiguousarray(bgr[..., 0]),), "gray")
    assert picture.crop((3, 5, 8, 12)).size_wh == (5, 7)
    assert np.array_equal(picture.crop((3, 5, 8, 12)).bgr(), picture.bgr()[5:12, 3:8])
    assert picture.crop((60, 40, 99, 99)).size_wh == (5, 9)


def test_a_crop_of_an_odd_picture_keeps_its_chroma() -> None:
    planes = tuple(np.full(shape, 90, np.uint8) for shape in ((49, 65), (25, 33), (25, 33)))
    crop = Picture(planes, "yuv420p").crop((31, 21, 65, 49))
    assert crop.size_wh == (35, 29)
    assert [plane.shape for plane in crop.planes] == [(29, 35), (15, 18), (15, 18)]
    assert crop.letterbox(Letterbox((16, 16), "stretch")).shape == (3, 16, 16)
