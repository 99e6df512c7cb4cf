"""Drift on Ray: one monitor for all hosts, that outlives each of them and comes back with its memory."""

from __future__ import annotations

import dataclasses
import os
import signal
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from deployments.ray_runner import run_live, run_replay
from engine import local
from engine.commands.run import Request
from engine.drift.settings import DriftSettings
from engine.drift.state import StateFolder
from engine.errors import BundleError
from engine.operator import Operator
from engine.site import Site
from operators.jsonl import Jsonl
from tests.deployments.ray_runs import Keep, LiveRun, make_site, part

pytestmark = [pytest.mark.ray, pytest.mark.usefixtures("ray_cluster")]

SETTINGS = DriftSettings(window_s=1.5, settle_s=3.0, every_s=0.1)


def make_scenes(cameras: Mapping[str, str], settings: DriftSettings, *operators: Operator) -> Site:
    site = make_site(cameras, *operators)
    scenes = {name: dataclasses.replace(camera, kind="ray_parts:Scene") for name, camera in site.cameras.items()}
    return dataclasses.replace(site, cameras=scenes, drift=settings)


class Watched:
    """A live run with one switch that turns the light off, and its state folder."""

    def __init__(self, folder: Path, cameras: str, *operators: Operator) -> None:
        self.switch = folder / "dark"
        self.state = StateFolder(folder / "state")
        settings = dataclasses.replace(SETTINGS, state=str(self.state.path))
        urls = dict.fromkeys(cameras, f"fake://x/?fps=20&dark_if={self.switch}")
        self.live = LiveRun(make_scenes(urls, settings, *operators), workers=2)

    def states(self) -> dict[str, str]:
        return {camera: status["state"] for camera, status in self.state.read_status().items()}

    def samples(self, camera: str) -> int:
        return int(self.state.read_status()[camera]["samples"])

    def until_settled(self, cameras: str) -> None:
        self.live.until(lambda: list(self.states()) == list(cameras))
        self.live.until(lambda: all(status["normal_s"] >= 6 for status in self.state.read_status().values()))

    def drift(self, camera: str) -> list[tuple[str, str]]:
        return [(e.type, e.drift.cause) for e in self.live.events(camera) if e.drift is not None]


def drift_actor() -> Any:
    """The monitor of the run that goes on."""
    import ray

    names = [entry["name"] for entry in ray.util.list_named_actors(all_namespaces=True)]
    (name,) = [name for name in names if name.startswith("drift-north-")]
    return ray.get_actor(name)


def monitor_pid() -> int:
    import ray

    deadline_s = time.monotonic() + 20
    while True:
        try:
            return int(ray.get(drift_actor().where.remote(), timeout=5)[0])
        except Exception:
            assert time.monotonic() < deadline_s
            time.sleep(0.1)


def test_verdicts_reach_the_events_of_their_camera(tmp_path: Path) -> None:
    watched = Watched(tmp_path, "ab")
    with watched.live as live:
        watched.until_settled("ab")
        watched.switch.touch()
        live.until(lambda: bool(watched.drift("a") and watched.drift("b")))
        watched.switch.unlink()
        live.until(lambda: len(watched.drift("a")) == len(watched.drift("b")) == 2)

    for camera in "ab":
        (raised, cause), cleared = watched.drift(camera)
        assert (raised, cleared) == ("drift.raised", ("drift.cleared", cause))
        live.check_seqs(camera)
        counts = live.summary.cameras[camera]
        assert counts.drift_samples > 40
        assert counts.drift_left_out == 0
    assert watched.state.cameras() == ["a", "b"]
    assert not watched.state.in_use, "the monitor has ended with the run"


def test_a_killed_monitor_comes_back_with_what_it_knew(tmp_path: Path) -> None:
    watched = Watched(tmp_path, "a")
    with watched.live as live:
        watched.until_settled("a")
        watched.switch.touch()
        live.until(lambda: bool(watched.drift("a")))
        before = monitor_pid()
        os.kill(before, signal.SIGKILL)
        # Between two calls nobody notices; what follows must hold all the same.
        live.until(lambda: monitor_pid() != before)
        seen = watched.state.read_status()["a"]["written_unix_s"]
        live.until(lambda: watched.state.read_status()["a"]["written_unix_s"] > seen)
        assert watched.states() == {"a": "drift"}, "it knows what it has raised"
        watched.switch.unlink()
        live.until(lambda: len(watched.drift("a")) == 2)

    (raised, cause), cleared = watched.drift("a")
    assert (raised, cleared) == ("drift.raised", ("drift.cleared", cause))
    assert len(live.epochs("a")) == 1, "the camera has not noticed"
    assert live.summary.cameras["a"].drift_left_out == 0


def test_a_camera_whose_host_dies_keeps_its_history(tmp_path: Path) -> None:
    watched = Watched(tmp_path, "ab", part("SayProcess"))
    with watched.live as live:
        watched.until_settled("ab")
        seen = watched.samples("a")
        os.kill(live.pids("a")[0], signal.SIGKILL)
        live.until(lambda: len(live.epochs("a")) == 2)
        watched.switch.touch()
        live.until(lambda: bool(watched.drift("a")))
        assert watched.samples("a") > seen
        assert watched.states()["a"] == "drift"

    # Had it to settle again, the dark would have become its normal.
    (event,) = [e for e in live.events("a") if e.drift is not None]
    assert event.type == "drift.raised"
    assert event.epoch == live.epochs("a")[1]


def test_without_its_monitor_a_camera_goes_on(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    import ray

    watched = Watched(tmp_path, "a", part("Say"))
    with watched.live as live:
        live.until(lambda: "a" in watched.states())
        ray.kill(drift_actor(), no_restart=True)
        live.until(lambda: "the cameras go on without it" in caplog.text)
        num_events = len(live.events("a"))
        live.until(lambda: len(live.events("a")) > num_events + 20)

    assert len(live.epochs("a")) == 1
    counts = live.summary.cameras["a"]
    assert 0 < counts.drift_left_out < counts.drift_samples
    assert caplog.text.count("the cameras go on without it") == 1


def test_a_reference_that_is_not_there_ends_the_run_before_it_begins() -> None:
    settings = dataclasses.replace(SETTINGS, reference="no/such/bundle")
    site = make_scenes({"a": "fake://x/"}, settings)
    with pytest.raises(BundleError, match="no/such/bundle"):
        run_live(Request(site.with_sinks(Keep()), None, None, 1), threading.Event())


RECORDINGS = {
    "a": "a?num=500&fps=20&dark=150:280", "b": "b?num=300&fps=15", "c": "c?num=300&fps=20&dark=150:300", "d": "d?num=1"
}  # fmt: skip


def replay(runner: Any, log: Path) -> bytes:
    site = make_scenes(RECORDINGS, SETTINGS, part("Say", every=7)).with_sinks(Jsonl(path=str(log)))
    _, errors = runner(Request(site, None, None, 3), threading.Event())
    assert errors == {}
    return log.read_bytes()


def test_a_replay_gives_the_bytes_of_one_process(tmp_path: Path) -> None:
    expected = replay(local.run_replay, tmp_path / "inline.jsonl")

    assert replay(run_replay, tmp_path / "ray.jsonl") == expected
    assert expected.count(b"drift.raised") == 2
    assert expected.count(b"drift.cleared") == 1


def test_recordings_in_a_live_run_give_the_events_of_one_process() -> None:
    logs = []
    for runner in (local.run_live, run_live):
        sink = Keep()
        runner(Request(make_scenes(RECORDINGS, SETTINGS).with_sinks(sink), None, None, 2), threading.Event())
        logs.append({name: [e.to_json() for e in sink.events if e.camera == name] for name in RECORDINGS})

    assert logs[0] == logs[1]
    assert [any(b"drift.raised" in line for line in lines) for lines in logs[0].values()] == [True, False, True, False]
