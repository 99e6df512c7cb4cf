"""The camera actor: a `CameraHost` in a process of its own. Knows Ray; everything else is the host's."""

from __future__ import annotations

import logging
import os
import socket
import time
from collections.abc import Mapping
from typing import Any, cast

import ray

from deployments.collector import Batch, Collector, LogTail, without_latencies
from deployments.detector_actor import RemoteDetector
from deployments.remote_drift import open_drift
from deployments.shipment import HostSpec, Shipment
from engine.host import CameraHost
from engine.sinks import SinkSet
from engine.summary import RunMeter

COUNTS_EVERY_S = 2.0


class _CameraActor:
    """Runs a share of a site's cameras; the driver fetches events, lines and numbers.

    Args:
        shipment: holds a HostSpec.
        detectors: actors of each shared segment that is placed in actors, by the segment's key.
        drift: the actor of the drift monitor, where there is one.
    """

    def __init__(self, shipment: Shipment, detectors: Mapping[str, list[Any]], drift: Any = None) -> None:
        self._meter = RunMeter()
        self._shipment = shipment
        self._detectors = detectors
        self._drift_actor = drift
        self._counted_s = 0.0

    def where(self) -> tuple[int, str]:
        """Give process id and node: answered as soon as the process runs."""
        return os.getpid(), socket.gethostname()

    def start(self) -> None:
        """Open sinks, models and operators, and begin.

        Raises:
            VedetteError: something cannot be opened.
        """
        self._log = LogTail()
        spec: HostSpec = self._shipment.unpack()
        logging.getLogger("ray").propagate = False
        logging.basicConfig(level=spec.log_level, handlers=[self._log], force=True)
        recordings = frozenset(name for name, camera in spec.cameras.items() if camera.waits)
        self._collector = Collector(spec.keep_events, recordings)
        self._sinks = SinkSet(spec.sinks)
        self._drift = open_drift(spec, self._drift_actor)
        self._host = CameraHost(
            spec.site, spec.cameras, spec.plan, self._emit, spec.num_workers,
            remote=lambda segment: RemoteDetector(segment, self._detectors[segment.key]),
            headers={**spec.headers, "node": socket.gethostname()},
            max_frames=spec.max_frames, previous=spec.previous, drift=self._drift,
        )  # fmt: skip
        self._sinks.open()
        self._host.start()

    @ray.method(concurrency_group="fetch")
    def fetch(self, timeout_s: float) -> Batch:
        """Wait for events, at most `timeout_s`; an answer is also the sign of life."""
        # Before the events: a camera that is seen as finished has no event left behind.
        finished = self._host.finished
        batch = self._complete(self._collector.fetch(timeout_s))
        # Where a GPU was lost, too: the supervisor kills this process, and another one can use it again.
        batch.finished, batch.fatal = finished, self._host.fatal
        if time.monotonic() - self._counted_s > COUNTS_EVERY_S:
            self._counted_s = time.monotonic()
            batch.counts = without_latencies(self._host.counts)
        return batch

    @ray.method(concurrency_group="control")
    def stop(self, timeout_s: float, flush_s: float) -> Batch:
        """End the cameras, deliver what the own sinks hold, and give what is left."""
        self._collector.close()
        self._host.stop(timeout_s)
        if self._drift is not None:
            self._drift.close()
        sinks = self._sinks.finish(flush_s)
        batch = self._complete(self._collector.fetch(0))
        batch.finished, batch.counts = self._host.finished, self._host.counts
        batch.errors, batch.sinks = self._host.errors, sinks
        return batch

    def _emit(self, camera: str, events: list[Any], headers: Mapping[str, str]) -> None:
        self._collector.write(camera, events, headers)
        self._sinks.write(camera, events, headers)

    def _complete(self, batch: Batch) -> Batch:
        batch.lines = self._log.fetch()
        batch.frames = {name: counts.frames_analysed for name, counts in self._host.counts.items()}
        _, batch.cpu_s, batch.peak_rss_mb = self._meter.read()
        return batch


# Ray's types do not know concurrency groups.
CameraActor: Any = cast(Any, ray.remote)(max_restarts=0, concurrency_groups={"fetch": 1, "control": 1})(_CameraActor)
