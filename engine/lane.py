"""The lane: one camera's order, epochs, sequence numbers and operators. No thread, no clock, no waiting, no Ray.

A frame is admitted, may ask shared segments for help any number of times, and comes out complete, in the order of
admission whatever order the replies came in. Frames and replies go in by `admit` and `complete`; what should be done
next comes out as a `Progress`.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TypeVar

from engine.errors import OperatorError, VedetteError
from engine.event import CameraPart, Event
from engine.frame import Frame
from engine.operator import BatchOperator, FlushReason, Operator
from engine.packet import Packet
from engine.plan import LanePlan, PlannedStep, Segment, batch_operator
from engine.tracks import Tracks

R = TypeVar("R")

GAP_AFTER_S = 1.0
# A camera that gives a frame every two seconds has no gap between them: a gap must also be several intervals long.
GAP_INTERVALS = 4


@dataclass(frozen=True, slots=True)
class RequestKey:
    """Names one packet at one shared segment; replies carry it back."""

    camera: str
    epoch: int
    ordinal: int
    segment: int


@dataclass(frozen=True, slots=True)
class Request:
    """A packet that waits for a shared segment."""

    key: RequestKey
    segment_key: str
    packet: Packet


@dataclass(slots=True)
class Progress:
    """What came of a call: packets for shared segments, finished packets, and stamped events in order."""

    requests: list[Request] = field(default_factory=list)
    done: list[Packet] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)


@dataclass(slots=True)
class LaneCounts:
    """What a lane has seen."""

    frames_analysed: int = 0
    frames_detected: int = 0
    gaps: int = 0
    events: int = 0
    stale_replies: int = 0
    failed_frames: int = 0


@dataclass(slots=True)
class _InFlight:
    ordinal: int
    packet: Packet
    segment: int
    ready: bool
    failed: bool = False


class CameraLane:
    """One camera's packets through one camera's copy of the operators.

    Not thread-safe: whoever runs it calls it from one thread at a time.

    Args:
        camera: the camera's name.
        plan: its lane plan; operators are copied, never shared.
        site: written into every event.
        gap_after_s: a stretch without analysis longer than this is published.
        previous: epoch and last seq of a process that ran this camera before, for `camera.up`.
        watch: shown each complete packet; what it gives is stamped right after that frame's own events. Whoever
            watches in a thread of its own says it with `say`.
    """

    def __init__(
        self,
        camera: str,
        plan: LanePlan,
        site: str = "default",
        gap_after_s: float = GAP_AFTER_S,
        previous: tuple[int, int] | None = None,
        watch: Callable[[Packet], Iterable[Event]] | None = None,
    ) -> None:
        self.camera = camera
        self.plan = plan
        self.site = site
        self.gap_after_s = gap_after_s
        self.counts = LaneCounts()
        self._segments = [[] if s.kind == "shared" else [copy_step(step) for step in s.steps] for s in plan.segments]
        self._flights: deque[_InFlight] = deque()
        self._feedback: deque[Tracks | None] = deque(maxlen=plan.depth)
        self._num_done = 0
        self._ordinal = 0
        self._seq = 0
        self._epoch: int | None = None
        self._previous = previous
        self._watch = watch
        self._said_beside: list[Event] = []
        self._last: Frame | None = None
        self._since: Frame | None = None
        self._gap_cause: str | None = None
        self._failing = False
        self._unsaid = Progress()
        self._interval_us = 0

    def open(self) -> None:
        """Open every operator.

        Raises:
            OperatorError: one of them failed; the others are closed again.
        """
        opened: list[Operator] = []
        try:
            for step in self._steps():
                opened.append(step.operator)
                self._guard(step, "open", step.operator.open)
        except VedetteError:
            for operator in opened:
                operator.close()
            raise

    def close(self) -> None:
        """Close every operator."""
        for step in self._steps():
            step.operator.close()

    @property
    def in_flight(self) -> int:
        """Frames that are admitted and not complete."""
        return len(self._flights)

    @property
    def epoch(self) -> int | None:
        """The epoch of the last frame or camera event; None before the first."""
        return self._epoch

    def ready(self, frame: Frame) -> bool:
        """Say whether a frame may be admitted now: a free place, and no frame of an older epoch in flight."""
        return len(self._flights) < self.plan.depth and (frame.epoch == self._epoch or not self._flights)

    def admit(self, frame: Frame) -> Progress:
        """Take the next frame; see `ready`.

        Raises:
            OperatorError: an operator failed. The frame is not analysed; `restart` the lane.
        """
        if not self.ready(frame):
            raise OperatorError(f"camera '{self.camera}': frame {frame.index} was admitted before the lane was ready")
        progress = Progress()
        if frame.epoch != self._epoch:
            if self._epoch is not None:
                self._flush("camera_gap", progress)
            self._begin_epoch(frame, progress)
        # Everything in the deque belongs to frames up to k - 1; what the cadence may see is the state after k - D.
        behind = self.plan.depth - (self._ordinal - self._num_done)
        feedback = self._feedback[-behind] if 0 < behind <= len(self._feedback) else None
        flight = _InFlight(self._ordinal, Packet(frame=frame, feedback=feedback), -1, ready=True)
        self._ordinal += 1
        self._flights.append(flight)
        self._go_on(progress)
        return progress

    def complete(self, key: RequestKey, packet: Packet, failed: bool = False) -> Progress:
        """Take a shared segment's reply, in any order; a reply that nobody waits for is counted and ignored.

        Args:
            key: of the request.
            packet: the reply.
            failed: the segment could not do it; the frame goes on without, and counts as not analysed.
        """
        progress = Progress()
        for flight in self._flights:
            if flight.ordinal == key.ordinal and flight.segment == key.segment and key.epoch == self._epoch:
                if flight.ready:
                    break
                flight.packet, flight.ready, flight.failed = packet, True, flight.failed or failed
                self._go_on(progress)
                return progress
        self.counts.stale_replies += 1
        return progress

    def finish(self, reason: FlushReason, cause: str | None = None) -> Progress:
        """End the epoch after the last complete frame, and say that the camera is down.

        Args:
            reason: `camera_gap` when the camera will come back, `shutdown` when nobody looks any more.
            cause: why, for `camera.down`.
        """
        progress = Progress()
        self.counts.stale_replies += sum(not flight.ready for flight in self._flights)
        self._flights.clear()
        if self._epoch is not None:
            self._flush(reason, progress)
            self._say_down(cause, progress)
        return progress

    def down(self, epoch: int, unix_us: int, cause: str) -> Progress:
        """Say that a camera which has not been up cannot be reached."""
        progress = Progress()
        before = self._previous or (None, None)
        self._epoch, self._seq = epoch, 0
        event = Event("camera.down", camera_state=CameraPart("down", cause, *before), time_us=unix_us, clock="arrival")
        self._stamp([event], progress)
        self._previous, self._epoch = (epoch, self._seq), None
        return progress

    def say(self, events: Iterable[Event]) -> Progress:
        """Stamp what was found out beside the path, at the last complete frame.

        While the camera is down it is kept, and said after the next `camera.up`.
        """
        progress = Progress()
        self._said_beside += events
        if self._epoch is not None:
            self._stamp_beside(progress)
        return progress

    def open_gap(self, cause: str) -> Progress:
        """Say that nothing is being analysed, while it lasts; the next analysed frame closes the gap."""
        progress = Progress()
        if self._last is not None and self._gap_cause is None:
            self._open_gap(cause, progress, self._last)
        return progress

    def restart(self, cause: str) -> Progress:
        """Give up on the epoch after an operator failed: say what can be said, and begin with fresh operators.

        Raises:
            OperatorError: an operator cannot be opened again.
        """
        # Numbers that were given must be published, or consumers would miss them.
        progress, self._unsaid = self._unsaid, Progress()
        self._flights.clear()
        with contextlib.suppress(VedetteError):
            self._flush("camera_gap", progress)
        if self._epoch is not None:
            self._say_down(cause, progress)
        self.close()
        self.open()
        return progress

    def _steps(self) -> Iterable[PlannedStep]:
        return (step for segment in self._segments for step in segment)

    def _begin_epoch(self, frame: Frame, progress: Progress) -> None:
        self._epoch, self._seq, self._ordinal, self._num_done, self._last = frame.epoch, 0, 0, 0, frame
        self._interval_us = 0
        self._feedback.clear()
        epoch, seq = self._previous or (None, None)
        self._stamp([Event("camera.up", camera_state=CameraPart("up", None, epoch, seq))], progress, frame)
        self._stamp_beside(progress)

    def _say_down(self, cause: str | None, progress: Progress) -> None:
        self._stamp([Event("camera.down", camera_state=CameraPart("down", cause))], progress)
        self._previous, self._epoch, self._last = (self._epoch or 0, self._seq), None, None

    def _flush(self, reason: FlushReason, progress: Progress) -> None:
        for step in self._steps():
            # What a step says at the end goes through no later step: they flush themselves.
            flush = step.operator.flush
            events = self._guard(step, "flush", lambda flush=flush: flush(reason))  # type: ignore[misc]
            self._stamp([_with_rule(event, step.name) for event in events], progress)
        if self._epoch is not None:
            self._previous = (self._epoch, self._seq)

    def _go_on(self, progress: Progress) -> None:
        """Release what is ready; what had been said when an operator failed is kept for `restart`."""
        try:
            self._release(progress)
        except VedetteError:
            self._unsaid = Progress(done=progress.done, events=progress.events)
            raise

    def _release(self, progress: Progress) -> None:
        """Let packets go on, the oldest first: a packet never enters a segment before the one ahead has left it."""
        limit = len(self.plan.segments)
        for flight in list(self._flights):
            while flight.ready and flight.segment < limit:
                self._advance(flight, progress)
            if flight.segment == len(self.plan.segments):
                self._done(flight, progress)
            else:
                limit = min(limit, flight.segment)

    def _advance(self, flight: _InFlight, progress: Progress) -> None:
        """Move a packet into its next segment."""
        flight.segment += 1
        if flight.segment == len(self.plan.segments):
            return
        segment = self.plan.segments[flight.segment]
        if segment.kind == "camera":
            for step in self._segments[flight.segment]:
                flight.packet = self._process(step, flight.packet)
        elif batch_operator(segment).wants(flight.packet):
            flight.ready = False
            key = RequestKey(self.camera, flight.packet.frame.epoch, flight.ordinal, flight.segment)
            progress.requests.append(Request(key, segment.key, flight.packet))

    def _done(self, flight: _InFlight, progress: Progress) -> None:
        self._flights.remove(flight)
        packet = flight.packet
        frame = packet.frame
        self._feedback.append(packet.tracks)
        self._num_done += 1
        if flight.failed:
            self.counts.failed_frames += 1
            self._failing = True
        else:
            self._check_gap(frame, progress)
            self._failing = False
            self.counts.frames_analysed += 1
            self.counts.frames_detected += packet.detections is not None
        self._last = frame
        start = len(progress.events)
        self._stamp(packet.events, progress, frame)
        done = packet.replace(events=tuple(progress.events[start:]))
        progress.done.append(done)
        if self._watch is not None:
            self._stamp(self._watch(done), progress, frame)

    def _check_gap(self, frame: Frame, progress: Progress) -> None:
        """Publish a stretch in which frames were lost or not analysed, and close one that is open."""
        since, self._since = self._since, frame
        if since is None:
            return
        same_epoch = since.epoch == frame.epoch
        # Two recordings' clocks, or two passes of one recording, say nothing about the time between them.
        known = same_epoch or frame.captured.clock != "container"
        delta_us = frame.pts_us - since.pts_us if same_epoch else frame.captured.unix_us - since.captured.unix_us
        lost = max(0, frame.index - since.index - 1) if same_epoch else 0
        if same_epoch:
            # A slow camera's own pace is no gap; the shortest interval seen tells the pace.
            own_pace = lost == 0 and (self._interval_us == 0 or delta_us < GAP_INTERVALS * self._interval_us)
            self._interval_us = min(self._interval_us or delta_us, delta_us)
        else:
            own_pace = False
        if self._gap_cause is None and known and delta_us > self.gap_after_s * 1e6 and not own_pace:
            cause = "detector_failed" if self._failing else "frames_dropped" if lost else "no_frames"
            # At the last frame that said anything, so that time never moves back.
            self._open_gap(cause, progress, self._last if same_epoch and self._last is not None else frame)
        if self._gap_cause is not None:
            duration_s = round(delta_us / 1e6, 3) if known else None
            part = CameraPart("gap_closed", self._gap_cause, duration_s=duration_s, frames=lost if same_epoch else None)
            self._gap_cause = None
            # The second of the pair: opened and closed may fall on one frame, and must not share an id.
            self._stamp([Event("camera.gap", rev=2, camera_state=part)], progress, frame)

    def _open_gap(self, cause: str, progress: Progress, frame: Frame) -> None:
        self._gap_cause = cause
        self.counts.gaps += 1
        self._stamp([Event("camera.gap", camera_state=CameraPart("gap_open", cause))], progress, frame)

    def _process(self, step: PlannedStep, packet: Packet) -> Packet:
        num_events = len(packet.events)
        out = self._guard(step, f"frame {packet.frame.index}", lambda: step.operator.process(packet))
        if not isinstance(out, Packet):
            raise OperatorError(
                f"camera '{self.camera}': step '{step.name}' gave {type(out).__name__} for frame "
                f"{packet.frame.index}; process() must return a Packet"
            )
        if len(out.events) == num_events:
            return out
        fresh = (_with_rule(event, step.name) for event in out.events[num_events:])
        return out.replace(events=(*out.events[:num_events], *fresh))

    def _stamp_beside(self, progress: Progress) -> None:
        said, self._said_beside = self._said_beside, []
        self._stamp(said, progress)

    def _stamp(self, events: Iterable[Event], progress: Progress, frame: Frame | None = None) -> None:
        frame = frame or self._last
        for event in events:
            self._seq += 1
            self.counts.events += 1
            changes: dict[str, object] = {
                "site": self.site, "camera": self.camera, "epoch": self._epoch or 0, "seq": self._seq,
            }  # fmt: skip
            if frame is not None:
                changes |= {
                    "time_us": frame.captured.unix_us,
                    "clock": frame.captured.clock,
                    "uncertainty_ms": frame.captured.uncertainty_ms,
                    "pts_us": frame.pts_us,
                    "frame_wh": frame.size_wh,
                }
            progress.events.append(dataclasses.replace(event, **changes))  # type: ignore[arg-type]

    def _guard(self, step: PlannedStep, what: str, call: Callable[[], R]) -> R:
        try:
            return call()
        except VedetteError:
            raise
        except Exception as error:
            raise OperatorError(
                f"camera '{self.camera}': step '{step.name}' failed at {what}: {type(error).__name__}: {error}"
            ) from error


def copy_step(step: PlannedStep) -> PlannedStep:
    """Give a fresh copy of an operator that knows its step's name; plans are never opened themselves."""
    operator = dataclasses.replace(step.operator)  # type: ignore[type-var]
    object.__setattr__(operator, "name", step.name)
    return dataclasses.replace(step, operator=operator)


def open_shared(segment: Segment) -> BatchOperator:
    """Open a copy of a shared segment's operator.

    Raises:
        VedetteError: it cannot be opened, such as a model that is missing.
    """
    operator = batch_operator(Segment("shared", (copy_step(segment.steps[0]),), ""))
    try:
        operator.open()
    except BaseException:
        # A model may be loaded already, and lie on a GPU.
        operator.close()
        raise
    return operator


def _with_rule(event: Event, name: str) -> Event:
    own = event.rule or event.type.startswith(("object.", "camera."))
    return event if own else dataclasses.replace(event, rule=name)
