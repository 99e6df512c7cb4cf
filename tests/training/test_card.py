"""What a card says beside its figures: which data taught the model, which judged it, and no folder of this machine."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from engine.bundle import Bundle
from engine.card import Card, Parity
from engine.file_entry import sha256_of
from engine.onnx_import import ImportOptions, describe_onnx
from tests.tiny_models import save_yolox
from tests.training.labelled import LABELS, rectangles
from training.bundle_evaluation import judge_bundle
from training.card import make_card, portable
from training.dataset import DataSource
from training.recipe import Recipe

PARITY = Parity(num_images=2, max_box_px=0, max_score=0, map_difference=0)


def recipe(folder: Path) -> Recipe:
    data = [{"path": folder / "gate"}, {"path": folder / "far" / "labels.json", "name": "judge", "role": "val"}]
    init = folder / "tiny.onnx"
    return Recipe.model_validate({"name": "gate", "data": data, "model": {"init": init, "input_wh": [96, 64]}})


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("card")


@pytest.fixture(scope="module")
def card(folder: Path) -> Card:
    """Of a model that sees whole squares only, trained on nothing blue."""
    bundle = describe_onnx(save_yolox(folder / "tiny.onnx", size_wh=(96, 64)), ImportOptions(labels=LABELS))
    bundle = bundle.write(folder / "bundle")
    sources = (DataSource("gate", "coco", "gate"), DataSource("judge", "coco", "far", licence="MIT", num_images=3))
    val = replace(rectangles(folder / "val", 3), sources=sources[1:])
    train = rectangles(folder / "train", 5, seed=1).relabelled(LABELS, {"blue": None})
    # The last picture is shown twice in an epoch.
    train = replace(train.subset((0, 1, 2, 3, 4, 4)), sources=sources[:1])
    return make_card(recipe(folder), train, val, judge_bundle(bundle, val), PARITY)


def test_data_that_only_judges_did_not_teach(card: Card) -> None:
    assert [entry.name for entry in card.trained_on] == ["gate"]
    assert [(entry.name, entry.licence, entry.num_images) for entry in card.judged_on] == [
        ("held out", "MIT", 3),
        ("judge", "MIT", 3),
    ]


def test_a_picture_that_is_shown_twice_counts_once(card: Card) -> None:
    assert "trained on 5 pictures, judged on 3" in card.summary


def test_weaknesses_follow_from_the_data(card: Card) -> None:
    assert "blue: trained with only 0 boxes." in card.known_weaknesses
    assert "Judged on only 3 pictures: the figures are rough." in card.known_weaknesses
    assert not any("not from people" in sentence for sentence in card.known_weaknesses)


def test_sizes_are_counted_as_coco_does(card: Card) -> None:
    counts = {figure.slice: figure.num_boxes for figure in card.figures}
    assert counts.get("size=small", 0) + counts.get("size=medium", 0) == counts["all"]


def test_the_weights_that_it_started_from_are_named_by_their_hash(card: Card, folder: Path) -> None:
    assert card.started_from == f"tiny.onnx, SHA-256 {sha256_of(folder / 'tiny.onnx')[:16]}"
    assert Bundle.load(folder / "bundle").file("onnx").name == "tiny.onnx"


def test_paths_of_the_recipe_are_relative_to_one_another(folder: Path) -> None:
    found = portable(recipe(folder))

    assert [str(part.path) for part in found.data] == ["gate", "far/labels.json"]
    assert str(found.model.init) == "tiny.onnx"
