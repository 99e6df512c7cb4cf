"""Events that wait to be delivered: in order, bounded, counted; without a thread, a network or a disk.

A sink that talks to a network takes rounds from it and settles them; what it did not settle as delivered or refused
goes back to the front, so that order survives every failure.
"""

from __future__ import annotations

import collections
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from engine.event import Event

WhenFull = Literal["drop_oldest", "drop_newest"]

LATENCY_SAMPLES = 8192


@dataclass(slots=True)
class Waiting:
    """An event in the queue, with the headers it came with and the monotonic time when it was accepted."""

    event: Event
    headers: Mapping[str, str]
    accepted_s: float
    body: bytes = b""

    def encode(self) -> bytes:
        """Write the body once.

        Raises:
            TypeError: the event holds something that JSON cannot hold.
            ValueError: likewise.
        """
        if not self.body:
            self.body = self.event.to_json()
        return self.body


class Outbox:
    """A bounded queue of events with one taker; `accept()` may be called from any thread and never waits for it.

    Args:
        max_events: so many may wait, those in the round that is under way included.
        when_full: which event gives way when one more comes. The round under way never does.
    """

    def __init__(self, max_events: int, when_full: WhenFull = "drop_oldest") -> None:
        self._max_events = max_events
        self._when_full = when_full
        self._changed = threading.Condition()
        self._waiting: collections.deque[Waiting] = collections.deque()
        self._taken = 0
        self._counts = dict.fromkeys(("accepted", "delivered", "resent", "dropped", "dead_lettered"), 0)
        self._ack_s: collections.deque[float] = collections.deque(maxlen=LATENCY_SAMPLES)
        self._capture_to_ack_s: collections.deque[float] = collections.deque(maxlen=LATENCY_SAMPLES)

    def __len__(self) -> int:
        with self._changed:
            return self._left()

    @property
    def num_dropped(self) -> int:
        """How many events gave way because it was full."""
        return self._counts["dropped"]

    def accept(self, events: Sequence[Event], headers: Mapping[str, str]) -> None:
        """Append events; a full queue drops by its policy, and counts it."""
        now = time.monotonic()
        with self._changed:
            for event in events:
                if self._left() >= self._max_events:
                    self._counts["dropped"] += 1
                    if self._when_full == "drop_newest" or not self._waiting:
                        continue
                    self._waiting.popleft()
                self._waiting.append(Waiting(event, headers, now))
            self._counts["accepted"] += len(events)
            self._changed.notify_all()

    def take(self, max_events: int, timeout_s: float) -> list[Waiting]:
        """Begin a round with the oldest events; waits up to `timeout_s` for one, and may give none."""
        with self._changed:
            if not self._waiting:
                self._changed.wait(timeout_s)
            taken = [self._waiting.popleft() for _ in range(min(max_events, len(self._waiting)))]
            self._taken = len(taken)
            return taken

    def put_back(self, items: Sequence[Waiting]) -> None:
        """Put the last events of a round, in order, back to the front: they were not tried."""
        with self._changed:
            self._waiting.extendleft(reversed(items))
            self._taken -= len(items)

    def settle(self, delivered: Sequence[Waiting], kept: Sequence[Waiting], num_refused: int) -> None:
        """End a round: what is kept, in order, is at the front again and will be sent once more."""
        now, wall_s = time.monotonic(), time.time()
        with self._changed:
            self._waiting.extendleft(reversed(kept))
            self._taken = 0
            self._counts["delivered"] += len(delivered)
            self._counts["resent"] += len(kept)
            self._counts["dead_lettered"] += num_refused
            self._ack_s.extend(now - item.accepted_s for item in delivered)
            arrivals = (item.event.time_us for item in delivered if item.event.clock == "arrival")
            self._capture_to_ack_s.extend(wall_s - time_us / 1_000_000 for time_us in arrivals)
            self._changed.notify_all()

    def wait_empty(self, timeout_s: float) -> int:
        """Wait until nothing is left; give the number of events that are."""
        with self._changed:
            self._changed.wait_for(lambda: self._left() == 0, timeout_s)
            return self._left()

    def wake(self) -> None:
        """End a `take()` that waits."""
        with self._changed:
            self._changed.notify_all()

    def counts(self) -> dict[str, float]:
        """Give the counts, and percentiles over the latest 8192 delivered events in milliseconds.

        accepted = delivered + waiting + dropped + dead_lettered.
        """
        with self._changed:
            counts: dict[str, float] = {**self._counts, "waiting": self._left()}
            samples = {"ack_ms": list(self._ack_s), "capture_to_ack_ms": list(self._capture_to_ack_s)}
        for name, values in samples.items():
            ordered = sorted(values)
            for percent in (50, 95, 99) if ordered else ():
                rank = min(len(ordered) - 1, len(ordered) * percent // 100)
                counts[f"{name}_p{percent}"] = round(ordered[rank] * 1000, 3)
        return counts

    def _left(self) -> int:
        return len(self._waiting) + self._taken
