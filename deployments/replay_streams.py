"""The driver's side of a replay in actors: one stream of events for each actor, merged like the inline runner's."""

from __future__ import annotations

import contextlib
import heapq
import itertools
import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import ray

from deployments.cluster import ActorLost, Limits, get
from deployments.collector import Batch
from deployments.groups import Group
from deployments.replay_actor import CHUNKS_AHEAD
from engine.errors import ClusterError
from engine.event import Event
from engine.replay import Stopped

logger = logging.getLogger(__name__)

LOOK_S = 0.25
# A replay does the same every time: one that killed its process twice does it again.
MAX_ATTEMPTS = 2


class ReplayStream:
    """One actor's events. When the actor dies another one repeats them, and those that were there already are skipped.

    Args:
        name: of the actor, for messages.
        group: its cameras.
        make: makes the actor.
        wanted: the resources it asks for, for messages.
        on_wait: called now and then while nothing comes; may raise `Stopped`.
        on_frame: told the camera of each analysed frame, for progress.
        limits: how long to wait for what.
    """

    def __init__(
        self,
        name: str,
        group: Group,
        make: Callable[[Group], Any],
        wanted: Mapping[str, float],
        on_wait: Callable[[], None],
        on_frame: Callable[[str], None],
        limits: Limits,
    ) -> None:
        self.numbers = Batch()
        self._name = f"{name} (cameras {', '.join(group.cameras)})"
        self._make = lambda: make(group)
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


def merge(streams: Sequence[ReplayStream]) -> Iterator[Event]:
    """Yield the events of all actors in the order of the inline runner: by epoch, time, camera and seq."""
    return heapq.merge(*(stream.events() for stream in streams), key=lambda event: event.order)


__all__ = ["ReplayStream", "Stopped", "merge"]
