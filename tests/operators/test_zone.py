from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.event import Event, ZonePart
from operators.zone import Zone
from tests.track_rows import Row, play, types

YARD = ((0.2, 0.5), (0.8, 0.5), (0.8, 1.0), (0.2, 1.0))
IN, OUT = (0.5, 0.7), (0.5, 0.3)


def watch(feet: list[Any], end: Any = None, **options: Any) -> list[tuple[float, Event]]:
    """Let one object stand at a foot point a frame, ten times a second (None: it is not in the table)."""
    return play(Zone(YARD, **options), [[] if foot is None else [Row(foot)] for foot in feet], end=end)


def parts(found: list[tuple[float, Event]]) -> list[tuple[float, str, ZonePart | None]]:
    return [(round(t, 3), event.type.removeprefix("zone."), event.zone) for t, event in found]


def test_enters_after_min_inside_s_and_exits_after_min_outside_s() -> None:
    assert parts(watch([OUT, OUT, *[IN] * 10, *[OUT] * 5])) == [
        (0.5, "entered", ZonePart("rule", 1)),
        (1.5, "exited", ZonePart("rule", 0, 0.9)),
    ]


def test_the_events_are_about_the_object() -> None:
    found = play(Zone(YARD), [[Row(IN, track_id=9)]] * 5)
    assert [event.object.track_id for _, event in found if event.object] == [9]


def test_who_is_first_seen_inside_enters() -> None:
    assert types(watch([IN] * 5)) == [(0.3, "zone.entered")]


def test_occupancy_counts_everybody_inside() -> None:
    frames = [[Row(IN, 1), Row((0.3, 0.6), 2)]] * 5 + [[Row(OUT, 1), Row((0.3, 0.6), 2)]] * 5
    assert parts(play(Zone(YARD), frames)) == [
        (0.3, "entered", ZonePart("rule", 1)),
        (0.3, "entered", ZonePart("rule", 2)),
        (0.8, "exited", ZonePart("rule", 1, 0.4)),
    ]


def test_dwelled_comes_once_per_stay() -> None:
    stay = [IN] * 12
    found = watch([*stay, *[OUT] * 5, *stay], dwell_s=1.0)
    assert types(found) == [
        (0.3, "zone.entered"), (1.0, "zone.dwelled"), (1.5, "zone.exited"), (2.0, "zone.entered"), (2.7, "zone.dwelled"),
    ]  # fmt: skip
    assert [event.zone for _, event in found if event.type == "zone.dwelled"] == [ZonePart("rule", 1, 1.0)] * 2


def test_a_flicker_in_or_out_says_nothing() -> None:
    assert watch([OUT, OUT, IN, OUT, OUT, IN, IN, OUT]) == []
    assert types(watch([*[IN] * 5, OUT, OUT, *[IN] * 5, OUT, *[IN] * 5])) == [(0.3, "zone.entered")]


def test_who_stands_on_the_edge_does_not_enter_and_exit_at_every_step() -> None:
    edge = [(0.5, 0.5 + 0.008 * (-1) ** (i // 5)) for i in range(100)]
    assert types(watch([*[IN] * 5, *edge])) == [(0.3, "zone.entered")]


def test_without_waiting_times_the_first_observation_counts() -> None:
    found = watch([OUT, IN, OUT], min_inside_s=0.0, min_outside_s=0.0)
    assert types(found) == [(0.1, "zone.entered"), (0.2, "zone.exited")]


def test_a_track_that_ends_inside_exits_as_lost() -> None:
    found = watch([*[IN] * 5, None, None])
    assert types(found) == [(0.3, "zone.entered"), (0.5, "zone.exited")]
    assert (found[1][1].reason, found[1][1].zone) == ("lost", ZonePart("rule", 0, 0.4))


def test_a_track_that_ends_at_the_frames_edge_exits_as_left() -> None:
    assert [event.reason for _, event in watch([*[(0.5, 0.99)] * 5, None])] == [None, "left"]


def test_a_track_that_ends_on_its_way_in_says_nothing() -> None:
    assert watch([IN, IN, None, None], end="shutdown") == []


@pytest.mark.parametrize("reason", ["camera_gap", "shutdown"])
def test_at_the_end_everybody_exits_with_the_reason(reason: Any) -> None:
    frames = [[Row(IN, 2), Row((0.3, 0.6), 1), Row(OUT, 3)]] * 5
    found = play(Zone(YARD), frames, end=reason)[2:]
    assert [(event.object.track_id, event.zone) for _, event in found if event.object] == [
        (1, ZonePart("rule", 1, 0.4)),
        (2, ZonePart("rule", 0, 0.4)),
    ]
    assert {event.reason for _, event in found} == {reason}


def test_after_the_end_it_is_as_after_open() -> None:
    rule = Zone(YARD)
    play(rule, [[Row(IN)]] * 5)
    rule.flush("camera_gap")
    assert rule.flush("shutdown") == ()
    assert rule._visitors == {}


def test_predictions_neither_enter_nor_exit() -> None:
    assert play(Zone(YARD), [[Row(OUT)], *[[Row(IN, coasted_s=0.1)]] * 8]) == []
    frames = [*[[Row(IN)]] * 5, *[[Row(OUT, coasted_s=0.1)]] * 8, *[[Row(IN)]] * 3]
    assert types(play(Zone(YARD), frames)) == [(0.3, "zone.entered")]


def test_unconfirmed_tracks_never_count() -> None:
    assert play(Zone(YARD), [[Row(IN, confirmed=False)]] * 9, end="shutdown") == []


def test_frames_without_a_tracker_change_nothing() -> None:
    frames: list[list[Row] | None] = [[Row(IN)], None, None, [Row(IN)], None, None, [Row(IN)]]
    assert types(play(Zone(YARD), frames)) == [(0.3, "zone.entered")]


def test_a_gap_in_time_keeps_the_stay() -> None:
    found = play(Zone(YARD, dwell_s=3.0), [[Row(IN)]] * 3, times_s=[0.0, 0.4, 5.0])
    assert types(found) == [(0.4, "zone.entered"), (5.0, "zone.dwelled")]


def test_occupancy_changed_comes_on_request_once_a_frame() -> None:
    frames = [[Row(IN, 1), Row((0.3, 0.6), 2)]] * 5
    found = play(Zone(YARD, occupancy=True), frames, end="shutdown")
    assert [event.zone for _, event in found if event.type == "occupancy.changed"] == [
        ZonePart("rule", 2),
        ZonePart("rule", 0),
    ]


def test_an_empty_table_says_nothing() -> None:
    assert play(Zone(YARD, dwell_s=1.0), [[], []], end="shutdown") == []


histories = st.lists(
    st.lists(
        st.builds(
            Row,
            foot=st.sampled_from([IN, OUT, (0.5, 0.505), (0.5, 0.495), (0.5, 0.99), (0.05, 0.9)]),
            track_id=st.integers(1, 4),
            confirmed=st.sampled_from([True, True, True, False]),
            coasted_s=st.sampled_from([0.0, 0.0, 0.3]),
        ),
        max_size=4,
        unique_by=lambda row: row.track_id,
    ),
    max_size=40,
)


@settings(max_examples=80, deadline=None, derandomize=True)
@given(histories, st.sampled_from([0.0, 0.1, 0.3]), st.sampled_from([None, 0.2, 1.0]))
def test_a_consumer_can_rebuild_the_occupancy_from_the_events(
    frames: list[list[Row]], wait_s: float, dwell_s: float | None
) -> None:
    rule = Zone(YARD, dwell_s=dwell_s, min_inside_s=wait_s, min_outside_s=wait_s, occupancy=True)
    inside: set[int] = set()
    dwelled: set[int] = set()
    for _, event in play(rule, frames, end="camera_gap"):
        assert event.zone is not None
        track_id = event.object.track_id if event.object else 0
        if event.type == "zone.entered":
            assert track_id not in inside
            inside.add(track_id)
        elif event.type == "zone.exited":
            inside.remove(track_id)
            dwelled.discard(track_id)
        elif event.type == "zone.dwelled":
            assert track_id in inside - dwelled
            dwelled.add(track_id)
        assert event.zone.occupancy == len(inside)
    assert inside == set()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"polygon": YARD[:2]}, "polygon: needs at least three different points"),
        ({"polygon": (YARD[0], YARD[2], YARD[1], YARD[3])}, "polygon: edges 1 and 3 cross each other"),
        ({"polygon": YARD, "dwell_s": 0.0}, "dwell_s: must be above 0, got 0.0; leave it out"),
        ({"polygon": YARD, "min_inside_s": -1.0}, "min_inside_s: must be 0 or more, got -1.0"),
        ({"polygon": YARD, "min_outside_s": -1.0}, "min_outside_s: must be 0 or more"),
        ({"polygon": YARD, "margin": float("nan")}, "margin: must be 0 or more, got nan"),
    ],
)
def test_a_configuration_that_cannot_be_meant_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Zone(**options)
