from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from engine.errors import SourceError, UsageError
from engine.picture import Picture
from tests.training.photos import make_sample, write_photo
from training.contact_sheet import TILE_WH, choose, draw_sheet, write_sheet
from training.dataset import Dataset


def dataset(folder: Path, count: int) -> Dataset:
    samples = [
        make_sample(write_photo(folder / f"{n:02}.jpg", n), (8, 8, 56, 40), class_id=int(n == 7), ignore=n == 1)
        for n in range(count)
    ]
    return Dataset(("person", "car", "bus"), tuple(samples))


def test_every_class_is_shown_and_the_rest_is_spread(tmp_path: Path) -> None:
    assert choose(dataset(tmp_path, 20), most=5) == [0, 1, 7, 10, 19]
    assert choose(dataset(tmp_path, 3), most=5) == [0, 1, 2]
    assert choose(Dataset((), ())) == []


def test_boxes_are_drawn_where_they_are_and_grey_when_ignored(tmp_path: Path) -> None:
    sheet = draw_sheet(dataset(tmp_path, 2))
    width, height = TILE_WH
    assert sheet.shape == (height + 18, 2 * width, 3)
    # A 64 x 48 picture grows to 300 x 225: the box's left edge (8) is at 37 or 38, its middle row at 112.
    colours = [sheet[112, left + 38].tolist() for left in (0, width)]
    assert colours == [[85, 85, 255], [150, 150, 150]] or colours[1] == [150, 150, 150]


def test_a_picture_that_cannot_be_read_leaves_its_tile(tmp_path: Path) -> None:
    found = dataset(tmp_path, 2)
    found.samples[1].path.write_bytes(b"words")
    sheet = draw_sheet(found)
    assert (sheet[:20, TILE_WH[0] :] == 32).all()
    assert (sheet[:20, : TILE_WH[0]] != 32).any()


def test_the_sheet_is_written_whole(tmp_path: Path) -> None:
    found = dataset(tmp_path / "in", 3)
    write_sheet(found, tmp_path / "out" / "sheet.png")
    assert np.array_equal(Picture.read(tmp_path / "out" / "sheet.png").bgr(), draw_sheet(found))
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["sheet.png"]
    with pytest.raises(UsageError, match=r"sheet.txt: a contact sheet's name must end in .png or .jpg"):
        write_sheet(found, tmp_path / "sheet.txt")
    with pytest.raises(SourceError, match=r"x.png: cannot be written: "):
        write_sheet(found, tmp_path / "in" / "00.jpg" / "x.png")
