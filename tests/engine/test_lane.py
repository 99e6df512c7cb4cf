"""The lane: order, epochs, sequence numbers and gaps, whatever order replies come in."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import ClassVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.detections import Detections
from engine.errors import OperatorError
from engine.event import Event
from engine.lane import CameraLane, Progress, Request
from engine.operator import BatchOperator, FlushReason, Operator
from engine.packet import Packet
from engine.pipeline import Pipeline
from engine.plan import plan
from engine.tracks import Tracks
from tests.frames import make_frame


@dataclass
class Look(BatchOperator):
    writes: ClassVar = ("detections",)
    every: int = 1

    def wants(self, packet: Packet) -> bool:
        return packet.frame.index % self.every == 0

    def process_batch(self, packets: list[Packet]) -> list[Packet]:
        return [p.replace(detections=Detections.empty()) for p in packets]


@dataclass
class LookAgain(Look):
    """Looks at what was found before."""

    reads: ClassVar = ("detections",)


@dataclass
class Say(Operator):
    """Says which frame it sees, how many it has seen since the epoch began, and which feedback came along."""

    reads: ClassVar = ("detections",)

    def open(self) -> None:
        self._seen = 0

    def process(self, packet: Packet) -> Packet:
        self._seen += 1
        fed = None if packet.feedback is None else len(packet.feedback)
        data = {"index": packet.frame.index, "seen": self._seen, "looked": packet.detections is not None, "fed": fed}
        return packet.emit(Event("test.seen", data=data))

    def flush(self, reason: FlushReason) -> tuple[Event, ...]:
        seen, self._seen = self._seen, 0
        return (Event("test.end", data={"seen": seen, "reason": reason}),)


@dataclass
class Follow(Operator):
    """A tracker whose table is empty: its presence is what the feedback shows."""

    reads: ClassVar = ("detections",)
    writes: ClassVar = ("tracks",)

    def process(self, packet: Packet) -> Packet:
        return packet.replace(tracks=Tracks.empty())


@dataclass
class Fail(Operator):
    at: int = 2

    def process(self, packet: Packet) -> Packet:
        if packet.frame.index == self.at:
            raise ZeroDivisionError("boom")
        return packet


Watcher = Callable[[Packet], Iterable[Event]]


def make_lane(*operators: Operator, gap_after_s: float = 1.0, watch: Watcher | None = None) -> CameraLane:
    pipeline = Pipeline()
    for operator in operators:
        pipeline = pipeline.then(operator, name=f"step{len(pipeline.steps)}")
    lane = CameraLane("cam", plan(pipeline, ["cam"]).lanes["cam"], "north", gap_after_s, watch=watch)
    lane.open()
    return lane


def reply(lane: CameraLane, request: Request) -> Progress:
    (packet,) = Look().process_batch([request.packet])
    return lane.complete(request.key, packet)


def run(lane: CameraLane, frames: Sequence[tuple[int, int]], chance: random.Random) -> list[bytes]:
    """Feed (epoch, index) frames, answering requests in random order and as late as the lane allows."""
    events: list[Event] = []
    waiting: list[Request] = []

    def take(progress: Progress) -> None:
        waiting.extend(progress.requests)
        events.extend(progress.events)

    for epoch, index in frames:
        frame = make_frame(index, epoch=epoch)
        while not lane.ready(frame) or (waiting and chance.random() < 0.5):
            take(reply(lane, waiting.pop(chance.randrange(len(waiting)))))
        take(lane.admit(frame))
    while waiting:
        take(reply(lane, waiting.pop(chance.randrange(len(waiting)))))
    take(lane.finish("shutdown", "ended"))
    lane.close()
    return [event.to_json() for event in events]


@given(st.integers(0, 2**32), st.integers(1, 3), st.integers(1, 3))
@settings(max_examples=60, deadline=None)
def test_events_are_the_same_bytes_whatever_order_replies_come_in(seed: int, every: int, num_epochs: int) -> None:
    frames = [(epoch, index) for epoch in range(num_epochs) for index in range(epoch * 20, epoch * 20 + 15)]

    def watch(packet: Packet) -> list[Event]:
        return [Event("test.watched", data={"index": packet.frame.index})]

    lanes = [make_lane(Look(every), Follow(), Say(), LookAgain(2), Say(), watch=watch) for _ in range(2)]

    assert run(lanes[0], frames, random.Random(seed)) == run(lanes[1], frames, random.Random(seed + 1))


def test_sequence_numbers_have_no_gap_and_restart_with_the_epoch() -> None:
    lane = make_lane(Look(), Say())
    events = []
    for frame in (make_frame(0), make_frame(1), make_frame(2, epoch=5)):
        for request in (progress := lane.admit(frame)).requests:
            events += progress.events + reply(lane, request).events
    events += lane.finish("shutdown", "ended").events

    assert [(e.epoch, e.seq, e.type) for e in events] == [
        (0, 1, "camera.up"), (0, 2, "test.seen"), (0, 3, "test.seen"), (0, 4, "test.end"),
        (5, 1, "camera.up"), (5, 2, "test.seen"), (5, 3, "test.end"), (5, 4, "camera.down"),
    ]  # fmt: skip
    up = events[4].camera_state
    assert up is not None
    assert (up.previous_epoch, up.previous_seq) == (0, 4)


def test_the_first_event_names_the_last_of_a_process_before() -> None:
    lane = CameraLane("cam", plan(Pipeline(), ["cam"]).lanes["cam"], previous=(3, 41))
    lane.open()

    (up,) = lane.admit(make_frame(0, epoch=9)).events

    assert up.camera_state is not None
    assert (up.camera_state.previous_epoch, up.camera_state.previous_seq) == (3, 41)


def test_events_are_stamped_with_site_camera_time_and_the_step_that_made_them() -> None:
    lane = make_lane(Look(), Say())
    lane.admit(make_frame(0))
    (request,) = lane.admit(make_frame(3)).requests
    lane.complete(request.key, request.packet)
    seen = next(e for e in lane.finish("shutdown").events if e.type == "test.end")

    assert (seen.site, seen.camera, seen.rule, seen.epoch) == ("north", "cam", "step1", 0)


def test_feedback_is_the_state_a_fixed_number_of_frames_ago() -> None:
    lane = make_lane(Look(), Follow(), Say())
    fed = []
    for index in range(8):
        for request in lane.admit(make_frame(index)).requests:
            fed += [e.data["fed"] for e in reply(lane, request).events if e.data]

    assert fed == [None, None, None, None, 0, 0, 0, 0]


def test_a_lane_is_full_when_its_depth_is_in_flight() -> None:
    lane = make_lane(Look(), Say())
    for index in range(4):
        assert lane.ready(make_frame(index))
        lane.admit(make_frame(index))

    assert not lane.ready(make_frame(4))
    with pytest.raises(OperatorError, match="before the lane was ready"):
        lane.admit(make_frame(4))


def test_a_frame_of_a_new_epoch_waits_for_the_old_ones() -> None:
    lane = make_lane(Look(), Say())
    (request,) = lane.admit(make_frame(0)).requests
    assert not lane.ready(make_frame(1, epoch=1))

    reply(lane, request)
    assert lane.ready(make_frame(1, epoch=1))


def test_a_reply_of_an_old_epoch_is_counted_and_ignored() -> None:
    lane = make_lane(Look(), Say())
    (old,) = lane.admit(make_frame(0)).requests
    lane.finish("camera_gap", "stall")
    lane.admit(make_frame(0, epoch=7))

    assert reply(lane, old).events == []
    assert lane.counts.stale_replies == 2  # given up at the end of the epoch, and again when it came


def test_dropped_frames_open_and_close_a_gap_with_their_number() -> None:
    lane = make_lane(say_without_detections(), gap_after_s=1.0)
    events = []
    for index in (0, 1, 2, 30, 31):
        events += lane.admit(make_frame(index)).events
    gaps = [(e.camera_state.state, e.camera_state.cause, e.pts_us, e.camera_state.duration_s, e.camera_state.frames)
            for e in events if e.type == "camera.gap" and e.camera_state]  # fmt: skip

    assert gaps == [
        ("gap_open", "frames_dropped", 200_000, None, None),
        ("gap_closed", "frames_dropped", 3_000_000, 2.8, 27),
    ]


def say_without_detections() -> Operator:
    say = Say()
    object.__setattr__(say, "reads", ())
    return say


def test_a_slow_camera_has_no_gap_between_its_frames() -> None:
    lane = make_lane(follow_nothing())
    events = [e for index in range(5) for e in lane.admit(make_frame(index, fps=0.4)).events]

    assert [e.type for e in events] == ["camera.up"]


def follow_nothing() -> Operator:
    return Fail(at=-1)


def test_a_failed_reply_goes_on_without_detections_and_opens_a_gap_when_it_lasts() -> None:
    lane = make_lane(Look(), Say())
    events = []
    for index in range(14):
        (request,) = (progress := lane.admit(make_frame(index))).requests
        failed = 1 <= index < 13
        events += progress.events + lane.complete(request.key, request.packet, failed=failed).events
    gaps = [e.camera_state for e in events if e.type == "camera.gap"]

    assert lane.counts.failed_frames == 12
    assert [(g.state, g.cause, g.duration_s) for g in gaps if g] == [
        ("gap_open", "detector_failed", None), ("gap_closed", "detector_failed", 1.3),
    ]  # fmt: skip
    assert [e.pts_us for e in events] == sorted(e.pts_us for e in events)


def test_time_never_moves_back_when_the_last_frames_failed() -> None:
    lane = make_lane(Look(), Say())
    events = []
    for index in range(4):
        (request,) = (progress := lane.admit(make_frame(index))).requests
        events += progress.events + lane.complete(request.key, request.packet, failed=index > 1).events
    events += lane.finish("shutdown", "ended").events

    assert [e.pts_us for e in events] == sorted(e.pts_us for e in events)
    assert len({e.event_id for e in events}) == len(events)


def test_an_operator_that_fails_is_named_with_camera_step_and_frame() -> None:
    lane = make_lane(Fail())
    lane.admit(make_frame(0))

    with pytest.raises(OperatorError, match=r"camera 'cam': step 'step0' failed at frame 2: ZeroDivisionError: boom"):
        lane.admit(make_frame(2))


def test_a_lane_that_is_restarted_after_a_failure_goes_on_in_a_new_epoch() -> None:
    lane = make_lane(Fail(), say_without_detections())
    lane.admit(make_frame(1))
    with pytest.raises(OperatorError):
        lane.admit(make_frame(2))
    told = lane.restart("internal").events
    events = lane.admit(make_frame(0, epoch=3)).events

    assert [e.type for e in told] == ["test.end", "camera.down"]
    assert [(e.type, e.seq) for e in events] == [("camera.up", 1), ("test.seen", 2)]


def test_no_number_is_missing_after_an_operator_failed() -> None:
    lane = make_lane(Fail(at=0), say_without_detections())
    with pytest.raises(OperatorError):
        lane.admit(make_frame(0))
    events = lane.restart("internal").events

    assert [(e.type, e.seq) for e in events] == [("camera.up", 1), ("test.end", 2), ("camera.down", 3)]


def test_a_camera_that_never_came_up_is_reported_down_and_linked_from_the_first_up() -> None:
    lane = make_lane(Fail(at=-1))
    (down,) = lane.down(100, 5_000_000, "refused").events
    (up,) = lane.admit(make_frame(0, epoch=101)).events

    assert (down.type, down.epoch, down.seq, down.time_us) == ("camera.down", 100, 1, 5_000_000)
    assert up.camera_state is not None
    assert (up.camera_state.previous_epoch, up.camera_state.previous_seq) == (100, 1)


def test_what_a_watcher_says_of_a_frame_stands_right_behind_the_frames_own_events() -> None:
    seen: list[tuple[int, int]] = []

    def watch(packet: Packet) -> list[Event]:
        seen.append((packet.frame.index, len(packet.events)))
        return [Event("test.watched", rule="dark", data={"index": packet.frame.index})]

    lane = make_lane(Look(), Say(), watch=watch)
    requests = [request for index in range(3) for request in lane.admit(make_frame(index)).requests]
    events = [event for request in reversed(requests) for event in reply(lane, request).events]

    assert [(e.type, e.rule, e.seq, e.pts_us) for e in events] == [
        ("test.seen", "step1", 2, 0), ("test.watched", "dark", 3, 0),
        ("test.seen", "step1", 4, 100_000), ("test.watched", "dark", 5, 100_000),
        ("test.seen", "step1", 6, 200_000), ("test.watched", "dark", 7, 200_000),
    ]  # fmt: skip
    assert seen == [(0, 1), (1, 1), (2, 1)]


def test_what_is_said_beside_the_path_is_stamped_at_the_last_complete_frame() -> None:
    lane = make_lane(Look(), Say())
    (first,) = lane.admit(make_frame(0, epoch=4)).requests
    lane.admit(make_frame(1, epoch=4))
    reply(lane, first)

    (said,) = lane.say([Event("drift.raised", rule="dark")]).events
    assert (said.site, said.camera, said.epoch, said.seq, said.pts_us) == ("north", "cam", 4, 3, 0)
    assert (said.rule, said.frame_wh) == ("dark", (64, 48))


def test_what_is_said_while_the_camera_is_down_follows_the_next_up() -> None:
    lane = make_lane(say_without_detections())
    assert lane.say([Event("drift.raised", rule="dark")]).events == []
    events = lane.admit(make_frame(0)).events
    lane.finish("camera_gap", "stall")
    assert lane.say([Event("drift.cleared", rule="dark")]).events == []
    lane.down(7, 5_000_000, "refused")
    events += lane.admit(make_frame(0, epoch=9)).events

    assert [(e.epoch, e.seq, e.type) for e in events] == [
        (0, 1, "camera.up"), (0, 2, "drift.raised"), (0, 3, "test.seen"),
        (9, 1, "camera.up"), (9, 2, "drift.cleared"), (9, 3, "test.seen"),
    ]  # fmt: skip
    assert lane.say([]).events == []
