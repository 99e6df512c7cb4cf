"""`vedette bench detector` with what is really installed."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest

from engine import cli
from tests.engine_rows import tiny_bundle
from tests.training.labelled import rectangles

QUICK = ["--batch", "1,2", "--rounds", "1", "--seconds", "0"]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(tiny_bundle(tmp_path_factory.mktemp("model") / "tiny").root)


def test_onnxruntime_is_measured_judged_profiled_and_drawn(
    model: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    dataset = rectangles(tmp_path / "pictures", 4)
    labels = tmp_path / "pictures" / "labels.json"
    labels.write_text(json.dumps(dataset.to_coco()), encoding="utf-8")
    plot = tmp_path / "plot.svg"
    code = cli.main(
        ["bench", "detector", model, "--backends", "onnxruntime", *QUICK, "--images", str(labels), "--profile",
         "--plot", str(plot), "--json"]
    )  # fmt: skip

    found = json.loads(capfd.readouterr().out)
    assert code == 0
    assert [(case["batch"], case["reason"]) for case in found["cases"]] == [(1, None), (2, None)]
    for case in found["cases"]:
        assert 0 < case["model_ms"] < case["ms"]["p99"]
        assert 0 <= case["map"] <= 100
        assert case["rss_mib"] > 1
        assert case["device_mib"] is None
    (profile,) = found["profile"]
    assert {"Conv", "AveragePool"} <= {layer["kind"] for layer in profile["layers"]}
    assert plot.read_text(encoding="utf-8").startswith("<svg")
    assert [path.name for path in tmp_path.iterdir() if "partial" in path.name] == []


def test_a_precision_that_nothing_has_exits_3_after_the_table(model: str, capfd: pytest.CaptureFixture[str]) -> None:
    code = cli.main(["bench", "detector", model, "--backends", "onnxruntime", "--precision", "int8", *QUICK])

    said = capfd.readouterr()
    assert code == 3
    assert "onnxruntime   auto    int8           -  " in said.out
    assert "nothing of what was asked for can run this model here" in said.err


@pytest.mark.parametrize(
    ("options", "code", "why"),
    [
        (["--plot", "plot.png"], 2, "--plot plot.png: expected a name that ends in .svg or .html"),
        (["--batch", "0"], 2, "--batch 0: expected numbers"),
        (["--images", "nowhere"], 3, "nowhere"),
    ],
)
def test_wrong_options_are_a_sentence_before_anything_is_measured(
    model: str, options: list[str], code: int, why: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["bench", "detector", model, *options]) == code
    said = capfd.readouterr()
    assert why in said.err
    assert said.out == ""


def test_images_without_pycocotools_say_what_to_install(
    model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr("importlib.util.find_spec", lambda name, *a: None if name == "pycocotools" else found(name, *a))

    assert cli.main(["bench", "detector", model, "--images", str(tmp_path)]) == 2
    assert "--images needs pycocotools: pip install 'vedette[evaluate]'" in capfd.readouterr().err


def test_stands_beside_what_other_rooms_measure(capfd: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["bench", "--help"]) == 0
    out = capfd.readouterr().out
    assert "pipeline" in out
    assert "detector" in out
