"""Builders of track tables for tests of rules: objects by their foot point, in fractions of the frame."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from engine.attribute import Attribute
from engine.detections import Detections
from engine.event import Event
from engine.operator import FlushReason, Operator
from engine.packet import Packet
from engine.tracks import Tracks
from tests.frames import make_frame

SIZE_WH = (160, 90)


@dataclass(frozen=True)
class Row:
    """One object in one frame; `height` is the box's, in frame heights, and it is half as wide as high; `color` is an attribute."""

    foot: tuple[float, float]
    track_id: int = 1
    height: float = 0.2
    confirmed: bool = True
    coasted_s: float = 0.0
    confidence: float = 0.9
    class_id: int = 0
    velocity: tuple[float, float] = (0.0, 0.0)
    color: str | None = None

    @property
    def xyxy(self) -> list[float]:
        width, height = SIZE_WH
        x, y, tall = self.foot[0] * width, self.foot[1] * height, self.height * height
        return [x - tall / 4, y - tall, x + tall / 4, y]


def make_tracks(rows: Sequence[Row], labels: tuple[str, ...] = ("person", "car")) -> Tracks:
    def column(name: str, dtype: type) -> Any:
        return np.array([getattr(row, name) for row in rows], dtype)

    return Tracks(
        xyxy=np.array([row.xyxy for row in rows], np.float32).reshape(-1, 4),
        confidence=column("confidence", np.float32),
        class_id=column("class_id", np.int64),
        track_id=column("track_id", np.int64),
        confirmed=column("confirmed", np.bool_),
        age_s=np.ones(len(rows), np.float32),
        coasted_s=column("coasted_s", np.float32),
        velocity=np.array([row.velocity for row in rows], np.float32).reshape(-1, 2),
        labels=labels,
        attributes={row.track_id: {"color": Attribute(row.color, 0.9)} for row in rows if row.color is not None},
    )


def play(
    operator: Operator,
    frames: Sequence[Sequence[Row] | None],
    fps: float = 10.0,
    times_s: Sequence[float] | None = None,
    end: FlushReason | None = None,
) -> list[tuple[float, Event]]:
    """Open an operator, send it one packet a frame (None: no tracker ran), and give what it says with the time.

    What it says at the end, if an end is asked for, has the time of the last frame.
    """
    operator.name = "rule"
    operator.open()
    found = []
    time_s = 0.0
    for index, rows in enumerate(frames):
        time_s = index / fps if times_s is None else times_s[index]
        frame = make_frame(index, pts_s=time_s, size_wh=SIZE_WH)
        packet = Packet(frame, tracks=None if rows is None else make_tracks(rows), detections=Detections.empty())
        found += [(time_s, event) for event in operator.process(packet).events]
    if end is not None:
        found += [(time_s, event) for event in operator.flush(end)]
    operator.close()
    return found


def types(found: list[tuple[float, Event]]) -> list[tuple[float, str]]:
    return [(round(time_s, 3), event.type) for time_s, event in found]
