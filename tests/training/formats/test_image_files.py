from __future__ import annotations

import struct
from pathlib import Path

import cv2
import numpy as np
import pytest

from engine.errors import SourceError
from engine.picture import Picture
from tests.training.photos import patches, write_photo
from training.formats.image_files import ImageFolder, image_size, list_images


def with_exif(jpeg: bytes, orientation: int, order: str = "<") -> bytes:
    entry = struct.pack(order + "HHIHH", 0x0112, 3, 1, orientation, 0)
    other = struct.pack(order + "HHII", 0x0100, 4, 1, 64)
    mark = b"II*\0" if order == "<" else b"MM\0*"
    tiff = mark + struct.pack(order + "IH", 8, 2) + other + entry + b"\0\0\0\0"
    segment = b"Exif\0\0" + tiff
    return jpeg[:2] + b"\xff\xe1" + struct.pack(">H", len(segment) + 2) + segment + jpeg[2:]


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".bmp", ".webp"])
def test_the_size_is_that_of_the_decoded_picture(tmp_path: Path, suffix: str) -> None:
    path = write_photo(tmp_path / f"a{suffix}", size_wh=(50, 30))
    assert image_size(path) == (50, 30) == Picture.read(path).size_wh


@pytest.mark.parametrize("options", [[cv2.IMWRITE_JPEG_PROGRESSIVE, 1], [cv2.IMWRITE_JPEG_RST_INTERVAL, 2]])
def test_other_kinds_of_jpeg(tmp_path: Path, options: list[int]) -> None:
    path = tmp_path / "a.jpg"
    assert cv2.imwrite(str(path), patches(0, (50, 30)), options)
    assert image_size(path) == (50, 30)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_a_picture_that_was_taken_upright_is_turned_as_it_is_decoded(
    tmp_path: Path, orientation: int, order: str
) -> None:
    path = write_photo(tmp_path / "a.jpg", size_wh=(50, 30))
    path.write_bytes(with_exif(path.read_bytes(), orientation, order))
    assert image_size(path) == Picture.read(path).size_wh == ((30, 50) if orientation in (6, 8) else (50, 30))


@pytest.mark.parametrize("data", [b"", b"\xff\xd8", b"\xff\xd8\xff\xe1\x00\x10Exif", b"\x89PNG\r\n\x1a\n", b"words"])
def test_what_is_no_picture_is_refused(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(data)
    with pytest.raises(SourceError, match=r"a.jpg: not an image that can be read"):
        image_size(path)
    with pytest.raises(SourceError, match=r"b.jpg: no such image file"):
        image_size(tmp_path / "b.jpg")


def test_random_bytes_never_crash(tmp_path: Path) -> None:
    whole = with_exif(write_photo(tmp_path / "a.jpg").read_bytes(), 6)
    rng = np.random.default_rng(0)
    for _ in range(200):
        data = np.frombuffer(whole[: rng.integers(2, 200)], np.uint8).copy()
        data[rng.integers(2, len(data), 3) if len(data) > 2 else []] = rng.integers(0, 256, 3 if len(data) > 2 else 0)
        path = tmp_path / "b.jpg"
        path.write_bytes(data.tobytes())
        try:
            width, height = image_size(path)
        except SourceError:
            continue
        assert width > 0
        assert height > 0


def test_names_are_looked_up_in_the_order_of_folders_and_without_lost_ones(tmp_path: Path) -> None:
    one, two = write_photo(tmp_path / "one" / "a.jpg"), write_photo(tmp_path / "two" / "sub" / "a.jpg")
    folder = ImageFolder([tmp_path / "gone", tmp_path / "one", tmp_path / "two"])
    assert folder.find("a.jpg") == folder.find("lost/on/the/way/a.jpg") == folder.find("lost\\a.jpg") == one
    assert folder.find("sub/a.jpg") == two
    assert folder.find_stem("a") == one
    assert folder.find("b.jpg") is folder.find_stem("b") is folder.find("") is None
    assert str(ImageFolder([tmp_path / "gone"])) == "any folder beside the labels"


def test_pictures_are_listed_in_order_and_hidden_files_are_none(tmp_path: Path) -> None:
    for name in ("b.jpg", "a/c.PNG", "a/.hidden.jpg"):
        write_photo(tmp_path / name)
    (tmp_path / "notes.txt").write_text("x", encoding="utf-8")
    assert [path.relative_to(tmp_path).as_posix() for path in list_images(tmp_path)] == ["a/c.PNG", "b.jpg"]
