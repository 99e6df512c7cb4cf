from __future__ import annotations

import json
from pathlib import Path

import pytest
import typer
import yaml
from typer.testing import CliRunner, Result

from engine.errors import SourceError, UsageError
from engine.onnx_import import ImportOptions, describe_onnx
from tests.tiny_models import save_yolox
from tests.training.photos import make_sample, write_photo
from training.commands.data import FORMATS_IN, FORMATS_OUT, register
from training.dataset import Dataset
from training.formats import FORMATS, read, read_dataset, write_dataset

BOX = (1.0, 2.0, 30.0, 40.0)


def run(*arguments: object) -> Result:
    app = typer.Typer()
    register(app)
    outcome = CliRunner().invoke(app, ["data", *map(str, arguments)])
    if outcome.exception is not None and not isinstance(outcome.exception, SystemExit):
        raise outcome.exception
    return outcome


@pytest.fixture
def street(tmp_path: Path) -> Path:
    """A COCO folder with ten photographs and a frame with a box to ignore."""
    samples = [make_sample(write_photo(tmp_path / "in" / f"{n}.jpg", n), BOX) for n in range(10)]
    samples.append(make_sample(write_photo(tmp_path / "in" / "crowd.jpg", 11), BOX, ignore=True))
    write_dataset(Dataset(("person",), tuple(samples)), tmp_path / "street", "coco")
    return tmp_path / "street"


def spoil(street: Path) -> None:
    """Add a box without area, and take a picture away."""
    data = json.loads((street / "labels.json").read_text(encoding="utf-8"))
    data["annotations"].append({"id": 99, "image_id": data["images"][0]["id"], "category_id": 0, "bbox": [1, 2, 0, 4]})
    (street / "labels.json").write_text(json.dumps(data), encoding="utf-8")
    (street / "images" / "3.jpg").unlink()


def test_a_sound_set_is_checked_for_a_person_and_for_a_program(street: Path, tmp_path: Path) -> None:
    outcome = run("check", street, "--sheet", tmp_path / "sheet.png")
    assert outcome.exit_code == 0
    assert outcome.stdout.startswith(f"{street}: 11 pictures, 10 boxes of one class, person\n")
    assert (tmp_path / "sheet.png").is_file()
    found = json.loads(run("check", street, "--json").stdout)
    assert (found["num_images"], found["num_boxes"], found["num_ignored"], found["errors"]) == (11, 10, 1, {})


def test_what_cannot_be_used_is_listed_and_the_check_fails(street: Path) -> None:
    spoil(street)
    outcome = run("check", street)
    assert outcome.exit_code == 1
    assert "labels.json: images[3]: no picture '3.jpg' in" in outcome.stdout
    assert "labels.json: annotations[11]: box (1, 2, 1, 6) has no area" in outcome.stdout
    assert {
        kind: len(texts) for kind, texts in json.loads(run("check", street, "--json").stdout)["errors"].items()
    } == {
        "missing_image": 1,
        "bad_box": 1,
    }


def test_a_recipe_is_checked_with_its_split(street: Path, tmp_path: Path) -> None:
    recipe = tmp_path / "data.yaml"
    recipe.write_text(yaml.safe_dump({"name": "street", "data": [{"path": "street"}]}), encoding="utf-8")
    outcome = run("check", recipe)
    assert (outcome.exit_code, "  train 9 pictures, val 2 pictures\n" in outcome.stdout) == (0, True)
    parts = [{"path": "street", "role": "train"}, {"path": "street", "role": "val"}]
    recipe.write_text(yaml.safe_dump({"name": "street", "data": parts}), encoding="utf-8")
    outcome = run("check", recipe)
    assert (outcome.exit_code, "  leak: 11\n" in outcome.stdout) == (1, True)


def test_formats_are_converted(street: Path, tmp_path: Path) -> None:
    outcome = run("convert", street, tmp_path / "yolo", "--format", "yolo")
    assert outcome.stdout == (
        f"{tmp_path}/yolo: 11 pictures, 10 boxes, yolo\n"
        "1 box to ignore is left out: YOLO has no word for it, and learns background there\n"
    )
    assert len(read_dataset(tmp_path / "yolo")) == 11
    outcome = run("convert", tmp_path / "yolo" / "labels", tmp_path / "coco", "--format", "coco", "--from", "yolo",
                  "--images", tmp_path / "yolo" / "images", "--labels", _names(tmp_path))  # fmt: skip
    assert outcome.stdout == f"{tmp_path}/coco: 11 pictures, 10 boxes, coco\n"
    assert read_dataset(tmp_path / "coco").labels == ("human",)


def _names(folder: Path) -> Path:
    (folder / "names.txt").write_text("human\n", encoding="utf-8")
    return folder / "names.txt"


def test_bad_rows_stop_a_conversion_unless_they_are_to_be_skipped(street: Path, tmp_path: Path) -> None:
    spoil(street)
    with pytest.raises(SourceError, match=r"annotations\[11\]: .* has no area; 1 more cannot be used"):
        run("convert", street, tmp_path / "out", "--format", "coco")
    assert not (tmp_path / "out").exists()
    outcome = run("convert", street, tmp_path / "out", "--format", "coco", "--skip-bad")
    assert "2 rows or pictures are left out; the first: " in outcome.stderr
    assert len(read_dataset(tmp_path / "out")) == 10


def test_a_split_is_written(street: Path, tmp_path: Path) -> None:
    outcome = run("split", street, tmp_path / "out", "--val", 0.3)
    assert outcome.stdout == f"{tmp_path}/out: train 8, val 3 pictures, 11 boxes, coco\n"
    parts = read(tmp_path / "out").parts
    assert {part: len(found) for part, found in parts.items()} == {"train": 8, "val": 3}
    with pytest.raises(UsageError, match=r"--val 1.5: expected a share between 0 and 1"):
        run("split", street, tmp_path / "again", "--val", 1.5)


def test_pictures_in_the_gap_are_counted(tmp_path: Path) -> None:
    frames = [
        make_sample(write_photo(tmp_path / "in" / f"{n}.jpg", n), BOX, camera="gate", time_s=float(n))
        for n in range(60)
    ]
    write_dataset(Dataset(("person",), tuple(frames)), tmp_path / "gate", "coco")
    outcome = run("split", tmp_path / "gate", tmp_path / "out")
    assert outcome.stdout.endswith("\n1 pictures lie in the gaps between the parts and are in neither\n")


def test_a_models_boxes_become_tasks_for_a_person(tmp_path: Path) -> None:
    write_photo(tmp_path / "in" / "1.jpg")
    write_photo(tmp_path / "in" / "gate.jpg", 1)
    found = [{"image_id": 1, "category_id": 1, "bbox": [1, 2, 29, 38], "score": score} for score in (0.2, 0.8)]
    (tmp_path / "r.json").write_text(json.dumps(found), encoding="utf-8")
    model = describe_onnx(save_yolox(tmp_path / "tiny.onnx"), ImportOptions("yolox", ("blue", "red"))).write(
        tmp_path / "tiny"
    )
    outcome = run("prelabel", tmp_path / "in", "--results", tmp_path / "r.json", "--model", tmp_path / "tiny", "--out", tmp_path / "out")  # fmt: skip
    assert outcome.stdout == f"{tmp_path}/out: 2 pictures, 1 boxes, label_studio\n"
    first, second = json.loads((tmp_path / "out" / "tasks.json").read_text(encoding="utf-8"))
    assert first["predictions"][0]["model_version"] == f"tiny {model.digest[:12]}"
    assert first["predictions"][0]["result"][0]["value"]["rectanglelabels"] == ["red"]
    assert second["predictions"][0]["result"] == []


def test_the_help_names_every_format() -> None:
    assert set(FORMATS_IN.split("|")) == set(FORMATS)
    assert set(FORMATS_OUT.split("|")) == {name for name, known in FORMATS.items() if known.write}
