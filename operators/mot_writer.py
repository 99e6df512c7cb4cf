"""Write confirmed tracks as MOTChallenge text, one file a camera where the path holds `{camera}`.

Written are the tracks that a detection matched in this frame, and in frames that were not looked at those that were
matched when the camera last looked: their boxes are carried. A track that a look has missed is not written until it
is found again. The MOTChallenge frame number is the frame's index plus 1. Where a new epoch counts frames or ids from
the start again, the file counts on.

`tracks` is None where no tracker has run: nothing is written for the frame. Costs 2 us a track.

    - mot_writer: {path: "tracks/{camera}.txt"}
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, TextIO

from engine.errors import SinkError
from engine.event import Event
from engine.last_look import LastLook
from engine.mot import format_tracks
from engine.operator import FlushReason, Operator
from engine.packet import Packet


@dataclass
class MotWriter(Operator):
    """Write tracks for evaluation.

    Attributes:
        path: the file; `{camera}` stands for the camera's name, with `_` for what a file name cannot hold.
    """

    path: str

    reads: ClassVar = ("tracks",)
    writes: ClassVar = ()

    def __post_init__(self) -> None:
        if not self.path:
            raise ValueError("path must name a file, got an empty text")

    def open(self) -> None:
        """Create the file, unless its name waits for the camera's."""
        self._file: TextIO | None = None
        self._look = LastLook()
        self._first_frame = self._last_frame = 0
        self._first_id = self._last_id = 0
        if "{camera}" not in self.path:
            self._create("")

    def process(self, packet: Packet) -> Packet:
        """Write the tracks of one frame."""
        frame, tracks = packet.frame, packet.tracks
        if self._file is None:
            self._create(frame.camera)
        observed = self._look.observed(packet)
        if tracks is None:
            return packet
        number = self._first_frame + frame.index + 1
        if number <= self._last_frame:
            self._first_frame = self._last_frame
            number = self._first_frame + frame.index + 1
        written = tracks[tracks.confirmed & observed]
        assert self._file is not None
        self._file.write(format_tracks(number, written, self._first_id))
        self._last_frame = number
        self._last_id = max(self._last_id, self._first_id + int(written.track_id.max(initial=0)))
        return packet

    def flush(self, reason: FlushReason) -> tuple[Event, ...]:
        """Keep the ids of the next epoch apart from those written."""
        self._first_id = self._last_id
        if self._file is not None:
            self._file.flush()
        return ()

    def close(self) -> None:
        """Complete the file."""
        file = getattr(self, "_file", None)
        if file is not None:
            file.close()
            self._file = None

    def _create(self, camera: str) -> None:
        path = Path(self.path.replace("{camera}", re.sub(r"[^\w.-]", "_", camera)))
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = path.open("w", encoding="utf-8", newline="\n")
        except OSError as error:
            raise SinkError(f"{path}: cannot be written: {error.strerror}") from None
