"""What waits in a camera host for the driver."""

from __future__ import annotations

import logging
import threading
import time

from deployments import collector
from deployments.collector import Collector, LogTail, without_latencies
from engine.summary import CameraSummary
from tests.builders import make_event

HEADERS = {"node": "n"}


def test_events_come_in_order_with_the_last_seq_of_each_camera() -> None:
    box = Collector(keep=True)
    box.write("a", [make_event("a", 1), make_event("a", 2)], HEADERS)
    box.write("b", [make_event("b", 7)], HEADERS)

    batch = box.fetch(1.0)

    assert [(camera, [e.seq for e in events], headers) for camera, events, headers in batch.events] == [
        ("a", [1, 2], HEADERS), ("b", [7], HEADERS),
    ]  # fmt: skip
    assert batch.last == {"a": (1, 2), "b": (1, 7)}
    assert box.fetch(0.0).events == []


def test_a_fetch_waits_for_the_next_event_and_no_longer() -> None:
    box = Collector(keep=True)
    timer = threading.Timer(0.1, box.write, ("a", [make_event("a", 1)], HEADERS))
    timer.start()

    started_s = time.monotonic()
    assert len(box.fetch(5.0).events) == 1
    assert time.monotonic() - started_s < 4
    assert box.fetch(0.05).events == []


def test_live_events_beyond_the_limit_go_the_oldest_first_and_are_counted() -> None:
    box = Collector(keep=True, recordings=frozenset({"file"}), max_waiting=3)
    box.write("file", [make_event("file", 1)], HEADERS)
    for seq in range(1, 6):
        box.write("a", [make_event("a", seq)], HEADERS)

    batch = box.fetch(0.0)

    assert [e.seq for camera, events, _ in batch.events for e in events if camera == "a"] == [4, 5]
    assert [e.seq for camera, events, _ in batch.events for e in events if camera == "file"] == [1]
    assert batch.dropped == 3
    assert batch.last["a"] == (1, 5)


def test_a_recording_waits_until_its_events_are_fetched() -> None:
    box = Collector(keep=True, recordings=frozenset({"file"}))
    box.write("file", [make_event("file", n) for n in range(collector.MAX_OF_RECORDINGS)], HEADERS)
    writer = threading.Thread(target=box.write, args=("file", [make_event("file", 10**6)], HEADERS))
    writer.start()
    writer.join(0.1)
    assert writer.is_alive()

    first = box.fetch(0.0)
    writer.join(5.0)

    assert not writer.is_alive()
    assert (len(first.events), first.dropped, first.last) == (1, 0, {"file": (1, collector.MAX_OF_RECORDINGS - 1)})
    assert [events[0].seq for _, events, _ in box.fetch(0.0).events] == [10**6]


def test_nobody_waits_once_it_is_closed() -> None:
    box = Collector(keep=True, recordings=frozenset({"file"}))
    box.close()
    for _ in range(2):
        box.write("file", [make_event("file", n) for n in range(collector.MAX_OF_RECORDINGS)], HEADERS)
    assert len(box.fetch(10.0).events) == 2


def test_without_sinks_of_the_driver_only_the_last_seq_is_kept() -> None:
    box = Collector(keep=False)
    box.write("a", [make_event("a", 5)], HEADERS)
    batch = box.fetch(0.0)
    assert (batch.events, batch.last) == ([], {"a": (1, 5)})


def test_log_lines_come_once_and_without_credentials() -> None:
    tail = LogTail()
    logger = logging.Logger("engine.connection")
    logger.addHandler(tail)
    logger.warning("cannot open %s", "rtsp://me:hidden@10.0.0.1/x")
    try:
        raise ValueError("boom")
    except ValueError:
        logger.exception("it failed")

    assert tail.fetch() == [
        (logging.WARNING, "engine.connection: cannot open rtsp://***@10.0.0.1/x"),
        (logging.ERROR, "engine.connection: it failed: ValueError: boom"),
    ]
    assert tail.fetch() == []


def test_numbers_that_are_sent_often_have_no_latencies_and_are_copies() -> None:
    counts = {"a": CameraSummary(frames_analysed=3)}
    counts["a"].events["x"] = 2
    counts["a"].latency.add(5.0)

    copy = without_latencies(counts)["a"]
    counts["a"].events["x"] = 9

    assert (copy.frames_analysed, copy.events["x"], copy.latency.percentiles()) == (3, 2, {})
    assert counts["a"].latency.percentiles() != {}
