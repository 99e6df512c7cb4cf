from __future__ import annotations

import itertools
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.event import LinePart
from operators.line_count import LineCount
from tests.track_rows import Row, play

LEVEL = ((0.1, 0.5), (0.9, 0.5))
DOWN = [(0.5, 0.30 + 0.04 * i) for i in range(11)]


def count(feet: list[Any], line: Any = LEVEL, **options: Any) -> list[tuple[float, LinePart | None]]:
    """Let one object step from foot to foot, ten times a second (None: it is not in the table)."""
    frames = [[] if foot is None else [Row(foot)] for foot in feet]
    return [(round(t, 3), event.line) for t, event in play(LineCount(line, **options), frames)]


def test_counts_in_from_the_left_of_the_line_to_its_right() -> None:
    assert count(DOWN) == [(0.8, LinePart("rule", "in", 1, 0))]


def test_counts_out_the_other_way() -> None:
    assert count(DOWN[::-1]) == [(0.8, LinePart("rule", "out", 0, 1))]


def test_turning_the_line_round_swaps_the_directions() -> None:
    assert count(DOWN, LEVEL[::-1]) == [(0.8, LinePart("rule", "out", 0, 1))]


def test_the_event_is_about_the_object() -> None:
    [(_, event)] = play(LineCount(LEVEL), [[Row(foot, track_id=57)] for foot in DOWN])
    assert event.type == "line.crossed"
    assert event.object is not None
    assert (event.object.track_id, event.object.class_) == (57, "person")


def test_each_object_counts_and_the_counts_go_on() -> None:
    frames = [[Row(foot), Row((0.3, 1 - foot[1]), 2)] for foot in DOWN]
    assert [event.line for _, event in play(LineCount(LEVEL), frames)] == [
        LinePart("rule", "in", 1, 0),
        LinePart("rule", "out", 1, 1),
    ]


def test_an_object_that_comes_back_counts_both_ways() -> None:
    assert [part.direction for _, part in count(DOWN + DOWN[::-1]) if part] == ["in", "out"]


def test_counts_a_track_once_when_it_jitters_on_the_line() -> None:
    jitter = [(0.5, 0.5 + 0.0115 * (-1) ** i) for i in range(50)]
    assert len(count(DOWN[:5] + jitter + DOWN[6:])) == 1


def test_never_counts_a_track_that_only_jitters_on_the_line() -> None:
    assert count([DOWN[0], *[(0.5, 0.5 + 0.0115 * (-1) ** i) for i in range(50)], DOWN[0]]) == []


def test_a_flicker_to_the_other_side_does_not_count() -> None:
    near = (0.5, 0.4)
    assert count([near, near, (0.5, 0.7), near, near, (0.5, 0.7), near]) == []


def test_without_min_side_s_the_first_observation_counts() -> None:
    assert len(count([(0.5, 0.4), (0.5, 0.7)], min_side_s=0.0)) == 1


def test_passing_beside_the_end_of_the_line_does_not_count() -> None:
    assert count([(0.95, y) for _, y in DOWN]) == []


def test_coming_back_through_the_line_after_walking_round_its_end_counts_that_way() -> None:
    around = [(0.95, y) for _, y in DOWN] + [(0.5, 0.7)] * 2
    assert [part.direction for _, part in count(around + DOWN[::-1]) if part] == ["out"]


def test_an_object_that_appears_beyond_the_line_does_not_count() -> None:
    assert count(DOWN[7:]) == []


def test_a_line_at_any_angle_counts() -> None:
    slant = ((0.2, 0.2), (0.8, 0.8))
    path = [(0.2 + 0.06 * i, 0.8 - 0.06 * i) for i in range(11)]
    assert [part.direction for _, part in count(path, slant) if part] == ["out"]


def test_unconfirmed_tracks_never_count() -> None:
    assert play(LineCount(LEVEL), [[Row(foot, confirmed=False)] for foot in DOWN]) == []


def test_what_a_track_did_before_it_was_confirmed_does_not_count() -> None:
    assert play(LineCount(LEVEL), [[Row(foot, confirmed=foot[1] > 0.55)] for foot in DOWN]) == []


def test_a_prediction_across_the_line_counts_only_when_the_object_is_seen_there() -> None:
    hidden = [[Row(foot, coasted_s=0.1 if 0.4 < foot[1] < 0.65 else 0.0)] for foot in DOWN]
    assert [round(t, 3) for t, _ in play(LineCount(LEVEL, min_side_s=0.0), hidden)] == [0.9]
    lost = [[Row(foot, coasted_s=0.1 if foot[1] > 0.4 else 0.0)] for foot in DOWN]
    assert play(LineCount(LEVEL), lost) == []


def test_frames_without_a_tracker_change_nothing() -> None:
    frames = [[Row(foot)] if i % 3 == 0 else None for i, foot in enumerate([*DOWN, DOWN[-1], DOWN[-1]])]
    assert [event.line for _, event in play(LineCount(LEVEL), frames)] == [LinePart("rule", "in", 1, 0)]


def test_a_gap_in_time_does_not_hide_a_crossing() -> None:
    found = play(LineCount(LEVEL), [[Row(foot)] for foot in (DOWN[0], DOWN[9], DOWN[10])], times_s=[0.0, 5.0, 5.5])
    assert [t for t, _ in found] == [5.5]


def test_a_track_that_left_the_table_is_forgotten() -> None:
    assert count([DOWN[0], DOWN[1], None, DOWN[9], DOWN[10], DOWN[10], DOWN[10]]) == []


def test_a_far_object_counts_within_a_few_pixels_and_a_near_one_needs_a_clear_step() -> None:
    step = [(0.5, 0.49), (0.5, 0.49), *[(0.5, 0.51)] * 4]
    assert len(play(LineCount(LEVEL), [[Row(foot, height=0.05)] for foot in step])) == 1
    assert play(LineCount(LEVEL), [[Row(foot, height=0.5)] for foot in step]) == []


def test_a_line_near_the_frames_edge_can_be_crossed_by_somebody_close() -> None:
    low = ((0.0, 0.95), (1.0, 0.95))
    frames = [[Row((0.5, y), height=0.8)] for y in (0.8, 0.85, 0.9, 1.0, 1.0, 1.0, 1.0)]
    assert len(play(LineCount(low), frames)) == 1


def test_center_counts_where_feet_are_hidden() -> None:
    frames = [[Row((0.5, 0.6), height=0.4 - 0.04 * i)] for i in range(9)]
    assert play(LineCount(LEVEL), frames) == []
    assert len(play(LineCount(LEVEL, anchor="center"), frames)) == 1


def test_the_end_of_the_stream_says_nothing_and_forgets() -> None:
    rule = LineCount(LEVEL)
    assert len(play(rule, [[Row(foot)] for foot in DOWN], end="camera_gap")) == 1
    assert rule._tracks == {}
    assert [event.line for _, event in play(rule, [[Row(foot)] for foot in DOWN])] == [LinePart("rule", "in", 1, 0)]


def test_an_empty_table_says_nothing() -> None:
    assert play(LineCount(LEVEL), [[], []], end="shutdown") == []


steps = st.lists(
    st.lists(
        st.builds(
            Row,
            foot=st.tuples(st.floats(0, 1), st.floats(0, 1)),
            track_id=st.integers(1, 3),
            confirmed=st.sampled_from([True, True, False]),
            coasted_s=st.sampled_from([0.0, 0.0, 0.3]),
        ),
        max_size=3,
        unique_by=lambda row: row.track_id,
    ),
    max_size=30,
)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(steps, st.sampled_from([0.0, 0.1, 0.3]))
def test_the_counts_are_the_events_and_no_object_crosses_twice_the_same_way_without_coming_back(
    frames: list[list[Row]], min_side_s: float
) -> None:
    endless = ((0.0, 0.5), (1.0, 0.5))
    events = [event for _, event in play(LineCount(endless, min_side_s=min_side_s), frames)]
    seen = {"in": 0, "out": 0}
    for event in events:
        assert event.line is not None
        seen[event.line.direction] += 1
        assert (event.line.count_in, event.line.count_out) == (seen["in"], seen["out"])
    confirmed = {row.track_id for rows in frames for row in rows if row.confirmed}
    assert {event.object.track_id for event in events if event.object} <= confirmed
    alive = all({r.track_id for r in rows} == {1, 2, 3} for rows in frames)
    for track_id in (1, 2, 3) if alive else ():
        ways = [e.line.direction for e in events if e.line and e.object and e.object.track_id == track_id]
        assert all(a != b for a, b in itertools.pairwise(ways))


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.lists(st.floats(-0.0115, 0.0115), min_size=1, max_size=80), st.booleans())
def test_a_box_that_jitters_around_the_line_counts_at_most_once(offsets: list[float], through: bool) -> None:
    feet = [DOWN[0], *[(0.5, 0.5 + offset) for offset in offsets], *([DOWN[-1]] * 4 if through else [DOWN[0]])]
    assert len(count(feet)) == int(through)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"line": ((0.0, 0.4), (0.0, 0.4))}, "line: needs two different points"),
        ({"line": ((0.0, 0.4), (2.0, 0.4))}, "line: point .* is outside of the frame"),
        ({"line": LEVEL, "hysteresis": -0.1}, "hysteresis: must be at least 0 and below 1"),
        ({"line": LEVEL, "min_side_s": float("nan")}, "min_side_s: must be 0 or more, got nan"),
    ],
)
def test_a_configuration_that_cannot_be_meant_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        LineCount(**options)
