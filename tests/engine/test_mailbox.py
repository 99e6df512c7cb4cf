"""The mailbox: the one place where frames are dropped, and control items never."""

from __future__ import annotations

import threading

from engine.mailbox import Arrival, Control, Mailbox
from tests.frames import make_frame


def arrival(index: int) -> Arrival:
    return Arrival(make_frame(index), float(index))


def test_the_newest_frame_replaces_the_one_before_and_the_loss_is_counted() -> None:
    mailbox = Mailbox(waits=False)
    writer = mailbox.change_writer()
    for index in range(3):
        assert mailbox.put(arrival(index), writer)

    item = mailbox.take()
    assert isinstance(item, Arrival)
    assert item.frame.index == 2
    assert mailbox.dropped == 2
    assert mailbox.take() is None


def test_control_items_keep_their_place_and_are_never_replaced() -> None:
    mailbox = Mailbox(waits=False)
    writer = mailbox.change_writer()
    mailbox.put(arrival(0), writer)
    mailbox.control(Control("gap", "no_frames"))
    mailbox.put(arrival(1), writer)
    mailbox.put(arrival(2), writer)
    kinds = []
    while (item := mailbox.take()) is not None:
        kinds.append(item.frame.index if isinstance(item, Arrival) else item.kind)

    assert kinds == [0, "gap", 2]


def test_a_recording_waits_until_its_frame_has_been_taken() -> None:
    mailbox = Mailbox(waits=True)
    writer = mailbox.change_writer()
    mailbox.put(arrival(0), writer)
    put = threading.Event()

    def write() -> None:
        mailbox.put(arrival(1), writer)
        put.set()

    thread = threading.Thread(target=write)
    thread.start()

    assert not put.wait(0.05)
    mailbox.take()
    assert put.wait(2)
    thread.join()
    assert mailbox.dropped == 0


def test_a_replaced_writer_is_refused_even_while_it_waits() -> None:
    mailbox = Mailbox(waits=True)
    old = mailbox.change_writer()
    mailbox.put(arrival(0), old)
    answers: list[bool] = []
    thread = threading.Thread(target=lambda: answers.append(mailbox.put(arrival(1), old)))
    thread.start()
    mailbox.change_writer(discard=True)
    thread.join(3)

    assert answers == [False]
    assert mailbox.take() is None
    assert mailbox.dropped == 1
