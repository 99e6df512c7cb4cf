from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import Any

import pytest

from engine.errors import SourceError, UsageError
from tests.training.photos import make_sample, rows, write_photo
from training.dataset import Dataset
from training.formats import read, read_dataset, write_dataset

CATEGORIES = [{"id": 7, "name": "car"}, {"id": 1, "name": "person"}]


def coco(
    folder: Path,
    images: list[Any] | None = None,
    annotations: list[Any] | None = None,
    name: str = "labels.json",
    **changes: Any,
) -> Path:
    write_photo(folder / "images" / "a.jpg")
    image = {"id": 5, "file_name": "a.jpg", "width": 64, "height": 48}
    data = {"images": images or [image], "annotations": annotations or [], "categories": CATEGORIES, **changes}
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(data), encoding="utf-8")
    return path


def box(*bbox: Any, category_id: Any = 1, image_id: Any = 5, **more: Any) -> dict[str, Any]:
    return {"id": 1, "image_id": image_id, "category_id": category_id, "bbox": list(bbox), **more}


def test_boxes_become_corners_and_classes_stand_in_the_order_of_their_ids(tmp_path: Path) -> None:
    path = coco(tmp_path, annotations=[box(1, 2, 10, 20), box(30, 5, 20.5, 30, category_id=7, iscrowd=1)])
    dataset = read_dataset(path)
    assert dataset.labels == ("person", "car")
    assert rows(dataset.samples[0]) == [(0, [1, 2, 11, 22], False), (1, [30, 5, 50.5, 35], True)]
    assert dataset.samples[0].path == tmp_path / "images" / "a.jpg"
    assert (dataset.sources[0].format, dataset.sources[0].num_images, dataset.sources[0].num_boxes) == ("coco", 1, 1)


def test_camera_time_and_tags_are_read(tmp_path: Path) -> None:
    image = {"id": 5, "file_name": "a.jpg", "camera": "gate", "time_s": 2.5, "tags": {"light": "night"}}
    sample = read_dataset(coco(tmp_path, [image], [box(1, 2, 3, 4)])).samples[0]
    assert (sample.camera, sample.time_s, sample.tags, sample.size_wh) == ("gate", 2.5, {"light": "night"}, (64, 48))


def test_what_is_written_comes_back_and_two_pictures_of_one_name_stay_apart(tmp_path: Path) -> None:
    a, b = write_photo(tmp_path / "one" / "1.jpg", 1), write_photo(tmp_path / "two" / "1.jpg", 2)
    dataset = Dataset(
        ("person", "car"),
        (
            make_sample(a, (1, 2, 30, 40), camera="gate", time_s=1.5, tags={"light": "day"}),
            make_sample(b, (0, 0, 9.25, 9), class_id=1, ignore=True),
        ),
    )
    write_dataset(dataset, tmp_path / "out", "coco")
    back = read_dataset(tmp_path / "out")
    assert [rows(s) for s in back.samples] == [rows(s) for s in dataset.samples]
    assert [(s.camera, s.time_s, s.tags) for s in back.samples] == [("gate", 1.5, {"light": "day"}), ("", None, {})]
    assert [s.path.read_bytes() for s in back.samples] == [a.read_bytes(), b.read_bytes()]


def test_a_split_is_two_files(tmp_path: Path) -> None:
    one, two = (
        Dataset(("person",), (make_sample(write_photo(tmp_path / f"{i}.jpg", i), (1, 1, 9, 9)),)) for i in (1, 2)
    )
    write_dataset({"train": one, "val": two}, tmp_path / "out", "coco")
    parts = read(tmp_path / "out").parts
    assert {part: [s.path.name for s in d.samples] for part, d in parts.items()} == {
        "train": ["1.jpg"],
        "val": ["2.jpg"],
    }
    assert [s.path.name for s in read_dataset(tmp_path / "out", part="val").samples] == ["2.jpg"]


def test_pictures_are_found_as_coco_and_roboflow_lay_them_out(tmp_path: Path) -> None:
    coco(tmp_path, name="annotations/instances_val2017.json")
    write_photo(tmp_path / "val2017" / "a.jpg", 3)
    assert read_dataset(tmp_path).samples[0].path == tmp_path / "val2017" / "a.jpg"
    for part in ("train", "valid", "test"):
        coco(tmp_path / "robo", name=f"{part}/_annotations.coco.json")
        write_photo(tmp_path / "robo" / part / "a.jpg")
    found = read(tmp_path / "robo").parts
    assert set(found) == {"train", "val"}


@pytest.mark.parametrize(
    ("annotation", "says"),
    [
        (box(1, 2, -3, 4), r"annotations\[0\]: box \(1, 2, -2, 6\) is turned inside out"),
        (box(1, 2, 0, 4), r"annotations\[0\]: box \(1, 2, 1, 6\) has no area"),
        (box(1, math.nan, 5, 4), r"annotations\[0\]: box \(1, nan, 6, nan\) is not four finite numbers"),
        (box(70, 2, 5, 4), r"annotations\[0\]: box \(70, 2, 75, 6\) lies outside its 64x48 picture"),
        (box(1, 2, 3), r"annotations\[0\]: expected a bbox of four numbers, got"),
        (box(1, 2, 3, "4"), r"annotations\[0\]: expected a bbox of four numbers, got"),
        (box(1, 2, 3, 4, image_id=6), r"annotations\[0\]: no image has the id 6"),
        (box(1, 2, 3, 4, category_id=9), r"annotations\[0\]: no category has the id 9; there are 1, 7"),
    ],
)  # fmt: skip
def test_a_bad_row_is_refused_by_file_and_row(tmp_path: Path, annotation: dict[str, Any], says: str) -> None:
    path = coco(tmp_path, annotations=[annotation, box(1, 1, 5, 5)])
    with pytest.raises(SourceError, match=re.escape(str(path)) + ": " + says):
        read_dataset(path)
    reading = read(path)
    assert [rows(s) for s in reading.parts[""].samples] == [[(0, [1, 1, 6, 6], False)]]


def test_all_bad_rows_are_counted(tmp_path: Path) -> None:
    path = coco(tmp_path, annotations=[box(1, 2, 0, 4), box(1, 2, 0, 4), box(1, 2, 0, 4)])
    with pytest.raises(SourceError, match=r"annotations\[0\].*; 2 more cannot be used \(`vedette data check "):
        read_dataset(path)


def test_a_box_that_sticks_out_is_cut(tmp_path: Path) -> None:
    reading = read(coco(tmp_path, annotations=[box(-1, 0, 20, 20), box(50, 40, 20, 9)]))
    assert rows(reading.parts[""].samples[0]) == [(0, [0, 0, 19, 20], False), (0, [50, 40, 64, 48], False)]
    assert [(p.kind, p.is_error) for p in reading.problems] == [("cut_box", False)]
    assert "annotations[1]: box (50, 40, 70, 49) sticks out of the picture by 6 px; cut" in reading.problems[0].text


def test_labels_of_missing_and_broken_pictures_are_refused(tmp_path: Path) -> None:
    images = [{"id": 1, "file_name": "gone.jpg", "width": 9, "height": 9}, {"id": 2, "file_name": "b.jpg"}]
    path = coco(tmp_path, images)
    (tmp_path / "images" / "b.jpg").write_bytes(b"no image")
    reading = read(path)
    assert [p.kind for p in reading.problems] == ["missing_image", "broken_image"]
    with pytest.raises(SourceError, match=r"labels.json: images\[0\]: no picture 'gone.jpg' in .*images or "):
        read_dataset(path)


def test_two_names_for_one_picture_are_refused(tmp_path: Path) -> None:
    images = [{"id": 1, "file_name": "gate/a.jpg"}, {"id": 2, "file_name": "dock/a.jpg"}]
    with pytest.raises(SourceError, match=r"images\[1\]: .*a.jpg has labels already, from .*images\[0\]"):
        read_dataset(coco(tmp_path, images))


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"images": [{"id": 1}]}, r"images\[0\]: expected id and file_name, got"),
        ({"images": [{"id": 1, "file_name": "a"}] * 2}, r"images\[1\]: id 1 occurs twice"),
        ({"categories": [{"id": 1}]}, r"categories\[0\]: expected a whole id and a name"),
        ({"categories": CATEGORIES * 2}, r"categories: an id or a name occurs twice"),
    ],
)
def test_a_file_that_contradicts_itself_is_refused(tmp_path: Path, changes: dict[str, Any], says: str) -> None:
    with pytest.raises(SourceError, match=says):
        read(coco(tmp_path, **changes))


def test_files_that_are_not_coco_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text("{", encoding="utf-8")
    with pytest.raises(SourceError, match=r"a.json: is not JSON"):
        read(path, "coco")
    path.write_text('{"images": []}', encoding="utf-8")
    with pytest.raises(SourceError, match=r"a.json: no COCO file with images, annotations, categories"):
        read(path, "coco")
    with pytest.raises(UsageError, match="COCO names its classes itself"):
        read(coco(tmp_path), labels=["person"])


def test_several_files_ask_for_one(tmp_path: Path) -> None:
    coco(tmp_path, name="one.json")
    coco(tmp_path, name="two.json")
    with pytest.raises(SourceError, match=r"holds several COCO files \(one.json, two.json\); name the one to read"):
        read(tmp_path)


def test_no_picture_at_all_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "empty.json"
    path.write_text('{"images": [], "annotations": [], "categories": []}', encoding="utf-8")
    with pytest.raises(SourceError, match=r"empty.json: holds no labelled pictures"):
        read_dataset(path)
