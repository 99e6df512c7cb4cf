"""How far a training run is: a live line on a terminal, plain lines elsewhere; always on standard error."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from training.schedule import Schedule

PLAIN_EVERY_S = 15.0


class TrainProgress:
    """Counts the steps of a run.

    Args:
        schedule: how many there are.
        step: how many are done already.
    """

    def __init__(self, schedule: Schedule, step: int) -> None:
        self._schedule, self._first = schedule, step
        self._console = Console(file=sys.stderr)
        self._bar: Progress | None = None
        self._started_s = self._said_s = time.monotonic()

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            columns = (
                TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(),
                TextColumn("loss {task.fields[loss]:.3f}"), TimeRemainingColumn(elapsed_when_finished=True),
            )  # fmt: skip
            self._bar = Progress(*columns, console=self._console, transient=True, speed_estimate_period=120)
            self._task = self._bar.add_task("train", total=self._schedule.num_steps, completed=self._first, loss=0.0)
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def step(self, step: int, loss: float) -> None:
        """Say that `step` steps are done."""
        now_s = time.monotonic()
        if self._bar is not None:
            epoch = self._schedule.epoch(step - 1) + 1
            self._bar.update(
                self._task, completed=step, loss=loss, description=f"epoch {epoch}/{self._schedule.num_epochs}"
            )
        elif now_s - self._said_s >= PLAIN_EVERY_S:
            self._said_s = now_s
            rate = (step - self._first) / (now_s - self._started_s)
            left_s = (self._schedule.num_steps - step) / rate
            print(
                f"step {step} of {self._schedule.num_steps}, loss {loss:.3f}, {rate:.2f} steps a second, "
                f"{_duration(left_s)} left", file=sys.stderr, flush=True,
            )  # fmt: skip

    def judged(self, epoch: int, loss: float, scores: dict[str, float]) -> None:
        """Say what the held-out pictures say; the line stays."""
        line = f"epoch {epoch:4}  loss {loss:7.3f}  AP {scores['ap']:.3f}  AP50 {scores['ap50']:.3f}"
        if self._bar is not None:
            self._bar.console.print(line, highlight=False)
        else:
            print(line, file=sys.stderr, flush=True)


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"
