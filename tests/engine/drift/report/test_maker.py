from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from engine.drift.monitor import DriftVerdict
from engine.drift.report.maker import compare_outside, make_report
from engine.drift.report.parts import DriftReport
from engine.drift.sample import DriftSample
from engine.drift.settings import DriftSettings
from tests.engine.drift.report.builders import ScriptedMonitor, make_part, make_sample, training

WIDE = DriftSettings(window_s=10, settle_s=20)


def seconds(count: int, epoch: int = 0) -> Iterator[DriftSample]:
    return (make_sample(t, epoch) for t in range(count))


def made(monitor: ScriptedMonitor, samples: Iterator[DriftSample], **options: Any) -> DriftReport:
    return make_report("gate", "gate.mp4", samples, options.pop("settings", WIDE), make_monitor=monitor.make, **options)


def raised(began_s: float | None = None, cause: str = "blurred") -> DriftVerdict:
    return DriftVerdict("drift.raised", make_part(cause, began_s=began_s))


def cleared(cause: str = "blurred") -> DriftVerdict:
    return DriftVerdict("drift.cleared", make_part(cause, lasted_s=5.0))


def test_puts_what_was_said_on_the_axis_of_time() -> None:
    report = made(ScriptedMonitor({10: raised(7.0), 20: cleared(), 30: raised(cause="dark")}), seconds(60))
    assert [(one.part.cause, one.began_s, one.raised_s, one.cleared_s) for one in report.findings] == [
        ("blurred", 7, 10, 20), ("dark", 30, 30, None),
    ]  # fmt: skip
    assert report.main is report.findings[1]
    # The monitor looked at every second sample, and had forgotten all but the last four.
    assert [check.at_s for check in report.checks] == [float(t) for t in range(1, 60, 2)]


def test_learns_what_is_normal_from_another_recording() -> None:
    monitor = ScriptedMonitor({5: raised(), 40: raised(2.0, "dark")})
    report = made(monitor, seconds(30, epoch=1), normal=seconds(30), normal_where="monday.mp4")
    assert report.normal is not None
    assert (len(report.normal), len(report.series), len(monitor.seen)) == (30, 30, 60)
    assert report.then is report.normal
    # What began in the other recording and lasts goes on from the start of this one.
    assert [(one.part.cause, one.began_s) for one in report.findings] == [("blurred", 0), ("dark", 2)]
    assert report.notes == ["The recording that the normal was learnt from is not without drift: blurred."]
    assert report.checks[0].at_s == 1


@pytest.mark.parametrize(
    ("count", "normal", "settle_s", "window_s", "notes"),
    [(41, None, 20, 10, 0), (31, None, 15, 10, 1), (1, None, 15, 10, 1), (0, None, 15, 10, 1), (41, 12, 15, 10, 1),
     (21, 30, 20, 10, 0)],
)  # fmt: skip
def test_fits_windows_to_short_footage_and_says_so(
    count: int, normal: int | None, settle_s: float, window_s: float, notes: int
) -> None:
    monitor = ScriptedMonitor({})
    before = None if normal is None else seconds(normal)
    report = made(monitor, seconds(count, epoch=1), normal=before)
    assert (monitor.settings.settle_s, monitor.settings.window_s) == (settle_s, window_s)
    assert report.settings is monitor.settings
    assert len(report.notes) == notes
    # Nothing that was read to find the length is lost or seen twice.
    assert len(report.series) == count
    assert len(monitor.seen) == count + (normal or 0)


def test_half_the_footage_has_half_the_windows() -> None:
    monitor = ScriptedMonitor({})
    report = made(monitor, seconds(121), settings=DriftSettings(every_s=6))
    assert (monitor.settings.settle_s, monitor.settings.window_s, monitor.settings.every_s) == (60, 30, 3)
    assert "1 min stand for what is normal and 30 s for the present, in place of 2 min and 1 min" in report.notes[0]


def test_windows_that_somebody_has_set_stay() -> None:
    monitor = ScriptedMonitor({})
    assert made(monitor, seconds(5), adjust=False).settings == WIDE
    assert monitor.settings == WIDE


def test_without_training_data_the_second_opinion_compares_with_before() -> None:
    seen: list[dict[str, Any]] = []

    def compare(reference: Any, current: Any, *, categorical: Any) -> Any:
        seen.append({"reference": reference, "current": current, "categorical": categorical})
        return "what it says"

    report = made(ScriptedMonitor({35: raised(30.0)}), seconds(60))
    found: Any = compare_outside(report, compare).outside
    assert found == "what it says"
    assert len(seen[0]["reference"]["brightness"]) == 30
    assert len(seen[0]["current"]["brightness"]) == 30
    assert seen[0]["categorical"] == ("class",)
    compare_outside(made(ScriptedMonitor({}), seconds(60), reference=training()), compare)
    assert set(np.unique(seen[1]["reference"]["class"])) <= {"person", "car"}
    assert len(seen[1]["reference"]["class"]) == len(seen[1]["reference"]["confidence"])
