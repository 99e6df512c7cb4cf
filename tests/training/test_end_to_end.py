"""From rendered footage to a bundle that watches a camera: every command, as a user gives it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from engine import cli
from engine.bundle import Bundle
from tests.training.rendered import CLIPS, ROOT, write_rendered

# The first test waits for training.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]

# From the default model on, a few steps are enough.
RECIPE = f"""
name: rendered
rename: {{cyclist: null, vehicle: car}}
data:
  - {{path: data/labels.json, licence: Apache-2.0, source: replay_data}}
model: {{size: nano, input_wh: [320, 192], init: {ROOT / "models" / "street-nano"}}}
train: {{epochs: 2, batch_size: 8, lr: 0.001, ema: 0.9, multi_scale: 0}}
augment: {{mosaic: 0, mixup: 0, conditions: {{night: 0.1}}}}
"""


def run(*arguments: str | Path) -> None:
    assert cli.main([str(argument) for argument in arguments]) == 0


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Footage, a recipe, the run in `work`, and its bundle in `bundle`."""
    folder = tmp_path_factory.mktemp("end_to_end")
    write_rendered(folder / "data")
    (folder / "recipe.yaml").write_text(RECIPE, encoding="utf-8")
    run("train", folder / "recipe.yaml", "--work", folder / "work", "--out", folder / "bundle")
    return folder


def test_training_makes_a_bundle_that_knows_where_it_comes_from(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle = Bundle.load(folder / "bundle")
    card, reference, evaluation = bundle.card(), bundle.reference(), bundle.evaluation()

    assert bundle.manifest.labels == ("person", "car")
    assert bundle.manifest.input.size_wh == (320, 192)
    assert card is not None
    assert [(entry.name, entry.licence) for entry in card.trained_on] == [("labels.json", "Apache-2.0")]
    assert card.parity is not None
    assert card.parity.map_difference <= 0.1
    assert str(folder) not in card.to_json()
    assert card.started_from.startswith("street-nano, SHA-256 ")
    assert reference is not None
    assert set(reference.cameras) == {"gate", "street"}
    assert evaluation is not None
    assert evaluation["ap50"] > 0.5

    run("models", "verify", folder / "bundle")
    run("models", "show", folder / "bundle")
    said = capsys.readouterr().out
    assert "good" in said
    assert "Apache-2.0" in said


def test_a_camera_runs_with_it(folder: Path) -> None:
    events = folder / "events.jsonl"
    run("run", CLIPS / "gate.mp4", "--model", folder / "bundle", "--runner", "inline", "--max-frames", "60",
        "--events", events)  # fmt: skip

    bodies = [json.loads(line) for line in events.read_text(encoding="utf-8").splitlines()]
    assert {body["camera"] for body in bodies} == {"gate"}
    assert "object.new" in {body["type"] for body in bodies}


def test_judging_it_again_gives_the_figures_of_its_card(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run("evaluate", "detections", "--model", folder / "bundle", "--data", folder / "recipe.yaml", "--json")

    found = json.loads(capsys.readouterr().out)
    evaluation = Bundle.load(folder / "bundle").evaluation()
    assert evaluation is not None
    assert (found["ap"], found["ap50"]) == (evaluation["ap"], evaluation["ap50"])


def test_exporting_the_run_again_gives_the_same_model(folder: Path) -> None:
    run("export", folder / "work" / "best.pt", "--out", folder / "again")

    again, bundle = Bundle.load(folder / "again"), Bundle.load(folder / "bundle")
    assert again.file("onnx").read_bytes() == bundle.file("onnx").read_bytes()
    assert again.digest == bundle.digest


def test_a_student_of_the_camera_runs_too(folder: Path) -> None:
    run("distill", "--teacher", folder / "bundle", "--footage", CLIPS / "gate.mp4", "--classes", "person", "--size",
        "pico", "--cost", "0.9", "--epochs", "1", "--every-s", "0.4", "--max-frames", "250", "--work", folder / "student_work", "--out",
        folder / "student")  # fmt: skip

    bundle = Bundle.load(folder / "student")
    card = bundle.card()
    assert card is not None
    assert card.teacher is not None
    assert (card.teacher.name, card.teacher.digest) == ("rendered", Bundle.load(folder / "bundle").digest)
    run("run", CLIPS / "gate.mp4", "--model", folder / "student", "--runner", "inline", "--max-frames", "10")
