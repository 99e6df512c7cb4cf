from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine.bundle import ABOUT
from engine.cli import main
from engine.errors import UsageError
from operators.evidently_report import EvidentlyReport
from tests.clips import Bgr, square_frames, write_clip
from tests.engine.drift.report.builders import save_bundle, training

WINDOWS = ("--window-s", "10", "--settle-s", "20", "--every-s", "1")


def darker(frames: list[Bgr], share: float = 0.25) -> list[Bgr]:
    return [(frame * share).astype(np.uint8) for frame in frames]


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two frames a second: `steady` lasts two minutes, `dark` is dark in its second half, `short` lasts ten seconds."""
    folder = tmp_path_factory.mktemp("clips")
    frames = square_frames(240)
    for name, pictures in {
        "steady": frames, "dark": frames[:120] + darker(frames[120:]), "short": frames[:20], "one": frames[:1],
        "flat": [np.full((120, 160, 3), 90, np.uint8)] * 240,
    }.items():  # fmt: skip
        write_clip(folder / f"{name}.mp4", pictures, fps=2)
    return folder


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny bundle with the statistics of what it might have been trained on."""
    return save_bundle(tmp_path_factory.mktemp("bundle") / "with", training())


def run(*arguments: object) -> int:
    return main(["drift", "report", *map(str, arguments)])


def test_a_change_is_raised_shown_and_told(clips: Path, bundle: Path, tmp_path: Path, capsys: Any) -> None:
    page, data = tmp_path / "out" / "report.html", tmp_path / "report.json"
    assert run(clips / "dark.mp4", "--bundle", bundle, "--out", page, "--json", data, "--no-evidently", *WINDOWS) == 0
    found = json.loads(data.read_text())
    changes = [one for one in found["findings"] if one["part"]["against"] == "normal"]
    assert changes
    assert changes[0]["began_s"] == pytest.approx(60, abs=6)
    assert re.search(r'<img src="data:image/jpeg;base64,[^"]{100}', page.read_text())
    assert found["headline"] in capsys.readouterr().err
    assert [path.name for path in page.parent.iterdir()] == ["report.html"]


def test_nothing_is_raised_where_nothing_changes(clips: Path, bundle: Path, capsys: Any) -> None:
    options = ("--bundle", bundle, "--no-evidently", "--json", "-", *WINDOWS)
    assert run(clips / "steady.mp4", *options, "--normal", clips / "steady.mp4") == 0
    found = json.loads(capsys.readouterr().out)
    assert [one for one in found["findings"] if one["part"]["against"] == "normal"] == []
    assert found["settled"] == 1


def test_what_another_recording_shows_is_normal(clips: Path, bundle: Path, tmp_path: Path, capsys: Any) -> None:
    """All of it is dark: only against the other recording is that a change."""
    write_clip(tmp_path / "dark.mp4", darker(square_frames(120)), fps=2)
    options = ("--bundle", bundle, "--no-evidently", "--json", "-", *WINDOWS)
    assert run(tmp_path / "dark.mp4", *options, "--normal", clips / "steady.mp4", "--fail-on-drift") == 1
    found = json.loads(capsys.readouterr().out)
    assert found["findings"][0]["began_s"] < 10
    assert found["answers"][1]["light"] == "red"


@pytest.mark.parametrize("name", ["short", "one", "flat"])
def test_odd_footage_gives_a_report_that_says_so(name: str, clips: Path, bundle: Path, tmp_path: Path) -> None:
    page = tmp_path / "report.html"
    assert run(clips / f"{name}.mp4", "--bundle", bundle, "--out", page, "--no-evidently") == 0
    words = {"short": "too little footage", "one": "too little footage to say anything", "flat": "Camera flat"}
    assert words[name] in page.read_text()


def test_a_bundle_without_statistics_says_how_to_make_them(
    clips: Path, bundle: Path, tmp_path: Path, capsys: Any
) -> None:
    page = tmp_path / "report.html"
    assert run(clips / "short.mp4", "--bundle", save_bundle(tmp_path / "without"), "--out", page, "--no-evidently") == 0
    assert "has no reference statistics; `vedette reference" in capsys.readouterr().err
    assert "<code>vedette reference BUNDLE --data DATA</code>" in page.read_text()


def test_damaged_statistics_do_not_keep_the_report_from_being_made(
    clips: Path, bundle: Path, tmp_path: Path, capsys: Any
) -> None:
    shutil.copytree(bundle, tmp_path / "tiny")
    (tmp_path / "tiny" / ABOUT["reference"]).write_bytes(b"damaged")
    page = tmp_path / "report.html"
    assert run(clips / "short.mp4", "--bundle", tmp_path / "tiny", "--out", page, "--no-evidently") == 0
    assert "compared with the camera's own normal only" in capsys.readouterr().err
    assert "It could not be compared with what the model was trained on" in page.read_text()


def test_without_evidently_the_report_is_made_and_says_so(
    clips: Path, bundle: Path, tmp_path: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(*arguments: Any, **options: Any) -> None:
        raise UsageError("a report by Evidently needs evidently: pip install 'vedette[drift]'")

    monkeypatch.setattr(EvidentlyReport, "compare", missing)
    page = tmp_path / "report.html"
    assert run(clips / "short.mp4", "--bundle", bundle, "--out", page) == 0
    told = [line for line in capsys.readouterr().err.splitlines() if "Evidently" in line]
    assert told == [
        "vedette: without a second opinion: a report by Evidently needs evidently: pip install 'vedette[drift]'"
    ]
    assert "Evidently&#x27;s report is left out" in page.read_text()


@pytest.mark.slow
def test_evidently_stands_at_the_end(clips: Path, bundle: Path, tmp_path: Path) -> None:
    page, data = tmp_path / "report.html", tmp_path / "report.json"
    assert run(clips / "steady.mp4", "--bundle", bundle, "--out", page, "--json", data, *WINDOWS) == 0
    assert json.loads(data.read_text())["evidently"]["columns"]
    assert "<iframe" in page.read_text()


def test_takes_camera_model_and_settings_from_a_configuration(
    clips: Path, bundle: Path, tmp_path: Path, capsys: Any
) -> None:
    config = tmp_path / "site.yaml"
    config.write_text(
        f"cameras: {{gate: {clips / 'short.mp4'}}}\npipeline:\n  - detect: {{model: {bundle}}}\n"
        "drift: {window_s: 40, pictures: false}\n"
    )
    assert run("gate", "--config", config, "--settle-s", "30", "--no-evidently", "--json", "-") == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["camera"], found["model"]) == ("gate", "tiny")
    assert (found["settings"]["window_s"], found["settings"]["settle_s"]) == (40, 30)


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["gone.mp4", "--out", "r.html"], 3, "vedette: gone.mp4: no such file or folder"),
        (["{clips}/short.mp4"], 2, "vedette: nothing to write: give --out FILE.html, --json FILE, or both"),
        (["{clips}/short.mp4", "--out", "r.html", "--window-s", "0"], 2, "vedette: --window-s: must be above 0, got 0.0"),
        (["{clips}/short.mp4", "--out", "r.html", "--every-s", "30"], 2, "vedette: --every-s: a window of 60 s needs"),
        (["{clips}/short.mp4", "--out", "r.html", "--for", "soon"], 2, "vedette: --for: needs a duration such as"),
        (["{clips}/short.mp4", "--out", "r.html", "--bundle", "gone"], 3, "vedette: gone: no such model"),
        (["{clips}", "--out", "{clips}/short.mp4/r.html", "--no-evidently"], 3, "r.html: cannot be written"),
    ],
)  # fmt: skip
def test_wrong_usage_is_one_sentence(
    arguments: list[str], code: int, message: str, clips: Path, bundle: Path, capsys: Any
) -> None:
    model = [] if "--bundle" in arguments else ["--bundle", bundle]
    assert run(*(one.format(clips=clips) for one in arguments), *model) == code
    assert message in capsys.readouterr().err


def test_an_unreadable_recording_is_named_after_the_report_is_made(
    clips: Path, bundle: Path, tmp_path: Path, capsys: Any
) -> None:
    (tmp_path / "gate").mkdir()
    (tmp_path / "gate" / "a.mp4").write_bytes(b"no video")
    shutil.copy(clips / "short.mp4", tmp_path / "gate" / "b.mp4")
    page = tmp_path / "report.html"
    assert run(tmp_path / "gate", "--bundle", bundle, "--out", page, "--no-evidently") == 3
    assert page.is_file()
    assert "a.mp4" in capsys.readouterr().err
