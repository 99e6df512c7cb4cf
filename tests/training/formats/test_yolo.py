from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from engine.errors import SourceError, UsageError
from tests.training.photos import make_sample, rows, write_photo
from training.dataset import Dataset
from training.formats import read, read_dataset, write_dataset


def label(path: Path, text: str = "0 0.5 0.5 0.25 0.5\n") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def data_yaml(folder: Path, **entries: object) -> Path:
    entries = {"train": "images/train", "names": ["person", "car"], **entries}
    return label(folder / "data.yaml", yaml.safe_dump(entries))


def folders(tmp_path: Path) -> Path:
    """images/ and labels/ with one picture each for train and val."""
    for seed, part in enumerate(("train", "val")):
        write_photo(tmp_path / "images" / part / f"{part}.jpg", seed)
        label(tmp_path / "labels" / part / f"{part}.txt")
    return tmp_path


def test_fractions_become_pixels_and_an_empty_file_is_an_empty_picture(tmp_path: Path) -> None:
    write_photo(tmp_path / "images" / "a.jpg")
    write_photo(tmp_path / "images" / "b.jpg", 1)
    label(tmp_path / "labels" / "a.txt", "1 0.5 0.5 0.25 0.5\n\n0 0.25 0.25 0.5 0.5\n")
    label(tmp_path / "labels" / "b.txt", "")
    label(tmp_path / "classes.txt", "person\ncar\n")
    dataset = read_dataset(tmp_path)
    assert dataset.labels == ("person", "car")
    assert [rows(s) for s in dataset.samples] == [[(1, [24, 12, 40, 36], False), (0, [0, 0, 32, 24], False)], []]


@pytest.mark.parametrize(
    "entries",
    [
        {"val": "images/val"},
        {"path": ".", "val": ["images/val"]},
        {"path": "/where/it/was/once", "val": "images/val", "names": {0: "person", 1: "car"}, "nc": 2},
        {"train": "../images/train", "valid": "../images/val"},
        {"train": "train.txt", "val": "val.txt"},
    ],
)  # fmt: skip
def test_data_yaml_in_its_usual_variants(tmp_path: Path, entries: dict[str, object]) -> None:
    folders(tmp_path)
    label(tmp_path / "train.txt", "./images/train/train.jpg\n")
    label(tmp_path / "val.txt", f"{tmp_path}/images/val/val.jpg\n")
    reading = read(data_yaml(tmp_path, **entries))
    assert {part: [s.path.stem for s in d.samples] for part, d in reading.parts.items()} == {
        "train": ["train"],
        "val": ["val"],
    }
    assert reading.parts["val"].labels == ("person", "car")
    assert rows(reading.parts["val"].samples[0]) == [(0, [24, 12, 40, 36], False)]
    assert not reading.problems


def test_a_folder_with_data_yaml_and_no_val_is_one_part(tmp_path: Path) -> None:
    data_yaml(folders(tmp_path))
    assert {part: len(d) for part, d in read(tmp_path).parts.items()} == {"": 1}


def test_labels_may_lie_beside_the_pictures(tmp_path: Path) -> None:
    write_photo(tmp_path / "photos" / "a.jpg")
    label(tmp_path / "photos" / "a.txt")
    assert len(read_dataset(data_yaml(tmp_path, train="photos")).samples[0].xyxy) == 1


def test_a_folder_of_label_files_takes_names_from_the_caller(tmp_path: Path) -> None:
    write_photo(tmp_path / "images" / "a.jpg")
    label(tmp_path / "labels_yolo" / "a.txt", "1 0.5 0.5 0.25 0.5\n")
    assert read_dataset(tmp_path / "labels_yolo", "yolo", labels=["person", "car"]).samples[0].class_id.tolist() == [1]
    with pytest.raises(UsageError, match=r"nothing says what the classes are called; add a classes.txt"):
        read(tmp_path / "labels_yolo", "yolo")


def test_a_polygon_becomes_the_box_around_it(tmp_path: Path) -> None:
    data_yaml(folders(tmp_path))
    label(tmp_path / "labels" / "train" / "train.txt", "1 0.25 0.5 0.5 0.25 0.75 0.75\n")
    assert rows(read_dataset(tmp_path).samples[0]) == [(1, [16, 12, 48, 36], False)]


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("0 0.5 0.5 0.25", r"train.txt:2: expected `class cx cy w h` or a polygon, got '0 0.5 0.5 0.25'"),
        ("0 0.5 0.5 0.25 0.5 0.9", r"train.txt:2: expected `class cx cy w h` or a polygon"),
        ("0 0.5 x 0.25 0.5", r"train.txt:2: expected `class cx cy w h` or a polygon"),
        ("2 0.5 0.5 0.25 0.5", r"train.txt:2: class 2 is none of the 2 from 0"),
        ("0 32 24 16 24", r"train.txt:2: expected fractions of the picture from 0 to 1, got '0 32 24 16 24'"),
        ("0 0.5 0.5 -0.25 0.5", r"train.txt:2: box \(40, 12, 24, 36\) is turned inside out"),
        ("0 nan 0.5 0.25 0.5", r"train.txt:2: box .* is not four finite numbers"),
        ("0 1.5 0.5 0.25 0.5", r"train.txt:2: box \(88, 12, 104, 36\) lies outside its 64x48 picture"),
    ],
)
def test_a_bad_line_is_refused_by_file_and_line(tmp_path: Path, line: str, says: str) -> None:
    data_yaml(folders(tmp_path))
    label(tmp_path / "labels" / "train" / "train.txt", f"0 0.5 0.5 0.25 0.5\n{line}\n")
    with pytest.raises(SourceError, match=says):
        read_dataset(tmp_path)
    assert [len(s.xyxy) for s in read(tmp_path).parts[""].samples] == [1]


def test_labels_without_a_picture_and_pictures_without_labels_are_told_apart(tmp_path: Path) -> None:
    data_yaml(folders(tmp_path))
    label(tmp_path / "labels" / "train" / "gone.txt")
    write_photo(tmp_path / "images" / "train" / "new.jpg", 4)
    reading = read(tmp_path)
    assert [(p.kind, p.is_error) for p in reading.problems] == [("unlabelled", False), ("missing_image", True)]
    assert [len(s.xyxy) for s in reading.parts[""].samples] == [0, 1]
    with pytest.raises(SourceError, match=r"labels/train/gone.txt: no picture 'gone' \(.jpg, .*\) in .*images/train"):
        read_dataset(tmp_path)


def test_a_picture_that_does_not_decode_is_refused(tmp_path: Path) -> None:
    data_yaml(folders(tmp_path))
    (tmp_path / "images" / "train" / "train.jpg").write_bytes(b"\xff\xd8\xff\xe0")
    with pytest.raises(SourceError, match=r"train.jpg: not an image that can be read"):
        read_dataset(tmp_path)


@pytest.mark.parametrize(
    ("entries", "says"),
    [
        ({"train": "gone"}, r"data.yaml: train: no folder or list 'gone' in"),
        ({"train": None, "val": None}, r"data.yaml: train: names no pictures"),
        ({"names": {1: "a", 2: "b"}}, r"data.yaml: names: expected the numbers 0 to 1, got \[1, 2\]"),
        ({"names": ["a", "a"]}, r"data.yaml: names: expected a list of different class names"),
        ({"nc": 3}, r"data.yaml: nc is 3, but there are 2 names"),
    ],
)
def test_a_data_yaml_that_cannot_be_meant_is_refused(tmp_path: Path, entries: dict[str, object], says: str) -> None:
    with pytest.raises(SourceError, match=says):
        read(data_yaml(folders(tmp_path), **entries))


def test_other_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"a.yaml: not a YOLO data.yaml: expected the keys names and train"):
        read(label(tmp_path / "a.yaml", "x: 1\n"), "yolo")
    with pytest.raises(SourceError, match=r"b.yaml: not YAML"):
        read(label(tmp_path / "b.yaml", "x: [\n"), "yolo")
    label(folders(tmp_path) / "list.txt", "gone.jpg\nimages/train/train.jpg\n")
    with pytest.raises(SourceError, match=r"list.txt:1: no picture 'gone.jpg' in"):
        read_dataset(data_yaml(tmp_path, train="list.txt"))
    with pytest.raises(UsageError, match=r"data.yaml names its classes itself"):
        read(data_yaml(tmp_path), labels=["a"])


def test_what_is_written_comes_back_without_what_yolo_cannot_say(tmp_path: Path) -> None:
    train = Dataset(("person", "car"), (make_sample(write_photo(tmp_path / "a.jpg"), (3, 4, 30, 40), class_id=1),))
    val = Dataset(
        ("person", "car"),
        (
            make_sample(write_photo(tmp_path / "b.png", 1), (1, 2, 3.5, 47.75)),
            make_sample(write_photo(tmp_path / "c.jpg", 2), (3, 4, 30, 40), ignore=True),
        ),
    )
    write_dataset({"train": train, "val": val}, tmp_path / "out", "yolo")
    parts = read(tmp_path / "out").parts
    assert parts["train"].labels == ("person", "car")
    assert [rows(s) for s in parts["train"].samples] == [rows(s) for s in train.samples]
    assert [rows(s) for s in parts["val"].samples] == [rows(val.samples[0]), []]
    write_dataset(train, tmp_path / "one", "yolo")
    assert [rows(s) for s in read_dataset(tmp_path / "one").samples] == [rows(s) for s in train.samples]
