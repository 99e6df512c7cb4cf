"""Settings of the drift monitor: what cannot be meant is said at once."""

from __future__ import annotations

from typing import Any

import pytest

from engine.drift.diagnosis import MEASURES
from engine.drift.settings import DriftSettings


def test_defaults_are_valid_and_watch_everything() -> None:
    settings = DriftSettings()
    assert (settings.every_s, settings.sensitivity, settings.ignore, dict(settings.thresholds)) == ("auto", 1.0, (), {})
    assert settings.settle_s >= settings.window_s


def test_every_measure_may_have_a_threshold_of_its_own() -> None:
    assert DriftSettings(thresholds=dict.fromkeys(MEASURES, 2.0)).thresholds["sharpness"] == 2.0


def test_a_tenth_of_the_window_is_the_longest_interval() -> None:
    assert DriftSettings(window_s=30, every_s=3).every_s == 3


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"window_s": 0.0}, r"^window_s: must be above 0, got 0\.0$"),
        ({"window_s": float("inf")}, r"^window_s: must be above 0, got inf$"),
        ({"settle_s": -1.0}, r"^settle_s: must be above 0, got -1\.0$"),
        ({"sensitivity": float("nan")}, r"^sensitivity: must be above 0, got nan$"),
        ({"every_s": 7.0}, r"^every_s: a window of 60 s needs at least ten samples, so from 0 to 6, got 7$"),
        ({"every_s": 0.0}, r"^every_s: .* from 0 to 6, got 0$"),
        ({"ignore": ("darkk",)}, r"^ignore: no cause is called 'darkk' \(did you mean 'dark'\?\)$"),
        (
            {"thresholds": {"sharpnes": 2.0}},
            r"^thresholds: nothing is measured as 'sharpnes' \(did you mean 'sharpness'\?\)$",
        ),
        ({"thresholds": {"dirty": 0.0}}, r"^thresholds\.dirty: must be above 0, got 0$"),
        ({"thresholds": {"dirty": float("inf")}}, r"^thresholds\.dirty: must be above 0, got inf$"),
    ],
)
def test_what_cannot_be_meant_is_refused(options: dict[str, Any], match: str) -> None:
    with pytest.raises(ValueError, match=match):
        DriftSettings(**options)
