"""A detector and a classifier on one device: a flood of work for one never starves the other.

Waiting is counted in batches of the other step, not in seconds: how long a batch takes is the models' affair.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import ClassVar

import pytest

from engine.batcher import NUM_COPIES
from engine.detections import Detections
from engine.host import CameraHost
from engine.operator import BatchOperator, Operator
from engine.packet import Packet
from engine.pipeline import Pipeline
from engine.plan import plan
from engine.redact import Url
from engine.site import Camera
from tests.fake_source import FakeSource

FRAMES = 60
Key = tuple[str, str, int]
"""Step, camera, frame."""


class Device:
    """Runs one batch at a time, in the order in which they were given; as a GPU does with its streams' kernels."""

    def __init__(self) -> None:
        self._turns: deque[threading.Event] = deque()
        self._lock = threading.Lock()
        self.most_waiting = 0

    @contextmanager
    def turn(self) -> Iterator[None]:
        mine = threading.Event()
        with self._lock:
            self._turns.append(mine)
            self.most_waiting = max(self.most_waiting, len(self._turns) - 1)
            if len(self._turns) == 1:
                mine.set()
        mine.wait()
        try:
            yield
        finally:
            with self._lock:
                self._turns.popleft()
                if self._turns:
                    self._turns[0].set()


class Record:
    """What waited when, and which batches began."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._num_begun = {"look": 0, "name": 0}
        self._due: dict[Key, int] = {}
        self.waits: dict[str, list[int]] = {"look": [], "name": []}

    def due(self, step: str, packet: Packet) -> None:
        with self._lock:
            self._due[step, packet.frame.camera, packet.frame.index] = self._num_begun[_other(step)]

    def begin(self, step: str, packets: list[Packet]) -> None:
        with self._lock:
            self._num_begun[step] += 1
            for packet in packets:
                before = self._due.pop((step, packet.frame.camera, packet.frame.index))
                self.waits[step].append(self._num_begun[_other(step)] - before)


def _other(step: str) -> str:
    return "look" if step == "name" else "name"


@dataclass
class Mark(Operator):
    """Stands before a shared step and notes that a packet waits for it."""

    step: str

    record: ClassVar[Record]

    def process(self, packet: Packet) -> Packet:
        self.record.due(self.step, packet)
        return packet


@dataclass
class Model(BatchOperator):
    """A fake model: takes its time for each piece of work, however many packets bring it."""

    step: str
    pieces: int = 1
    on_device: bool = False

    writes: ClassVar = ("detections",)
    reads: ClassVar[Sequence[str]] = ()
    record: ClassVar[Record]
    device: ClassVar[Device]

    @property
    def batch_size(self) -> int:
        return 8 if self.on_device else 1

    @property
    def own_device(self) -> bool:
        return self.on_device

    def process_batch(self, packets: list[Packet]) -> list[Packet]:
        if self.on_device:
            with self.device.turn():
                self._work(packets)
        else:
            self._work(packets)
        return [packet.replace(detections=Detections.empty()) for packet in packets]

    def _work(self, packets: list[Packet]) -> None:
        self.record.begin(self.step, packets)
        time.sleep(0.002 * self.pieces)


@dataclass
class Second(Model):
    reads: ClassVar = ("detections",)


@pytest.mark.parametrize("on_device", [False, True], ids=["on the cores", "on a device"])
@pytest.mark.parametrize("flood", ["look", "name"])
def test_a_flood_of_one_step_s_work_does_not_starve_the_other(flood: str, on_device: bool) -> None:
    Mark.record = Model.record = record = Record()
    Model.device = device = Device()
    heavy, light = 5, 1
    pipeline = Pipeline()
    for step, kind in (("look", Model), ("name", Second)):
        pipeline = pipeline.then(Mark(step), f"before_{step}")
        pipeline = pipeline.then(kind(step, heavy if step == flood else light, on_device), step)
    cameras = dict.fromkeys("abcdef", Camera(Url("clip.mp4")))
    host = CameraHost(
        "north", cameras, plan(pipeline, cameras), lambda *_: None, num_workers=2,
        make_source=lambda *_: FakeSource(FRAMES),
    )  # fmt: skip
    host.start()
    assert host.wait(60)
    host.stop()

    for step in ("look", "name"):
        waits = sorted(record.waits[step])
        assert len(waits) == FRAMES * len(cameras)
        # The other step's copies have a batch each in their hands, and one of them may be quicker. What is above the
        # bound is a thread that the machine did not run for a while.
        assert waits[len(waits) * 9 // 10] <= NUM_COPIES + 1, (step, waits)
    if on_device:
        assert device.most_waiting <= 2 * NUM_COPIES - 1, "a copy never gives the device more than one batch"
