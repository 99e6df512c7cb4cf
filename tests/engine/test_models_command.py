from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import typer
from typer.testing import CliRunner, Result

from engine.bundle import ABOUT, Bundle
from engine.card_text import card_lines
from engine.commands.models import register
from engine.errors import BundleError, UsageError
from engine.input_spec import InputSpec
from engine.labels import COCO
from tests.engine.test_card import card
from tests.engine.test_reference import reference
from tests.tiny_models import COLORS, save_colors, save_constant, save_yolox


def run(*arguments: object) -> Result:
    app = typer.Typer()
    register(app)
    result = CliRunner().invoke(app, ["models", *map(str, arguments)])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


@pytest.fixture
def names(tmp_path: Path) -> Path:
    path = tmp_path / "names.txt"
    path.write_text("blue\n\n red \n")
    return path


@pytest.fixture
def tiny(tmp_path: Path, names: Path) -> Path:
    """The folder of an imported bundle."""
    out = tmp_path / "models" / "tiny"
    run("import", save_yolox(tmp_path / "tiny.onnx"), "--family", "yolox", "--labels", names, "--out", out)
    return out


def test_import_makes_a_bundle_with_the_family_s_usual_ways(tiny: Path) -> None:
    manifest = Bundle.load(tiny).manifest
    assert manifest.family == "yolox"
    assert manifest.labels == ("blue", "red")
    assert manifest.input == InputSpec(size_wh=(64, 64), color="bgr", resize="letterbox", pad=114)
    assert sorted(p.name for p in tiny.iterdir()) == ["manifest.json", "tiny.onnx"]
    assert [p.name for p in tiny.parent.iterdir()] == ["tiny"]


def test_import_takes_every_option(tmp_path: Path, names: Path) -> None:
    file = save_yolox(tmp_path / "free.onnx", fixed_size=False)
    result = run(
        "import", file, "--family", "yolox", "--labels", names, "--out", tmp_path / "out", "--input-size", "96x64",
        "--color", "rgb", "--mean", "1,2,3", "--std", "255", "--resize", "stretch", "--pad", "0", "--name", "shapes",
        "--source", "here", "--licence", "CC0",
    )  # fmt: skip
    manifest = Bundle.load(tmp_path / "out").manifest
    assert manifest.input == InputSpec(
        size_wh=(96, 64), color="rgb", resize="stretch", pad=0, mean=(1, 2, 3), std=(255, 255, 255)
    )
    assert (manifest.name, manifest.source, manifest.licence) == ("shapes", "here", "CC0")
    assert "shapes, yolox 96x64, 2 classes" in result.output


def constants(family: str) -> list[np.ndarray[Any, Any]]:
    """Outputs of families that have no model at hand, for 80 classes."""
    if family == "yolo":
        return [np.zeros((1, 84, 126), np.float32)]
    if family == "end to end":
        return [np.zeros((1, 300, 6), np.float32)]
    if family == "finished":
        return [np.zeros((1, 9), np.int64), np.zeros((1, 9, 4), np.float32), np.zeros((1, 9), np.float32)]
    return [np.zeros((1, 9, 80), np.float32), np.zeros((1, 9, 4), np.float32)]


@pytest.mark.parametrize(
    ("what", "family"), [("yolo", "yolo"), ("end to end", "yolo"), ("finished", "detr"), ("raw", "detr")]
)
@pytest.mark.parametrize("said", [True, False])
def test_import_of_families_with_known_boxes(tmp_path: Path, what: str, family: str, said: bool) -> None:
    file = save_constant(tmp_path / "m.onnx", constants(what), size_wh=(96, 64), sizes_input=what == "finished")
    options = ["--family", family, "--labels", "coco"] if said else []
    run("import", file, "--out", tmp_path / "out", *options)
    manifest = Bundle.load(tmp_path / "out").manifest
    assert (manifest.family, manifest.labels, manifest.input.color) == (family, COCO, "rgb")


def test_import_shows_and_verifies_a_classifier(tmp_path: Path) -> None:
    names = tmp_path / "colors.txt"
    names.write_text("\n".join(COLORS))
    file, out = save_colors(tmp_path / "color.onnx"), tmp_path / "color"
    run("import", file, "--family", "classifier", "--labels", names, "--out", out, "--mean", "0", "--std", "255")
    manifest = Bundle.load(out).manifest
    assert (manifest.family, manifest.scores, manifest.labels) == ("classifier", "logits", COLORS)
    assert manifest.input == InputSpec(size_wh=(32, 32), color="rgb", resize="stretch", std=(255, 255, 255))
    assert "scores     logits" in run("show", out).output
    assert "good: color, classifier 32x32, 5 classes" in run("verify", out).output


def test_import_of_the_wrong_family_names_the_right_one_and_leaves_nothing(tmp_path: Path) -> None:
    file = save_constant(tmp_path / "m.onnx", constants("yolo"), size_wh=(96, 64))
    with pytest.raises(BundleError, match=r"m.onnx: not a yolox model: .*got 1 output \(1, 84, 126\).*family 'yolo'"):
        run("import", file, "--family", "yolox", "--labels", "coco", "--out", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_import_of_what_is_no_model_is_one_sentence(tmp_path: Path) -> None:
    file = tmp_path / "notes.txt"
    file.write_text("not a model")
    with pytest.raises(BundleError, match=r"notes.txt: ONNX Runtime cannot load it as an ONNX model"):
        run("import", file, "--family", "yolox", "--out", tmp_path / "out")
    with pytest.raises(BundleError, match=r"gone.onnx: no such model file"):
        run("import", tmp_path / "gone.onnx", "--family", "yolox", "--out", tmp_path / "out")


def test_import_again_is_fine_and_over_another_bundle_needs_force(tmp_path: Path, names: Path, tiny: Path) -> None:
    same = ("import", tmp_path / "tiny.onnx", "--family", "yolox", "--labels", names, "--out", tiny)
    run(*same)
    with pytest.raises(BundleError, match="something else already; choose another --out, or --force"):
        run(*same, "--color", "rgb")
    run(*same, "--color", "rgb", "--force")
    assert Bundle.load(tiny).manifest.input.color == "rgb"


def test_import_takes_weights_that_lie_beside_the_graph(tmp_path: Path, names: Path) -> None:
    model = onnx.load(str(save_yolox(tmp_path / "one.onnx")))
    file = tmp_path / "two.onnx"
    external: dict[str, Any] = {"save_as_external_data": True, "size_threshold": 75}
    onnx.save_model(model, str(file), location="two.onnx.data", **external)
    run("import", file, "--family", "yolox", "--labels", names, "--out", tmp_path / "out")
    assert sorted(Bundle.load(tmp_path / "out").manifest.files) == ["onnx", "onnx_data"]

    model = onnx.load(str(tmp_path / "one.onnx"))
    onnx.save_model(model, str(tmp_path / "odd.onnx"), location="weights.bin", **external)
    with pytest.raises(BundleError, match=r"odd.onnx: works only where it is.* its weights .* odd.onnx.data"):
        run("import", tmp_path / "odd.onnx", "--family", "yolox", "--labels", names, "--out", tmp_path / "out2")
    assert not (tmp_path / "out2").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--input-size", "big"), "--input-size big: expected one number or WIDTHxHEIGHT"),
        (("--mean", "1,2"), "--mean 1,2: expected one number, or three"),
        (("--std", "a"), "--std a: expected one number, or three"),
        (("--std", "0"), "std: std must be above 0"),
        (("--labels", "nowhere.txt"), "--labels nowhere.txt: expected coco or a text file"),
        (("--family", "yolocks"), "unknown family 'yolocks'"),
        (("--resize", "squash"), "resize: Input should be 'letterbox'"),
    ],
)
def test_import_options_that_mean_nothing_are_wrong_usage(
    tmp_path: Path, options: tuple[str, ...], message: str
) -> None:
    file = save_yolox(tmp_path / "tiny.onnx")
    with pytest.raises(UsageError, match=message):
        run("import", file, "--out", tmp_path / "out", *options)


def test_import_with_an_empty_label_file_is_wrong_usage(tmp_path: Path) -> None:
    (tmp_path / "none.txt").write_text("\n")
    with pytest.raises(UsageError, match=r"none.txt: the file holds no names"):
        run("import", save_yolox(tmp_path / "t.onnx"), "--out", tmp_path / "out", "--labels", tmp_path / "none.txt")


def test_list_shows_good_and_damaged_bundles(tiny: Path) -> None:
    broken = tiny.parent / "broken"
    Bundle.load(tiny).write(broken)
    (broken / "tiny.onnx").write_text("")
    rows = json.loads(run("list", tiny.parent, "--json").stdout)
    assert [Path(row["path"]).name for row in rows] == ["broken", "tiny"]
    assert "damaged or replaced" in rows[0]["error"]
    assert (rows[1]["family"], rows[1]["size_wh"], rows[1]["num_classes"]) == ("yolox", [64, 64], 2)
    lines = run("list", tiny.parent).stdout.splitlines()
    assert len(lines) == 2
    assert "tiny, yolox 64x64, 2 classes" in lines[1]


def test_list_of_an_empty_and_of_no_folder(tmp_path: Path) -> None:
    assert "no bundles" in run("list", tmp_path).stdout
    with pytest.raises(BundleError, match="nowhere: no such folder"):
        run("list", tmp_path / "nowhere")


def test_show_says_all_that_matters(tiny: Path) -> None:
    text = run("show", tiny).stdout
    for part in ("yolox 64x64", "bgr, letterbox, border 114", "blue, red", "tiny.onnx", "licence not stated"):
        assert part in text
    data = json.loads(run("show", tiny, "--json").stdout)
    assert data["schema"] == "vedette.bundle/1"
    assert data["digest"] == Bundle.load(tiny).digest


def test_verify_runs_each_model_and_fails_when_one_is_broken(tiny: Path) -> None:
    good = save_constant(tiny.parent / "good.onnx", constants("yolo"), size_wh=(96, 64))
    assert "good: tiny, yolox" in run("verify", tiny, good).stdout
    (tiny / "tiny.onnx").write_bytes(b"x")
    with pytest.raises(BundleError, match="1 of 2 bundles cannot be used"):
        run("verify", tiny, good)


def test_verify_notices_a_manifest_of_another_family(tiny: Path) -> None:
    path = tiny / "manifest.json"
    path.write_text(path.read_text().replace('"yolox"', '"yolo"'))
    with pytest.raises(BundleError, match="1 of 1 bundles cannot be used"):
        run("verify", tiny)


def test_show_prints_card_and_reference(tiny: Path, tmp_path: Path) -> None:
    (tmp_path / "card.json").write_text(card().to_json())
    reference().save(tmp_path / "reference.npz")
    Bundle.load(tiny).add({role: tmp_path / name for role, name in ABOUT.items() if role != "evaluation"})
    lines = run("show", tiny).stdout.splitlines()
    assert set(card_lines(card())) <= set(lines)
    assert "Reference statistics of 12 frames, out of 12, from 2 cameras" in lines
    assert any(line.startswith("  brightness") for line in lines)
    data = json.loads(run("show", tiny, "--json").stdout)
    assert data["card"]["known_weaknesses"] == ["misses people behind glass"]
    assert (data["reference"]["num_samples"], data["reference"]["cameras"]) == (12, ["gate", "yard"])
    assert data["reference"]["quantiles"]["count"]["0.5"] == 2.0


def test_show_says_what_is_damaged_and_shows_the_rest(tiny: Path, tmp_path: Path) -> None:
    (tmp_path / "card.json").write_text(card(name="\x1b[2Jnano").to_json())
    (tmp_path / "reference.npz").write_bytes(b"nonsense")
    Bundle.load(tiny).add({role: tmp_path / name for role, name in ABOUT.items() if role != "evaluation"})
    text = run("show", tiny).stdout
    assert r"Card of \x1b[2Jnano, made on" in text
    assert "\x1b" not in text
    assert "reference.npz: no reference statistics, or damaged" in text
    assert "no reference statistics" in json.loads(run("show", tiny, "--json").stdout)["reference"]["error"]
    with pytest.raises(BundleError, match="1 of 1 bundles cannot be used"):
        run("verify", tiny)


def test_show_of_a_hostile_manifest_cannot_reach_the_terminal(tiny: Path) -> None:
    path = tiny / "manifest.json"
    data = json.loads(path.read_text())
    path.write_text(
        json.dumps(data | {"name": "\x1b[31m", "labels": ["\x07", "b"], "source": "\x9b2J", "licence": "\r"})
    )
    for text in (run("show", tiny).stdout, run("list", tiny.parent).stdout, run("verify", tiny).stdout):
        assert all(line.isprintable() for line in text.split("\n"))
