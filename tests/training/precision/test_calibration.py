"""Calibration pictures come from whatever people have, as live frames would look."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from engine.errors import SourceError, UsageError
from engine.input_spec import InputSpec
from engine.picture import Picture
from tests.training.labelled import rectangles
from tests.training.photos import write_photo
from training.formats import write_dataset
from training.precision.calibration import calibration_pictures, pictures_sha256

ROOT = Path(__file__).resolve().parents[3]
CLIP = ROOT / "replay_data" / "clips" / "dusk.mp4"
SPEC = InputSpec(size_wh=(32, 32), color="rgb")


def test_a_folder_is_letterboxed_in_the_order_of_names(tmp_path: Path) -> None:
    paths = [write_photo(tmp_path / name, seed) for seed, name in enumerate(["b.png", "a/z.png", "c.jpg"])]

    pictures = calibration_pictures(tmp_path, SPEC)

    expected = [Picture.read(paths[i]).letterbox(SPEC.letterbox) for i in (1, 0, 2)]
    assert np.array_equal(pictures, expected)


def test_pictures_are_evenly_spread(tmp_path: Path) -> None:
    paths = [write_photo(tmp_path / f"{i}.png", i) for i in range(9)]

    pictures = calibration_pictures(tmp_path, SPEC, limit=3)

    assert np.array_equal(pictures, [Picture.read(paths[i]).letterbox(SPEC.letterbox) for i in (0, 4, 8)])


def test_one_picture_is_enough(tmp_path: Path) -> None:
    assert len(calibration_pictures(write_photo(tmp_path / "a.png"), SPEC)) == 1


@pytest.mark.parametrize(("format", "file"), [("coco", "*.json"), ("yolo", "data.yaml")])
def test_a_data_set_gives_its_pictures(format: str, file: str, tmp_path: Path) -> None:
    write_dataset(rectangles(tmp_path / "made", 4), tmp_path / "data", format)
    (found,) = (tmp_path / "data").rglob(file)

    pictures = calibration_pictures(found, SPEC)

    assert pictures_sha256(pictures) == pictures_sha256(calibration_pictures(tmp_path / "made", SPEC))


def test_a_recording_is_evenly_spread_whatever_its_length() -> None:
    every = calibration_pictures(CLIP, SPEC, limit=5000)

    some = calibration_pictures(CLIP, SPEC, limit=100)

    assert 50 <= len(some) <= 100
    step = next(n for n in (2, 4, 8) if len(every[::n]) <= 100)
    assert np.array_equal(some, every[::step])
    assert np.array_equal(calibration_pictures(CLIP, SPEC, limit=1), every[:1])


def test_the_hash_is_of_pixels_in_their_order(tmp_path: Path) -> None:
    pictures = [np.full((3, 2, 2), level, np.uint8) for level in (1, 2)]
    assert pictures_sha256(pictures) == pictures_sha256(np.stack(pictures)[:, :, :, ::1])
    assert pictures_sha256(pictures) != pictures_sha256(pictures[::-1])


@pytest.mark.parametrize("limit", [0, 5001])
def test_too_few_and_too_many_are_refused(limit: int, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=f"calibration takes 1 to 5000 pictures, got {limit}"):
        calibration_pictures(tmp_path, SPEC, limit=limit)


def test_nothing_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"none: no such file or folder; give calibration pictures or a recording"):
        calibration_pictures(tmp_path / "none", SPEC)
    with pytest.raises(SourceError, match=r"holds no pictures to calibrate on \(\.jpg, .*\); give others"):
        calibration_pictures(tmp_path, SPEC)


def test_what_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_text("no picture")
    with pytest.raises(SourceError, match=r"a\.jpg: not an image that can be read"):
        calibration_pictures(tmp_path, SPEC)
    (tmp_path / "notes.txt").write_text("no recording")
    with pytest.raises(SourceError, match=r"notes\.txt"):
        calibration_pictures(tmp_path / "notes.txt", SPEC)
