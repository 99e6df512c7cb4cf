"""How far the build of an engine is: a live line on a terminal, plain lines elsewhere; always on standard error."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from engine.progress import PLAIN_EVERY_S


class PhaseProgress:
    """Shows phases as they come: nobody knows how many there will be, nor how long one takes.

    Called from any one thread as `engine.trt_build.Progress`; it never cancels.

    Args:
        what: what is being done, in a few words.
    """

    def __init__(self, what: str) -> None:
        self._what = what
        self._console = Console(file=sys.stderr)
        self._bar: Progress | None = None
        self._said_s = self._started_s = time.monotonic()

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            columns = (TextColumn(self._what), BarColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
            self._bar = Progress(*columns, console=self._console, transient=True)
            self._task = self._bar.add_task("", total=None)
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def __call__(self, phase: str, done: int, total: int) -> bool:
        """Show a phase."""
        now_s = time.monotonic()
        if self._bar is not None:
            self._bar.update(self._task, description=phase, completed=done, total=total)
        elif now_s - self._said_s >= PLAIN_EVERY_S:
            self._said_s = now_s
            spent_s = now_s - self._started_s
            print(f"{self._what}: {spent_s:.0f} s, {phase}: {done} of {total}", file=sys.stderr, flush=True)
        return True
