"""Replay in actors: each runs an `InlineRunner` over its cameras and streams their merged events."""

from __future__ import annotations

import logging
import os
import socket
import threading
from collections import Counter
from collections.abc import Iterator
from typing import Any, cast

import ray

from deployments.collector import Batch, LogTail
from deployments.shipment import HostSpec, Shipment
from engine.drift.setup import make_drift
from engine.event import Event
from engine.inline import InlineRunner
from engine.replay import Stopped
from engine.summary import RunMeter

CHUNK_EVENTS = 256
# Chunks that may lie ready before the driver has taken them: the actor waits, nothing piles up.
CHUNKS_AHEAD = 8


class _ReplayActor:
    """Replays a share of a site's recordings.

    Args:
        shipment: holds a HostSpec.
    """

    def __init__(self, shipment: Shipment) -> None:
        self._meter = RunMeter()
        self._shipment = shipment
        self._frames: Counter[str] = Counter()
        self._stopped = threading.Event()
        self._log = LogTail()
        self._runner: InlineRunner | None = None

    def where(self) -> tuple[int, str]:
        """Give process id and node."""
        return os.getpid(), socket.gethostname()

    @ray.method(concurrency_group="run")
    def events(self) -> Iterator[list[Event]]:
        """Yield events in chunks.

        Raises:
            VedetteError: a model cannot be opened, or an operator broke its contract.
        """
        spec: HostSpec = self._shipment.unpack()
        logging.getLogger("ray").propagate = False
        logging.basicConfig(level=spec.log_level, handlers=[self._log], force=True)
        drift = make_drift(spec.drift, spec.cameras, spec.plan)
        self._runner = InlineRunner(spec.site, spec.cameras, spec.plan, spec.max_frames, self._count, drift)
        chunk: list[Event] = []
        try:
            for event in self._runner.events():
                chunk.append(event)
                if len(chunk) == CHUNK_EVENTS:
                    yield chunk
                    chunk = []
        except Stopped:
            pass
        yield chunk

    def report(self, is_end: bool) -> Batch:
        """Give lines and frames so far, and at the end all numbers."""
        batch = Batch(lines=self._log.fetch(), frames=dict(self._frames))
        _, batch.cpu_s, batch.peak_rss_mb = self._meter.read()
        if is_end and self._runner is not None:
            batch.counts, batch.errors = self._runner.counts, self._runner.errors
        return batch

    def stop(self) -> None:
        """End before the next frame."""
        self._stopped.set()

    def _count(self, camera: str) -> None:
        if self._stopped.is_set():
            raise Stopped
        self._frames[camera] += 1


# Ray's types do not know concurrency groups.
ReplayActor: Any = cast(Any, ray.remote)(max_restarts=0, concurrency_groups={"run": 1})(_ReplayActor)
