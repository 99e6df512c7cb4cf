"""What every tracker promises, whatever moves its boxes; `sort`, `oc_sort` and `sort_reference` fill in the rest."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from statistics import median
from typing import ClassVar

from engine.detections import Detections
from engine.event import Event
from engine.operator import FlushReason, Operator
from engine.packet import Packet
from engine.tracks import Tracks

# Long enough that a few late or lost frames do not change the median, short enough to follow a changed frame rate.
_INTERVALS = 31


class FrameSteps:
    """Counts time in frames of a camera whose frame rate is learnt from its time stamps.

    Attributes:
        interval_s: seconds from frame to frame, the median of the last ones; 0 before the second frame.
    """

    def __init__(self) -> None:
        self.interval_s = 0.0
        self._last_us: int | None = None
        self._recent_s: deque[float] = deque(maxlen=_INTERVALS)

    def advance(self, pts_us: int) -> tuple[float, float]:
        """Take the next frame's time; give seconds and frames since the one before, 0 and 0 for the first."""
        elapsed_s = 0.0 if self._last_us is None else (pts_us - self._last_us) / 1_000_000
        self._last_us = pts_us
        if elapsed_s <= 0:
            return 0.0, 0.0
        self._recent_s.append(elapsed_s)
        self.interval_s = median(self._recent_s)
        return elapsed_s, elapsed_s / self.interval_s


@dataclass
class Tracker(Operator):
    """Base of the trackers: their fields, and what they do about time.

    Attributes:
        min_confidence: detections from here on start tracks, and continue them first.
        low_confidence: detections from here on continue confirmed tracks that found no better one (ByteTrack,
            arXiv 2110.06864). As high as `min_confidence`: they never do.
        min_iou: a detection continues a track only if it overlaps its predicted box so much.
        confirm_hits: detections in a row that make a track confirmed; two do where they are at least 0.15 s apart.
        max_coast_s: a confirmed track ends this long after its last detection; a longer time without any frame ends
            every track.
        across_classes: detections may continue tracks of another class, whose class then changes.
    """

    min_confidence: float = 0.6
    low_confidence: float = 0.1
    min_iou: float = 0.3
    confirm_hits: int = 3
    max_coast_s: float = 1.5
    across_classes: bool = False

    reads: ClassVar = ("detections",)
    writes: ClassVar = ("tracks",)

    def __post_init__(self) -> None:
        for name in ("min_confidence", "low_confidence"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} must be between 0 and 1, got {getattr(self, name)}")
        if self.low_confidence > self.min_confidence:
            raise ValueError(
                f"low_confidence must not be above min_confidence, got {self.low_confidence} and {self.min_confidence}"
            )
        if not 0 < self.min_iou <= 1:
            raise ValueError(f"min_iou must be above 0 and at most 1, got {self.min_iou}")
        if self.confirm_hits < 1:
            raise ValueError(f"confirm_hits must be 1 or more, got {self.confirm_hits}")
        if self.max_coast_s < 0:
            raise ValueError(f"max_coast_s must be 0 or more, got {self.max_coast_s}")

    def open(self) -> None:
        """Forget every track and count ids from 1 again."""
        self._steps = FrameSteps()
        self._labels: tuple[str, ...] = ("object",)
        self._clear()

    def process(self, packet: Packet) -> Packet:
        """Move every track to this frame; match, start and end tracks if the frame was looked at."""
        elapsed_s, steps = self._steps.advance(packet.frame.pts_us)
        if elapsed_s > self.max_coast_s:
            self._end_all()
        elif steps > 0:
            self._predict(steps, packet)
        if packet.detections is not None:
            self._labels = packet.detections.labels
            self._associate(packet.detections, packet.frame.pts_us)
        return packet.replace(tracks=self._tracks(packet.frame.pts_us))

    def flush(self, reason: FlushReason) -> tuple[Event, ...]:
        """End every track; the next epoch counts ids from 1."""
        self.open()
        return ()

    def _clear(self) -> None:
        """Make empty state."""
        raise NotImplementedError(f"{type(self).__name__} must define _clear")

    def _end_all(self) -> None:
        """End every track; ids go on."""
        raise NotImplementedError(f"{type(self).__name__} must define _end_all")

    def _predict(self, steps: float, packet: Packet) -> None:
        """Move every track by a number of frames, using the packet's flow where there is one."""
        raise NotImplementedError(f"{type(self).__name__} must define _predict")

    def _associate(self, detections: Detections, pts_us: int) -> None:
        """Match, start and end tracks."""
        raise NotImplementedError(f"{type(self).__name__} must define _associate")

    def _tracks(self, pts_us: int) -> Tracks:
        """Give every track as it is now."""
        raise NotImplementedError(f"{type(self).__name__} must define _tracks")
