"""What a run did, in numbers: per camera and in total, as a person and as a program would read it."""

from __future__ import annotations

import resource
import time
from array import array
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import numpy as np

# Enough for a stable p99; beyond it every second sample is dropped, and so on (a decimated history), so that a run of
# months takes no more memory than its first minutes.
MAX_SAMPLES = 4096


class Latencies:
    """Milliseconds, decimated evenly once there are too many; percentiles on request."""

    def __init__(self) -> None:
        self._samples = array("f")
        self._every = 1
        self._skipped = 0

    def add(self, milliseconds: float) -> None:
        """Take one sample."""
        self._skipped += 1
        if self._skipped < self._every:
            return
        self._skipped = 0
        self._samples.append(milliseconds)
        if len(self._samples) >= MAX_SAMPLES:
            self._samples = self._samples[::2]
            self._every *= 2

    def extend(self, other: Latencies) -> None:
        """Take another's samples."""
        self._samples.extend(other._samples)

    def percentiles(self) -> dict[str, float]:
        """Give p50, p95 and p99; empty without samples."""
        if not self._samples:
            return {}
        values = np.percentile(self._samples, [50, 95, 99])
        return {name: round(float(v), 2) for name, v in zip(("p50", "p95", "p99"), values, strict=True)}


@dataclass
class CameraSummary:
    """One camera's numbers.

    `frames_dropped` counts frames that were decoded and not analysed because analysis was behind; `frames_corrupt`
    those that the decoder could not vouch for, which are never analysed. `drift_left_out` counts those of the
    `drift_samples` that the drift monitor could not look at. `first_s` and `last_s` are the machine's
    monotonic clock when the first frame came and when the last one was complete, 0 before.
    """

    frames_decoded: int = 0
    frames_analysed: int = 0
    frames_detected: int = 0
    frames_dropped: int = 0
    frames_corrupt: int = 0
    connections: int = 0
    stalls: int = 0
    gaps: int = 0
    stale_replies: int = 0
    failed_frames: int = 0
    taps_skipped: int = 0
    drift_samples: int = 0
    drift_left_out: int = 0
    error: str | None = None
    first_s: float = 0.0
    last_s: float = 0.0
    events: Counter[str] = field(default_factory=Counter)
    latency: Latencies = field(default_factory=Latencies)

    def add(self, other: CameraSummary) -> None:
        """Add another's numbers to these."""
        for name, value in vars(other).items():
            if isinstance(value, int):
                setattr(self, name, getattr(self, name) + value)
        self.first_s = min(self.first_s or other.first_s, other.first_s or self.first_s)
        self.last_s = max(self.last_s, other.last_s)
        self.events.update(other.events)
        self.latency.extend(other.latency)

    def to_dict(self) -> dict[str, Any]:
        """Give plain numbers."""
        out = {
            name: getattr(self, name)
            for name in ("frames_decoded", "frames_analysed", "frames_detected", "frames_dropped", "frames_corrupt",
                         "connections", "stalls", "gaps", "stale_replies", "failed_frames", "taps_skipped",
                         "drift_samples", "drift_left_out")
        }  # fmt: skip
        out["events"] = sum(self.events.values())
        out["events_by_type"] = dict(sorted(self.events.items()))
        out["latency_ms"] = self.latency.percentiles()
        if self.error is not None:
            out["error"] = self.error
        return out


@dataclass
class Summary:
    """A run's numbers."""

    cameras: dict[str, CameraSummary] = field(default_factory=dict)
    wall_s: float = 0.0
    cpu_s: float = 0.0
    peak_rss_mb: float = 0.0
    sinks: dict[str, dict[str, float]] = field(default_factory=dict)

    @property
    def busy_s(self) -> float:
        """Seconds from the first frame of any camera to the last complete one: the run without start and stop."""
        seen = [camera for camera in self.cameras.values() if camera.last_s]
        return max(c.last_s for c in seen) - min(c.first_s for c in seen) if seen else 0.0

    def total(self) -> CameraSummary:
        """Add up the cameras."""
        total = CameraSummary()
        for camera in self.cameras.values():
            total.add(camera)
        return total

    def to_dict(self) -> dict[str, Any]:
        """Give the JSON of `--summary`."""
        total = self.total()
        wall_s = max(self.wall_s, 1e-9)
        run = {
            "wall_s": round(self.wall_s, 3),
            "cpu_s": round(self.cpu_s, 3),
            "peak_rss_mb": round(self.peak_rss_mb, 1),
        }
        cameras = {
            name: {**camera.to_dict(), "fps": round(camera.frames_analysed / wall_s, 2)}
            for name, camera in self.cameras.items()
        }
        return {
            **total.to_dict(),
            **run,
            "fps": round(total.frames_analysed / wall_s, 2),
            "cameras": cameras,
            "sinks": self.sinks,
        }


class RunMeter:
    """Measures the wall time, CPU time and memory of a run."""

    def __init__(self) -> None:
        self._wall, self._cpu = time.monotonic(), _cpu_s()

    def read(self) -> tuple[float, float, float]:
        """Give wall seconds, CPU seconds of this process and its children since then, and peak RSS in MB."""
        peak_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return time.monotonic() - self._wall, _cpu_s() - self._cpu, peak_kb / 1024


def _cpu_s() -> float:
    own, children = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    return own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime
