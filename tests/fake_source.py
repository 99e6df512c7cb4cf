"""Sources for tests that need no video: scripted frames, ends and hangs."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from engine.errors import Cause, SourceError, SourceUnavailable
from engine.frame import SourceFrame
from engine.picture import Picture


@dataclass
class FakeSource:
    """Yields `num` frames at `fps` of stream time, then does what `then` says.

    `then`: `end` stops, `hang` blocks until closed (or for ever with `deaf`), `fail` raises.
    """

    num: int = 10
    fps: float = 10.0
    live: bool = False
    then: str = "end"
    pace_s: float = 0.0
    deaf: bool = False
    refuse: Cause | None = None
    size_wh: tuple[int, int] = (64, 48)
    corrupt: frozenset[int] = frozenset()
    starts_unix_us: int | None = None
    closed: threading.Event = field(default_factory=threading.Event)
    released: threading.Event = field(default_factory=threading.Event)

    def open(self) -> None:
        if self.refuse is not None:
            raise SourceUnavailable("camera refused", self.refuse)

    def frames(self) -> Iterator[SourceFrame]:
        width, height = self.size_wh
        for index in range(self.num):
            if self.closed.is_set():
                return
            pixels = np.full((height, width, 3), 100 + index % 50, np.uint8)
            picture = Picture.from_bgr(pixels)
            yield SourceFrame(picture, index / self.fps, is_key=index == 0, is_corrupt=index in self.corrupt)
            if self.pace_s:
                time.sleep(self.pace_s)
        if self.then == "fail":
            raise SourceError("the stream broke", Cause.TRANSPORT)
        if self.then == "hang":
            # A deaf source does not hear close(): it is stuck inside a library.
            (self.released if self.deaf else self.closed).wait(20)

    def num_frames(self) -> int | None:
        return self.num

    def close(self) -> None:
        self.closed.set()
