from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

import pytest

from engine.batcher import Batcher, open_copies
from engine.errors import DeviceLost, OperatorError, VedetteError
from engine.operator import BatchOperator
from engine.packet import Packet
from tests.frames import make_frame


@dataclass
class Device(BatchOperator):
    """Waits until it may go on; remembers its batches."""

    size: int = 4
    on_gpu: bool = True
    fault: Callable[[list[Packet]], None] | None = None
    go: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(1000))
    batches: list[list[int]] = field(default_factory=list)
    closed: int = 0
    name = "device"

    @property
    def batch_size(self) -> int:
        return self.size

    @property
    def own_device(self) -> bool:
        return self.on_gpu

    def process_batch(self, packets: list[Packet]) -> list[Packet]:
        self.go.acquire()
        self.batches.append([packet.frame.index for packet in packets])
        if self.fault is not None:
            self.fault(packets)
        return packets

    def close(self) -> None:
        self.closed += 1


def put(batcher: Batcher, numbers: range) -> list[Future[Any]]:
    answers: list[Future[Any]] = []
    for number in numbers:
        answer: Future[Any] = Future()
        answers.append(answer)
        batcher.put(Packet(make_frame(number)), answer.set_result)
    return answers


def results(answers: list[Future[Any]]) -> list[Any]:
    return [answer.result(10) for answer in answers]


def test_an_idle_device_takes_one_at_once_and_a_busy_one_finds_many() -> None:
    device = Device(go=threading.Semaphore(0))
    batcher = Batcher([device])
    first = put(batcher, range(1))
    device.go.release()
    results(first)
    answers = put(batcher, range(1, 11))
    for _ in range(10):
        device.go.release()
    assert [packet.frame.index for packet in results(answers)] == list(range(1, 11))
    assert device.batches[0] == [0]
    # The first of the ten may have been taken before the others came.
    assert len(device.batches) <= 5
    assert max(map(len, device.batches)) == 4
    batcher.close()
    assert device.closed == 1


def test_one_bad_packet_does_not_spoil_the_others() -> None:
    def fault(packets: list[Packet]) -> None:
        if any(packet.frame.index == 3 for packet in packets):
            raise ValueError("three")

    device = Device(size=8, fault=fault, go=threading.Semaphore(0))
    batcher = Batcher([device])
    answers = put(batcher, range(6))
    for _ in range(20):
        device.go.release()
    found = results(answers)
    assert [str(one) if isinstance(one, Exception) else one.frame.index for one in found] == [0, 1, 2, "three", 4, 5]
    batcher.close()


@pytest.mark.parametrize(
    ("gives", "error"),
    [([], "process_batch gave 0 packets for 1"), ([None], "process_batch gave a NoneType where a packet was expected")],
)
def test_an_operator_that_breaks_its_contract_is_told(gives: list[Any], error: str) -> None:
    device = Device()
    device.process_batch = lambda packets: gives  # type: ignore[method-assign]
    batcher = Batcher([device])
    (answer,) = results(put(batcher, range(1)))
    assert isinstance(answer, OperatorError)
    assert str(answer) == error
    batcher.close()


def test_a_lost_device_is_told_and_nobody_waits_for_ever() -> None:
    def fault(packets: list[Packet]) -> None:
        raise DeviceLost("cuda:0 is gone")

    lost: list[DeviceLost] = []
    batcher = Batcher([Device(fault=fault)], on_lost=lost.append)
    answers = results(put(batcher, range(3)))
    assert all(isinstance(answer, DeviceLost) for answer in answers)
    assert str(lost[0]) == "cuda:0 is gone"
    batcher.close()


def test_what_waits_is_answered_before_the_end() -> None:
    device = Device(size=1)
    batcher = Batcher([device])
    answers = put(batcher, range(20))
    batcher.close()
    assert [packet.frame.index for packet in results(answers)] == list(range(20))


def test_an_answer_that_cannot_be_taken_does_not_end_the_thread(caplog: pytest.LogCaptureFixture) -> None:
    batcher = Batcher([Device()])

    def refuse(answer: Any) -> None:
        raise RuntimeError("refused")

    batcher.put(Packet(make_frame(0)), refuse)
    assert len(results(put(batcher, range(1, 3)))) == 2
    batcher.close()
    assert "the answer of step 'device' was lost" in caplog.text


def test_batches_shrink_with_the_operator() -> None:
    device = Device(size=8, go=threading.Semaphore(0))

    def fault(packets: list[Packet]) -> None:
        device.size = 2

    device.fault = fault
    batcher = Batcher([device])
    answers = put(batcher, range(12))
    for _ in range(12):
        device.go.release()
    results(answers)
    assert max(map(len, device.batches[1:])) <= 2
    batcher.close()


def test_detectors_on_one_device_take_turns() -> None:
    """A flood for one detector keeps another waiting for one batch of each of its copies, not for the flood."""
    turn = threading.Lock()
    order: list[str] = []
    begun = threading.Event()

    def use(name: str) -> Callable[[list[Packet]], None]:
        def run(packets: list[Packet]) -> None:
            with turn:
                order.append(name)
                begun.set()
                threading.Event().wait(0.002)

        return run

    flooded = Batcher([Device(size=4, fault=use("flood")), Device(size=4, fault=use("flood"))])
    sparse = Batcher([Device(size=4, fault=use("sparse"))])
    answers = put(flooded, range(400))
    assert begun.wait(10)
    before = len(order)
    results(put(sparse, range(1)))
    # Python's locks are not strictly fair, so a few of the hundred batches may go first; not all of them.
    assert order.index("sparse") - before < 50
    results(answers)
    flooded.close()
    sparse.close()


@pytest.mark.parametrize(
    ("on_gpu", "size", "num_threads", "copies"),
    [(False, 1, 4, 4), (False, 4, 3, 3), (True, 8, 4, 2), (True, 8, 1, 2), (True, 1, 4, 2), (False, 1, 1, 1)],
)
def test_a_gpu_has_two_copies_and_cores_have_one_a_thread(
    on_gpu: bool, size: int, num_threads: int, copies: int
) -> None:
    assert len(open_copies(lambda: Device(size=size, on_gpu=on_gpu), num_threads)) == copies


def test_copies_that_were_opened_are_closed_when_one_fails() -> None:
    opened: list[Device] = []

    def open_one() -> BatchOperator:
        if len(opened) == 2:
            raise VedetteError("no memory")
        opened.append(Device(size=1, on_gpu=False))
        return opened[-1]

    with pytest.raises(VedetteError, match="no memory"):
        open_copies(open_one, 4)
    assert [device.closed for device in opened] == [1, 1]
