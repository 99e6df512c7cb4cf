"""Stopping a run from outside without losing a step."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from engine.errors import VedetteError


class TrainingStopped(VedetteError):
    """Somebody asked the run to stop; everything is saved."""

    exit_code = 0


@contextmanager
def stop_signals() -> Iterator[threading.Event]:
    """Set an event at the first SIGINT or SIGTERM; a second one has its usual effect. For the main thread only."""
    stop = threading.Event()
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    def on_signal(number: int, frame: object) -> None:
        stop.set()
        restore()

    for number in before:
        signal.signal(number, on_signal)
    try:
        yield stop
    finally:
        restore()
