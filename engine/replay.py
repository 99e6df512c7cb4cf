"""Replay: run recordings deterministically, every frame, in stream time only."""

from __future__ import annotations

from collections.abc import Callable

from engine.drift.setup import make_drift
from engine.errors import SinkError, VedetteError
from engine.inline import InlineRunner
from engine.plan import ExecutionPlan, plan
from engine.sinks import SinkSet
from engine.site import Site
from engine.summary import RunMeter, Summary

# A replay has all the time it needs, but must end when the broker never comes back.
FLUSH_S = 30.0


class Stopped(Exception):
    """Raised by `on_frame` to end a replay early and cleanly."""


def replay(
    site: Site,
    max_frames: int | None = None,
    on_frame: Callable[[str], None] | None = None,
    planned: ExecutionPlan | None = None,
) -> tuple[Summary, dict[str, VedetteError]]:
    """Run a site's recordings in this thread and send the merged events to its sinks.

    Args:
        site: what to run.
        max_frames: frames of each camera at most.
        on_frame: told the camera of each frame, for progress; may raise `Stopped`.
        planned: the plan, if it has been made already.

    Returns:
        The summary, and the cameras that could not be read to their end with the reason; the others are complete.

    Raises:
        VedetteError: the pipeline, a model or a sink cannot be used.
    """
    meter = RunMeter()
    planned = planned or plan(site.pipeline, site.cameras, site.drift)
    drift = make_drift(site.drift, site.cameras, planned)
    runner = InlineRunner(site.name, site.cameras, planned, max_frames, on_frame, drift)
    sinks = SinkSet(site.sinks)
    sinks.open()
    try:
        for event in runner.events():
            sinks.write(event.camera, [event], {})
    except Stopped:
        pass
    finally:
        delivered = sinks.finish(FLUSH_S)
    check_delivered(delivered)
    wall_s, cpu_s, peak_rss_mb = meter.read()
    return Summary(runner.counts, wall_s, cpu_s, peak_rss_mb, delivered), runner.errors


def check_delivered(delivered: dict[str, dict[str, float]]) -> None:
    """Raise SinkError when a replay's events did not all arrive: a replay that lost some is no replay."""
    for name, counts in delivered.items():
        if counts["undelivered"]:
            raise SinkError(f"{name}: {counts['undelivered']:g} events were not delivered within {FLUSH_S:g} s")
