"""A detector, an operator, a tap and a sink of one's own, in one file beside the configuration.

`own_site.yaml` names them as `own_parts:BrightSpots` and so on. Nothing is registered anywhere.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np

from engine.detections import Detections
from engine.event import Event, object_event
from engine.operator import Operator, Sink
from engine.packet import Packet


@dataclass
class BrightSpots(Operator):
    """A detector: the box around everything brighter than a level, as one object."""

    writes: ClassVar = ("detections",)
    level: int = 200

    def process(self, packet: Packet) -> Packet:
        """Look at the grey picture at a quarter of its size."""
        width, height = packet.frame.size_wh
        gray = packet.frame.picture.gray((width // 4, height // 4))
        ys, xs = np.nonzero(gray >= self.level)
        if len(xs) == 0:
            return packet.replace(detections=Detections.empty(("bright",)))
        box = np.array([[xs.min(), ys.min(), xs.max() + 1, ys.max() + 1]], np.float32) * 4
        one = Detections(box, np.ones(1, np.float32), np.zeros(1, np.int64), ("bright",))
        return packet.replace(detections=one)


@dataclass
class Loiter(Operator):
    """A rule: say once when a confirmed object has been there for `after_s`."""

    reads: ClassVar = ("tracks",)
    writes: ClassVar = ("events",)
    after_s: float = 2.0

    def open(self) -> None:
        """All state is made here, where the operator runs."""
        self._told: set[int] = set()

    def process(self, packet: Packet) -> Packet:
        """Look at this frame's tracks."""
        tracks = packet.tracks
        if tracks is None:
            return packet
        for row in np.flatnonzero(tracks.confirmed & (tracks.age_s >= self.after_s)):
            track_id = int(tracks.track_id[row])
            if track_id not in self._told:
                self._told.add(track_id)
                packet = packet.emit(object_event("own.loitering", packet.frame, tracks, int(row)))
        return packet

    def flush(self, reason: str) -> tuple[Event, ...]:
        """Track ids begin anew with the next epoch."""
        self._told.clear()
        return ()


@dataclass
class Brightness(Operator):
    """A tap: it only watches, beside the path, and is left out when it cannot keep up."""

    tap: ClassVar = True
    path: str = "brightness.txt"

    def open(self) -> None:
        """Begin an empty file."""
        self._file = Path(self.path).open("w", encoding="utf-8")

    def process(self, packet: Packet) -> Packet:
        """Write one number a frame."""
        mean = packet.frame.picture.gray((64, 36)).mean()
        self._file.write(f"{packet.frame.camera} {packet.frame.pts_s:.3f} {mean:.1f}\n")
        return packet

    def close(self) -> None:
        """Finish the file."""
        if hasattr(self, "_file"):
            self._file.close()


@dataclass
class TypesOnly(Sink):
    """A sink: one line an event, with its type."""

    path: str = "types.txt"

    def open(self) -> None:
        """Create the file."""
        self._file = Path(self.path).open("w", encoding="utf-8")

    def write(self, events: Sequence[Event], headers: Mapping[str, str]) -> None:
        """Write the events of one camera, in order."""
        for event in events:
            self._file.write(json.dumps([event.camera, event.seq, event.type]) + "\n")

    def close(self) -> None:
        """Finish the file."""
        if hasattr(self, "_file"):
            self._file.close()
