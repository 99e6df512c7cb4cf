"""Keeps camera hosts alive: starts them, fetches what they have to say, and replaces the dead.

A host is alive as long as it answers: each call waits in the host for events, and comes back after a second at the
latest. All of it runs in the driver's one thread.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import ray

from deployments.cluster import ActorLost, Limits, available, get, show_resources
from deployments.collector import Batch
from deployments.groups import Group, after_death
from engine.errors import Cause, ClusterError, SourceError, VedetteError
from engine.host import Emit
from engine.site import Camera
from engine.summary import CameraSummary

logger = logging.getLogger(__name__)

# How long a host holds back its answer while there is nothing to say.
POLL_S = 1.0


@dataclass
class _Host:
    """A host that runs or is being started.

    Attributes:
        ref: of the call that is on its way.
        until_s: when that call must have been answered.
        since_s: when the host began to run.
        numbers: what its last batches said; counts come only now and then.
    """

    name: str
    group: Group
    actor: Any
    placed: Any
    ref: Any
    until_s: float
    since_s: float
    starting: bool = True
    numbers: Batch = field(default_factory=Batch)

    def __str__(self) -> str:
        names = [f"'{name}'" for name in self.group.cameras]
        shown = ", ".join(names[:6]) + (f" and {len(names) - 6} more" if len(names) > 6 else "")
        return f"{self.name} ({'camera' if len(names) == 1 else 'cameras'} {shown})"


class Supervisor:
    """Runs groups of cameras, each in an actor.

    Args:
        cameras: all of them.
        make: makes the actor of a host, given its name, its group, and epoch and last seq of its cameras where known.
        wanted: the resources that a group's actor asks for, for messages.
        emit: gets every event that a host hands over.
        on_frame: told the camera of each analysed frame, for progress.
        limits: how long to wait for what.
    """

    def __init__(
        self,
        cameras: Mapping[str, Camera],
        make: Callable[[str, Group, Mapping[str, tuple[int, int]]], Any],
        wanted: Callable[[Group], Mapping[str, float]],
        emit: Emit,
        on_frame: Callable[[str], None] = lambda camera: None,
        limits: Limits | None = None,
    ) -> None:
        self.counts = {name: CameraSummary() for name in cameras}
        self.errors: dict[str, VedetteError] = {}
        self.sinks: dict[str, dict[str, float]] = {}
        self.cpu_s = 0.0
        self.peak_rss_mb = 0.0
        self.dropped = 0
        self._lives = {name: camera.live for name, camera in cameras.items()}
        self._make = make
        self._wanted = wanted
        self._emit = emit
        self._on_frame = on_frame
        self._limits = limits or Limits()
        self._hosts: list[_Host] = []
        self._due: list[tuple[float, Group]] = []
        self._finished: set[str] = set()
        self._previous: dict[str, tuple[int, int]] = {}
        self._num_hosts = 0

    @property
    def done(self) -> bool:
        """Every camera has ended or is given up."""
        return len(self._finished) == len(self.counts)

    def start(self, groups: Iterable[Group]) -> None:
        """Start a host for each group, and wait until all run.

        Raises:
            ClusterError: there is no place for a host.
            VedetteError: a sink, a model or an operator cannot be opened.
        """
        for group in groups:
            self._launch(group)
        for host in list(self._hosts):
            try:
                get(host.placed, self._limits.place_s, str(host), self._wanted(host.group))
                get(host.ref, self._limits.open_s, f"{host}: opening models and operators")
            except ActorLost as error:
                self._lost(host, str(error))
            else:
                self._next(host)

    def step(self, timeout_s: float) -> None:
        """Take what comes within a while, start what is due, and bury the dead.

        Raises:
            SinkError: events cannot be delivered.
        """
        now_s = time.monotonic()
        due = [group for at_s, group in self._due if at_s <= now_s]
        self._due = [(at_s, group) for at_s, group in self._due if at_s > now_s]
        for group in due:
            self._launch(group)
        if not self._hosts:
            time.sleep(timeout_s)
            return
        by_ref = {host.ref: host for host in self._hosts}
        ready, _ = ray.wait(list(by_ref), num_returns=1, timeout=timeout_s)
        if ready:
            ready, _ = ray.wait(list(by_ref), num_returns=len(by_ref), timeout=0)
        # A driver that was held up by a sink must hear the answers before it calls anyone dead.
        now_s = time.monotonic()
        late = [host for ref, host in by_ref.items() if ref not in ready and now_s > host.until_s]
        for ref in ready:
            self._hear(by_ref[ref])
        for host in late:
            if host.starting:
                text = f"{host}: did not start; wanted: {show_resources(self._wanted(host.group))}; {available()}"
            else:
                text = f"{host}: does not answer"
            self._lost(host, text)

    def stop(self, flush_s: float) -> None:
        """End every host at once, take what they still have to say, and count."""
        self._due = []
        ends = [(host, None if host.starting else host.actor.stop.remote(self._limits.stop_s, flush_s))
                for host in self._hosts]  # fmt: skip
        until_s = time.monotonic() + 2 * self._limits.stop_s + flush_s + self._limits.answer_s
        try:
            for host, end in ends:
                if end is None:
                    continue
                try:
                    # What was fetched before the end comes before it.
                    self._take(host, get(host.ref, POLL_S + self._limits.answer_s, str(host)))
                    self._take(host, get(end, max(0.1, until_s - time.monotonic()), f"{host}: stopping"))
                except ClusterError as error:
                    logger.warning("%s", error)
        finally:
            for host in list(self._hosts):
                self.peak_rss_mb += host.numbers.peak_rss_mb
                self._bury(host)

    def _launch(self, group: Group) -> None:
        self._num_hosts += 1
        name = f"host-{self._num_hosts}"
        known = {camera: self._previous[camera] for camera in group.cameras if camera in self._previous}
        actor = self._make(name, group, known)
        now_s = time.monotonic()
        until_s = now_s + self._limits.place_s + self._limits.open_s
        placed, ref = actor.where.remote(), actor.start.remote()
        self._hosts.append(_Host(name, group, actor, placed, ref, until_s, now_s))

    def _next(self, host: _Host) -> None:
        now_s = time.monotonic()
        if host.starting:
            host.starting, host.since_s = False, now_s
        host.ref = host.actor.fetch.remote(POLL_S)
        host.until_s = now_s + POLL_S + self._limits.answer_s

    def _hear(self, host: _Host) -> None:
        try:
            answer = get(host.ref, self._limits.answer_s, str(host))
        except VedetteError as error:
            self._lost(host, str(error))
            return
        if not host.starting:
            self._take(host, answer)
            if answer.fatal is not None:
                self._lost(host, f"{host}: {answer.fatal}")
                return
        self._next(host)

    def _take(self, host: _Host, batch: Batch) -> None:
        for level, text in batch.lines:
            logger.log(level, "%s", text)
        for camera, events, headers in batch.events:
            self._emit(camera, events, headers)
        self._previous.update(batch.last)
        for camera, number in batch.frames.items():
            for _ in range(number - host.numbers.frames.get(camera, 0)):
                self._on_frame(camera)
        batch.counts = batch.counts or host.numbers.counts
        self._finished |= batch.finished
        self.errors.update(batch.errors)
        for name, counts in batch.sinks.items():
            self.sinks[name] = add_counts(self.sinks.get(name, {}), counts)
        host.numbers = batch
        # Events would only take memory until the next batch comes.
        batch.events = []

    def _lost(self, host: _Host, reason: str) -> None:
        ran_s = 0.0 if host.starting else time.monotonic() - host.since_s
        groups, given_up = after_death(host.group, ran_s, self._finished, self._lives)
        self._bury(host)
        plan = "; ".join(f"{', '.join(g.cameras)} in {g.wait_s:g} s" for g in groups)
        logger.warning("%s%s", reason, f"; starting again: {plan}" if groups else "")
        now_s = time.monotonic()
        self._due += [(now_s + group.wait_s, group) for group in groups]
        for camera in given_up:
            self._finished.add(camera)
            text = f"camera '{camera}': its process died {host.group.deaths + 1} times and is not started again"
            self.errors[camera] = SourceError(text, Cause.INTERNAL)
            self.counts[camera].error = text

    def _bury(self, host: _Host) -> None:
        """Kill what may be left of a host, and keep its numbers."""
        self._hosts.remove(host)
        with contextlib.suppress(Exception):
            ray.kill(host.actor)
        self.cpu_s += host.numbers.cpu_s
        self.dropped += host.numbers.dropped
        for camera, counts in (host.numbers.counts or {}).items():
            self.counts[camera].add(counts)
            self.counts[camera].error = counts.error or self.counts[camera].error


def add_counts(one: Mapping[str, float], other: Mapping[str, float]) -> dict[str, float]:
    """Add up the counts of two copies of a sink; of milliseconds the larger stays."""
    return {
        name: max(one.get(name, 0), other.get(name, 0)) if "_ms" in name else one.get(name, 0) + other.get(name, 0)
        for name in {**one, **other}
    }
