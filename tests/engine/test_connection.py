"""Keeping a camera connected, by a clock that the test moves."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

import pytest

from engine import connection as module
from engine.connection import Connection
from engine.errors import Cause, SourceError
from engine.mailbox import Arrival, Control, Mailbox
from engine.redact import Url
from engine.site import Camera
from engine.summary import CameraSummary
from tests.fake_source import FakeSource


class Rig:
    """A connection whose clock stands still until it is moved."""

    def __init__(self, *sources: FakeSource, live: bool = True, stall_after_s: float = 5.0) -> None:
        self.now_s = 1000.0
        self.mailbox = Mailbox(waits=False)
        self.attempts: list[FakeSource] = []
        self.left = list(sources)
        self.woken = threading.Event()
        camera = Camera(Url("rtsp://admin:hunter22@10.0.0.7/live" if live else "clip.mp4"), stall_after_s=stall_after_s)
        self.connection = Connection(
            "gate", camera, self.mailbox, CameraSummary(), self.woken.set, None, self.make, lambda: self.now_s
        )

    def make(self) -> FakeSource:
        self.attempts.append(self.left.pop(0) if len(self.left) > 1 else self.left[0])
        return self.attempts[-1]

    def advance(self, seconds: float) -> None:
        self.now_s += seconds
        self.connection.tick()

    def items(self) -> list[str]:
        out = []
        while (item := self.mailbox.take()) is not None:
            out.append("frame" if isinstance(item, Arrival) else f"{item.kind}:{item.cause}")
        return out

    def until(self, condition: Callable[[], bool]) -> None:
        deadline_s = time.monotonic() + 5
        while not condition():
            assert time.monotonic() < deadline_s, "it did not happen"
            time.sleep(0.005)

    def states(self, state: str) -> bool:
        return self.connection._state == state


def refusing(cause: Cause = Cause.REFUSED) -> FakeSource:
    return FakeSource(refuse=cause, live=True)


def test_attempts_back_off_with_jitter_up_to_a_limit(caplog: pytest.LogCaptureFixture) -> None:
    rig = Rig(refusing())
    waits = []
    with caplog.at_level(logging.WARNING):
        for _ in range(9):
            rig.advance(0)
            rig.until(lambda: rig.states("waiting"))
            waits.append(rig.connection._retry_at_s - rig.now_s)
            rig.now_s = rig.connection._retry_at_s

    for number, wait_s in enumerate(waits, 1):
        full = min(module.LONGEST_RETRY_S, module.FIRST_RETRY_S * 2**number)
        assert full / 2 <= wait_s <= full
    assert "camera refused (attempt 1, next in" in caplog.text
    assert "hunter22" not in caplog.text


def test_a_refused_password_is_not_tried_again_at_once() -> None:
    rig = Rig(refusing(Cause.AUTH))
    rig.advance(0)
    rig.until(lambda: rig.states("waiting"))
    assert rig.connection._retry_at_s - rig.now_s >= module.AUTH_RETRY_S / 2


def test_being_down_is_told_once_for_each_cause() -> None:
    rig = Rig(refusing(), refusing(), refusing(Cause.AUTH))
    for _ in range(3):
        rig.advance(60)
        rig.until(lambda: rig.states("waiting"))
    assert rig.items() == ["down:refused", "down:auth"]


def test_a_gap_is_told_before_a_stall_and_both_once() -> None:
    source = FakeSource(1, live=True, then="hang")
    rig = Rig(source)
    rig.advance(0)
    rig.until(lambda: rig.states("running"))
    rig.advance(1.5)
    rig.advance(1.5)
    assert [i for i in rig.items() if i != "frame"] == ["gap:no_frames"]
    rig.advance(2.5)
    assert rig.items() == ["end:stall"]
    assert source.closed.is_set()


def test_a_camera_that_sends_nothing_whole_is_connected_anew() -> None:
    rig = Rig(FakeSource(1, live=True, then="hang", corrupt=frozenset({0})))
    rig.advance(0)
    rig.until(lambda: rig.states("running"))
    rig.now_s += module.WHOLE_FRAME_LIMIT_S + 1
    rig.connection._last_frame_at_s = rig.now_s
    rig.advance(0)
    assert rig.items() == ["end:codec"]


def test_what_a_muted_thread_says_later_is_not_heard() -> None:
    stuck = FakeSource(1, live=True, then="hang", deaf=True)
    rig = Rig(stuck, FakeSource(1, live=True, then="hang"))
    rig.advance(0)
    rig.until(lambda: rig.states("running"))
    rig.advance(6)
    rig.advance(1)
    rig.until(lambda: rig.states("running"))
    stuck.released.set()
    rig.connection._threads[0].join(3)

    assert rig.states("running")
    assert [i for i in rig.items() if i.startswith("end")] == ["end:stall"]
    rig.connection.stop()


def test_threads_that_hang_are_bounded() -> None:
    stuck = [FakeSource(1, live=True, then="hang", deaf=True) for _ in range(6)]
    rig = Rig(*stuck)
    for _ in range(20):
        rig.advance(31)
        if not rig.states("waiting"):
            rig.until(lambda: rig.states("running"))
    assert len(rig.attempts) == module.MAX_STUCK_THREADS
    for source in stuck:
        source.released.set()


def test_a_connection_that_never_gives_a_frame_times_out() -> None:
    rig = Rig(FakeSource(0, live=True, then="hang"))
    rig.advance(0)
    rig.advance(module.CONNECT_LIMIT_S + 0.1)
    assert rig.items() == ["down:timeout"]


def test_a_connection_that_held_makes_the_next_attempt_a_first_one() -> None:
    rig = Rig(FakeSource(2, live=True, then="hang"))
    rig.connection._attempts = 6
    rig.advance(0)
    rig.until(lambda: rig.states("running"))
    rig.now_s += module.GOOD_AFTER_S
    rig.connection._last_frame_at_s = rig.now_s
    rig.advance(6)
    assert rig.connection._retry_at_s - rig.now_s <= module.FIRST_RETRY_S


def test_epochs_grow_even_when_two_attempts_fall_into_one_second() -> None:
    rig = Rig(refusing())
    epochs = []
    for _ in range(3):
        rig.advance(60)
        rig.until(lambda: rig.states("waiting"))
        epochs.append(rig.connection._epoch)
    assert epochs == sorted(set(epochs))  # type: ignore[type-var]


def test_a_recording_that_fails_is_finished_with_its_reason() -> None:
    rig = Rig(FakeSource(2, then="fail"), live=False)
    rig.advance(0)
    rig.until(lambda: rig.states("done"))
    assert isinstance(rig.connection.error, SourceError)
    assert [i for i in rig.items() if i != "frame"] == ["end:transport"]


def test_stopping_ends_for_good() -> None:
    rig = Rig(FakeSource(1, live=True, then="hang"))
    rig.advance(0)
    rig.until(lambda: rig.states("running"))
    rig.connection.stop()
    rig.advance(100)
    assert len(rig.attempts) == 1
    last = [i for i in rig.items() if i != "frame"]
    assert last == ["end:stopped"]
    assert rig.connection.join(3) == 0


def test_control_items_name_the_final_end() -> None:
    rig = Rig(FakeSource(1, live=False), live=False)
    rig.advance(0)
    rig.until(lambda: rig.states("done"))
    items = []
    while (item := rig.mailbox.take()) is not None:
        items.append(item)
    assert items[-1] == Control("end", "ended", final=True)


@pytest.mark.parametrize(("live", "previous", "expected"), [(False, None, 0), (False, 3, 4), (True, 2**40, 2**40 + 1)])
def test_epochs_grow_over_those_of_a_process_before(live: bool, previous: int | None, expected: int) -> None:
    camera = Camera(Url("rtsp://10.0.0.7/live" if live else "clip.mp4"))
    mailbox = Mailbox(waits=False)
    connection = Connection(
        "gate", camera, mailbox, CameraSummary(), lambda: None, 1, lambda: FakeSource(1, live=live),
        previous_epoch=previous,
    )  # fmt: skip

    connection.tick()
    connection.join(5.0)

    first = mailbox.take()
    assert isinstance(first, Arrival)
    assert first.frame.epoch == expected
