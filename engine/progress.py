"""Progress on long work: a live line on a terminal, plain lines elsewhere; always on standard error."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Mapping
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)

PLAIN_EVERY_S = 10.0


class FrameProgress:
    """Counts frames by camera, from any thread.

    Args:
        what: what is being done, in a word.
        totals: frames expected of each camera, where known.
        unit: what is counted, where it is not frames.
    """

    def __init__(self, what: str, totals: Mapping[str, int | None], unit: str = "frames") -> None:
        self._what = what
        self._unit = unit
        self._totals = totals
        self._counts = dict.fromkeys(totals, 0)
        self._lock = threading.Lock()
        self._console = Console(file=sys.stderr)
        self._bar: Progress | None = None
        self._tasks: dict[str, TaskID] = {}
        self._started_s = self._said_s = time.monotonic()

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(),
                       TextColumn("{task.fields[fps]:.0f}/s"), TimeRemainingColumn())  # fmt: skip
            self._bar = Progress(*columns, console=self._console, transient=True)
            self._tasks = {name: self._bar.add_task(name, total=t, fps=0.0) for name, t in self._totals.items()}
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def frame(self, camera: str) -> None:
        """Count one frame of a camera."""
        with self._lock:
            self._counts[camera] = count = self._counts.get(camera, 0) + 1
            now_s = time.monotonic()
            if self._bar is not None:
                # Drawing costs more than a frame does; eight frames at once are still smooth.
                if count % 8 == 0:
                    fps = count / max(now_s - self._started_s, 1e-6)
                    self._bar.update(self._tasks[camera], completed=count, fps=fps)
            elif now_s - self._said_s >= PLAIN_EVERY_S:
                self._said_s = now_s
                done = sum(self._counts.values())
                known = list(self._totals.values())
                of = f" of about {sum(t or 0 for t in known)}" if known and all(known) else ""
                fps = done / (now_s - self._started_s)
                print(f"{self._what}: {done}{of} {self._unit}, {fps:.0f} a second", file=sys.stderr, flush=True)
