from __future__ import annotations

from collections import defaultdict
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.event import Event
from operators.objects import Objects
from tests.track_rows import Row, play, types

HERE = (0.5, 0.6)


def life(rows: list[Row | None], end: Any = None, **options: Any) -> list[tuple[float, Event]]:
    """Let one object have a row a frame, ten times a second (None: it is not in the table)."""
    return play(Objects(**options), [[] if row is None else [row] for row in rows], end=end)


def test_new_comes_at_confirmation_and_end_when_the_track_is_gone() -> None:
    found = life([Row(HERE, confirmed=False), Row(HERE), Row(HERE), None, None])
    assert types(found) == [(0.1, "object.new"), (0.3, "object.end")]
    assert [event.rev for _, event in found] == [1, 2]
    assert found[0][1].object is not None
    assert (found[0][1].object.track_id, found[0][1].object.class_) == (1, "person")


def test_unconfirmed_tracks_are_never_published() -> None:
    assert life([Row(HERE, confirmed=False)] * 5 + [None], end="shutdown") == []


def test_a_coasting_track_is_alive() -> None:
    assert types(life([Row(HERE), *[Row(HERE, coasted_s=0.1 * i) for i in range(1, 9)], Row(HERE)])) == [
        (0.0, "object.new")
    ]


@pytest.mark.parametrize(
    ("last", "reason"),
    [
        (Row(HERE), "lost"),
        (Row((0.5, 0.99)), "left"),
        (Row((0.04, 0.6)), "left"),
        (Row((0.9, 0.6), velocity=(160.0, 0.0)), "left"),
        (Row((0.9, 0.6), velocity=(-160.0, 0.0)), "lost"),
        (Row((0.9, 0.6), velocity=(5.0, 0.0)), "lost"),
        (Row((0.98, 0.6), coasted_s=0.5), "left"),
    ],
)
def test_the_end_says_whether_the_object_left_or_was_lost(last: Row, reason: str) -> None:
    assert [event.reason for _, event in life([Row(HERE), last, None])] == [None, reason]


def test_the_end_tells_the_last_observation_and_not_the_prediction() -> None:
    found = life([Row((0.5, 0.6)), Row((0.6, 0.6)), Row((0.9, 0.6), coasted_s=0.1), None])
    assert found[-1][1].object is not None
    assert found[-1][1].object.xyxy_unit[3] == 0.6
    assert sum(found[-1][1].object.xyxy_unit[::2]) / 2 == pytest.approx(0.6, abs=1e-3)


@pytest.mark.parametrize("reason", ["camera_gap", "shutdown"])
def test_at_the_end_every_open_object_ends_with_the_reason(reason: Any) -> None:
    found = play(Objects(), [[Row(HERE, 7), Row(HERE, 3)]], end=reason)
    assert [(e.type, e.object.track_id, e.rev, e.reason) for _, e in found if e.object] == [
        ("object.new", 7, 1, None), ("object.new", 3, 1, None), ("object.end", 3, 2, reason), ("object.end", 7, 2, reason),
    ]  # fmt: skip


def test_after_the_end_it_is_as_after_open() -> None:
    rule = Objects()
    play(rule, [[Row(HERE)]], end="camera_gap")
    assert rule.flush("shutdown") == ()


def test_a_quiet_object_gets_a_heartbeat() -> None:
    found = life([Row(HERE)] * 51, heartbeat_s=2.0)
    assert types(found) == [(0.0, "object.new"), (2.0, "object.update"), (4.0, "object.update")]
    assert [event.rev for _, event in found] == [1, 2, 3]


def test_the_heart_beats_while_a_track_coasts() -> None:
    rows: list[Row | None] = [Row(HERE), *[Row(HERE, coasted_s=0.1 * i) for i in range(1, 25)]]
    assert types(life(rows, heartbeat_s=2.0)) == [(0.0, "object.new"), (2.0, "object.update")]


def test_a_clearly_surer_view_is_published_at_most_once_a_second() -> None:
    rows: list[Row | None] = [Row(HERE, confidence=min(0.99, 0.5 + 0.02 * i)) for i in range(40)]
    assert types(life(rows)) == [(0.0, "object.new"), (1.0, "object.update"), (2.0, "object.update")]


def test_a_clearly_larger_view_is_published_unless_it_is_less_sure() -> None:
    grown = [Row(HERE)] * 11 + [Row(HERE, height=0.3)] * 5
    assert types(life([*grown])) == [(0.0, "object.new"), (1.1, "object.update")]
    unsure = [Row(HERE)] * 11 + [Row(HERE, height=0.3, confidence=0.8)] * 5
    assert types(life([*unsure])) == [(0.0, "object.new")]


def test_another_class_is_published_when_most_observations_say_so() -> None:
    rows = [Row(HERE)] * 10 + [Row(HERE, class_id=1)] * 30
    found = life([*rows])
    assert types(found) == [(0.0, "object.new"), (2.2, "object.update")]
    assert [event.object.class_ for _, event in found if event.object] == ["person", "car"]


def test_a_class_that_flickers_is_not_published() -> None:
    rows: list[Row | None] = [Row(HERE, class_id=int(i % 3 == 1)) for i in range(60)]
    found = life([*rows, None])
    assert [(event.type, event.object.class_) for _, event in found if event.object] == [
        ("object.new", "person"),
        ("object.end", "person"),
    ]


def test_another_label_of_a_classifier_is_published_at_most_once_a_second() -> None:
    colors = [None] * 3 + ["red"] * 12 + ["blue"] * 2 + ["red"] * 20
    found = life([*(Row(HERE, color=color) for color in colors), None])
    labels = [(event.object.attributes or {}).get("color") for _, event in found if event.object]
    assert types(found) == [(0.0, "object.new"), (1.0, "object.update"), (3.7, "object.end")]
    assert [None if one is None else one.label for one in labels] == [None, "red", "red"]
    stays = life([Row(HERE, color="red" if i < 15 else "blue") for i in range(30)])
    assert types(stays) == [(0.0, "object.new"), (1.5, "object.update")]


def test_frames_without_a_tracker_end_nothing() -> None:
    assert types(play(Objects(), [[Row(HERE)], None, None, [Row(HERE)]])) == [(0.0, "object.new")]


def test_a_gap_in_time_only_makes_the_heart_beat() -> None:
    found = play(Objects(), [[Row(HERE)], [Row(HERE)]], times_s=[0.0, 60.0])
    assert types(found) == [(0.0, "object.new"), (60.0, "object.update")]


def test_an_empty_table_says_nothing() -> None:
    assert play(Objects(), [[], []], end="shutdown") == []


tables = st.lists(
    st.lists(
        st.builds(
            Row,
            foot=st.tuples(st.floats(0, 1), st.floats(0, 1)),
            track_id=st.integers(1, 3),
            confirmed=st.sampled_from([True, True, False]),
            coasted_s=st.sampled_from([0.0, 0.3]),
            confidence=st.floats(0, 1),
            class_id=st.integers(0, 2),
            height=st.floats(0.01, 0.9),
        ),
        max_size=3,
        unique_by=lambda row: row.track_id,
    ),
    max_size=30,
)


@settings(max_examples=80, deadline=None, derandomize=True)
@given(tables)
def test_every_new_gets_exactly_one_end_and_revs_count_without_a_gap(frames: list[list[Row]]) -> None:
    lives: dict[int, list[Event]] = defaultdict(list)
    for _, event in play(Objects(heartbeat_s=0.5), frames, end="shutdown"):
        assert event.object is not None
        lives[event.object.track_id].append(event)
    for events in lives.values():
        while events:
            assert events[0].type == "object.new"
            ends = [event.type for event in events].index("object.end")
            assert [event.rev for event in events[: ends + 1]] == list(range(1, ends + 2))
            assert {event.type for event in events[1:ends]} <= {"object.update"}
            del events[: ends + 1]


def test_a_heartbeat_of_no_time_is_refused() -> None:
    with pytest.raises(ValueError, match="heartbeat_s: must be above 0, got 0"):
        Objects(heartbeat_s=0)
