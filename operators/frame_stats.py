"""Watch how the picture itself is: light, focus, noise, colour, compression, sampled every `every_s` of stream time.

A tap: packets pass unchanged. `latest` holds the last sample, `counts()` gives means and extremes for the run's
summary. What is measured is `engine.frame_statistics.measure_frame`, as on the model's training pictures, so that the
numbers compare with the bundle's reference statistics.

Absent input: none is read but the frame's own pixels, which are always there.

Cost per frame: nothing between samples; 0.25 ms for a sample of a 640x360 frame, 0.45 ms for one of 1920x1080.

Example:
    - frame_stats: {every_s: 1}
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from engine.event import Event
from engine.frame_statistics import measure_frame
from engine.operator import FlushReason, Operator
from engine.packet import Packet


@dataclass
class FrameStats(Operator):
    """Sample a picture's statistics.

    Attributes:
        every_s: seconds of stream time between samples.
    """

    every_s: float = 1.0

    reads: ClassVar[Sequence[str]] = ()
    writes: ClassVar[Sequence[str]] = ()
    tap: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if not self.every_s > 0:
            raise ValueError(f"every_s: must be above 0, got {self.every_s}")

    def open(self) -> None:
        """Start with no sample."""
        self.latest: dict[str, float] = {}
        self._due_s: float | None = None
        self._num_samples = 0
        self._sums: dict[str, float] = {}
        self._lows: dict[str, float] = {}
        self._highs: dict[str, float] = {}

    def process(self, packet: Packet) -> Packet:
        """Take a sample when one is due."""
        now_s = packet.frame.pts_s
        if self._due_s is not None and self._due_s - self.every_s <= now_s < self._due_s:
            return packet
        self._due_s = now_s + self.every_s
        sample = measure_frame(packet.frame.picture)
        self._add(sample)
        self.latest = {"pts_s": now_s, **sample}
        return packet

    def flush(self, reason: FlushReason) -> tuple[Event, ...]:
        """Take the next sample at the next frame; what was measured stays for the summary."""
        self._due_s = None
        return ()

    def counts(self) -> Mapping[str, float]:
        """Give the number of samples, and mean, least and greatest value of each measure since `open()`."""
        out: dict[str, float] = {"samples": self._num_samples}
        for key, total in self._sums.items():
            out[f"{key}_mean"] = round(total / self._num_samples, 3)
            out[f"{key}_min"], out[f"{key}_max"] = round(self._lows[key], 3), round(self._highs[key], 3)
        return out

    def _add(self, sample: dict[str, float]) -> None:
        self._num_samples += 1
        for key, value in sample.items():
            self._sums[key] = self._sums.get(key, 0.0) + value
            self._lows[key] = min(self._lows.get(key, value), value)
            self._highs[key] = max(self._highs.get(key, value), value)
