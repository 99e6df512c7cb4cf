from __future__ import annotations

import json
import signal
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from engine import cli
from engine.errors import UsageError
from tests.training.labelled import rectangles
from tests.training.test_loop import on_step
from training.checkpoint import load_trained
from training.commands.train import with_options
from training.learner import NotFinite
from training.recipe import Recipe, load_recipe

RECIPE = """
name: boxes
data:
  - {path: train.json, images: train, role: train, format: coco, licence: CC0-1.0}
  - {path: val.json, images: val, role: val, format: coco}
model: {size: femto, input_wh: [96, 64]}
train: {epochs: 2, batch_size: 4, lr: 0.01, workers: 0}
augment: {mosaic: 0.2}
"""


@pytest.fixture
def recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setitem(sys.modules, "mlflow", None)
    torch.set_num_threads(1)
    for seed, name in enumerate(("train", "val")):
        dataset = rectangles(tmp_path / name, 8, seed=seed)
        coco = dataset.to_coco()
        for image in coco["images"]:
            image["camera"] = name
        (tmp_path / f"{name}.json").write_text(json.dumps(coco), encoding="utf-8")
    (tmp_path / "recipe.yaml").write_text(RECIPE, encoding="utf-8")
    return tmp_path / "recipe.yaml"


def train(recipe: Path, *options: str, code: int = 0) -> None:
    folder = recipe.parent
    arguments = ["train", str(recipe), "--work", str(folder / "work"), "--out", str(folder / "bundle"), *options]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["vedette", *arguments])
        assert cli.main(arguments) == code


@pytest.fixture
def finished(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What is given to the part that makes a bundle, which is slow and has tests of its own."""
    calls: list[dict[str, Any]] = []
    monkeypatch.setattr(
        "training.finish.finish_bundle", lambda work, out, **rest: calls.append({"work": work, "out": out, **rest})
    )
    return calls


def test_labelled_pictures_become_a_bundle(
    recipe: Path, finished: list[dict[str, Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    train(recipe)
    (call,) = finished

    folder = recipe.parent
    assert (call["work"], call["out"], call["force"]) == (folder / "work", folder / "bundle", False)
    assert [sample.path.parent.name for sample in (*call["train"].samples, *call["val"].samples)] == (
        ["train"] * 8 + ["val"] * 8
    )
    trained = load_trained(folder / "work")
    assert trained.labels == ("blue", "red")
    assert trained.input_wh == (96, 64)
    said = capsys.readouterr().err
    assert f"boxes: 8 pictures to learn from, 8 held out; in {folder / 'work'}" in said
    assert f"after {trained.step} of 4 steps" in said
    assert f"written: {folder / 'bundle'}" in said


def test_a_stopped_run_says_how_to_go_on_and_does(
    recipe: Path,
    finished: list[dict[str, Any]],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    with monkeypatch.context() as patch:
        on_step(patch, 3, lambda: signal.raise_signal(signal.SIGINT))
        train(recipe, "--seed", "3")
    said = capsys.readouterr().err
    folder = recipe.parent
    assert f"stopped after step 3 of 4; all is saved in {folder / 'work'}" in said
    assert said.splitlines()[-1] == (
        f"vedette train {recipe} --work {folder / 'work'} --out {folder / 'bundle'} --seed 3 --resume"
    )
    assert finished == []

    train(recipe, "--seed", "3", "--resume")
    assert "going on after step 3 of 4" in capsys.readouterr().err
    assert len(finished) == 1


def test_what_is_there_is_not_overwritten(recipe: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (recipe.parent / "bundle").mkdir()
    (recipe.parent / "bundle" / "mine.txt").write_text("mine", encoding="utf-8")
    train(recipe, code=3)
    assert "bundle: there is something else already" in capsys.readouterr().err
    assert not (recipe.parent / "work").exists()


def test_a_run_without_resume_is_refused(recipe: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (recipe.parent / "work").mkdir()
    (recipe.parent / "work" / "last.pt").write_bytes(b"")
    train(recipe, code=2)
    assert "work: is not empty; go on with its run by --resume" in capsys.readouterr().err


def test_a_loss_that_is_no_number_is_one_sentence(
    recipe: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail() -> None:
        raise NotFinite("the loss is nan")

    on_step(monkeypatch, 2, fail)
    train(recipe, code=3)
    assert "vedette: step 2, epoch 1: the loss is nan; its pictures: " in capsys.readouterr().err
    assert not (recipe.parent / "bundle").exists()


def test_without_torch_it_says_what_to_install(
    recipe: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    train(recipe, code=2)
    assert "training needs torch: pip install 'vedette[training]'" in capsys.readouterr().err


def changed(recipe: Path, **options: Any) -> Recipe:
    return with_options(load_recipe(recipe), {name.replace("__", "."): value for name, value in options.items()})


def test_options_take_precedence_over_the_recipe(recipe: Path) -> None:
    what = changed(recipe, train__lr=0.5, train__minutes=3.0, model__size="nano", train__seed=None)

    assert (what.train.lr, what.train.minutes, what.train.epochs, what.model.size) == (0.5, 3.0, None, "nano")
    assert (what.train.seed, what.train.batch_size) == (0, 4)
    assert what.data == load_recipe(recipe).data


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"train__lr": 2.0}, r"^--lr: Input should be less than 1, got 2\.0$"),
        ({"train__batch_size": 5000}, r"^--batch-size: Input should be less than or equal to 1024, got 5000$"),
        ({"train__epochs": 3, "train__minutes": 3.0}, "--epochs and --minutes: give one of them"),
    ],
)
def test_options_that_cannot_be_meant_are_refused(recipe: Path, options: dict[str, Any], match: str) -> None:
    with pytest.raises(UsageError, match=match):
        changed(recipe, **options)
