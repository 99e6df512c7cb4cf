from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest

from engine.errors import SourceError
from tests.training.photos import make_sample, rows, write_photo
from training.dataset import Dataset
from training.formats import read, read_dataset, write_dataset, write_predictions


def region(
    x: float = 25, y: float = 50, width: float = 50, height: float = 25, label: str = "person", **changes: Any
) -> Any:
    value = {"x": x, "y": y, "width": width, "height": height, "rotation": 0, "rectanglelabels": [label]}
    region = {"type": "rectanglelabels", "original_width": 64, "original_height": 48, "value": value}
    return {**region, **changes, "value": {**value, **changes.get("value", {})}}


def task(*regions: Any, image: str = "/data/upload/3/ab12cd34-a.jpg", **more: Any) -> dict[str, Any]:
    return {"id": 9, "data": {"image": image}, "annotations": [{"result": list(regions)}], **more}


def export(folder: Path, *tasks: Any) -> Path:
    write_photo(folder / "images" / "a.jpg")
    path = folder / "tasks.json"
    path.write_text(json.dumps(tasks), encoding="utf-8")
    return path


def test_percent_becomes_pixels_and_classes_stand_in_the_order_of_their_names(tmp_path: Path) -> None:
    path = export(
        tmp_path, task(region(), region(0, 0, 100, 100, "car", meta={"text": ["ignore"]}), {"type": "choices"})
    )
    dataset = read_dataset(path)
    assert (dataset.labels, dataset.sources[0].format) == (("car", "person"), "label_studio")
    assert rows(dataset.samples[0]) == [(1, [16, 24, 48, 36], False), (0, [0, 0, 64, 48], True)]
    assert read_dataset(path, labels=["person", "car", "bus"]).samples[0].class_id.tolist() == [0, 1]


@pytest.mark.parametrize(
    "image",
    [
        "/data/upload/3/ab12cd34-a.jpg",
        "/data/local-files/?d=street/images/a.jpg",
        "/data/local-files/?d=a.jpg",
        "http://labels.example/files/a.jpg?token=1",
        "s3://bucket/street/a.jpg",
    ],
)
def test_addresses_lead_to_the_pictures_beside_the_export(tmp_path: Path, image: str) -> None:
    assert read_dataset(export(tmp_path, task(region(), image=image))).samples[0].path == tmp_path / "images" / "a.jpg"


def test_unfinished_tasks_are_left_out_and_empty_ones_are_empty_pictures(tmp_path: Path) -> None:
    skipped = task(region(), annotations=[{"was_cancelled": True, "result": [region()]}])
    reading = read(export(tmp_path, skipped, task()))
    assert [len(s.xyxy) for s in reading.parts[""].samples] == [0]
    assert [(p.kind, p.is_error) for p in reading.problems] == [("unlabelled", False)]


def test_the_ground_truth_of_several_annotations_is_taken(tmp_path: Path) -> None:
    two: list[dict[str, Any]] = [{"result": []}, {"result": [region()], "ground_truth": True}]
    reading = read(export(tmp_path, task(annotations=two)))
    assert (len(reading.whole.samples[0].xyxy), reading.problems) == (1, ())
    two[1]["ground_truth"] = False
    reading = read(export(tmp_path, task(annotations=two)))
    assert len(reading.whole.samples[0].xyxy) == 0
    assert "has 2 annotations and none is the ground truth; the first is taken" in reading.problems[0].text


@pytest.mark.parametrize(
    ("item", "says"),
    [
        (
            region(value={"rotation": 30}),
            r"result\[0\]: is turned by 30 degrees; boxes here are upright: draw it again",
        ),
        (region(image_rotation=90), r"result\[0\]: is turned by 90 degrees"),
        (region(value={"rectanglelabels": []}), r"result\[0\]: expected one label, got \[\]"),
        (region(value={"x": None}), r"result\[0\]: expected x, y, width, height, original_width and original_height"),
        (region(original_width=0), r"result\[0\]: expected x, y, width, height, original_width and original_height"),
        (region(type="polygonlabels"), r"result\[0\]: is a 'polygonlabels'; only rectanglelabels can be read"),
        (region(label="dog"), r"result\[0\]: label 'dog' is none of person, car"),
        (region(width=-5), r"result\[0\]: box .* is turned inside out"),
    ],
)
def test_a_bad_region_is_refused_by_task_and_region(tmp_path: Path, item: Any, says: str) -> None:
    with pytest.raises(SourceError, match=r"tasks.json: \[0\]." + says):
        read_dataset(export(tmp_path, task(item, region())), labels=["person", "car"])


def test_what_is_written_comes_back(tmp_path: Path) -> None:
    dataset = Dataset(
        ("car", "person"),
        (
            make_sample(
                write_photo(tmp_path / "a b.jpg"), (1, 2, 30, 40), camera="gate", time_s=1.5, tags={"light": "day"}
            ),
            make_sample(write_photo(tmp_path / "b.jpg", 1), (0, 0, 9.25, 9), class_id=1, ignore=True),
        ),
    )
    write_dataset(dataset, tmp_path / "out", "label_studio")
    back = read_dataset(tmp_path / "out")
    assert [rows(s) for s in back.samples] == [rows(s) for s in dataset.samples]
    assert [(s.camera, s.time_s, s.tags) for s in back.samples] == [("gate", 1.5, {"light": "day"}), ("", None, {})]
    config = ElementTree.parse(tmp_path / "out" / "config.xml")
    assert [e.get("value") for e in config.iter("Label")] == ["car", "person"]


def test_predictions_carry_their_confidence_and_become_labels_when_a_person_accepts_them(tmp_path: Path) -> None:
    samples = (
        make_sample(write_photo(tmp_path / "a.jpg"), (1, 2, 30, 40), (5, 5, 9, 9)),
        make_sample(write_photo(tmp_path / "b.jpg", 1)),
    )
    confidence = [np.array([0.9, 0.5], np.float32), np.zeros(0, np.float32)]
    write_predictions(Dataset(("person",), samples), confidence, "street-nano 12ab", tmp_path / "out")
    path = tmp_path / "out" / "tasks.json"
    with pytest.raises(SourceError, match=r"none of the 2 tasks has a finished annotation; it holds predictions only"):
        read(path)
    tasks = json.loads(path.read_text(encoding="utf-8"))
    predictions = [task["predictions"][0] for task in tasks]
    assert [(p["model_version"], p["score"]) for p in predictions] == [
        ("street-nano 12ab", 0.7),
        ("street-nano 12ab", 0.0),
    ]
    assert [r["score"] for r in predictions[0]["result"]] == [0.9, 0.5]
    path.write_text(json.dumps([{**t, "annotations": t["predictions"]} for t in tasks]), encoding="utf-8")
    assert [rows(s) for s in read_dataset(path).samples] == [rows(s) for s in samples]


def test_other_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "min.json"
    path.write_text('[{"image": "a.jpg", "label": []}]', encoding="utf-8")
    with pytest.raises(
        SourceError, match=r"min.json: not Label Studio's JSON export: expected a list of tasks with data"
    ):
        read(path, "label_studio")
