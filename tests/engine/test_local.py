"""A run in this process: what a live camera has shown survives the run."""

from __future__ import annotations

import json
import logging
import threading
from pathlib import Path
from typing import cast

import pytest

from engine.cli import main
from engine.commands.run import Request
from engine.drift.settings import DriftSettings
from engine.drift.state import StateFolder
from engine.local import run_live
from engine.operator import Source
from engine.redact import Url
from engine.site import Camera, Site, default_pipeline
from engine.summary import Summary
from tests.clips import square_frames, write_clip
from tests.fake_source import FakeSource


class Scripted(Camera):
    """A live camera that needs no network."""

    def make_source(self) -> Source:
        return cast(Source, FakeSource(10_000, fps=1.0, live=True, pace_s=0.005))


def run(drift: DriftSettings | None) -> Summary:
    site = Site("north", {"gate": Scripted(Url("rtsp://127.0.0.1/x"))}, default_pipeline("motion"), drift=drift)
    summary, errors = run_live(Request(site, 20, None, 1), threading.Event())
    assert errors == {}
    return summary


def test_a_live_cameras_normal_is_kept_from_run_to_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    settings = DriftSettings(every_s=1.0)
    folder = StateFolder(tmp_path / "vedette" / "north" / "drift")
    seconds = []
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            assert run(settings).total().drift_samples > 5
            assert not folder.in_use
            found = folder.load("gate")
            folder.close()
            assert found is not None
            seconds.append(found[1]["now_s"])

    assert seconds[1] > seconds[0] > 5
    assert caplog.records == []


def test_a_run_without_drift_keeps_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    assert run(None).total().drift_samples == 0
    assert list(tmp_path.iterdir()) == []


def test_the_configuration_may_name_the_folder(tmp_path: Path) -> None:
    run(DriftSettings(every_s=1.0, state=str(tmp_path / "mine")))
    assert StateFolder(tmp_path / "mine").cameras() == ["gate"]


@pytest.mark.parametrize(("options", "some"), [([], True), (["--no-drift"], False)])
@pytest.mark.parametrize("command", ["run", "replay"])
def test_a_recording_is_watched_for_drift_unless_the_command_line_says_no(
    command: str, options: list[str], some: bool, tmp_path: Path
) -> None:
    clip = write_clip(tmp_path / "a.mp4", square_frames(20), fps=10)
    numbers = tmp_path / "summary.json"
    arguments = [command, str(clip), "--model", "motion", "--summary", str(numbers), "--events", str(tmp_path / "e")]
    assert main([*arguments, *options]) == 0
    assert (json.loads(numbers.read_text())["drift_samples"] > 0) == some
