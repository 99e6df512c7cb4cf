from __future__ import annotations

import threading
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.outbox import Outbox, Waiting
from tests.builders import make_event


def seqs(items: list[Waiting]) -> list[int]:
    return [item.event.seq for item in items]


def filled(number: int, max_events: int = 100, when_full: Any = "drop_oldest") -> Outbox:
    outbox = Outbox(max_events, when_full)
    outbox.accept([make_event(seq=seq) for seq in range(1, number + 1)], {"node": "n1"})
    return outbox


def numbers(outbox: Outbox) -> dict[str, float]:
    return {name: value for name, value in outbox.counts().items() if value and "_ms_" not in name}


def test_gives_the_oldest_first_with_the_headers_they_came_with() -> None:
    outbox = filled(5)
    taken = outbox.take(3, 0.0)
    assert (seqs(taken), taken[0].headers, len(outbox)) == ([1, 2, 3], {"node": "n1"}, 5)


def test_an_empty_one_gives_nothing_and_counts_nothing() -> None:
    outbox = Outbox(3)
    assert (outbox.take(3, 0.0), outbox.wait_empty(0.0), numbers(outbox)) == ([], 0, {})


def test_what_was_not_acknowledged_comes_again_first_and_in_order() -> None:
    outbox = filled(5)
    one, two, three = outbox.take(3, 0.0)
    outbox.settle(delivered=[two], kept=[one, three], num_refused=0)
    assert numbers(outbox) == {"accepted": 5, "delivered": 1, "resent": 2, "waiting": 4}
    assert seqs(outbox.take(9, 0.0)) == [1, 3, 4, 5]


def test_what_did_not_fit_into_a_round_is_put_back_and_not_counted_as_sent() -> None:
    outbox = filled(4)
    taken = outbox.take(4, 0.0)
    outbox.put_back(taken[1:])
    outbox.settle(taken[:1], [], 0)
    assert numbers(outbox) == {"accepted": 4, "delivered": 1, "waiting": 3}
    assert seqs(outbox.take(9, 0.0)) == [2, 3, 4]


@pytest.mark.parametrize(("when_full", "left"), [("drop_oldest", [3, 4, 5]), ("drop_newest", [1, 2, 3])])
def test_a_full_one_drops_by_its_policy(when_full: Any, left: list[int]) -> None:
    outbox = filled(5, max_events=3, when_full=when_full)
    assert numbers(outbox) == {"accepted": 5, "dropped": 2, "waiting": 3}
    assert seqs(outbox.take(9, 0.0)) == left


def test_a_round_under_way_takes_room_and_is_never_dropped() -> None:
    outbox = filled(3, max_events=3)
    taken = outbox.take(3, 0.0)
    outbox.accept([make_event(seq=4)], {})
    outbox.settle([], taken, 0)
    assert numbers(outbox) == {"accepted": 4, "dropped": 1, "resent": 3, "waiting": 3}
    assert seqs(outbox.take(9, 0.0)) == [1, 2, 3]


def test_refused_events_leave_it() -> None:
    outbox = filled(2)
    outbox.settle(outbox.take(1, 0.0), [], 0)
    outbox.take(1, 0.0)
    outbox.settle([], [], num_refused=1)
    assert numbers(outbox) == {"accepted": 2, "delivered": 1, "dead_lettered": 1}


def test_latencies_run_to_the_acknowledgement_and_from_the_picture_only_on_our_own_clock() -> None:
    outbox = Outbox(9)
    outbox.accept([make_event(seq=1, clock="rtcp")], {})
    time.sleep(0.02)
    outbox.settle(outbox.take(9, 0.0), [], 0)
    counts = outbox.counts()
    assert 20 <= counts["ack_ms_p50"] == counts["ack_ms_p99"] < 2000
    assert "capture_to_ack_ms_p50" not in counts
    outbox.accept([make_event(seq=2, clock="arrival", time_us=time.time_ns() // 1000 - 500_000)], {})
    outbox.settle(outbox.take(9, 0.0), [], 0)
    assert 500 <= outbox.counts()["capture_to_ack_ms_p50"] < 2500


def test_a_taker_that_waits_is_woken_by_an_event_and_by_wake() -> None:
    outbox = Outbox(9)
    for wake in (lambda: outbox.accept([make_event()], {}), outbox.wake):
        timer = threading.Timer(0.05, wake)
        timer.start()
        started = time.monotonic()
        outbox.take(9, timeout_s=20.0)
        assert time.monotonic() - started < 10.0
        timer.join()


def test_waiting_for_it_to_be_empty_ends_with_the_last_event() -> None:
    outbox = filled(2)
    taken = outbox.take(2, 0.0)
    assert outbox.wait_empty(0.01) == 2
    timer = threading.Timer(0.05, outbox.settle, (taken, [], 0))
    timer.start()
    assert outbox.wait_empty(20.0) == 0
    timer.join()


def test_a_body_is_written_once() -> None:
    (item,) = filled(1).take(1, 0.0)
    assert item.encode() == make_event(seq=1).to_json()
    assert item.encode() is item.encode()


def test_an_event_that_json_cannot_hold_says_so() -> None:
    with pytest.raises(TypeError, match="object is not JSON serializable"):
        Waiting(make_event(data={"x": object()}), {}, 0.0).encode()


@given(st.lists(st.tuples(st.integers(1, 6), st.integers(0, 6), st.integers(0, 6)), max_size=30))
def test_whatever_fails_events_are_first_delivered_in_order_and_none_goes_missing(
    rounds: list[tuple[int, int, int]],
) -> None:
    outbox = filled(20)
    delivered: list[int] = []
    for size, num_acknowledged, num_refused in rounds:
        taken = outbox.take(size, 0.0)
        acknowledged = taken[:num_acknowledged]
        refused = taken[num_acknowledged : num_acknowledged + num_refused]
        outbox.settle(acknowledged, taken[len(acknowledged) + len(refused) :], len(refused))
        delivered += seqs(acknowledged + refused)
    assert delivered + seqs(outbox.take(99, 0.0)) == list(range(1, 21))
    counts = outbox.counts()
    assert counts["accepted"] == counts["delivered"] + counts["dead_lettered"] + counts["waiting"]
