"""A site's sinks, opened, written and closed together."""

from __future__ import annotations

import threading
from collections.abc import Mapping

from engine.event import Event
from engine.operator import Sink


class SinkSet:
    """A site's sinks, opened together; writing is serialised, so a sink needs no lock of its own."""

    def __init__(self, sinks: tuple[Sink, ...]) -> None:
        self._sinks = sinks
        self._lock = threading.Lock()

    def open(self) -> None:
        """Open all; if one fails, none stays open."""
        opened: list[Sink] = []
        try:
            for sink in self._sinks:
                opened.append(sink)
                sink.open()
        except Exception:
            for sink in opened:
                sink.close()
            raise

    def write(self, camera: str, events: list[Event], headers: Mapping[str, str]) -> None:
        """Hand one camera's events to every sink."""
        with self._lock:
            for sink in self._sinks:
                sink.write(events, headers)

    def finish(self, timeout_s: float) -> dict[str, dict[str, float]]:
        """Deliver what can be delivered in time, close, and give each sink's counts."""
        counts = {}
        try:
            for sink in self._sinks:
                undelivered = sink.flush(timeout_s)
                name = sink.name or type(sink).__name__.lower()
                counts[name] = {**dict(sink.counts()), "undelivered": undelivered}
        finally:
            for sink in self._sinks:
                sink.close()
        return counts
