from __future__ import annotations

from pathlib import Path

import pytest

from engine.errors import SourceError
from tests.training.photos import rows, write_photo
from training.formats import read, read_dataset

CAR = "<object><name>car</name><difficult>1</difficult><bndbox><xmin>1</xmin><ymin>1</ymin><xmax>64</xmax><ymax>48</ymax></bndbox></object>"
PERSON = (
    "<object><name>person</name><bndbox><xmin>11</xmin><ymin>6</ymin><xmax>20.5</xmax><ymax>30</ymax></bndbox></object>"
)


def annotation(
    folder: Path, *objects: str, stem: str = "a", size: str = "<width>64</width><height>48</height>"
) -> Path:
    write_photo(folder / "JPEGImages" / f"{stem}.jpg")
    path = folder / "Annotations" / f"{stem}.xml"
    path.parent.mkdir(parents=True, exist_ok=True)
    text = f"<annotation><filename>{stem}.jpg</filename><size>{size}</size>{''.join(objects)}</annotation>"
    path.write_text(text, encoding="utf-8")
    return path


def test_coordinates_count_from_one_and_the_last_pixel_belongs_to_the_box(tmp_path: Path) -> None:
    annotation(tmp_path, CAR, PERSON)
    dataset = read_dataset(tmp_path)
    assert (dataset.labels, dataset.sources[0].format) == (("car", "person"), "voc")
    assert rows(dataset.samples[0]) == [(0, [0, 0, 64, 48], True), (1, [10, 5, 20.5, 30], False)]


def test_a_renamed_picture_and_a_size_of_zero_are_borne(tmp_path: Path) -> None:
    annotation(tmp_path, PERSON, size="<width>0</width><height>0</height>")
    (tmp_path / "JPEGImages" / "a.jpg").unlink()
    write_photo(tmp_path / "JPEGImages" / "a.png")
    sample = read_dataset(tmp_path).samples[0]
    assert (sample.path.name, sample.size_wh) == ("a.png", (64, 48))


def test_lists_divide_the_set(tmp_path: Path) -> None:
    annotation(tmp_path, PERSON, stem="a")
    annotation(tmp_path, CAR, stem="b")
    lists = tmp_path / "ImageSets" / "Main"
    lists.mkdir(parents=True)
    (lists / "train.txt").write_text("a 1\n\n", encoding="utf-8")
    (lists / "val.txt").write_text("b\n", encoding="utf-8")
    parts = read(tmp_path).parts
    assert {part: [s.path.stem for s in d.samples] for part, d in parts.items()} == {"train": ["a"], "val": ["b"]}
    assert parts["train"].labels == parts["val"].labels == ("car", "person")
    (lists / "val.txt").write_text("c\n", encoding="utf-8")
    with pytest.raises(SourceError, match=r"val.txt:1: no annotation 'c.xml'"):
        read_dataset(tmp_path)


@pytest.mark.parametrize(
    ("item", "says"),
    [
        ("<object><name>car</name></object>", r"a.xml: object 2: expected a bndbox with the numbers xmin, ymin"),
        (CAR.replace(">48<", ">x<"), r"a.xml: object 2: expected a bndbox"),
        (CAR.replace("<name>car</name>", ""), r"a.xml: object 2: has no name"),
        (CAR.replace("<xmax>64", "<xmax>-4"), r"a.xml: object 2: box \(0, 0, -4, 48\) is turned inside out"),
    ],
)
def test_a_bad_object_is_refused_by_file_and_number(tmp_path: Path, item: str, says: str) -> None:
    annotation(tmp_path, PERSON, item)
    with pytest.raises(SourceError, match=says):
        read_dataset(tmp_path)


def test_missing_pictures_and_other_files_are_refused(tmp_path: Path) -> None:
    path = annotation(tmp_path, PERSON)
    (tmp_path / "JPEGImages" / "a.jpg").unlink()
    with pytest.raises(SourceError, match=r"a.xml: no picture 'a.jpg' in .*JPEGImages"):
        read_dataset(tmp_path)
    path.write_text("<svg/>", encoding="utf-8")
    with pytest.raises(SourceError, match=r"a.xml: not a Pascal VOC annotation: expected <annotation>, got <svg>"):
        read(tmp_path)
    path.write_text("<annotation>", encoding="utf-8")
    with pytest.raises(SourceError, match=r"a.xml: is not XML"):
        read(tmp_path)
    path.unlink()
    with pytest.raises(SourceError, match=r"no Pascal VOC annotations: expected Annotations/ with XML files"):
        read(tmp_path, "voc")
