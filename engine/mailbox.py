"""The mailbox between decoding and a lane: the one place where frames are dropped.

It has room for one frame. Live, the newest wins and the one it replaces is counted; a recording waits instead.
Control items (a gap, an end) keep their place in the order and are never dropped.
"""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass
from typing import Literal

from engine.frame import Frame


@dataclass(frozen=True, slots=True)
class Arrival:
    """A frame, and when it came by the monotonic clock."""

    frame: Frame
    at_s: float


@dataclass(frozen=True, slots=True)
class Control:
    """What the lane has to be told between frames.

    Attributes:
        kind: `gap` opens a gap, `end` ends the connection, `down` says that a camera never came up.
        cause: why.
        final: no frame will follow, ever.
        epoch: of the attempt, for `down`.
    """

    kind: Literal["gap", "end", "down"]
    cause: str
    final: bool = False
    epoch: int = 0


Item = Arrival | Control


class Mailbox:
    """A one-frame queue with control items, for one writer at a time and any number of readers.

    Args:
        waits: True when the writer waits until the frame before has been taken.
    """

    def __init__(self, waits: bool) -> None:
        self.dropped = 0
        self._waits = waits
        self._items: deque[Item] = deque()
        self._changed = threading.Condition()
        self._writer = 0

    def put(self, arrival: Arrival, writer: int) -> bool:
        """Put a frame in; waits or replaces.

        Args:
            arrival: the frame.
            writer: what `change_writer` gave; another writer's frames are refused.

        Returns:
            False when the frame was refused: this writer has been replaced.
        """
        with self._changed:
            while self._waits and self._items and writer == self._writer:
                self._changed.wait(1.0)
            if writer != self._writer:
                return False
            if self._items and isinstance(self._items[-1], Arrival):
                self._items.pop()
                self.dropped += 1
            self._items.append(arrival)
            return True

    def change_writer(self, discard: bool = False) -> int:
        """Refuse frames of the writer until now, and give the number of the next one.

        Args:
            discard: frames that wait are thrown away too, and counted as dropped.
        """
        with self._changed:
            self._writer += 1
            if discard:
                kept = [item for item in self._items if isinstance(item, Control)]
                self.dropped += len(self._items) - len(kept)
                self._items = deque(kept)
            self._changed.notify_all()
            return self._writer

    def control(self, item: Control) -> None:
        """Put a control item in; never waits."""
        with self._changed:
            self._items.append(item)

    def peek(self) -> Item | None:
        """Look at the oldest item."""
        with self._changed:
            return self._items[0] if self._items else None

    def take(self) -> Item | None:
        """Take the oldest item out."""
        with self._changed:
            item = self._items.popleft() if self._items else None
            self._changed.notify()
            return item
