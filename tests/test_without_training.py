"""A plain install has no PyTorch: cameras run without what training needs, and training says what it needs."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.tiny_models import save_yolox

ROOT = Path(__file__).resolve().parents[1]
CLIP = ROOT / "replay_data" / "clips" / "gate.mp4"
# What the extras `training`, `evaluate` and `dev` bring, and a plain install does not.
ABSENT = ("torch", "albumentations", "mlflow", "onnx", "pycocotools", "matplotlib", "pandas", "sqlalchemy", "alembic")
VEDETTE = f"""
import importlib.machinery
import sys

class Finder(importlib.machinery.PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        return None if name.partition(".")[0] in {ABSENT!r} else super().find_spec(name, path, target)

sys.meta_path[sys.meta_path.index(importlib.machinery.PathFinder)] = Finder
from engine.cli import main
sys.exit(main())
"""


def vedette(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run the command line as in an environment without those packages."""
    command = [sys.executable, "-c", VEDETTE, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)


def test_what_is_absent_is_absent() -> None:
    script = VEDETTE.replace("from engine.cli import main\nsys.exit(main())", "import torch")
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "No module named 'torch'" in done.stderr


def test_help_names_every_command() -> None:
    done = vedette("--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert {"run", "models", "detect", "train", "export", "evaluate"} <= set(done.stdout.split())


def test_a_camera_runs(tmp_path: Path) -> None:
    events = tmp_path / "events.jsonl"
    done = vedette("run", CLIP, "--runner", "inline", "--max-frames", "30", "--events", events)

    assert done.returncode == 0, done.stderr
    assert {json.loads(line)["camera"] for line in events.read_text().splitlines()} == {"gate"}


def test_models_are_imported_shown_and_used(tmp_path: Path) -> None:
    model, bundle = save_yolox(tmp_path / "tiny.onnx"), tmp_path / "tiny"
    (tmp_path / "labels.txt").write_text("blue\nred\n")
    for arguments in (
        ("models", "import", model, "--labels", tmp_path / "labels.txt", "--out", bundle),
        ("models", "show", bundle),
        ("detect", CLIP, "--model", bundle, "--max-frames", "3", "--out", tmp_path / "boxes.json"),
    ):
        done = vedette(*arguments)
        assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ("train", "recipe.yaml", "--out", "bundle"),
        ("export", "run", "--out", "bundle"),
        ("distill", "--teacher", "teacher", "--footage", "clip.mp4", "--out", "bundle"),
    ],
    ids=lambda arguments: arguments[0],
)
def test_training_says_in_one_sentence_what_it_needs(arguments: tuple[str, ...]) -> None:
    done = vedette(*arguments)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "needs torch, " in done.stderr
    assert "pip install 'vedette[training]'" in done.stderr
