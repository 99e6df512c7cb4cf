"""A run becomes a whole bundle with everything about it, or nothing at all."""

from __future__ import annotations

import errno
import json
import shutil
from pathlib import Path

import onnx
import pytest
import yaml

from engine import cli
from engine.bundle import Bundle
from engine.card import Teacher
from engine.errors import BundleError
from tests.training.labelled import LABELS, learned, rectangles
from training import finish
from training.checkpoint import DiskError, TrainedModel
from training.dataset import Dataset
from training.export import export_onnx
from training.finish import finish_bundle
from training.formats import write_dataset
from training.recipe import Recipe
from training.split import assemble

RECIPE = {
    "name": "gate",
    "licence": "Apache-2.0",
    "data": [{"path": "/somewhere/data/labels.json"}],
    "model": {"input_wh": [96, 64]},
}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return rectangles(tmp_path_factory.mktemp("data"), 8)


@pytest.fixture(scope="module")
def work(data: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run with its best weights."""
    folder = tmp_path_factory.mktemp("work")
    recipe = Recipe.model_validate(RECIPE)
    TrainedModel(learned(data), LABELS, (96, 64), recipe.to_yaml(), 50, {"ap": 0.5}).save(folder / "best.pt")
    return folder


@pytest.fixture(scope="module")
def bundle(work: Path, data: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    out = tmp_path_factory.mktemp("out") / "bundle"
    teacher = Teacher(name="large", digest="0123456789abcdef")
    return finish_bundle(work, out, train=data.subset(range(6)), val=data.subset((6, 7)), teacher=teacher)


def test_the_bundle_is_whole(bundle: Bundle) -> None:
    assert Bundle.load(bundle.root) == bundle
    manifest = bundle.manifest
    assert (manifest.name, manifest.family, manifest.labels) == ("gate", "yolox", LABELS)
    assert (manifest.source, manifest.licence) == (
        "trained by Vedette from random weights, taught by large",
        "Apache-2.0",
    )
    assert (manifest.input.size_wh, manifest.input.color, manifest.input.pad) == ((96, 64), "bgr", 114)
    assert {role: entry.path for role, entry in manifest.files.items()} == {
        "onnx": "gate.onnx",
        "evaluation": "evaluation.json",
        "card": "card.json",
        "reference": "reference.npz",
    }
    assert sorted(path.name for path in bundle.root.parent.iterdir()) == ["bundle"]


def test_the_card_says_how_good_it_is_and_what_speaks_against_it(bundle: Bundle) -> None:
    card, evaluation = bundle.card(), bundle.evaluation()
    assert card is not None
    assert evaluation is not None

    figures = {(figure.metric, figure.slice): figure.value for figure in card.figures}
    assert figures["AP50", "all"] == evaluation["ap50"] > 0
    assert figures["AP", "all"] == evaluation["ap"]
    assert {("AP50", "class=red"), ("AP50", "light=night"), ("AP50", "condition=rain")} <= set(figures)
    assert card.parity is not None
    assert card.parity.num_images == 2
    assert card.teacher is not None
    said = "\n".join(card.known_weaknesses)
    assert "from the model large, not from people" in said
    assert "Judged on only 2 pictures" in said
    assert "Judged on cameras that it was trained on" in said
    assert card.summary == (
        "Detects blue, red: size nano at 96x64, trained on 6 pictures, judged on 2 that were held out of training."
    )


def test_the_card_names_no_folder_of_this_machine(bundle: Bundle) -> None:
    card = bundle.card()
    assert card is not None
    assert yaml.safe_load(card.recipe)["data"][0]["path"] == "labels.json"
    assert "/somewhere" not in card.to_json()


def test_the_reference_statistics_are_those_of_the_training_pictures(bundle: Bundle) -> None:
    reference = bundle.reference()
    assert reference is not None
    assert (len(reference), reference.cameras, reference.model) == (6, ("gate",), bundle.digest)


def test_a_model_that_runs_differently_leaves_nothing(
    work: Path, data: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def other(detector: object, path: Path, **options: object) -> None:
        export_onnx(learned(data, steps=1), path, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(finish, "export_onnx", other)
    with pytest.raises(BundleError, match=r"ONNX Runtime has mAP 0\.00 where PyTorch has .* may differ by 0\.1 points"):
        finish_bundle(work, tmp_path / "bundle", train=data, val=data)
    assert list(tmp_path.iterdir()) == []


def test_another_folder_is_never_replaced(work: Path, data: Dataset, bundle: Bundle, tmp_path: Path) -> None:
    (tmp_path / "letters.txt").write_text("dear diary")
    for force in (False, True):
        with pytest.raises(BundleError, match="there is something else already, and no bundle; choose another --out"):
            finish_bundle(work, tmp_path, train=data, val=data, force=force)
    with pytest.raises(BundleError, match="there is a bundle already; choose another --out, or --force"):
        finish_bundle(work, bundle.root, train=data, val=data)


def test_a_full_disk_leaves_nothing(work: Path, data: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(shutil, "copyfile", full)
    with pytest.raises(
        DiskError, match="the bundle cannot be written: No space left on device; make room, then: vedette"
    ):
        finish_bundle(work, tmp_path / "bundle", train=data, val=data)
    assert list(tmp_path.iterdir()) == []


def test_the_command_reads_the_data_of_the_recipe_again(data: Dataset, tmp_path: Path) -> None:
    write_dataset(data, tmp_path / "data", "coco")
    recipe = Recipe.model_validate({
        **RECIPE, "data": [{"path": tmp_path / "data", "licence": "CC-BY-4.0"}], "split": {"val": 0.4},
    })  # fmt: skip
    seen, _ = assemble(recipe)
    TrainedModel(learned(seen), LABELS, (96, 64), recipe.to_yaml(), 50, {"ap": 0.5}).save(tmp_path / "best.pt")

    out = tmp_path / "bundle"
    assert cli.main(["export", str(tmp_path / "best.pt"), "--out", str(out), "--opset", "15"]) == 0

    bundle = Bundle.load(out)
    card = bundle.card()
    assert card is not None
    assert [(entry.num_images, entry.licence) for entry in card.trained_on] == [(len(seen), "CC-BY-4.0")]
    assert onnx.load(str(bundle.file("onnx"))).opset_import[0].version == 15
    assert json.loads((out / "evaluation.json").read_text())["num_images"] == card.judged_on[0].num_images


def test_a_checkpoint_that_is_none_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["export", str(tmp_path), "--out", str(tmp_path / "bundle")]) == 3
    assert "best.pt: no such checkpoint; `vedette train` writes it" in capsys.readouterr().err
