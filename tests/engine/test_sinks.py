"""Sinks are opened, written and closed together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import pytest

from engine.errors import SinkError
from engine.event import Event
from engine.operator import Sink
from engine.sinks import SinkSet


@dataclass
class Memory(Sink):
    fails: bool = False
    left: int = 0
    said: list[str] = field(default_factory=list)

    def open(self) -> None:
        self.said.append("open")
        if self.fails:
            raise SinkError("no")

    def write(self, events: Sequence[Event], headers: Mapping[str, str]) -> None:
        self.said += [event.type for event in events]

    def flush(self, timeout_s: float) -> int:
        self.said.append("flush")
        return self.left

    def close(self) -> None:
        self.said.append("close")


def test_every_sink_gets_every_event() -> None:
    sinks = Memory(), Memory(left=2)
    together = SinkSet(sinks)
    together.open()
    together.write("a", [Event("x"), Event("y")], {})
    counts = together.finish(1.0)

    assert sinks[0].said == sinks[1].said == ["open", "x", "y", "flush", "close"]
    assert counts["memory"]["undelivered"] == 2


def test_when_one_cannot_be_opened_the_others_are_closed_again() -> None:
    good, bad = Memory(), Memory(fails=True)
    with pytest.raises(SinkError, match="no"):
        SinkSet((good, bad)).open()
    assert good.said == ["open", "close"]
