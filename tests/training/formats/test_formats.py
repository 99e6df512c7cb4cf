from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from engine.errors import SourceError, UsageError
from tests.training.photos import make_sample, write_photo
from training.dataset import Dataset
from training.formats import guess_format, read, read_dataset, write_dataset
from training.formats.results import with_results


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    return Dataset(("person",), (make_sample(write_photo(tmp_path / "in" / "a.jpg"), (1, 2, 9, 9)),))


@pytest.mark.parametrize("name", ["coco", "yolo", "label_studio"])
def test_what_we_write_is_told_apart(tmp_path: Path, dataset: Dataset, name: str) -> None:
    write_dataset(dataset, tmp_path / "out", name)
    assert guess_format(tmp_path / "out") == name
    back = read_dataset(tmp_path / "out")
    assert (back.labels, len(back), back.sources[0].path) == (("person",), 1, str(tmp_path / "out"))


def test_a_folder_of_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "clip.mp4").write_bytes(b"")
    for path in (tmp_path, tmp_path / "clip.mp4"):
        with pytest.raises(
            SourceError, match=r"not a data set that can be read: expected a COCO or Label Studio JSON file"
        ):
            read(path)
    with pytest.raises(SourceError, match=r"gone: no such file or folder"):
        read(tmp_path / "gone")
    with pytest.raises(SourceError, match=r"pictures: no such file or folder"):
        read(tmp_path, images=tmp_path / "pictures")


def test_unknown_formats_and_parts_are_refused(tmp_path: Path, dataset: Dataset) -> None:
    with pytest.raises(UsageError, match=r"no format 'cocoo' \(did you mean 'coco'\?\)"):
        read(tmp_path, "cocoo")
    with pytest.raises(UsageError, match=r"cannot write format 'voc'; known: yolo, coco, label_studio"):
        write_dataset(dataset, tmp_path / "out", "voc")
    write_dataset(dataset, tmp_path / "out", "coco")
    with pytest.raises(SourceError, match=r"out: has no part 'val'; it is not split into train and val"):
        read_dataset(tmp_path / "out", part="val")


def test_nothing_is_replaced_and_nothing_half_written_is_left(tmp_path: Path, dataset: Dataset) -> None:
    out = tmp_path / "out"
    write_dataset(dataset, out, "coco")
    with pytest.raises(UsageError, match=r"out: there is something already; name a new folder"):
        write_dataset(dataset, out, "coco")
    shutil.rmtree(out)
    dataset.samples[0].path.unlink()
    with pytest.raises(SourceError, match=r"a.jpg: cannot be copied to"):
        write_dataset(dataset, out, "coco")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in"]


def test_a_folder_that_cannot_be_made_is_one_sentence(tmp_path: Path, dataset: Dataset) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(SourceError, match=r"out: cannot be written: "):
        write_dataset(dataset, tmp_path / "file" / "out", "coco")


def test_results_are_laid_on_their_pictures_strongest_first(tmp_path: Path) -> None:
    write_photo(tmp_path / "000007.jpg")
    write_photo(tmp_path / "gate.png", 1)
    results = [
        {"image_id": 7, "category_id": 0, "bbox": [1, 2, 10, 10], "score": 0.4},
        {"image_id": 7, "category_id": 1, "bbox": [60, 40, 10, 10], "score": 0.9},
        {"image_id": 7, "category_id": 1, "bbox": [70, 40, 10, 10], "score": 0.8},
        {"image_id": "gate", "category_id": 0, "bbox": [1, 2, 10, 10], "score": 0.2},
    ]
    dataset, confidence = with_results(tmp_path, results, ("person", "car"), min_confidence=0.3)
    assert [s.path.name for s in dataset.samples] == ["000007.jpg", "gate.png"]
    assert dataset.samples[0].xyxy.tolist() == [[60, 40, 64, 48], [1, 2, 11, 12]]
    assert dataset.samples[0].class_id.tolist() == [1, 0]
    assert [np.round(c, 2).tolist() for c in confidence] == [pytest.approx([0.9, 0.4]), []]


def test_results_of_something_else_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="holds no pictures"):
        with_results(tmp_path, [], ("person",))
    write_photo(tmp_path / "1.jpg")
    result = {"image_id": 2, "category_id": 0, "bbox": [1, 2, 10, 10], "score": 0.4}
    with pytest.raises(SourceError, match=r"results\[0\]: no picture '2' in"):
        with_results(tmp_path, [result], ("person",))
    with pytest.raises(SourceError, match=r"results\[0\]: category_id 3 is none of the model's 1 classes"):
        with_results(tmp_path, [{**result, "image_id": 1, "category_id": 3}], ("person",))
