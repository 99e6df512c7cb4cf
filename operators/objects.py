"""Publish the life of every confirmed track: `object.new`, `object.update`, `object.end`.

`new` comes when the tracker confirms the object, `end` when its track leaves the table; a coasting track is alive.
Updates are few: when the class that most of its observations name has become another one, when a classifier gives
another label than before, when it is seen clearly better than ever (confidence up by 0.15, or half as large again and
no less sure; at most one a second), and otherwise every `heartbeat_s`. `rev` counts 1, 2, 3… over the events of one
object. The class is the one that its observations name most, weighted by confidence. `end` tells the last observation,
with reason `left` when the object touched the frame's edge or was heading out, `lost` otherwise, `camera_gap` or
`shutdown` at the end of an epoch.

Absent input: `tracks` None (no tracker ran at this frame) changes nothing.

Cost per frame: about 0.05 ms for ten tracks. No pixels are read.

Example:
    - objects: {heartbeat_s: 10}
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar, Literal

import numpy as np

from engine.detections import label_of
from engine.event import EndReason, Event, EventType, ObjectPart
from engine.frame import Frame
from engine.geometry import leaves_frame
from engine.operator import FlushReason, Operator
from engine.packet import Packet
from engine.tracks import Tracks

BETTER_CONFIDENCE = 0.15
BETTER_AREA = 1.5
MIN_UPDATE_S = 1.0
# Another class takes over when its votes exceed those of the published one by a quarter and by one sure observation.
CLASS_LEAD = 1.25
# Boxes in front of the edge are followed out for at most this long: a speed says little about later.
MAX_AHEAD_S = 1.0


@dataclass(slots=True)
class _Object:
    """One open object: what was published about it, and how it was last seen."""

    part: ObjectPart
    class_id: int
    confidence: float
    area: float
    published_s: float
    seen_s: float
    labels: dict[str, str]
    rev: int = 1
    votes: dict[int, float] = field(default_factory=dict)
    predicted: ObjectPart | None = None
    predicted_s: float = 0.0


@dataclass
class Objects(Operator):
    """Emit `object.new`, a few `object.update` and one `object.end` for every confirmed track.

    Attributes:
        heartbeat_s: an object of which nothing was published for this long gets an update.
    """

    heartbeat_s: float = 10.0

    reads: ClassVar[Sequence[str]] = ("tracks",)
    writes: ClassVar[Sequence[str]] = ("events",)

    def __post_init__(self) -> None:
        if not self.heartbeat_s > 0:
            raise ValueError(f"heartbeat_s: must be above 0, got {self.heartbeat_s}")

    def open(self) -> None:
        """Start with no open object."""
        self._open: dict[int, _Object] = {}

    def process(self, packet: Packet) -> Packet:
        """Emit what begins, has news and ends at this frame."""
        tracks, frame = packet.tracks, packet.frame
        if tracks is None:
            return packet
        events = self._end_missing(tracks, frame.pts_s)
        for row in np.flatnonzero(tracks.confirmed).tolist():
            known = self._open.get(int(tracks.track_id[row]))
            event = self._begin(frame, tracks, row) if known is None else self._follow(known, frame, tracks, row)
            if event is not None:
                events.append(event)
        return packet.emit(*events)

    def flush(self, reason: FlushReason) -> tuple[Event, ...]:
        """End every open object."""
        events = tuple(_end(known, reason) for _, known in sorted(self._open.items()))
        self.open()
        return events

    def _begin(self, frame: Frame, tracks: Tracks, row: int) -> Event:
        part = ObjectPart.of(tracks, row, frame.size_wh)
        class_id, confidence = int(tracks.class_id[row]), part.confidence
        known = _Object(part, class_id, confidence, _area(part), frame.pts_s, frame.pts_s, _labels(part))
        known.votes[class_id] = confidence
        self._open[part.track_id] = known
        return Event(type="object.new", object=part)

    def _follow(self, known: _Object, frame: Frame, tracks: Tracks, row: int) -> Event | None:
        now_s = frame.pts_s
        part = ObjectPart.of(tracks, row, frame.size_wh, known.class_id)
        quiet_s = now_s - known.published_s
        if tracks.coasted_s[row] > 0:
            known.predicted, known.predicted_s = part, now_s
            return _publish("object.update", known, part, now_s) if quiet_s >= self.heartbeat_s else None
        known.part, known.seen_s, known.predicted = part, now_s, None
        class_id = int(tracks.class_id[row])
        known.votes[class_id] = known.votes.get(class_id, 0.0) + part.confidence
        if quiet_s < min(MIN_UPDATE_S, self.heartbeat_s):
            return None
        changed, better = _change_class(known), _is_better(known, part)
        if changed:
            known.part = replace(part, class_=label_of(tracks.labels, known.class_id))
        if better:
            known.confidence, known.area = part.confidence, _area(part)
        if changed or better or _labels(known.part) != known.labels or quiet_s >= self.heartbeat_s:
            return _publish("object.update", known, known.part, now_s)
        return None

    def _end_missing(self, tracks: Tracks, now_s: float) -> list[Event]:
        gone = sorted(self._open.keys() - set(tracks.track_id.tolist()))
        ended = [self._open.pop(track_id) for track_id in gone]
        return [_end(known, _end_reason(known, now_s)) for known in ended]


def _publish(type: EventType, known: _Object, part: ObjectPart, now_s: float) -> Event:
    known.rev += 1
    known.published_s = now_s
    known.labels = _labels(part)
    return Event(type=type, rev=known.rev, object=part)


def _end(known: _Object, reason: EndReason) -> Event:
    return Event(type="object.end", rev=known.rev + 1, reason=reason, object=known.part)


def _end_reason(known: _Object, now_s: float) -> Literal["left", "lost"]:
    """Look where the box was last seen, and where the tracker or its speed takes it from there."""
    last, last_s = (known.part, known.seen_s) if known.predicted is None else (known.predicted, known.predicted_s)
    ahead_s = min(now_s - last_s, MAX_AHEAD_S)
    seen_at_edge = leaves_frame(known.part.xyxy_unit, (0.0, 0.0), 0.0)
    return "left" if seen_at_edge or leaves_frame(last.xyxy_unit, last.speed_unit_s, ahead_s) else "lost"


def _change_class(known: _Object) -> bool:
    """Let the votes decide about the published class; say whether it became another one."""
    best = max(known.votes, key=lambda class_id: (known.votes[class_id], -class_id))
    published = known.votes.get(known.class_id, 0.0)
    if best == known.class_id or known.votes[best] < max(CLASS_LEAD * published, published + 1.0):
        return False
    known.class_id = best
    return True


def _is_better(known: _Object, part: ObjectPart) -> bool:
    surer = part.confidence >= known.confidence + BETTER_CONFIDENCE
    return surer or (part.confidence >= known.confidence and _area(part) >= BETTER_AREA * known.area)


def _labels(part: ObjectPart) -> dict[str, str]:
    """Give what classifiers call the object, by the name of their step."""
    return {name: attribute.label for name, attribute in (part.attributes or {}).items()}


def _area(part: ObjectPart) -> float:
    x1, y1, x2, y2 = part.xyxy_unit
    return (x2 - x1) * (y2 - y1)
