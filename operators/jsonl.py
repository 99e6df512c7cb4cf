"""Write events to a file or to standard output, one JSON object a line.

A line is the event's body and nothing else, so that the same footage gives the same bytes; the run-time headers are
not written. Each write is flushed to the operating system: `tail -f` sees it, and a killed process loses nothing. The
file is begun anew at each start unless `append` says otherwise.

A sink takes events and nothing else, so no input can be absent.

Costs about 30 µs per event, most of it the JSON.

    sinks:
      - jsonl: {path: "events/{camera}.jsonl"}
"""

from __future__ import annotations

import contextlib
import os
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from engine.errors import SinkError
from engine.event import Event
from engine.operator import Sink


@dataclass
class Jsonl(Sink):
    """Events as lines of JSON.

    Attributes:
        path: a file, `-` for standard output. `{camera}` in it gives each camera a file of its own. Folders that are
            missing are made.
        append: go on behind what the file holds.
    """

    path: str = "-"
    append: bool = False

    def __post_init__(self) -> None:
        if not self.path or self.path.endswith("/"):
            raise ValueError(f"path: needs a file name or '-', got {self.path!r}")
        if unknown := set(re.findall(r"\{[^}]*\}", self.path)) - {"{camera}"}:
            raise ValueError(
                f"path: may hold {{camera}} and no other braces, got {sorted(unknown)[0]} in {self.path!r}"
            )
        self._files: dict[str, BinaryIO] = {}
        self._num_accepted = 0
        self._num_delivered = 0

    def open(self) -> None:
        """Create the file, unless its name depends on the camera.

        Raises:
            SinkError: the file cannot be written.
        """
        if self.path != "-" and "{camera}" not in self.path:
            self._file(self.path)

    def write(self, events: Sequence[Event], headers: Mapping[str, str]) -> None:
        """Write the events of one camera, and flush.

        Raises:
            SinkError: the disk is full, the file cannot be written, or the reader of standard output has gone.
        """
        if not events:
            return
        self._num_accepted += len(events)
        lines = b"".join(event.to_json() + b"\n" for event in events)
        if self.path == "-":
            self._write_to_stdout(lines)
        else:
            # A camera's name may hold what a file's may not.
            path = self.path.replace("{camera}", re.sub(r"[^\w.-]", "_", events[0].camera).lstrip(".") or "_")
            file = self._file(path)
            try:
                file.write(lines)
                file.flush()
            except OSError as error:
                raise SinkError(f"events cannot be written to {path}: {_reason(error)}") from None
        self._num_delivered += len(events)

    def close(self) -> None:
        """Close the files; standard output stays open."""
        for file in self._files.values():
            with contextlib.suppress(OSError):  # what could not be written has been reported by write()
                file.close()
        self._files = {}

    def counts(self) -> Mapping[str, float]:
        """Give how many events came and how many were written."""
        return {"accepted": self._num_accepted, "delivered": self._num_delivered}

    def _file(self, path: str) -> BinaryIO:
        if path not in self._files:
            try:
                Path(path).parent.mkdir(parents=True, exist_ok=True)
                self._files[path] = Path(path).open("ab" if self.append else "wb")  # noqa: SIM115
            except OSError as error:
                raise SinkError(f"events cannot be written to {path}: {_reason(error)}") from None
        return self._files[path]

    def _write_to_stdout(self, lines: bytes) -> None:
        try:
            sys.stdout.buffer.write(lines)
            sys.stdout.flush()
        except BrokenPipeError:
            # Python flushes once more at exit, and would complain on standard error.
            with contextlib.suppress(OSError, ValueError):
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise SinkError("events cannot be written to standard output: its reader has gone") from None
        except OSError as error:
            raise SinkError(f"events cannot be written to standard output: {_reason(error)}") from None


def _reason(error: OSError) -> str:
    return (error.strerror or str(error)).lower()
