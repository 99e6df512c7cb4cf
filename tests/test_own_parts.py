"""A detector, an operator, a tap and a sink of one's own, each from one file outside the package."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from engine import cli
from tests.clips import write_clip

EXAMPLES = Path(__file__).resolve().parents[1] / "docs" / "examples"
CONFIG = """
cameras:
  a: {{url: clip.mp4}}
pipeline:
  - own_parts:BrightSpots: {{level: 180}}
  - track: {{kind: sort}}
  - loiter: {{kind: "own_parts:Loiter", after_s: 1.5}}
  - own_parts:Brightness: {{path: "{folder}/brightness.txt"}}
sinks:
  - own_parts:TypesOnly: {{path: "{folder}/types.txt"}}
"""


@pytest.fixture
def site(tmp_path: Path) -> Path:
    frames = []
    for index in range(40):
        picture = np.full((120, 160, 3), 40, np.uint8)
        picture[40:80, 20 + 2 * index : 50 + 2 * index] = 240
        frames.append(picture)
    write_clip(tmp_path / "clip.mp4", frames, fps=10)
    shutil.copy(EXAMPLES / "own_parts.py", tmp_path)
    (tmp_path / "site.yaml").write_text(CONFIG.format(folder=tmp_path), encoding="utf-8")
    return tmp_path


@pytest.mark.parametrize(
    "command",
    [
        pytest.param(["replay", "--runner", "inline"], id="replay-inline"),
        pytest.param(["run", "--runner", "inline"], id="run-inline"),
        pytest.param(["replay", "--runner", "ray", "--workers", "1"], id="replay-ray", marks=pytest.mark.ray),
        pytest.param(["run", "--runner", "ray", "--workers", "1"], id="run-ray", marks=pytest.mark.ray),
    ],
)
def test_own_parts_work_in_every_runner(site: Path, command: list[str]) -> None:
    assert cli.main([*command, str(site / "site.yaml"), "--summary", str(site / "summary.json")]) == 0

    types = Counter(json.loads(line)[2] for line in (site / "types.txt").read_text().splitlines())
    assert types["own.loitering"] == 1
    assert types["object.new"] == types["object.end"] == 1
    summary = json.loads((site / "summary.json").read_text())
    lines = (site / "brightness.txt").read_text().splitlines()
    assert len(lines) + summary["taps_skipped"] == summary["frames_analysed"] == 40
    assert len(lines) >= 1


def test_the_configuration_in_the_docs_is_valid(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["plan", str(EXAMPLES / "own_site.yaml")]) == 0
    assert "tap" in capsys.readouterr().out
