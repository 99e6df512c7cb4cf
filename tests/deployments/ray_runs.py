"""Builders of sites whose parts come from `ray_parts.py`, and a live run in a thread of its own."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from deployments.cluster import Limits
from deployments.ray_runner import run_live
from engine.commands.run import Request
from engine.errors import VedetteError
from engine.event import Event
from engine.load import load_class
from engine.operator import Operator, Sink
from engine.pipeline import Pipeline
from engine.redact import Url
from engine.site import Camera, Site
from engine.summary import Summary

HERE = Path(__file__).parent


def part(name: str, **options: Any) -> Any:
    return load_class(f"ray_parts:{name}", HERE)(**options)


@dataclass
class Keep(Sink):
    """Keeps events in the process that opened it."""

    events: list[Event] = field(default_factory=list)
    headers: list[Mapping[str, str]] = field(default_factory=list)

    def write(self, events: Sequence[Event], headers: Mapping[str, str]) -> None:
        self.events.extend(events)
        self.headers.extend([headers] * len(events))


def make_site(cameras: Mapping[str, str], *operators: Operator, sinks: tuple[Sink, ...] = ()) -> Site:
    pipeline = Pipeline()
    for operator in operators:
        pipeline = pipeline.then(operator, name=f"step{len(pipeline.steps)}")
    made = {
        name: Camera(Url(url), kind="ray_parts:Script", beside=HERE, gap_after_s=0.5) for name, url in cameras.items()
    }
    return Site("north", made, pipeline, sinks)


class LiveRun:
    """A live run that goes on until the end of a `with`."""

    def __init__(self, site: Site, workers: int, limits: Limits | None = None) -> None:
        self.sink = Keep()
        self.summary = Summary()
        self.errors: dict[str, VedetteError] = {}
        self.stop = threading.Event()
        self._request = Request(site.with_sinks(self.sink), None, None, workers)
        self._limits = limits
        self._thread = threading.Thread(target=self._work)

    def __enter__(self) -> LiveRun:
        self._thread.start()
        return self

    def __exit__(self, *args: object) -> None:
        self.stop.set()
        self._thread.join(30)
        assert not self._thread.is_alive()

    def _work(self) -> None:
        self.summary, self.errors = run_live(self._request, self.stop, self._limits)

    def events(self, camera: str) -> list[Event]:
        return [event for event in list(self.sink.events) if event.camera == camera]

    def epochs(self, camera: str) -> list[int]:
        return list(dict.fromkeys(event.epoch for event in self.events(camera)))

    def pids(self, camera: str, kind: str = "test.process") -> list[int]:
        """Processes that said something about a camera, in the order of their first word."""
        return list(dict.fromkeys(e.data["pid"] for e in self.events(camera) if e.type == kind and e.data))

    def until(self, condition: Callable[[], bool], timeout_s: float = 30.0) -> None:
        deadline_s = time.monotonic() + timeout_s
        while not condition():
            assert self._thread.is_alive(), "the run has ended"
            assert time.monotonic() < deadline_s, f"not within {timeout_s} s"
            time.sleep(0.02)

    def check_seqs(self, camera: str) -> None:
        """Assert that within each epoch seq counts 1, 2, 3… without a gap."""
        for epoch in self.epochs(camera):
            seqs = [event.seq for event in self.events(camera) if event.epoch == epoch]
            assert seqs == list(range(1, len(seqs) + 1)), f"{camera} {epoch}"
