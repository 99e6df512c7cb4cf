"""Sample how the picture is and what the model sees in it: light, focus, noise, colour, compression, motion, boxes.

A tap: packets pass unchanged. The drift monitor takes the samples with `drain()`; a camera that is watched for drift
gets this step by itself. `latest` holds the last sample, `counts()` gives means and extremes for the run's summary.
What is measured is what `engine.frame_statistics` measures of the model's training pictures, so that the numbers
compare with the bundle's reference statistics.

Absent input: without detections a sample has no boxes; where a cadence leaves frames out, a sample waits for the next
that was looked at, up to half an interval. The frame's own pixels are always there.

Cost per frame: nothing between samples; 0.2 ms for a sample of a 640x360 frame, 0.3 ms for one of 1920x1080, two to
three times as much where the decoder and other cameras have just used the cache.

Example:
    - frame_stats: {every_s: 1}
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

from engine.drift.sample import PICTURE_STATISTICS, DriftSample
from engine.drift.sampler import DriftSampler
from engine.drift.settings import DriftSettings
from engine.event import Event
from engine.operator import FlushReason, Operator
from engine.packet import Packet

_MAX_WAITING = 256


@dataclass
class FrameStats(Operator):
    """Sample a picture's statistics.

    Attributes:
        every_s: seconds of stream time between samples; `auto` follows how fast the picture changes, from 1 to 4.
        window_s: seconds that a drift monitor compares; it needs ten samples in them.
        pictures: samples carry a small picture for people now and then.
    """

    every_s: float | Literal["auto"] = "auto"
    window_s: float = 60.0
    pictures: bool = True

    reads: ClassVar[Sequence[str]] = ()
    writes: ClassVar[Sequence[str]] = ()
    tap: ClassVar[bool] = True

    def __post_init__(self) -> None:
        self._settings()

    def open(self) -> None:
        """Start with no sample."""
        self.latest: dict[str, float] = {}
        self._sampler = DriftSampler(self._settings())
        self._waiting: deque[DriftSample] = deque(maxlen=_MAX_WAITING)
        self._num_left_out = 0
        self._measured = {name: _Extent() for name in PICTURE_STATISTICS}

    def process(self, packet: Packet) -> Packet:
        """Take a sample when one is due."""
        sample = self._sampler.sample(packet)
        if sample is not None:
            self._keep(sample)
        return packet

    def flush(self, reason: FlushReason) -> tuple[Event, ...]:
        """Take the next sample at the next frame; what was measured stays for the summary."""
        self._sampler.reset()
        return ()

    def drain(self) -> list[DriftSample]:
        """Give what was sampled since the last call, in order; the oldest are lost where nobody calls for long."""
        samples = list(self._waiting)
        self._waiting.clear()
        return samples

    def counts(self) -> Mapping[str, float]:
        """Give the number of samples and of those lost to `drain()`, and mean, least and greatest value of each."""
        out: dict[str, float] = {"samples": self._sampler.num_samples, "left_out": self._num_left_out}
        for name, extent in self._measured.items():
            out.update(extent.figures(name))
        return out

    def _settings(self) -> DriftSettings:
        return DriftSettings(window_s=self.window_s, every_s=self.every_s, pictures=self.pictures)

    def _keep(self, sample: DriftSample) -> None:
        self._num_left_out += len(self._waiting) == _MAX_WAITING
        self._waiting.append(sample)
        values = dict(zip(PICTURE_STATISTICS, sample.values.tolist(), strict=True))
        # The first sample has no motion.
        known = {name: value for name, value in values.items() if math.isfinite(value)}
        for name, value in known.items():
            self._measured[name].add(value)
        self.latest = {"pts_s": sample.pts_s, **known}


class _Extent:
    """Mean, least and greatest of the numbers that were added."""

    def __init__(self) -> None:
        self._count = 0
        self._total, self._least, self._greatest = 0.0, math.inf, -math.inf

    def add(self, value: float) -> None:
        self._count += 1
        self._total += value
        self._least, self._greatest = min(self._least, value), max(self._greatest, value)

    def figures(self, name: str) -> dict[str, float]:
        if not self._count:
            return {}
        mean = self._total / self._count
        return {
            f"{name}_mean": round(mean, 3),
            f"{name}_min": round(self._least, 3),
            f"{name}_max": round(self._greatest, 3),
        }
