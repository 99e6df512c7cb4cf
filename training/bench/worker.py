"""A subject in a process of its own: threads, memory and crashes of one backend are not those of another."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

from engine.errors import BackendUnavailable, ConfigError, VedetteError
from engine.redact import redact
from training.bench.subject import Subject

# Loading may compile kernels, judging looks at every picture; what takes longer hangs.
_TIMEOUT_S = 3600.0


@dataclass(frozen=True)
class Refused:
    """Why there is no answer.

    Attributes:
        reason: a sentence.
        failed: something went wrong; else this machine has no means for what was asked.
    """

    reason: str
    failed: bool = True


class Worker:
    """Asks a subject. A process that dies or hangs refuses every question from then on.

    Args:
        make: makes the subject, in its process.
        timeout_s: for each answer.
    """

    def __init__(self, make: Callable[[], Subject], timeout_s: float = _TIMEOUT_S) -> None:
        # Forked processes share libraries that have begun threads; CUDA does not survive a fork at all.
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, make), daemon=True)
        self._process.start()
        theirs.close()
        self._timeout_s = timeout_s
        self._end: Refused | None = None

    def ask(self, question: str, *arguments: Any) -> Any:
        """Call a method of the subject; gives what it returns, or Refused."""
        if self._end is None:
            try:
                self._pipe.send((question, arguments))
                if self._pipe.poll(self._timeout_s):
                    return self._pipe.recv()
                self._process.kill()
                self._end = Refused(f"no answer within {self._timeout_s:g} s")
            except (EOFError, OSError):
                self._process.join()
                self._end = Refused(f"its process ended with {_how(self._process.exitcode or 0)}")
        return self._end

    def close(self) -> None:
        """End the process."""
        if self._end is None:
            self._pipe.send(None)
        self._process.join(10)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()
        self._pipe.close()


def _serve(pipe: Connection, make: Callable[[], Subject]) -> None:
    # Ctrl-C goes to the parent, which ends this process. What libraries print belongs to no table and no JSON.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.dup2(2, 1)
    subject = make()
    while (asked := pipe.recv()) is not None:
        question, arguments = asked
        try:
            answer = getattr(subject, question)(*arguments)
        except VedetteError as error:
            answer = Refused(redact(error), not isinstance(error, BackendUnavailable | ConfigError))
        except Exception as error:
            # A library's own failure is a row of the table; the others go on.
            answer = Refused(redact(f"{type(error).__name__}: {str(error).partition(os.linesep)[0]}"))
        pipe.send(answer)
    subject.close()


def _how(code: int) -> str:
    return signal.Signals(-code).name if code < 0 else f"exit code {code}"
