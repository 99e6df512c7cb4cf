"""Running a site in this process: live with a camera host, or as a replay."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from typing import Any, Protocol

from engine.drift.setup import make_drift, state_path
from engine.errors import VedetteError
from engine.facts import run_facts
from engine.host import CameraHost
from engine.plan import plan
from engine.progress import FrameProgress
from engine.replay import Stopped, replay
from engine.sinks import SinkSet
from engine.site import Site
from engine.summary import RunMeter, Summary


class RunRequest(Protocol):
    """What a runner is asked for."""

    site: Site
    max_frames: int | None
    ray_address: str | None
    workers: int | None


Result = tuple[Summary, dict[str, VedetteError]]


# A broker that is away must not keep Ctrl-C waiting for long; what stays behind is counted in the summary.
FLUSH_S = 10.0


def run_live(request: RunRequest, stop: threading.Event) -> Result:
    """Run cameras and recordings in this process until they end or `stop` is set."""
    site = request.site
    meter = RunMeter()
    sinks = SinkSet(site.sinks)
    planned = plan(site.pipeline, site.cameras, site.drift)
    drift = make_drift(site.drift, site.cameras, planned, state_path(site))
    with FrameProgress("run", dict.fromkeys(site.cameras)) as progress:
        host = CameraHost(
            site.name, site.cameras, planned, sinks.write,
            num_workers=request.workers, max_frames=request.max_frames, on_frame=progress.frame,
            headers={**run_facts(planned), "node": socket.gethostname()}, drift=drift,
        )  # fmt: skip
        sinks.open()
        try:
            host.start()
            while not stop.is_set() and not host.wait(0.2):
                pass
        finally:
            host.stop()
            if drift is not None:
                drift.close()
            delivered = sinks.finish(FLUSH_S)
    wall_s, cpu_s, peak_rss_mb = meter.read()
    return Summary(host.counts, wall_s, cpu_s, peak_rss_mb, delivered), host.errors


def run_replay(request: RunRequest, stop: threading.Event) -> Result:
    """Replay recordings in this thread."""
    site = request.site
    with FrameProgress("replay", dict.fromkeys(site.cameras)) as progress:
        on_frame: Callable[[str], Any] = _until(stop, progress.frame)
        result, errors = replay(site, request.max_frames, on_frame)
    return result, errors


def _until(stop: threading.Event, on_frame: Callable[[str], None]) -> Callable[[str], None]:
    def count(camera: str) -> None:
        if stop.is_set():
            raise Stopped
        on_frame(camera)

    return count
