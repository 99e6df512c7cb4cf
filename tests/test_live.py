"""Live cameras end to end: a real RTSP server, the camera host, and the events that come out."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from engine.commands.run import Request
from engine.local import run_live
from engine.redact import Url
from engine.site import Camera, Site, default_pipeline
from engine.summary import Summary
from operators import Jsonl
from tests.clips import square_frames, write_annexb
from tests.rtsp import GstServer

pytestmark = pytest.mark.rtsp
STALL_AFTER_S = 1.5


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_annexb(tmp_path_factory.mktemp("live") / "clip.h264", square_frames(50), fps=25, gop=12)


class Run:
    """A run in a thread of its own, and the events it has written so far."""

    def __init__(self, folder: Path, cameras: dict[str, str]) -> None:
        self.log = folder / "events.jsonl"
        made = {name: Camera(Url(url), stall_after_s=STALL_AFTER_S, gap_after_s=0.5) for name, url in cameras.items()}
        site = Site(cameras=made, pipeline=default_pipeline("motion"), sinks=(Jsonl(path=str(self.log)),))
        self.stop = threading.Event()
        self.summary = Summary()
        self._request = Request(site, None, None, None)
        self._thread = threading.Thread(target=self._work)

    def _work(self) -> None:
        self.summary, _ = run_live(self._request, self.stop)

    def events(self, camera: str) -> list[dict[str, Any]]:
        lines = self.log.read_text().splitlines() if self.log.exists() else []
        return [body for body in map(json.loads, lines) if body["camera"] == camera]

    def states(self, camera: str) -> list[tuple[str, str | None]]:
        return [
            (e["camera_state"]["state"], e["camera_state"].get("cause"))
            for e in self.events(camera)
            if "camera_state" in e
        ]

    def until(self, condition: Callable[[], bool], timeout_s: float = 12.0) -> float:
        started_s = time.monotonic()
        while not condition():
            assert time.monotonic() - started_s < timeout_s, f"not within {timeout_s} s"
            time.sleep(0.02)
        return time.monotonic() - started_s

    def __enter__(self) -> Run:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop.set()
        self._thread.join(15)
        assert not self._thread.is_alive()


@contextmanager
def running(folder: Path, cameras: dict[str, str]) -> Iterator[Run]:
    with Run(folder, cameras) as run:
        yield run


def up(run: Run, camera: str, times: int = 1) -> Callable[[], bool]:
    return lambda: run.states(camera).count(("up", None)) == times


def test_a_frozen_server_is_named_in_time_and_another_camera_does_not_notice(clip: Path, tmp_path: Path) -> None:
    with (
        GstServer({"x": clip}) as frozen,
        GstServer({"x": clip}) as good,
        running(tmp_path, {"frozen": frozen.url("x"), "good": good.url("x")}) as run,
    ):
        run.until(up(run, "frozen"))
        run.until(up(run, "good"))
        time.sleep(1.0)
        frozen.freeze()
        waited_s = run.until(lambda: ("down", "stall") in run.states("frozen"), STALL_AFTER_S + 3)
        frozen.thaw()
        run.until(up(run, "frozen", 2))
        assert run.states("good") == [("up", None)]

    assert waited_s <= STALL_AFTER_S + 1
    assert ("gap_open", "no_frames") in run.states("frozen")
    assert run.summary.cameras["frozen"].stalls >= 1
    assert run.summary.cameras["good"].gaps == 0


def test_a_camera_that_dies_comes_back_in_a_later_epoch_without_a_hole_in_its_numbers(
    clip: Path, tmp_path: Path
) -> None:
    server = GstServer({"x": clip})
    with server:
        port, url = server.port, server.url("x")
        with running(tmp_path, {"gate": url}) as run:
            run.until(up(run, "gate"))
            time.sleep(0.8)
            server.kill()
            run.until(lambda: len(run.states("gate")) >= 2)
            with GstServer({"x": clip}, port=port):
                run.until(up(run, "gate", 2))
                time.sleep(0.5)

    events = run.events("gate")
    epochs = sorted({e["epoch"] for e in events})
    for epoch in epochs:
        numbers = [e["seq"] for e in events if e["epoch"] == epoch]
        assert numbers == list(range(1, len(numbers) + 1))
    for state in (e["camera_state"] for e in events if e["type"] == "camera.up"):
        if "previous_epoch" in state:
            last = max(e["seq"] for e in events if e["epoch"] == state["previous_epoch"])
            assert state["previous_seq"] == last
    times = [(e["epoch"], e["pts_s"]) for e in events]
    assert times == sorted(times)


@pytest.mark.parametrize("auth", ["basic", "digest"])
def test_a_refused_password_is_named_and_the_right_one_works(auth: Any, clip: Path, tmp_path: Path) -> None:
    with GstServer({"x": clip}, auth=auth, user="admin", password="p@ss word") as server:
        cameras = {"right": server.url("x", "admin:p%40ss%20word"), "wrong": server.url("x", "admin:guess-this")}
        with running(tmp_path, cameras) as run:
            run.until(up(run, "right"))
            run.until(lambda: run.states("wrong") == [("down", "auth")])

    assert "guess-this" not in run.log.read_text() + str(run.summary.to_dict())


def test_a_camera_that_is_down_at_the_start_is_found_when_it_comes(clip: Path, tmp_path: Path) -> None:
    with GstServer({"x": clip}) as probe:
        port, url = probe.port, probe.url("x")
    with running(tmp_path, {"late": url}) as run:
        run.until(lambda: run.states("late") == [("down", "refused")])
        with GstServer({"x": clip}, port=port):
            run.until(up(run, "late"))


def test_lost_packets_never_reach_the_analysis(clip: Path, tmp_path: Path) -> None:
    with GstServer({"x": clip}, transport="udp", loss=0.03) as server:
        site = Site(
            cameras={"gate": Camera(Url(server.url("x")), transport="udp")},
            pipeline=default_pipeline("motion"),
            sinks=(Jsonl(path=str(tmp_path / "events.jsonl")),),
        )
        stop = threading.Event()
        threading.Timer(5, stop.set).start()
        summary, _ = run_live(Request(site, None, None, None), stop)
    counts = summary.cameras["gate"]

    assert counts.frames_corrupt > 0
    assert counts.frames_analysed > 0
    assert counts.frames_analysed + counts.frames_dropped + counts.frames_corrupt <= counts.frames_decoded
