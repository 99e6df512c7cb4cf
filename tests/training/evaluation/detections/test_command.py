from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import typer
from typer.testing import CliRunner, Result

from engine.errors import SourceError, UsageError
from tests.training.evaluation.detections.models import coloured_squares, tiny_bundle
from tests.training.evaluation.detections.scenes import random_scene
from training.commands.evaluate import register

pytest.importorskip("pycocotools")


def run(*arguments: object) -> Result:
    app = typer.Typer()
    register(app)
    outcome = CliRunner().invoke(app, ["evaluate", "detections", *map(str, arguments)])
    if outcome.exception is not None and not isinstance(outcome.exception, SystemExit):
        raise outcome.exception
    return outcome


@pytest.fixture
def files(tmp_path: Path) -> list[str]:
    of_truth, results = random_scene(12, 0)
    (tmp_path / "gt.json").write_text(json.dumps(of_truth))
    (tmp_path / "r.json").write_text(json.dumps(results))
    return ["--gt", str(tmp_path / "gt.json"), "--results", str(tmp_path / "r.json")]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    path = tmp_path / "images" / "labels.json"
    path.parent.mkdir()
    path.write_text(json.dumps(coloured_squares(tmp_path / "images", 8).to_coco()))
    return path


def as_json(*arguments: object) -> dict[str, Any]:
    return dict(json.loads(run(*arguments, "--json").stdout))


def test_results_without_extras_are_judged_without_bootstrap(files: list[str]) -> None:
    said = as_json(*files)
    assert said["bootstrap"]["num_draws"] == 0
    assert set(said) >= {"ap", "ap50", "ap_small", "ar_100", "num_images", "num_truth", "per_class"}
    assert as_json(*files, "--draws", 10)["bootstrap"]["num_draws"] == 10


def test_two_results_are_compared(tmp_path: Path, files: list[str]) -> None:
    half = json.loads((tmp_path / "r.json").read_text())[::2]
    (tmp_path / "half.json").write_text(json.dumps(half))
    options = [*files, "--compare-results", tmp_path / "half.json", "--draws", 20]
    said = as_json(*options)["comparison"]
    assert (said["a"], said["b"]) == ("r.json", "half.json")
    assert said["figures"]["ap50"]["difference"] == pytest.approx(
        said["figures"]["ap50"]["b"] - said["figures"]["ap50"]["a"], abs=1e-5
    )
    assert "half.json" in run(*options).stdout


def test_pictures_make_slices_and_a_gallery(tmp_path: Path, files: list[str]) -> None:
    (tmp_path / "images").mkdir()
    rng = np.random.default_rng(0)
    for number in range(12):
        cv2.imwrite(str(tmp_path / "images" / f"{number}.png"), rng.integers(20 * number, 255, (200, 200, 3), np.uint8))
    html = tmp_path / "out" / "report.html"
    said = as_json(*files, "--images", tmp_path / "images", "--html", html, "--draws", 5)
    assert {one["axis"] for one in said["slices"]} >= {"brightness", "sharpness"}
    assert "data:image/jpeg;base64" in html.read_text()
    assert [path.name for path in html.parent.iterdir()] == ["report.html"]
    (tmp_path / "images" / "7.png").unlink()
    with pytest.raises(SourceError, match=r"7.png: no such picture, but the ground truth names it \(image 7\)"):
        run(*files, "--images", tmp_path / "images")


def test_a_model_is_judged_on_data_and_under_conditions(tmp_path: Path, data: Path) -> None:
    bundle = tiny_bundle(tmp_path)
    options = ["--model", bundle, "--data", data, "--conditions", "night,rain", "--strength", 1, "--draws", 5]
    said = as_json(*options)
    assert said["ap50"] == 1
    assert [(one["condition"], one["strength"]) for one in said["conditions"]] == [("night", 1.0), ("rain", 1.0)]
    assert said["conditions"][0]["change"] < -0.5
    assert "night" in run(*options).stdout


def test_two_models_are_judged_on_the_classes_that_both_know(tmp_path: Path, data: Path) -> None:
    both, one = tiny_bundle(tmp_path / "a"), tiny_bundle(tmp_path / "b", ("blue", "green"))
    outcome = run("--model", both, "--data", data, "--compare", one, "--draws", 5, "--json")
    assert "not judged, not known to the model: red" in outcome.stderr
    said = json.loads(outcome.stdout)
    assert list(said["per_class"]) == ["blue"]
    assert said["comparison"]["figures"]["ap"]["difference"] == 0


def test_the_held_out_pictures_of_a_recipe_are_judged(tmp_path: Path, data: Path) -> None:
    (tmp_path / "data.yaml").write_text(
        "name: squares\ndata:\n  - {path: images/labels.json, camera: gate}\nsplit: {val: 0.25, gap_s: 0}\n"
    )
    said = as_json("--model", tiny_bundle(tmp_path), "--data", tmp_path / "data.yaml")
    assert said["data"].endswith("data.yaml (held out)")
    assert (said["num_images"], said["ap50"]) == (2, 1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "give --gt and --results .COCO files., or --model and --data"),
        (["--gt", "a.json"], "give --gt and --results"),
        (["--model", "m", "--data", "d", "--gt", "g"], "give --gt and --results"),
        (["--gt", "g", "--results", "r", "--compare", "m"], "--compare goes with --model"),
        (["--gt", "g", "--results", "r", "--conditions", "all"], "--conditions goes with --model"),
        (["--model", "m", "--data", "d", "--compare-results", "r"], "--compare-results goes with --results"),
        (["--model", "m", "--data", "d", "--conditions", "hail"], "unknown condition 'hail'"),
    ],
)
def test_options_that_do_not_go_together_are_refused(options: list[str], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        run(*options)
