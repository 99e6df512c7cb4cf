"""What a camera host has to say, kept until the driver fetches it."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from engine.errors import VedetteError
from engine.event import Event
from engine.redact import redact
from engine.summary import CameraSummary, Latencies

# Live events beyond this are dropped, the oldest first, and counted: some minutes of a very busy site.
MAX_WAITING = 100_000
# From here on a recording waits for the driver; nothing of it is ever dropped.
MAX_OF_RECORDINGS = 10_000
# Events that come within this time travel in one call: a call costs a millisecond of CPU.
GATHER_S = 0.02
MAX_LINES = 200

Lines = list[tuple[int, str]]
"""Levels, and texts that begin with the name of the logger."""


@dataclass
class Batch:
    """What one call brings from a camera host to the driver.

    Attributes:
        events: camera, events and headers, in the order in which they were emitted.
        lines: level and text of what was logged.
        last: epoch and seq of each camera's last event, up to and including this batch.
        frames: frames analysed of each camera so far.
        finished: cameras that have ended.
        fatal: why the host cannot go on.
        dropped: events that the driver fetched too late, so far.
        cpu_s: CPU time of the process so far.
        peak_rss_mb: of the process so far.
        counts: each camera's numbers, now and then; with latencies only in the last batch.
        errors: cameras that cannot be used, in the last batch.
        sinks: counts of the host's own sinks, in the last batch.
    """

    events: list[tuple[str, list[Event], Mapping[str, str]]] = field(default_factory=list)
    lines: Lines = field(default_factory=list)
    last: dict[str, tuple[int, int]] = field(default_factory=dict)
    frames: dict[str, int] = field(default_factory=dict)
    finished: frozenset[str] = frozenset()
    fatal: VedetteError | None = None
    dropped: int = 0
    cpu_s: float = 0.0
    peak_rss_mb: float = 0.0
    counts: dict[str, CameraSummary] | None = None
    errors: dict[str, VedetteError] = field(default_factory=dict)
    sinks: dict[str, dict[str, float]] = field(default_factory=dict)


class Collector:
    """Keeps events until they are fetched.

    Args:
        keep: False only counts: every sink lives beside the cameras.
        recordings: cameras that wait when too much has not been fetched; of others the oldest events go.
        max_waiting: events kept of live cameras.
    """

    def __init__(self, keep: bool, recordings: frozenset[str] = frozenset(), max_waiting: int = MAX_WAITING) -> None:
        self._keep = keep
        self._recordings = recordings
        self._max_waiting = max_waiting
        self._entries: deque[tuple[str, list[Event], Mapping[str, str]]] = deque()
        self._num_waiting = 0
        self._dropped = 0
        self._last: dict[str, tuple[int, int]] = {}
        self._changed = threading.Condition()
        self._closed = False

    def write(self, camera: str, events: list[Event], headers: Mapping[str, str]) -> None:
        """Take the events of one camera; a recording waits here while the driver is behind."""
        with self._changed:
            while camera in self._recordings and self._num_waiting >= MAX_OF_RECORDINGS and not self._closed:
                self._changed.wait(1.0)
            self._last[camera] = (events[-1].epoch, events[-1].seq)
            if not self._keep:
                return
            self._entries.append((camera, events, headers))
            self._num_waiting += len(events)
            while self._num_waiting > self._max_waiting and self._drop_oldest():
                pass
            self._changed.notify_all()

    def fetch(self, timeout_s: float) -> Batch:
        """Wait for events, at most `timeout_s`, and give what there is."""
        with self._changed:
            if not self._entries and not self._closed:
                self._changed.wait(timeout_s)
            closed = self._closed
        if not closed:
            time.sleep(GATHER_S)
        with self._changed:
            entries, self._entries, self._num_waiting = list(self._entries), deque(), 0
            self._changed.notify_all()
            return Batch(events=entries, last=dict(self._last), dropped=self._dropped)

    def close(self) -> None:
        """Let nobody wait any more."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _drop_oldest(self) -> bool:
        for index, (camera, events, _) in enumerate(self._entries):
            if camera not in self._recordings:
                del self._entries[index]
                self._num_waiting -= len(events)
                self._dropped += len(events)
                return True
        return False


def without_latencies(counts: Mapping[str, CameraSummary]) -> dict[str, CameraSummary]:
    """Copy each camera's numbers without the thousands of latency samples, which travel once, at the end."""
    return {name: replace(camera, events=camera.events.copy(), latency=Latencies()) for name, camera in counts.items()}


class LogTail(logging.Handler):
    """Keeps log lines until they are fetched, the last few hundred."""

    def __init__(self) -> None:
        super().__init__()
        self._lines: deque[tuple[int, str]] = deque(maxlen=MAX_LINES)

    def emit(self, record: logging.LogRecord) -> None:
        """Keep one line, without credentials."""
        text = record.getMessage()
        if record.exc_info and record.exc_info[1] is not None:
            text = f"{text}: {type(record.exc_info[1]).__name__}: {record.exc_info[1]}"
        self._lines.append((record.levelno, redact(f"{record.name}: {text}")))

    def fetch(self) -> Lines:
        """Give the lines since the last call."""
        lines = []
        while self._lines:
            lines.append(self._lines.popleft())
        return lines


def log_lines(lines: Lines) -> None:
    """Log what was said in an actor, under the name it was said by."""
    for level, line in lines:
        name, _, text = line.partition(": ")
        logging.getLogger(name).log(level, "%s", text)
