"""Drift for tests of the way to it: a tap that samples every n-th frame, and a monitor that raises at certain samples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, cast

import numpy as np

from engine.drift.causes import CAUSES
from engine.drift.monitor import DriftMonitor, DriftVerdict
from engine.drift.port import LocalDrift
from engine.drift.sample import PICTURE_STATISTICS, DriftSample
from engine.event import DriftPart, DriftWindow
from engine.operator import Operator
from engine.packet import Packet


def make_sample(pts_s: float = 0.0, epoch: int = 0) -> DriftSample:
    values = np.zeros(len(PICTURE_STATISTICS), np.float32)
    return DriftSample(epoch, pts_s, pts_s, "container", (64, 48), values)


def make_verdict(
    type: Literal["drift.raised", "drift.cleared"] = "drift.raised", cause: str = "dark", **fields: Any
) -> DriftVerdict:
    window = DriftWindow(0.0, 60.0, 60, 12.5)
    return DriftVerdict(type, DriftPart(cause, CAUSES[cause], "normal", 1.8, window, **fields))


@dataclass
class SampleFrames(Operator):
    """Samples every n-th frame that it gets to see."""

    every: int = 1
    fail_at: int = -1

    tap: ClassVar[bool] = True

    def open(self) -> None:
        self._samples: list[DriftSample] = []
        self._seen = 0

    def process(self, packet: Packet) -> Packet:
        if packet.frame.index == self.fail_at:
            raise ZeroDivisionError("boom")
        if self._seen % self.every == 0:
            self._samples.append(make_sample(packet.frame.pts_s, packet.frame.epoch))
        self._seen += 1
        return packet

    def drain(self) -> list[DriftSample]:
        samples, self._samples = self._samples, []
        return samples


class FakeMonitor:
    """Gives each camera's verdicts at its k-th sample, or fails there; remembers what it was shown."""

    def __init__(self, verdicts: Mapping[int, Sequence[DriftVerdict]], fails_at: Sequence[int] = ()) -> None:
        self.seen: dict[str, list[DriftSample]] = {}
        self.saved = 0
        self._verdicts = verdicts
        self._fails_at = fails_at

    def observe(self, camera: str, samples: Sequence[DriftSample]) -> list[DriftVerdict]:
        out: list[DriftVerdict] = []
        for sample in samples:
            seen = self.seen.setdefault(camera, [])
            seen.append(sample)
            if len(seen) - 1 in self._fails_at:
                raise ZeroDivisionError("boom")
            out += self._verdicts.get(len(seen) - 1, ())
        return out

    def save(self) -> None:
        self.saved += 1


def local_drift(cameras: Sequence[str], monitor: FakeMonitor) -> LocalDrift:
    return LocalDrift(dict.fromkeys(cameras, cast(DriftMonitor, monitor)))
