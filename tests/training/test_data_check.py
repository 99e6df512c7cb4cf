from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.training.photos import make_sample, patches, write_photo
from training.data_check import ClassCount, check_data
from training.dataset import Dataset, Sample
from training.formats.reading import Problem, Reading

SIZE = (200, 160)


def photo(folder: Path, seed: int, *boxes: tuple[float, float, float, float], **fields: object) -> Sample:
    path = write_photo(folder / f"{seed}.jpg", seed, SIZE)
    return make_sample(path, *boxes, size_wh=SIZE, **fields)  # type: ignore[arg-type]


def whole(*samples: Sample, labels: tuple[str, ...] = ("person", "car")) -> Reading:
    return Reading({"": Dataset(labels, samples)})


def test_boxes_are_counted_by_class_and_by_cocos_sizes(tmp_path: Path) -> None:
    report = check_data(
        whole(
            photo(tmp_path, 0, (0, 0, 31, 33), (50, 50, 82, 82), class_id=1),
            photo(tmp_path, 1, (0, 0, 96, 96), class_id=1, camera="gate", time_s=0.0),
            photo(tmp_path, 2, (0, 0, 90, 90), class_id=1, ignore=True),
            photo(tmp_path, 3),
        )
    )
    assert list(report.classes.items()) == [("car", ClassCount(3, 2, 1, 1, 1)), ("person", ClassCount(0, 0, 0, 0, 0))]
    assert (report.num_images, report.num_ignored, report.num_empty) == ({"": 4}, 1, 1)
    assert (report.sizes, report.cameras) == ({SIZE: 4}, {"": 3, "gate": 1})
    text = report.text()
    assert text.startswith("4 pictures, 3 boxes of one class, car\n  1 pictures without a box, 1 boxes to ignore\n")
    assert "  cameras: without a camera 3, gate 1\n  sizes: 200x160 (4)\n" in text
    assert (
        "  class   boxes  pictures   small  medium   large\n  car         3         2       1       1       1\n" in text
    )


def test_a_sound_set_has_nothing_wrong(tmp_path: Path) -> None:
    boxes = [(x, y, x + 20.0, y + 20.0) for x in range(0, 160, 40) for y in range(0, 120, 30)]
    report = check_data(whole(*(photo(tmp_path, seed, *boxes) for seed in range(3)), labels=("person",)))
    assert report.problems == ()
    assert report.text().endswith("\nnothing wrong")


def test_broken_cut_off_and_resized_pictures_are_errors(tmp_path: Path) -> None:
    broken, cut, resized = (photo(tmp_path, seed, (0, 0, 50, 50)) for seed in range(3))
    broken.path.write_bytes(b"words")
    cut.path.write_bytes(cut.path.read_bytes()[:-500])
    report = check_data(whole(broken, cut, replace(resized, size_wh=(100, 80)), photo(tmp_path, 3, (0, 0, 50, 50))))
    assert [problem.text.removeprefix(f"{tmp_path}/") for problem in report.errors] == [
        "0.jpg: not an image that can be read (JPEG, PNG, BMP, WebP and TIFF can)",
        "1.jpg: the file is cut off; fetch it again",
        "2.jpg: the picture is 200x160, its labels were made for 100x80",
    ]
    assert set(report.as_json()["errors"]) == {"broken_image"}


def test_tiny_and_double_boxes_are_warnings(tmp_path: Path) -> None:
    tiny = photo(tmp_path, 0, (10, 20, 13.5, 60))
    double = photo(tmp_path, 1, (10, 20, 60, 70), (10, 21, 60, 70), (100, 20, 150, 70))
    ignored = photo(tmp_path, 2, (10, 20, 12, 60), ignore=True)
    two_classes = replace(photo(tmp_path, 3, (10, 20, 60, 70), (10, 20, 60, 70)), class_id=np.array([0, 1]))
    found = check_data(whole(tiny, double, ignored, two_classes)).as_json()
    assert found["errors"] == {}
    assert found["warnings"]["tiny_box"] == [f"{tmp_path}/0.jpg: a 'person' of 3.5x40.0 px at (10, 20)"]
    assert found["warnings"]["double_box"] == [f"{tmp_path}/1.jpg: two boxes on one 'person' at (10, 20)"]


def test_copies_and_pictures_that_look_alike_are_warnings(tmp_path: Path) -> None:
    first = photo(tmp_path, 0, (0, 0, 50, 50))
    copy, other = tmp_path / "copy.jpg", tmp_path / "other.jpg"
    for path in (copy, other):
        path.write_bytes(first.path.read_bytes())
    darker = tmp_path / "darker.png"
    assert cv2.imwrite(str(darker), (patches(0, SIZE) * 0.8).astype(np.uint8))
    samples = [
        first,
        make_sample(copy, (0, 0, 50, 50), size_wh=SIZE),
        make_sample(other, (9, 9, 50, 50), size_wh=SIZE),
        make_sample(darker, size_wh=SIZE),
    ]
    found = check_data(whole(*samples)).as_json()["warnings"]
    assert found["copy"] == [
        f"{copy} is a copy of {first.path}",
        f"{other} is a copy of {first.path}, with other boxes",
    ]
    assert found["near_copy"] == [f"{darker} looks like {first.path}"]


def test_rare_and_missing_classes_are_named(tmp_path: Path) -> None:
    many = [(0.0, float(y), 30.0, y + 20.0) for y in range(20)]
    samples = [photo(tmp_path, 0, *many), photo(tmp_path, 1, (0, 0, 50, 50), class_id=1)]
    found = check_data(whole(*samples, labels=("person", "car", "bus"))).as_json()["warnings"]
    assert found["rare_class"] == ["fewer than 20 boxes: car (1)"]
    assert found["missing_class"] == ["no box: bus"]


def test_a_split_is_checked_for_leaks_and_for_classes_on_one_side(tmp_path: Path) -> None:
    train, val = photo(tmp_path, 0, (0, 0, 50, 50)), photo(tmp_path / "val", 0, (0, 0, 50, 50), class_id=1)
    labels = ("person", "car")
    report = check_data(Reading({"train": Dataset(labels, (train,)), "val": Dataset(labels, (val,))}))
    assert [(p.kind, p.text) for p in report.errors] == [("leak", f"{val.path} is a copy of {train.path}")]
    assert report.as_json()["warnings"]["missing_class"] == ["boxes in val only: car", "boxes in train only: person"]
    assert "  train 1 pictures, val 1 pictures\n" in report.text()


def test_problems_are_grouped_and_the_first_of_each_kind_shown(tmp_path: Path) -> None:
    reading = whole(photo(tmp_path, 0, (0, 0, 50, 50)))
    problems = (*(Problem("bad_box", f"row {n}") for n in range(5)), Problem("cut_box", "row 9", is_error=False))
    report = check_data(replace(reading, problems=problems))
    assert (
        "5 errors\n  bad box: 5\n    row 0\n    row 1\n    row 2\n    … and 2 more\n3 warnings\n  cut box: 1\n"
        in report.text()
    )
    assert Counter(p.kind for p in report.problems)["bad_box"] == 5
    assert report.as_json()["errors"] == {"bad_box": [f"row {n}" for n in range(5)]}


@pytest.mark.parametrize("parts", [{"": Dataset((), ())}, {"": Dataset(("person",), ())}])
def test_an_empty_set_is_counted(parts: dict[str, Dataset]) -> None:
    report = check_data(Reading(parts))
    assert report.text().startswith("0 pictures, 0 boxes of 0 classes")
