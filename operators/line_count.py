"""Count confirmed tracks that cross a line, each way: `line.crossed`, with the running counts of the epoch.

A crossing is established, not guessed: the object's anchor must have been clearly on one side, come to be clearly on
the other, stay there for `min_side_s`, and its way between the two must meet the line between its end points. Clearly
means out of a band around the line that grows with the object's box, as the jitter of boxes does. `in` is from the
left of a→b to its right, seen in the picture looking from a to b. The event carries the time at which the other side
was established.

Only observations count, boxes carried over frames that the cadence skips among them: where a track was missed, its box
is a prediction and moves nothing; an object that passes behind
a pillar is counted when it is seen again. An object that first appears beyond the line is not counted.

Absent input: `tracks` None (no tracker ran at this frame) changes nothing.

Cost per frame: about 0.05 ms for ten tracks. No pixels are read.

Example:
    - line_count: {name: door, line: [[0.1, 0.5], [0.9, 0.5]]}
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from engine.event import Event, LinePart, object_event
from engine.geometry import Anchor, Point, anchors_unit, check_line, segments_cross, side_of_line
from engine.last_look import LastLook
from engine.operator import FlushReason, Operator
from engine.packet import Packet

# Boxes taller than this fraction of the frame widen the band no further: a line near the frame's edge must stay
# crossable for somebody close to the camera.
TALLEST_BOX = 0.25


@dataclass(slots=True)
class _Crossing:
    """Where one track stands: the side it is known to be on, and the one it may be coming to."""

    side: int
    seen_at: Point
    other_at: Point | None = None
    other_since_s: float = 0.0


@dataclass
class LineCount(Operator):
    """Emit `line.crossed` when a confirmed track comes to be on the other side of a line.

    Attributes:
        line: the points a and b, fractions of the frame.
        anchor: the point of the box that crosses: `foot`, the middle of its lower edge, or `center`, steadier where
            lower edges are often hidden.
        hysteresis: half width of the band around the line, as a fraction of the box's height.
        min_side_s: how long the other side must hold; 0 takes the first observation.
    """

    line: tuple[Point, Point]
    anchor: Anchor = "foot"
    hysteresis: float = 0.06
    min_side_s: float = 0.2

    reads: ClassVar[Sequence[str]] = ("tracks",)
    writes: ClassVar[Sequence[str]] = ("events",)

    def __post_init__(self) -> None:
        try:
            check_line(self.line)
        except ValueError as error:
            raise ValueError(f"line: {error}") from None
        if not 0 <= self.hysteresis < 1:
            raise ValueError(f"hysteresis: must be at least 0 and below 1 (of the box's height), got {self.hysteresis}")
        if not self.min_side_s >= 0:
            raise ValueError(f"min_side_s: must be 0 or more, got {self.min_side_s}")

    def open(self) -> None:
        """Start with no track and both counts at 0."""
        self._tracks: dict[int, _Crossing] = {}
        self._count_in = 0
        self._count_out = 0
        self._look = LastLook()

    def process(self, packet: Packet) -> Packet:
        """Emit the crossings that this frame establishes."""
        tracks, observed = packet.tracks, self._look.observed(packet)
        if tracks is None:
            return packet
        frame = packet.frame
        width, height = frame.size_wh
        anchors = anchors_unit(tracks.xyxy, frame.size_wh, self.anchor)
        distance = side_of_line(anchors, self.line, width / height)
        box_height = (tracks.xyxy[:, 3] - tracks.xyxy[:, 1]) / height
        band = self.hysteresis * np.clip(box_height, 0.0, TALLEST_BOX)
        side = np.where(np.abs(distance) > band, np.sign(distance), 0)
        events = []
        for row in np.flatnonzero(tracks.confirmed & observed):
            at = (float(anchors[row, 0]), float(anchors[row, 1]))
            direction = self._observe(int(tracks.track_id[row]), int(side[row]), at, frame.pts_s)
            if direction is not None:
                events.append(object_event("line.crossed", frame, tracks, int(row), line=self._count(direction)))
        alive = set(tracks.track_id.tolist())
        self._tracks = {track_id: state for track_id, state in self._tracks.items() if track_id in alive}
        return packet.emit(*events)

    def flush(self, reason: FlushReason) -> tuple[Event, ...]:
        """Forget all tracks and counts; there is nothing to say."""
        self.open()
        return ()

    def _observe(self, track_id: int, side: int, at: Point, now_s: float) -> Literal["in", "out"] | None:
        """Move one track's state on; say the direction when a crossing of the segment is established."""
        state = self._tracks.get(track_id)
        if state is None:
            if side != 0:
                self._tracks[track_id] = _Crossing(side, at)
            return None
        if side == state.side:
            state.seen_at, state.other_at = at, None
            return None
        if side == 0:
            # Back in the band: the other side did not hold, and the old one is not confirmed either.
            state.other_at = None
            return None
        if state.other_at is None:
            state.other_at, state.other_since_s = at, now_s
        if round(now_s - state.other_since_s, 6) < self.min_side_s:
            return None
        crossed = segments_cross(state.seen_at, state.other_at, *self.line)
        state.side, state.seen_at, state.other_at = side, at, None
        if not crossed:
            return None
        return "in" if side > 0 else "out"

    def _count(self, direction: Literal["in", "out"]) -> LinePart:
        if direction == "in":
            self._count_in += 1
        else:
            self._count_out += 1
        return LinePart(self.name, direction, self._count_in, self._count_out)
