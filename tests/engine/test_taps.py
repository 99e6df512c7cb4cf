"""Taps only watch; one that samples frames feeds the drift monitor."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import ClassVar

import pytest

from engine.drift.port import DriftPort
from engine.operator import Operator
from engine.packet import Packet
from engine.plan import PlannedStep
from engine.taps import Taps
from tests.fake_drift import FakeMonitor, SampleFrames, local_drift, make_verdict
from tests.frames import make_frame


@dataclass
class Note(Operator):
    indices: list[int] = field(default_factory=list)
    fail_at: int = -1

    tap: ClassVar[bool] = True

    def process(self, packet: Packet) -> Packet:
        if packet.frame.index == self.fail_at:
            raise ZeroDivisionError("boom")
        self.indices.append(packet.frame.index)
        return packet


def opened(*operators: Operator, drift: DriftPort | None = None) -> Taps:
    taps = Taps("gate", [PlannedStep(f"tap{n}", operator) for n, operator in enumerate(operators)], drift)
    taps.open()
    return taps


def watch(taps: Taps, num: int) -> list[tuple[int, str, str]]:
    """Show frames; give the frame's index, type and rule of what is said."""
    said = []
    for index in range(num):
        said += [(index, event.type, event.rule) for event in taps.watch(Packet(make_frame(index)))]
    return said


def test_a_sampling_taps_samples_go_to_the_monitor_and_its_verdicts_come_back_as_events() -> None:
    raised, cleared = make_verdict(cause="fog"), make_verdict("drift.cleared", "fog", lasted_s=3.0)
    monitor = FakeMonitor({1: [raised], 3: [cleared, make_verdict(cause="dark")]})
    taps = opened(Note(), SampleFrames(every=2), drift=local_drift(["gate"], monitor))

    assert watch(taps, 8) == [(2, "drift.raised", "fog"), (6, "drift.cleared", "fog"), (6, "drift.raised", "dark")]
    assert [sample.pts_s for sample in monitor.seen["gate"]] == [0.0, 0.2, 0.4, 0.6]
    assert (taps.num_samples, taps.num_left_out) == (4, 0)


def test_where_nobody_watches_for_drift_a_sampling_tap_is_a_tap_like_others() -> None:
    taps = opened(SampleFrames())
    assert watch(taps, 3) == []
    assert (taps.num_samples, taps.num_left_out) == (0, 0)


def test_a_tap_that_fails_is_named_once_and_the_others_see_every_frame(caplog: pytest.LogCaptureFixture) -> None:
    note = Note()
    monitor = FakeMonitor({})
    taps = opened(SampleFrames(fail_at=1), note, Note(fail_at=2), drift=local_drift(["gate"], monitor))
    with caplog.at_level(logging.WARNING):
        watch(taps, 4)

    assert note.indices == [0, 1, 2, 3]
    assert [sample.pts_s for sample in monitor.seen["gate"]] == [0.0, 0.2, 0.3]
    assert [record.getMessage() for record in caplog.records] == [
        f"camera 'gate': tap '{name}' failed, the rest goes on: ZeroDivisionError: boom" for name in ("tap0", "tap2")
    ]


def test_a_monitor_that_fails_is_counted_and_hurts_no_tap() -> None:
    note = Note()
    taps = opened(SampleFrames(), note, drift=local_drift(["gate"], FakeMonitor({2: [make_verdict()]}, fails_at=(0,))))

    assert watch(taps, 3) == [(2, "drift.raised", "dark")]
    assert (taps.num_samples, taps.num_left_out) == (3, 1)
    assert note.indices == [0, 1, 2]
