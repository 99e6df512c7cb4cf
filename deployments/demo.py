"""The demonstration: four RTSP cameras, the pipeline on Ray, a Kafka broker, and a consumer that prints events.

Everything runs on 127.0.0.1 and ends with this process. The cameras show the rendered scenes of `replay_data/` once,
so that what was counted can be set beside what truly happened.
"""

from __future__ import annotations

import dataclasses
import importlib
import json
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table

from deployments.embedded_broker import EmbeddedBroker
from deployments.embedded_rtsp import RtspServer
from engine.commands.run import Request, stop_on_signals
from engine.config import load_site
from engine.errors import UsageError, VedetteError
from engine.load import load_class
from engine.redact import Url
from engine.site import Site
from engine.summary import Summary
from engine.wording import say_what

SCENES = Path(__file__).resolve().parents[1] / "replay_data"
SITE = SCENES / "detect.yaml"
# What the truth files know; the life cycle of objects has no truth, since what is one object is the tracker's word.
JUDGED = ("line.crossed", "zone.entered", "zone.exited", "zone.dwelled")
NUM_LINES = 14
DRAIN_S = 10.0

Body = dict[str, Any]


def run_demo(out: Path, runner: str, max_frames: int | None = None) -> None:
    """Run the demonstration to its end or to Ctrl-C.

    Args:
        out: folder for snapshots, events and summary.
        runner: `ray` or `inline`.
        max_frames: frames of each camera at most; one pass of its clip by default.

    Raises:
        VedetteError: something that it needs is not installed or does not start.
    """
    if not SITE.is_file():
        raise UsageError("the demonstration needs the folder replay_data, which is only in a clone of the repository")
    if runner not in ("ray", "inline"):
        raise UsageError(f"--runner {runner}: expected ray or inline")
    out.mkdir(parents=True, exist_ok=True)
    stop = stop_on_signals()
    console = Console()
    console.print("starting an RTSP server with four cameras, a Kafka broker, and the engine ...")
    with RtspServer(SCENES / "clips") as rtsp, EmbeddedBroker() as broker:
        site = _site(rtsp, broker.bootstrap, out)
        console.print(f"cameras: {', '.join(str(c.url) for c in site.cameras.values())}")
        console.print(f"events:  {broker.bootstrap}, topic vedette.events\n")
        screen = _Screen(console)
        consumer = _Consumer(broker.bootstrap, screen)
        engine = _Engine(runner, Request(site, max_frames, None, None), stop)
        with screen:
            while engine.running:
                consumer.poll()
            deadline_s = time.monotonic() + DRAIN_S
            while consumer.num_seen < engine.num_events and time.monotonic() < deadline_s and not stop.is_set():
                consumer.poll()
        consumer.close()
    summary = engine.result()
    (out / "events.jsonl").write_text("".join(json.dumps(b) + "\n" for b in consumer.bodies), encoding="utf-8")
    (out / "summary.json").write_text(json.dumps(summary.to_dict(), indent=2) + "\n", encoding="utf-8")
    _print_summary(console, summary, consumer.bodies, out, whole=not stop.is_set())


def _site(rtsp: RtspServer, bootstrap: str, out: Path) -> Site:
    site = load_site(SITE)
    scenes = _manifest()["cameras"]
    cameras = {
        name: dataclasses.replace(
            camera, url=Url(rtsp.url(Path(camera.url.reveal()).name)), max_frames=scenes[name]["frames"]
        )
        for name, camera in site.cameras.items()
    }
    site = dataclasses.replace(site, name="demo", cameras=cameras, sinks=())
    site = site.with_steps(load_class("annotate")(snapshot=str(out.resolve() / "{camera}.png")))
    return site.with_sinks(load_class("kafka")(bootstrap=bootstrap))


class _Engine:
    """The pipeline in a thread of its own."""

    def __init__(self, runner: str, request: Request, stop: threading.Event) -> None:
        module = importlib.import_module("engine.local" if runner == "inline" else "deployments.ray_runner")
        self._run: Callable[[], Any] = lambda: module.run_live(request, stop)
        self._outcome: tuple[Summary, dict[str, VedetteError]] | VedetteError | None = None
        self._thread = threading.Thread(target=self._work, name="engine")
        self._thread.start()

    def _work(self) -> None:
        try:
            self._outcome = self._run()
        except VedetteError as error:
            self._outcome = error

    @property
    def running(self) -> bool:
        return self._thread.is_alive()

    @property
    def num_events(self) -> int:
        return sum(self._outcome[0].total().events.values()) if isinstance(self._outcome, tuple) else 0

    def result(self) -> Summary:
        self._thread.join()
        if isinstance(self._outcome, VedetteError):
            raise self._outcome
        if self._outcome is None:
            raise VedetteError("the engine ended without a result")
        for error in self._outcome[1].values():
            raise error
        return self._outcome[0]


class _Consumer:
    """Any consumer of the topic: keeps the first of each event id."""

    def __init__(self, bootstrap: str, screen: _Screen) -> None:
        self._records = load_class("kafka")(bootstrap=bootstrap).read("vedette.events", True)
        self._screen = screen
        self._ids: set[str] = set()
        self.bodies: list[Body] = []

    @property
    def num_seen(self) -> int:
        return len(self._ids)

    def poll(self) -> None:
        """Take what has come; returns soon when nothing does."""
        record = next(self._records)
        if record is not None:
            body = json.loads(record.value)
            if body["event_id"] not in self._ids:
                self._ids.add(body["event_id"])
                self.bodies.append(body)
                self._screen.show(body)
        self._screen.refresh()

    def close(self) -> None:
        self._records.close()


class _Screen:
    """The last events and the counts so far: a live table on a terminal, plain lines elsewhere."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._lines: deque[Body] = deque(maxlen=NUM_LINES)
        self._counts: Counter[tuple[str, str]] = Counter()
        self._live = Live(console=console, refresh_per_second=8) if console.is_terminal else None

    def __enter__(self) -> _Screen:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live is not None:
            self._live.stop()

    def show(self, body: Body) -> None:
        self._lines.append(body)
        self._counts[body["camera"], body["type"]] += 1
        if self._live is None and body["type"] != "object.update":
            print(
                "  ".join(text.ljust(width) for text, width in zip(_row(body), (11, 8, 14, 40), strict=True)),
                flush=True,
            )

    def refresh(self) -> None:
        if self._live is None:
            return
        events = Table("time", "camera", "event", "what", title="events from Kafka, newest last", width=90)
        for body in self._lines:
            events.add_row(*_row(body))
        cameras = sorted({camera for camera, _ in self._counts})
        counts = Table("so far", *cameras)
        for kind in sorted({kind for _, kind in self._counts}):
            counts.add_row(kind, *(str(self._counts[camera, kind] or "") for camera in cameras))
        self._live.update(Group(events, counts))


def _row(body: Body) -> tuple[str, str, str, str]:
    return body["time"][11:22], body["camera"], body["type"], say_what(body)


def _print_summary(console: Console, summary: Summary, bodies: list[Body], out: Path, whole: bool) -> None:
    total = summary.total()
    kinds = Counter(body["type"] for body in bodies)
    console.print("\nevents by type: " + ", ".join(f"{kind} {count}" for kind, count in sorted(kinds.items())))
    if whole:
        table = Table("camera", "rule", "event", "counted", "truth", title="counted against what truly happened")
        for (camera, rule, kind), truth in sorted(_truth().items()):
            table.add_row(camera, rule, kind, str(_count(bodies)[camera, rule, kind]), str(truth))
        console.print(table)
    numbers = summary.to_dict()
    fps = total.frames_analysed / max(summary.busy_s or summary.wall_s, 1e-9)
    latency = numbers["latency_ms"]
    console.print(
        f"{total.frames_analysed} frames of {len(summary.cameras)} cameras, {fps:.1f} a second together; "
        f"frame to event p50 {latency.get('p50', 0):.0f} ms, p95 {latency.get('p95', 0):.0f} ms; "
        f"{total.frames_dropped} dropped"
    )
    pictures = sorted(str(p) for p in out.glob("*.png"))
    console.print(f"snapshots: {', '.join(pictures)}; events and numbers: {out}/events.jsonl, {out}/summary.json")


def _kind(body: Body) -> tuple[str, str, str]:
    if "line" in body:
        return body["camera"], body["line"]["name"], f"{body['type']} {body['line']['direction']}"
    return body["camera"], body["zone"]["name"], body["type"]


def _count(bodies: list[Body]) -> Counter[tuple[str, str, str]]:
    return Counter(_kind(body) for body in bodies if body["type"] in JUDGED)


def _truth() -> Counter[tuple[str, str, str]]:
    return _count(list(_truth_bodies()))


def _truth_bodies() -> Iterator[Body]:
    for path in sorted(SCENES.glob("truth/*/events.jsonl")):
        for line in path.read_text(encoding="utf-8").splitlines():
            yield json.loads(line)


def _manifest() -> dict[str, Any]:
    manifest: dict[str, Any] = json.loads((SCENES / "MANIFEST.json").read_text(encoding="utf-8"))
    return manifest
