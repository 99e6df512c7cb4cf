"""Prepare the model's input for the frames that are due.

Does: decides whether the detector looks at a frame, and if so letterboxes the picture into `tensor`.
Absent input: without `feedback` (start of an epoch, no tracker) an adaptive cadence looks at every frame; without
`detections` one that follows looks at none.
Costs: 0.3 ms for a 768x576 picture to 416x416, nothing for frames that are skipped.
Example: none; `detect` brings it along: `- detect: {model: models/street, cadence: adaptive}`
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from engine.operator import FlushReason, Operator
from engine.packet import ModelInput, Packet, PictureInput
from engine.picture import ColorOrder, Fit
from engine.picture import Letterbox as Spec
from engine.tracks import Tracks

Cadence = Literal["every", "adaptive"] | int

# Between looks a box may drift by this share of its smaller side: at half a side a tracker's overlap test fails.
_MAX_DRIFT = 0.25
# The feedback is four frames old (see engine.plan.DEPTH): intervals of about that age still explain its coasting.
_NUM_LOOKS = 5


@dataclass
class Letterbox(Operator):
    """Write `tensor` for every frame that the cadence says to look at.

    Attributes:
        size_wh: the model's input size.
        fit, color, pad: see `engine.picture.Letterbox`.
        cadence: `every` frame; every N-th of an epoch, beginning with its first; or `adaptive`: every frame while
            a track is new or was missed, otherwise as soon as the fastest track may have drifted too far.
        max_interval: an adaptive cadence looks at least every so many frames.
        follow: look at the frames that an earlier detector has looked at, whatever the cadence.
        where: `host` letterboxes here and now; `device` leaves it to the GPU, or to `infer` where that cannot.
    """

    size_wh: tuple[int, int]
    fit: Fit = "letterbox"
    color: ColorOrder = "bgr"
    pad: int = 114
    cadence: Cadence = "every"
    max_interval: int = 5
    follow: bool = False
    where: Literal["host", "device"] = "host"

    reads: ClassVar[Sequence[str]] = ("frame", "feedback")
    writes: ClassVar[Sequence[str]] = ("tensor",)

    def __post_init__(self) -> None:
        check_cadence(self.cadence)
        if self.max_interval < 1:
            raise ValueError(f"max_interval must be at least 1 frame, got {self.max_interval}")
        if self.follow:
            object.__setattr__(self, "reads", ("frame", "detections"))

    def open(self) -> None:
        """See Operator."""
        self._skipped = 0
        self._spec = Spec(self.size_wh, self.fit, self.color, self.pad)
        self._restart()

    def process(self, packet: Packet) -> Packet:
        """See Operator."""
        self._skipped += 1
        if not self._is_due(packet):
            # What an earlier detector has looked at is not for the next one.
            return packet if packet.tensor is None else packet.replace(tensor=None)
        self._looks_s.append(packet.frame.pts_s)
        self._skipped = 0
        picture = packet.frame.picture
        if self.where == "device":
            return packet.replace(tensor=PictureInput(picture, self._spec))
        return packet.replace(tensor=ModelInput(picture.letterbox(self._spec), self._spec.geometry(picture.size_wh)))

    def flush(self, reason: FlushReason) -> tuple[()]:
        """See Operator."""
        self._restart()
        return ()

    def _restart(self) -> None:
        self._skipped = 0
        self._looks_s: deque[float] = deque(maxlen=_NUM_LOOKS)

    def _is_due(self, packet: Packet) -> bool:
        if self.follow:
            return packet.detections is not None
        if not self._looks_s or self.cadence == "every":
            return True
        if isinstance(self.cadence, int):
            return self._skipped >= self.cadence
        tracks = packet.feedback
        if self._skipped >= self.max_interval or tracks is None:
            return True
        intervals_s = np.diff([*self._looks_s, packet.frame.pts_s])
        return is_uncertain(tracks, float(intervals_s.max())) or intervals_s[-1] >= horizon_s(tracks)


def is_uncertain(tracks: Tracks, interval_s: float) -> bool:
    """Say whether a track is not confirmed yet, or was missed by a look.

    Args:
        tracks: what the tracker believed a few frames ago.
        interval_s: the longest time between two looks of late. A track that every look finds coasts for less.
    """
    missed = tracks.coasted_s >= np.float32(0.99 * interval_s)
    return bool((~tracks.confirmed | missed).any())


def horizon_s(tracks: Tracks) -> float:
    """Give the time in which the fastest track, for its size, drifts too far; infinite without tracks."""
    side = np.maximum(np.min(tracks.xyxy[:, 2:] - tracks.xyxy[:, :2], axis=1), 1)
    speed = np.maximum(np.hypot(tracks.velocity[:, 0], tracks.velocity[:, 1]), 1e-6)
    return float(np.min(_MAX_DRIFT * side / speed, initial=np.inf))


def check_cadence(cadence: Cadence) -> None:
    """Refuse a cadence that means nothing.

    Raises:
        ValueError: neither a word that is known nor a number of frames.
    """
    if cadence in ("every", "adaptive") or (type(cadence) is int and cadence >= 1):
        return
    raise ValueError(f"cadence must be every, adaptive or a number of frames from 1, got {cadence!r}")
