"""The monitor of a run: every camera on its own, and what is remembered of each."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from engine.drift.monitor import NUM_TOP, SAVE_EVERY_S, DriftMonitor, DriftVerdict
from engine.drift.settings import DriftSettings
from engine.drift.state import StateFolder
from engine.drift.training_normal import TrainingNormal
from tests.engine.drift.painted_camera import PaintedCamera, said
from tests.engine.drift.test_camera import BLURRED, MINUTE_S, SOON_S, cleared, raised, units_of
from tests.engine.drift.test_training_normal import build


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[StateFolder]:
    made = StateFolder(tmp_path / "drift")
    yield made
    made.close()


def make_monitor(store: StateFolder | None = None, **options: Any) -> DriftMonitor:
    return DriftMonitor(DriftSettings(), store=store, **options)


def events(verdicts: list[DriftVerdict]) -> list[bytes]:
    return [verdict.event().to_json() for verdict in verdicts]


def test_what_one_camera_does_never_changes_what_is_said_of_another() -> None:
    def verdicts_of_gate(with_others: bool) -> list[bytes]:
        monitor, gate, yard = make_monitor(), PaintedCamera(0), PaintedCamera(1)
        out = []
        for number in range(40):
            out += monitor.observe("gate", gate.film(30, BLURRED if 20 <= number < 30 else None))
            if with_others:
                monitor.observe("yard", yard.film(30, units_of("dark") if number % 2 else None))
                monitor.observe(f"camera {number}", PaintedCamera(number).film(10))
        assert said(out) == [raised("blurred"), cleared("blurred")]
        return events(out)

    assert verdicts_of_gate(with_others=True) == verdicts_of_gate(with_others=False)


def test_how_samples_are_handed_over_does_not_matter() -> None:
    def verdicts_in(pieces: int) -> list[bytes]:
        monitor, camera = make_monitor(), PaintedCamera(0)
        samples = camera.film(10 * MINUTE_S) + camera.film(SOON_S, BLURRED) + camera.film(SOON_S)
        out = [v for at in range(0, len(samples), pieces) for v in monitor.observe("gate", samples[at : at + pieces])]
        assert said(out) == [raised("blurred"), cleared("blurred")]
        return events(out)

    assert verdicts_in(1) == verdicts_in(7) == verdicts_in(10_000)


def test_no_samples_say_nothing() -> None:
    monitor = make_monitor()
    assert monitor.observe("gate", []) == []
    status = monitor.status()["gate"]
    assert (status.state, status.settled, status.samples, status.last_unix_s, status.top) == (
        "settling",
        0,
        0,
        None,
        (),
    )


def test_status_goes_from_settling_to_normal_to_drift_and_back() -> None:
    monitor, camera = make_monitor(), PaintedCamera()
    monitor.observe("gate", camera.film(70))
    status = monitor.status()["gate"]
    assert status.state == "settling"
    assert status.settled == pytest.approx(0.5, abs=0.05)

    monitor.observe("gate", camera.film(20 * MINUTE_S))
    status = monitor.status()["gate"]
    assert (status.state, status.settled, status.causes) == ("normal", 1, ())
    assert status.score < 1
    assert status.normal_s >= 18 * MINUTE_S
    assert status.hours == (12,)

    onset_unix_s = camera.unix_s
    monitor.observe("gate", camera.film(SOON_S, BLURRED))
    status = monitor.status()["gate"]
    assert status.state == "drift"
    assert [cause["cause"] for cause in status.causes] == ["blurred"]
    assert status.causes[0]["against"] == "normal"
    assert status.causes[0]["since_unix_s"] == pytest.approx(onset_unix_s, abs=SOON_S)
    assert status.score > 1
    assert len(status.top) == NUM_TOP
    assert abs(status.top[0]["score"]) == pytest.approx(status.score, abs=0.01)

    monitor.observe("gate", camera.film(SOON_S))
    status = monitor.status()["gate"]
    assert (status.state, status.causes) == ("normal", ())
    assert (status.samples, status.unusable) == (round(camera.pts_s / 2), 0)
    assert status.every_s == pytest.approx(2, abs=0.01)
    assert status.last_unix_s == camera.unix_s - 2


def test_a_status_is_plain_json() -> None:
    monitor, camera = make_monitor(), PaintedCamera()
    monitor.observe("gate", camera.film(20 * MINUTE_S) + camera.film(SOON_S, BLURRED))
    found = monitor.status()["gate"].to_dict()
    assert json.loads(json.dumps(found)) == found
    assert found["hours"] == [12]


def test_history_holds_the_last_checks() -> None:
    monitor, camera = make_monitor(keep_checks=7), PaintedCamera()
    monitor.observe("gate", camera.film(10 * MINUTE_S))
    stops = [check.stop_s for check in monitor.history("gate")]
    assert len(stops) == 7
    assert stops == sorted(stops)
    assert monitor.history("nobody") == []


def test_training_is_given_by_camera() -> None:
    monitor = make_monitor(training={"gate": TrainingNormal.of(build(), "gate")})
    for name in ("gate", "yard"):
        monitor.observe(name, PaintedCamera().film(10))
    assert {name: status.settled for name, status in monitor.status().items()} == {"gate": 1, "yard": 0}


def test_accepting_clears_what_is_raised_and_settles_anew() -> None:
    monitor, camera = make_monitor(), PaintedCamera()
    monitor.observe("gate", camera.film(10 * MINUTE_S) + camera.film(SOON_S, BLURRED))
    assert said(monitor.accept("gate")) == [cleared("blurred")]
    assert monitor.status()["gate"].state == "settling"
    assert monitor.observe("gate", camera.film(10 * MINUTE_S, BLURRED)) == []
    assert monitor.status()["gate"].state == "normal"
    assert monitor.accept("nobody") == []


# What is remembered.


def test_a_restarted_monitor_neither_settles_nor_raises_again(folder: StateFolder) -> None:
    camera = PaintedCamera()
    first = make_monitor(folder)
    first.observe("gate", camera.film(10 * MINUTE_S))
    assert said(first.observe("gate", camera.film(SOON_S, BLURRED))) == [raised("blurred")]
    before = first.status()["gate"]

    again = make_monitor(folder)
    assert again.observe("gate", camera.film(10 * MINUTE_S, BLURRED)) == []
    after = again.status()["gate"]
    assert (after.state, after.settled, after.causes) == ("drift", 1, before.causes)
    assert said(again.observe("gate", camera.film(SOON_S))) == [cleared("blurred")]

    third = make_monitor(folder)
    assert third.observe("gate", camera.film(10 * MINUTE_S)) == []
    assert third.status()["gate"].state == "normal"


def test_it_is_saved_when_settled_now_and_then_and_at_each_verdict(
    folder: StateFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    saved: list[float] = []
    monitor, camera = make_monitor(folder), PaintedCamera()
    monkeypatch.setattr(folder, "save", lambda *_: saved.append(camera.pts_s))
    for _ in range(10 * 6):
        monitor.observe("gate", camera.film(10))
    assert len(saved) == 2
    assert saved[0] <= 3 * MINUTE_S
    assert max(b - a for a, b in pairwise(saved)) <= SAVE_EVERY_S + 10
    saved.clear()
    said_at = []
    for _ in range(40):
        if monitor.observe("gate", camera.film(5, BLURRED)):
            said_at.append(camera.pts_s)
    assert len(said_at) == 1
    assert set(said_at) <= set(saved)


def test_saving_by_name_saves_that_camera_and_without_all(folder: StateFolder) -> None:
    monitor = make_monitor(folder)
    for name in ("gate", "yard"):
        monitor.observe(name, PaintedCamera().film(10))
    assert folder.cameras() == []
    monitor.save("yard")
    assert folder.cameras() == ["yard"]
    monitor.save()
    assert folder.cameras() == ["gate", "yard"]
    make_monitor().save()


def test_what_is_remembered_of_another_version_is_named_and_the_camera_settles_anew(
    folder: StateFolder, caplog: pytest.LogCaptureFixture
) -> None:
    folder.save("gate", {}, {"of": "another version"})
    monitor, camera = make_monitor(folder), PaintedCamera()
    with caplog.at_level(logging.WARNING):
        assert monitor.observe("gate", camera.film(10 * MINUTE_S)) == []
    (record,) = caplog.records
    assert record.getMessage().startswith("camera 'gate': what was remembered of it does not fit this version")
    assert record.getMessage().endswith("it settles anew")
    assert said(monitor.observe("gate", camera.film(SOON_S, BLURRED))) == [raised("blurred")]


def test_somebody_else_can_ask_for_the_present_to_be_accepted(folder: StateFolder) -> None:
    monitor, gate, yard = make_monitor(folder), PaintedCamera(0), PaintedCamera(1)
    for name, camera in (("gate", gate), ("yard", yard)):
        monitor.observe(name, camera.film(10 * MINUTE_S))
        assert said(monitor.observe(name, camera.film(SOON_S, BLURRED))) == [raised("blurred")]
    StateFolder(folder.path).request("gate", "accept")
    # Whoever hands over samples first finds the request.
    assert monitor.observe("yard", yard.film(4, BLURRED)) == []
    assert said(monitor.observe("gate", gate.film(4, BLURRED))) == [cleared("blurred")]
    assert monitor.observe("gate", gate.film(10 * MINUTE_S, BLURRED)) == []
    assert {name: status.state for name, status in monitor.status().items()} == {"gate": "normal", "yard": "drift"}


def test_without_a_store_nothing_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    make_monitor().observe("gate", PaintedCamera().film(5 * MINUTE_S))
    assert list(tmp_path.iterdir()) == []
