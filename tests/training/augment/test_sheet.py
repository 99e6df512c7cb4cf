from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from engine.picture import Picture
from training.augment import CONDITIONS, apply_condition
from training.augment.sheet import condition_sheet, write_image


def test_a_sheet_has_the_picture_and_a_row_for_each_condition() -> None:
    bgr = np.random.default_rng(0).integers(0, 256, (90, 288, 3), np.uint8)

    sheet = condition_sheet(bgr, (0.5, 1.0), seed=4)

    row = 90 + 22
    assert sheet.shape == (row * (1 + len(CONDITIONS)), 576, 3)
    assert np.array_equal(sheet[22:row, :288], bgr)
    assert (sheet[22:row, 288:] == 255).all()
    night = apply_condition("night", bgr, 1.0, np.random.default_rng(4), scene=4)
    assert np.array_equal(sheet[row + 22 : 2 * row, 288:], night)


@pytest.mark.parametrize("name", ["a.jpg", "a.png", "new/A.PNG"])
def test_an_image_is_written_whole(tmp_path: Path, name: str) -> None:
    write_image(tmp_path / name, np.full((10, 20, 3), 128, np.uint8))

    assert (Picture.read(tmp_path / name).bgr() == np.full((10, 20, 3), 128)).all()
    assert [path.name for path in (tmp_path / name).parent.iterdir()] == [Path(name).name]


def test_where_nothing_can_be_written_nothing_is_left(tmp_path: Path) -> None:
    (tmp_path / "a.png").mkdir()

    with pytest.raises(OSError, match=r"a\.png"):
        write_image(tmp_path / "a.png", np.zeros((4, 4, 3), np.uint8))

    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]
