"""A user's own module, as tests on Ray need it: sources, operators and a sink that work in any process.

It is never imported by the workers: its text travels, like that of every module beside a configuration.
"""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import parse_qsl, urlsplit

import numpy as np

from engine.detections import Detections
from engine.errors import SinkError
from engine.event import Event
from engine.frame import SourceFrame
from engine.operator import BatchOperator, Operator, Sink
from engine.packet import Packet
from engine.picture import Picture


class Script:
    """`fake://x/?num=20&fps=10` is live, `x?num=20` a recording; frame i is grey level i."""

    def __init__(self, url: str) -> None:
        options = dict(parse_qsl(urlsplit(url).query))
        self.live = "://" in url
        self.starts_unix_us: int | None = None
        self._num = int(options.get("num", 1_000_000))
        self._fps = float(options.get("fps", 10))
        self._options = options
        self._closed = threading.Event()

    def open(self) -> None:
        pass

    def frames(self) -> Iterator[SourceFrame]:
        started_s = time.monotonic()
        for index in range(self._num):
            if self.live and self._closed.wait(max(0.0, started_s + index / self._fps - time.monotonic())):
                return
            yield SourceFrame(Picture.from_bgr(self._draw(index)), index / self._fps, is_key=index == 0)

    def _draw(self, index: int) -> np.ndarray[Any, Any]:
        return np.full((48, 64, 3), index % 256, np.uint8)

    def num_frames(self) -> int | None:
        return self._num

    def close(self) -> None:
        self._closed.set()


class Scene(Script):
    """A wall with posters and something that moves; dark while the file `dark_if` exists, or in `dark=50:90` frames."""

    def _draw(self, index: int) -> np.ndarray[Any, Any]:
        wall = np.random.default_rng(1).integers(40, 200, (6, 10, 3)).repeat(18, 0).repeat(18, 1)
        grain = np.random.default_rng((2, index)).integers(-6, 7, wall.shape)
        left = 3 * index % 150
        wall[40:80, left : left + 20] = 20
        start, _, stop = self._options.get("dark", "0:0").partition(":")
        is_dark = int(start) <= index < int(stop) or Path(self._options.get("dark_if", "/nowhere")).exists()
        return ((wall + grain) * (0.2 if is_dark else 1)).clip(0, 255).astype(np.uint8)


@dataclass
class Say(Operator):
    """Says every n-th frame, and how many detections it had."""

    every: int = 1

    def process(self, packet: Packet) -> Packet:
        if packet.frame.index % self.every:
            return packet
        boxes = None if packet.detections is None else packet.detections.confidence.round(3).tolist()
        return packet.emit(Event("test.seen", data={"index": packet.frame.index, "boxes": boxes}))


@dataclass
class SayProcess(Operator):
    """Says in every frame which process it runs in."""

    def process(self, packet: Packet) -> Packet:
        return packet.emit(Event("test.process", data={"pid": os.getpid()}))


@dataclass
class Bomb(Operator):
    """Takes its process with it at one frame of one camera."""

    camera: str = "bad"
    at: int = 3

    def process(self, packet: Packet) -> Packet:
        if packet.frame.camera == self.camera and packet.frame.index >= self.at:
            os._exit(7)
        return packet


@dataclass
class BombOnce(Bomb):
    """As Bomb, but only once: a file remembers."""

    path: str = ""

    def process(self, packet: Packet) -> Packet:
        if Path(self.path).exists():
            return packet
        if packet.frame.camera == self.camera and packet.frame.index >= self.at:
            Path(self.path).touch()
        return super().process(packet)


@dataclass
class Look(BatchOperator):
    """Detects something whose confidence is the brightness of the model's input; says in which process."""

    reads: ClassVar[Sequence[str]] = ("tensor",)
    writes: ClassVar = ("detections",)
    place: str = "local"
    says_process: bool = False

    def process_batch(self, packets: list[Packet]) -> list[Packet]:
        return [self._look(packet) for packet in packets]

    def _look(self, packet: Packet) -> Packet:
        if packet.tensor is None:
            return packet
        level = np.float32(packet.tensor.pixels.mean() / 255)
        box = np.array([[0, 0, *packet.tensor.geometry.source_wh]], np.float32)
        found = Detections(box, np.array([level], np.float32), np.zeros(1, np.int64))
        if self.says_process:
            packet = packet.emit(Event("test.detector", data={"pid": os.getpid()}))
        return packet.replace(detections=found)


@dataclass
class LookAgain(Look):
    """As Look, behind one that has looked before."""

    reads: ClassVar = ("tensor", "detections")


@dataclass
class LookOnGpu(Look):
    """As Look, and asks for a GPU."""

    num_gpus = 1.0


@dataclass
class Peek(Look):
    """Looks at the picture itself, which does not travel."""

    def _look(self, packet: Packet) -> Packet:
        packet.frame.picture.gray()
        return packet


@dataclass
class Beside(Sink):
    """Lives beside the cameras: each process writes a file of its own."""

    central: ClassVar[bool] = False
    folder: str = "."

    def open(self) -> None:
        self._num = 0
        if not Path(self.folder).is_dir():
            raise SinkError(f"{self.folder}: no such folder")
        self._file = (Path(self.folder) / f"{os.getpid()}.jsonl").open("w", encoding="utf-8")

    def write(self, events: Sequence[Event], headers: Mapping[str, str]) -> None:
        for event in events:
            self._num += 1
            self._file.write(json.dumps([event.camera, event.epoch, event.seq]) + "\n")

    def flush(self, timeout_s: float) -> int:
        self._file.flush()
        return 0

    def close(self) -> None:
        if hasattr(self, "_file"):
            self._file.close()

    def counts(self) -> Mapping[str, float]:
        return {"accepted": self._num, "ack_ms_p50": self._num}


class Painted(Script):
    """A red square wanders over grey, and is blue from frame 30 on."""

    def _draw(self, index: int) -> np.ndarray[Any, Any]:
        picture = np.full((90, 160, 3), 128, np.uint8)
        left = index % 100
        picture[20:60, left : left + 40] = (30, 30, 220) if index < 30 else (220, 40, 30)
        return picture


@dataclass
class Square(Operator):
    """Finds the square of Painted."""

    writes: ClassVar = ("detections",)

    def process(self, packet: Packet) -> Packet:
        left = packet.frame.index % 100
        box = np.array([[left, 20, left + 40, 60]], np.float32)
        return packet.replace(detections=Detections(box, np.full(1, 0.9, np.float32), np.zeros(1, np.int64)))
