from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from engine.errors import ConfigError
from training.recipe import Recipe, TrainSpec, load_recipe

PLAIN = "name: gate\ndata: [{path: labels.json}]\n"


def write(folder: Path, text: str) -> Path:
    path = folder / "data.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_paths_are_beside_the_file(tmp_path: Path) -> None:
    text = "name: gate\ndata: [{path: a/labels.json, images: b}, {path: /far/c}]\nmodel: {init: nano.onnx}\n"
    recipe = load_recipe(write(tmp_path, text))

    assert [(part.path, part.images) for part in recipe.data] == [
        (tmp_path / "a/labels.json", tmp_path / "b"),
        (Path("/far/c"), None),
    ]
    assert recipe.model.init == tmp_path / "nano.onnx"


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    recipe = load_recipe(write(tmp_path, PLAIN + "rename: {dog: null}\naugment: {conditions: {night: 0.5}}\n"))

    assert Recipe.model_validate(yaml.safe_load(recipe.to_yaml())) == recipe


def test_yolos_data_yaml_is_a_recipe(tmp_path: Path) -> None:
    recipe = load_recipe(write(tmp_path, "train: images/train\nval: images/val\nnames: [person]\n"))

    assert (recipe.name, recipe.data[0].path, recipe.data[0].format) == (tmp_path.name, tmp_path / "data.yaml", "yolo")
    assert recipe.train == TrainSpec()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[1]", r"data.yaml: expected a mapping with `name` and `data`, got list"),
        ("a: [", r"data.yaml: not YAML: "),
        ("name: gate\ndata: []\n", r"data: .* at least 1"),
        ("data: [{path: a}]\n", r"name: Field required"),
        ("name: a b\ndata: [{path: a}]\n", r"name: .*pattern"),
        (PLAIN + "modle: {}\n", r"modle: unknown key 'modle', did you mean 'model'\?|unknown key 'modle'.*'model'"),
        ("name: a\ndata: [{path: a, roll: val}]\n", r"data.0.roll: unknown key 'roll'.*'role'.*accepted: path, format"),
        (PLAIN + "train: {epochs: 2, minutes: 3}\n", r"train: give epochs or minutes, not both"),
        (PLAIN + "train: {keep_init: 0.5}\n", r"train.keep_init needs model.init: random weights"),
        (PLAIN + "train: {lr: 2}\n", r"train.lr: .*less than 1"),
        (PLAIN + "model: {input_wh: [416, 400]}\n", r"model.input_wh: must be two multiples of 32.*got \[416, 400\]"),
        (PLAIN + "augment: {scale: [2, 1]}\n", r"augment.scale: must be two factors .*got \[2.0, 1.0\]"),
        (PLAIN + "augment: {conditions: {nigth: 0.1}}\n", r"augment.conditions: .*'nigth'.*'night'"),
        (PLAIN + "split: {val: 1}\n", r"split.val: .*less than 1"),
    ],
)
def test_a_mistake_is_named_with_its_place(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load_recipe(write(tmp_path, text))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"data\.yaml: no such file"):
        load_recipe(tmp_path / "data.yaml")
