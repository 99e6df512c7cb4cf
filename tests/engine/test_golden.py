"""Comparing event logs: a person sees which camera, when, which object, and by how much."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from engine.errors import UsageError
from engine.golden import MAX_LINES, explain, read_log


def body(event_id: str, pts_s: float, **changes: Any) -> dict[str, Any]:
    return {
        "event_id": event_id, "type": "line.crossed", "camera": "gate", "pts_s": pts_s, "rule": "in", "seq": 1,
        "object": {"track_id": 4, "class": "person", "confidence": 0.9, "xyxy_unit": [0.1, 0.2, 0.3, 0.4]},
        "line": {"name": "in", "direction": "in", "count_in": 1, "count_out": 0}, **changes,
    }  # fmt: skip


def test_equal_logs_have_no_difference() -> None:
    assert explain([body("a", 1.0)], [body("a", 1.0)]) == []


def test_a_missing_and_a_new_event_are_named() -> None:
    assert explain([body("a", 1.0)], [body("b", 9.0)]) == [
        "- missing: gate 1.000 s line.crossed in person 4 at in",
        "+ new:     gate 9.000 s line.crossed in person 4 at in",
        "1 events expected, 1 found: 1 missing, 1 new, 0 changed",
    ]


def test_an_event_that_moved_in_time_reads_as_moved() -> None:
    moved = body(
        "b", 1.2, object={"track_id": 5, "class": "person", "confidence": 0.9, "xyxy_unit": [0.1, 0.2, 0.3, 0.45]}
    )
    assert explain([body("a", 1.0)], [moved])[0] == (
        "~ gate 1.000 s line.crossed in person 4 at in: +0.200 s; object.track_id 4 → 5; box moved by 5.00 % of the frame"
    )


def test_small_changes_pass_within_the_tolerance() -> None:
    near = body(
        "a", 1.0, object={"track_id": 4, "class": "person", "confidence": 0.91, "xyxy_unit": [0.1, 0.2, 0.3, 0.401]}
    )
    assert explain([body("a", 1.0)], [near], 0.02) == []
    assert "confidence 0.9 → 0.91; box moved by 0.10 %" in explain([body("a", 1.0)], [near])[0]


def drifted(**changes: Any) -> dict[str, Any]:
    part = {
        "cause": "dark", "text": "the picture is darker", "against": "normal", "score": 2.5, "moved_px": [10.0, -4.0],
        "statistics": [{"name": "brightness", "then": 120.0, "now": 40.0, "score": -2.5}],
        "picture": "data:image/jpeg;base64,AAAA", **changes,
    }  # fmt: skip
    return {"event_id": "d", "type": "drift.raised", "camera": "gate", "pts_s": 1.0, "rule": "dark", "drift": part}


def test_of_a_drifts_picture_and_text_it_only_matters_across_machines_that_they_are_there() -> None:
    other, none = drifted(picture="data:image/jpeg;base64,BBBB", text="darker"), drifted()
    del none["drift"]["picture"]

    assert explain([drifted()], [other], 0.01) == []
    assert (
        explain([drifted()], [other])[0]
        == "~ gate 1.000 s drift.raised of dark: another drift.text; another drift.picture"
    )
    for tolerance in (0.0, 0.01):
        assert explain([drifted()], [none], tolerance)[0].endswith(": drift.picture there → absent")
        assert explain([none], [drifted()], tolerance)[0].endswith(": drift.picture absent → there")


def test_numbers_about_drift_may_differ_by_a_share_of_themselves() -> None:
    near = drifted(
        score=2.51,
        moved_px=[10.05, -4.0],
        statistics=[{"name": "brightness", "then": 121.0, "now": 40.0, "score": -2.5}],
    )
    assert explain([drifted()], [near], 0.01) == []
    assert explain([drifted()], [near])[0] == (
        "~ gate 1.000 s drift.raised of dark: drift.score 2.5 → 2.51; drift.moved_px.x 10 → 10.05; "
        "drift.statistics.brightness.then 120 → 121"
    )


def test_another_order_is_a_difference() -> None:
    one, two = body("a", 1.0), body("b", 1.0)
    assert explain([one, two], [two, one]) == ["the same events in another order"]


def test_a_long_list_of_differences_is_cut() -> None:
    golden = [body(str(n), float(n * 10)) for n in range(100)]
    lines = explain(golden, [])
    assert len(lines) == MAX_LINES + 2
    assert lines[-2] == f"… and {100 - MAX_LINES} more differences"


def test_a_log_that_is_missing_or_no_log_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such event log"):
        read_log(tmp_path / "none.jsonl")
    (tmp_path / "bad.jsonl").write_text('{"event_id": 1}\n')
    with pytest.raises(UsageError, match=r"bad\.jsonl: line 1: not an event"):
        read_log(tmp_path / "bad.jsonl")
