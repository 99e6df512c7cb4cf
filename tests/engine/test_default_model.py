"""The model that ships with Vedette is found in a clone and in an installed package, and used where none is named."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from engine import cli, default_model
from engine.bundle import Bundle
from engine.default_model import find_default_model
from engine.errors import BundleError
from engine.plan import plan
from engine.site import default_pipeline
from operators import Infer

ROOT = Path(__file__).resolve().parents[2]
STREET = ROOT / "replay_data" / "clips" / "street.mp4"
COMMIT_LIMIT_BYTES = 4_000_000


def test_lies_beside_the_code_in_a_clone_and_is_whole() -> None:
    bundle = Bundle.load(find_default_model())

    assert bundle.root == ROOT / "models" / "street-nano"
    assert bundle.manifest.name == "street-nano"
    assert bundle.manifest.labels == ("person", "bicycle", "car", "motorcycle", "bus", "truck")
    assert sum(path.stat().st_size for path in bundle.root.iterdir()) <= COMMIT_LIMIT_BYTES


def test_lies_inside_an_installed_package(tmp_path: Path) -> None:
    pytest.importorskip("hatchling", reason="hatchling builds the wheel: pip install 'vedette[dev]'")
    build = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(tmp_path)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "site-packages")

    ask = "from engine.bundle import Bundle; from engine.default_model import *; print(Bundle.load(find_default_model()).root)"
    told = subprocess.run([sys.executable, "-c", ask], cwd=tmp_path / "site-packages", capture_output=True, text=True)

    assert told.stdout.strip() == str(tmp_path / "site-packages" / "engine" / "models" / "street-nano"), told.stderr


def test_one_sentence_where_it_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(default_model, "FOLDERS", (tmp_path / "a", tmp_path / "b"))
    with pytest.raises(BundleError, match=r"the default model street-nano is in neither \S+/a nor \S+/b; reinstall"):
        find_default_model()

    assert cli.main(["replay", str(STREET), "--max-frames", "2"]) == 3
    said = capfd.readouterr().err
    assert "--model motion" in said
    assert "Traceback" not in said


def test_a_damaged_one_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    damaged = Bundle.load(find_default_model()).write(tmp_path / "street-nano")
    damaged.file("onnx").write_bytes(b"cut off")
    monkeypatch.setattr(default_model, "FOLDERS", (tmp_path,))
    with pytest.raises(BundleError, match="damaged or replaced"):
        plan(default_pipeline(), ["gate"])


def test_is_what_a_step_without_a_model_uses() -> None:
    (shared,) = plan(default_pipeline(classes=("person",)), ["gate"]).shared.values()
    infer = shared.steps[0].operator
    assert isinstance(infer, Infer)
    assert infer.model == find_default_model()


@pytest.mark.parametrize(
    ("options", "classes"),
    [
        pytest.param((), {"person", "car"}, id="no options at all"),
        pytest.param(("--classes", "person"), {"person"}, id="only people"),
        pytest.param(("--model", "motion"), {"object"}, id="motion"),
    ],
)
def test_a_run_without_a_configuration(options: tuple[str, ...], classes: set[str], tmp_path: Path) -> None:
    log = tmp_path / "events.jsonl"
    assert cli.main(["replay", str(STREET), *options, "--max-frames", "50", "--events", str(log)]) == 0
    bodies = [json.loads(line) for line in log.read_text().splitlines()]
    assert {body["object"]["class"] for body in bodies if body["type"] == "object.new"} == classes
