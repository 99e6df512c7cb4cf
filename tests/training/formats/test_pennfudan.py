from __future__ import annotations

from pathlib import Path

import pytest

from engine.errors import SourceError
from tests.training.photos import rows, write_photo
from training.formats import read, read_dataset

SHARED = Path(__file__).resolve().parents[4] / "shared" / "data" / "detection" / "PennFudanPed"
TEXT = """# Compatible with PASCAL Annotation Version 1.00
Image filename : "PennFudanPed/PNGImages/A.png"
Image size (X x Y x C) : 64 x 48 x 3
# Details for pedestrian 1 ("PASpersonWalking")
Bounding box for object 1 "PASpersonWalking" (Xmin, Ymin) - (Xmax, Ymax) : (11, 6) - (20, 30)
Bounding box for object 2 "PASpersonStanding" (Xmin, Ymin) - (Xmax, Ymax) : (1, 1) - (64, 48)
"""


def test_people_are_read_whatever_the_pictures_suffix(tmp_path: Path) -> None:
    write_photo(tmp_path / "JPEGImages" / "A.jpg")
    (tmp_path / "Annotation").mkdir()
    (tmp_path / "Annotation" / "A.txt").write_text(TEXT, encoding="utf-8")
    dataset = read_dataset(tmp_path)
    assert (dataset.labels, dataset.sources[0].format) == (("person",), "pennfudan")
    assert rows(dataset.samples[0]) == [(0, [10, 5, 20, 30], False), (0, [0, 0, 64, 48], False)]
    (tmp_path / "JPEGImages" / "A.jpg").unlink()
    with pytest.raises(SourceError, match=r"A.txt: no picture 'A.png' in .*JPEGImages"):
        read_dataset(tmp_path)


def test_another_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"not the Penn-Fudan set: expected Annotation/ with text files"):
        read(tmp_path, "pennfudan")


@pytest.mark.data
@pytest.mark.skipif(not SHARED.is_dir(), reason="no ../shared/data/detection/PennFudanPed beside this checkout")
def test_the_real_set_is_read_without_a_fault() -> None:
    reading = read(SHARED)
    assert (len(reading.whole), sum(reading.whole.box_counts().values()), reading.problems) == (119, 298, ())
