"""A replay on Ray: each actor replays its cameras, and the driver merges their events like the inline runner.

Shared segments run beside their cameras whatever their place says, since that changes no result.
"""

from __future__ import annotations

import contextlib
import heapq
import itertools
import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import ray

from deployments.cluster import ActorLost, Limits, actor_options, get, num_cores, wanted_resources
from deployments.collector import Batch
from deployments.groups import Group, divide
from deployments.replay_actor import CHUNKS_AHEAD, ReplayActor
from deployments.shipment import HostSpec, Shipment, gpus_of, load_sources, only
from engine.errors import ClusterError, VedetteError
from engine.event import Event
from engine.local import Result, RunRequest
from engine.plan import ExecutionPlan
from engine.progress import FrameProgress
from engine.replay import FLUSH_S, Stopped, check_delivered
from engine.sinks import SinkSet
from engine.summary import CameraSummary, RunMeter, Summary

logger = logging.getLogger(__name__)

LOOK_S = 0.25
# A replay does the same every time: one that killed its process twice does it again.
MAX_ATTEMPTS = 2


class ReplayStream:
    """One actor's events. When the actor dies another one repeats them, and those that were there already are skipped.

    Args:
        name: of the actor and its cameras, for messages.
        make: makes the actor.
        wanted: the resources it asks for, for messages.
        on_wait: called now and then while nothing comes; may raise `Stopped`.
        on_frame: told the camera of each analysed frame, for progress.
        limits: how long to wait for what.
    """

    def __init__(
        self,
        name: str,
        make: Callable[[], Any],
        wanted: Mapping[str, float],
        on_wait: Callable[[], None],
        on_frame: Callable[[str], None],
        limits: Limits,
    ) -> None:
        self.numbers = Batch()
        self._name = name
        self._make = make
        self._wanted = wanted
        self._on_wait = on_wait
        self._on_frame = on_frame
        self._limits = limits
        self._begin()

    def events(self) -> Iterator[Event]:
        """Yield the actor's events in order.

        Raises:
            ClusterError: the actor has no place, does not answer, or died twice.
            VedetteError: what the actor raised.
        """
        num_given = 0
        for attempt in itertools.count(1):
            try:
                get(self._placed, self._limits.place_s, self._name, self._wanted)
                for event in itertools.islice(self._attempt(), num_given, None):
                    num_given += 1
                    yield event
                self._report(is_end=True)
                return
            except ActorLost as error:
                if attempt == MAX_ATTEMPTS:
                    raise ClusterError(f"{error}, {MAX_ATTEMPTS} times at the same place") from None
                logger.warning("%s; its cameras are replayed again", error)
                self._begin()

    def stop(self) -> None:
        """End before the next frame, and take the numbers."""
        with contextlib.suppress(ClusterError):
            get(self._actor.stop.remote(), self._limits.answer_s, self._name)
            deadline_s = time.monotonic() + self._limits.stop_s
            # The actor waits for somebody to take its chunks before it can end.
            while time.monotonic() < deadline_s and ray.wait([self._chunks], timeout=LOOK_S)[0]:
                if next(self._chunks, None) is None:
                    break
            self._report(is_end=True)

    def close(self) -> None:
        """Kill the actor."""
        with contextlib.suppress(Exception):
            ray.kill(self._actor)

    def _begin(self) -> None:
        self._actor = self._make()
        self._placed = self._actor.where.remote()
        self._chunks = self._actor.events.options(
            num_returns="streaming", _generator_backpressure_num_objects=CHUNKS_AHEAD
        ).remote()

    def _attempt(self) -> Iterator[Event]:
        while True:
            while not ray.wait([self._chunks], timeout=LOOK_S)[0]:
                self._on_wait()
                # Hours of footage may hold no event: that the actor lives shows here.
                self._report(is_end=False)
            ref = next(self._chunks, None)
            if ref is None:
                return
            self._on_wait()
            yield from get(ref, self._limits.answer_s, self._name)

    def _report(self, is_end: bool) -> None:
        batch: Batch = get(self._actor.report.remote(is_end), self._limits.answer_s, self._name)
        for level, text in batch.lines:
            logger.log(level, "%s", text)
        for camera, number in batch.frames.items():
            for _ in range(number - self.numbers.frames.get(camera, 0)):
                self._on_frame(camera)
        self.numbers = batch


class ReplayRun:
    """Replays a site once, on the cluster that this process is connected to.

    Args:
        request: what to replay.
        planned: its plan.
        limits: how long to wait for what.
    """

    def __init__(self, request: RunRequest, planned: ExecutionPlan, limits: Limits) -> None:
        self._request = request
        self._site = request.site
        self._plan = planned
        self._limits = limits

    def run(self, stop: threading.Event) -> Result:
        """Replay every frame, or until `stop` is set."""
        meter = RunMeter()
        load_sources(self._site.cameras)
        sinks = SinkSet(self._site.sinks)
        sinks.open()
        streams: list[ReplayStream] = []
        try:
            with FrameProgress("replay", dict.fromkeys(self._site.cameras)) as progress:
                cores = num_cores()
                for group in divide(list(self._site.cameras), self._request.workers or cores, cores):
                    streams.append(self._make_stream(group, len(streams) + 1, stop, progress.frame))
                try:
                    # By epoch, time, camera and seq: the order of the inline runner.
                    for event in heapq.merge(*(s.events() for s in streams), key=lambda event: event.order):
                        sinks.write(event.camera, [event], {})
                except Stopped:
                    for stream in streams:
                        stream.stop()
        finally:
            for stream in streams:
                stream.close()
            delivered = sinks.finish(FLUSH_S)
        check_delivered(delivered)
        return self._summary(meter, [stream.numbers for stream in streams], delivered)

    def _make_stream(
        self, group: Group, number: int, stop: threading.Event, on_frame: Callable[[str], None]
    ) -> ReplayStream:
        cameras = {name: self._site.cameras[name] for name in group.cameras}
        planned = only(self._plan, cameras)
        wanted = wanted_resources(gpus_of(planned, with_actors=True))
        spec = HostSpec(
            name=f"replay-{number}",
            site=self._site.name,
            cameras=cameras,
            plan=planned,
            max_frames=self._request.max_frames,
            drift=self._site.drift,
            log_level=logging.getLogger().getEffectiveLevel(),
        )

        def make() -> Any:
            return ReplayActor.options(**actor_options(wanted)).remote(Shipment.of(spec))

        def check() -> None:
            if stop.is_set():
                raise Stopped

        return ReplayStream(f"{spec.name} ({', '.join(cameras)})", make, wanted, check, on_frame, self._limits)

    def _summary(self, meter: RunMeter, numbers: list[Batch], delivered: dict[str, dict[str, float]]) -> Result:
        counts: dict[str, CameraSummary] = {}
        errors: dict[str, VedetteError] = {}
        for batch in numbers:
            counts |= batch.counts or {}
            errors |= batch.errors
        # In the order of the configuration, as the inline runner has them.
        names = [name for name in self._site.cameras if name in counts]
        wall_s, cpu_s, peak_rss_mb = meter.read()
        summary = Summary(
            {name: counts[name] for name in names},
            wall_s,
            cpu_s + sum(batch.cpu_s for batch in numbers),
            peak_rss_mb + sum(batch.peak_rss_mb for batch in numbers),
            delivered,
        )
        return summary, {name: errors[name] for name in names if name in errors}
