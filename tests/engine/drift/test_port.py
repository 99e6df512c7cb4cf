"""The way to a monitor in this process: what goes wrong there stays there."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import cast

import pytest

from engine.drift.monitor import DriftMonitor
from engine.drift.port import LocalDrift
from engine.drift.state import StateFolder
from tests.fake_drift import FakeMonitor, local_drift, make_sample, make_verdict


def test_verdicts_are_given_once_and_in_order_to_the_camera_they_are_about() -> None:
    dark, moved = make_verdict(cause="dark"), make_verdict(cause="moved")
    drift = local_drift("ab", FakeMonitor({0: [dark], 1: [moved]}))

    drift.observe("a", [make_sample(0.0), make_sample(1.0)])
    drift.observe("b", [make_sample(0.0)])

    assert drift.verdicts("a") == [dark, moved]
    assert drift.verdicts("a") == []
    assert drift.verdicts("b") == [dark]


def test_a_monitor_that_fails_is_named_once_a_camera_and_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    verdict = make_verdict()
    drift = local_drift("ab", FakeMonitor({4: [verdict]}, fails_at=(0, 2)))

    with caplog.at_level(logging.WARNING):
        for camera in "ab":
            for index in range(5):
                drift.observe(camera, [make_sample(float(index))])

    assert drift.verdicts("a") == [verdict]
    assert (drift.num_left_out("a"), drift.num_left_out("b"), drift.num_left_out("c")) == (2, 2, 0)
    assert [record.getMessage() for record in caplog.records] == [
        f"camera '{camera}': the drift monitor failed, the rest goes on: ZeroDivisionError: boom" for camera in "ab"
    ]


def test_closing_saves_each_monitor_once_and_lets_go_of_the_folder(tmp_path: Path) -> None:
    shared, own = FakeMonitor({}), FakeMonitor({})
    folder = StateFolder(tmp_path)
    folder.save("a", {}, {})
    assert folder.in_use

    LocalDrift(cast(dict[str, DriftMonitor], {"a": shared, "b": shared, "c": own}), folder).close()

    assert (shared.saved, own.saved) == (1, 1)
    assert not folder.in_use


def test_a_monitor_that_cannot_save_hurts_nobody(caplog: pytest.LogCaptureFixture) -> None:
    class Full(FakeMonitor):
        def save(self) -> None:
            raise OSError("no space left on device")

    local_drift("a", Full({})).close()
    assert "what is normal for the cameras could not be saved: no space left on device" in caplog.text
