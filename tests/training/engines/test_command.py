"""`vedette engine` as people call it."""

from __future__ import annotations

import json
import shutil
import signal
from pathlib import Path
from typing import Any

import pytest

from engine.bundle import Bundle
from engine.cli import main
from engine.gpu import Gpu
from engine.trt_build import BuildRequest, BuiltEngine, make_builder
from engine.trt_engine import Flavour, this_platform
from tests.engine_rows import add_engine
from tests.training.engines.parts import labelled, square_bundle
from training.engines import fit


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return square_bundle(tmp_path_factory.mktemp("squares") / "bundle").root


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return labelled(tmp_path_factory.mktemp("data"))


@pytest.fixture
def bundle(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "bundle"))


def engine(*arguments: str | Path) -> int:
    return main(["engine", *map(str, arguments)])


def version() -> str:
    return make_builder().library("tensorrt_rtx")[1]


def test_build_says_what_was_made_and_what_is_not_proven(
    bundle: Path, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = engine("build", bundle, "--precision", "fp16", "--max-batch", "4", "--gpu", "sm_89", "--images", data)

    out, err = capsys.readouterr()
    assert code == 0, err
    lines = out.splitlines()
    assert lines[0] == f"built: {bundle}/engines/fp16-tensorrt_rtx-{version()}-sm89.engine"
    rows = {line[2:14].strip(): line[15:] for line in lines[1:]}
    assert list(rows) == ["precision", "library", "runs on", "batch", "size", "parity", "not proven", "to prove it"]
    assert rows["library"] == f"TensorRT for RTX {version()}, {this_platform()}"
    assert rows["batch"] == "1 to 4, fastest at 4"
    assert rows["parity"].startswith("mAP 100.00 -> 100.00 (+0.00) by labels in 4 pictures, boxes up to 0.")
    assert rows["parity"].endswith("measured on its network in ONNX Runtime; 0 of 6 boxes missed, 0 more")
    assert rows["not proven"].startswith("the engine itself was not run: no NVIDIA driver")
    command = f"vedette engine build {bundle} --precision fp16 --max-batch 4 --images {data}"
    assert rows["to prove it"] == f"where it shall run, `{command}`"
    assert f"{bundle}: building with TensorRT for RTX {version()} for 8.9" in err


def test_build_as_json(bundle: Path, data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert engine("build", bundle, "--precision", "fp16", "--gpu", "8.9", "--images", data, "--json") == 0

    found = json.loads(capsys.readouterr().out)
    assert found["precision"] == "fp16"
    assert found["parity"]["measured_on"] == "graph"
    assert (found["boxes"]["onnx"], found["boxes"]["missed"], found["boxes"]["extra"]) == (6, 0, 0)
    assert len(found["boxes"]["worst"]) == 3
    assert "no NVIDIA driver" in found["why_not_engine"]


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (["--precision", "fp8"], 2, "--precision fp8: expected one of fp32, fp16, bf16, int8"),
        (["--flavour", "rtx"], 2, "--flavour rtx: expected one of tensorrt, tensorrt_rtx"),
        (["--gpu", "ampere"], 2, "'ampere' is no compute capability"),
        (["--gpu", "sm_99"], 3, "cannot build for compute capability 9.9"),
        ([], 3, "name GPUs, such as --gpu sm_86,sm_89"),
        (["--precision", "int8", "--gpu", "sm_89"], 2, "int8 needs pictures"),
        (["--max-batch", "2", "--opt-batch", "4"], 2, "--opt-batch 4 is larger than --max-batch 2"),
        (["--gpu", "sm_89", "--hardware-compatible"], 3, "no hardware compatibility 'ampere_plus'"),
        (["--gpu", "sm_89", "--version-compatible"], 3, "builds no version-compatible engines"),
        (["--gpu", "sm_89", "--images", "nowhere"], 3, "nowhere: no such file or folder"),
        (["--max-batch", "0"], 2, "max-batch"),
    ],
)
def test_what_cannot_be_built_is_a_sentence(
    bundle: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], code: int, text: str
) -> None:
    before = sorted(bundle.rglob("*"))

    assert engine("build", bundle, *arguments) == code

    assert text in capsys.readouterr().err.replace("\n", " ")
    assert sorted(bundle.rglob("*")) == before


def test_a_missing_package_is_a_sentence(
    bundle: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == "pycocotools" else object())

    from engine.errors import UsageError
    from training.commands.engine import build

    with pytest.raises(UsageError, match=r"building engines needs pycocotools: pip install 'vedette\[tensorrt\]'"):
        build(bundle)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_build_can_be_stopped(
    bundle: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    class Stopped:
        def library(self, flavour: Flavour | None = None) -> tuple[Flavour, str]:
            return "tensorrt_rtx", "1.0"

        def build(self, request: BuildRequest) -> BuiltEngine:
            signal.raise_signal(number)
            raise AssertionError("not stopped")

    monkeypatch.setattr("engine.trt_build.make_builder", Stopped)
    before, handler = sorted(bundle.rglob("*")), signal.getsignal(signal.SIGTERM)

    assert engine("build", bundle, "--gpu", "sm_89") == 0

    out, err = capsys.readouterr()
    assert out == ""
    assert f"{bundle}: stopped; it is as it was" in err
    assert sorted(bundle.rglob("*")) == before
    assert signal.getsignal(signal.SIGTERM) == handler


@pytest.fixture
def two(bundle: Path, tmp_path: Path) -> Path:
    """A bundle with an engine for sm_89 and one for sm_75."""
    found = Bundle.load(bundle)
    rtx: dict[str, Any] = {"flavour": "tensorrt_rtx", "version": version(), "platform": this_platform()}
    found = add_engine(found, tmp_path, "new", **rtx)
    add_engine(found, tmp_path, "old", **rtx, compute_capabilities=("7.5",))
    return bundle


def test_list_says_what_runs_here(
    two: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    gpu = Gpu(0, "NVIDIA Test", "8.9", 1 << 30, "13.0", "0000:01:00.0")
    monkeypatch.setattr(fit, "gpus", lambda: (gpu,))

    assert engine("list", two) == 0
    lines = capsys.readouterr().out.splitlines()
    assert engine("list", two, "--json") == 0
    rows = json.loads(capsys.readouterr().out)

    assert lines == [
        "engines/new.engine",
        f"  fp16, TensorRT for RTX {version()}, compute capability 8.9, batch 1 to 8, fastest at 4, 0.0 MB",
        "  not compared with the ONNX model",
        "  runs here on NVIDIA Test",
        "engines/old.engine",
        f"  fp16, TensorRT for RTX {version()}, compute capability 7.5, batch 1 to 8, fastest at 4, 0.0 MB",
        "  not compared with the ONNX model",
        "  does not run here: was built for compute capability 7.5, this GPU is 8.9",
    ]
    assert [(row["runs_here"], row["runs_on"]) for row in rows] == [(True, "NVIDIA Test"), (False, None)]


def test_list_finds_damage(two: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (two / "engines/new.engine").write_bytes(b"other")
    (two / "engines/old.engine").unlink()

    assert engine("list", two) == 0
    lines = capsys.readouterr().out.splitlines()

    assert "damaged or replaced" in lines[3]
    assert "cannot be read: No such file" in lines[7]


def test_list_of_nothing_says_how_to_build(bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert engine("list", bundle) == 0
    assert capsys.readouterr().out == f"{bundle}: no TensorRT engines; `vedette engine build {bundle}` makes one\n"


@pytest.mark.parametrize("name", ["new", "new.engine", "engines/new.engine"])
def test_remove_one(two: Path, capsys: pytest.CaptureFixture[str], name: str) -> None:
    assert engine("remove", two, name) == 0

    assert capsys.readouterr().err == f"removed: {two}/engines/new.engine\n"
    assert [one.file.path for one in Bundle.load(two).manifest.engines] == ["engines/old.engine"]
    assert sorted(path.name for path in (two / "engines").iterdir()) == ["old.engine", "old.log"]


def test_remove_all(two: Path, made: Path) -> None:
    assert engine("remove", two, "--all") == 0

    assert sorted(path.name for path in two.rglob("*")) == sorted(path.name for path in made.rglob("*"))
    assert engine("remove", two, "--all") == 0


def test_remove_what_is_not_there(two: Path, bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert engine("remove", two, "nev") == 2
    assert "has no engine 'nev' (did you mean 'new'?)" in capsys.readouterr().err
    assert engine("remove", two) == 2
    assert "give the names of engines, or --all" in capsys.readouterr().err
    assert engine("remove", two, "new", "--all") == 2


def test_models_mention_engines(two: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "show", str(two)]) == 0
    out = capsys.readouterr().out
    assert "2 TensorRT engines, digest" in out
    assert f"engine     engines/old.engine: fp16, TensorRT for RTX {version()}, compute capability 7.5" in out

    assert main(["models", "list", str(two.parent)]) == 0
    assert "2 TensorRT engines" in capsys.readouterr().out
    assert main(["models", "verify", str(two)]) == 0
    (two / "engines/new.log").write_text("other")
    assert main(["models", "verify", str(two)]) == 3
    assert "new.log: damaged or replaced" in capsys.readouterr().out
