"""Who shares a host, and what becomes of them when it dies."""

from __future__ import annotations

import pytest

from deployments.groups import FORGIVEN_AFTER_S, Group, after_death, divide

LIVES = {"a": True, "b": True, "c": True, "file": False}


@pytest.mark.parametrize(
    ("num_cameras", "num_hosts", "num_cores", "expected"),
    [
        (5, 2, 2, [(("0", "2", "4"), 1), (("1", "3"), 1)]),
        (3, 2, 8, [(("0", "2"), 4), (("1",), 4)]),
        (3, 3, 8, [(("0",), 3), (("1",), 3), (("2",), 2)]),
        (2, 4, 2, [(("0",), 1), (("1",), 1)]),
        (4, 4, 2, [(("0",), 1), (("1",), 1), (("2",), 1), (("3",), 1)]),
        (0, 4, 2, [((), 2)]),
    ],
)
def test_cameras_are_dealt_in_turn_and_threads_are_as_many_as_cores(
    num_cameras: int, num_hosts: int, num_cores: int, expected: list[tuple[tuple[str, ...], int]]
) -> None:
    groups = divide([str(n) for n in range(num_cameras)], num_hosts, num_cores)
    assert [(group.cameras, group.workers) for group in groups] == expected


def test_after_the_first_death_the_same_cameras_come_back_together() -> None:
    groups, given_up = after_death(Group(("a", "b"), 2), 5.0, set(), LIVES)
    assert groups == [Group(("a", "b"), 2, deaths=1, wait_s=0.5)]
    assert given_up == []


def test_after_the_second_death_each_camera_gets_a_host_of_its_own() -> None:
    groups, given_up = after_death(Group(("a", "b", "c"), 4, deaths=1), 5.0, set(), LIVES)
    assert groups == [Group(("a",), 1), Group(("b",), 1), Group(("c",), 1)]
    assert given_up == []


def test_a_death_long_ago_is_forgiven() -> None:
    groups, _ = after_death(Group(("a", "b"), deaths=1), FORGIVEN_AFTER_S, set(), LIVES)
    assert groups == [Group(("a", "b"), deaths=1, wait_s=0.5)]


def test_a_live_camera_alone_is_tried_for_ever_and_ever_less_often() -> None:
    group, waits = Group(("a",)), []
    for _ in range(9):
        (group,), _ = after_death(group, 1.0, set(), LIVES)
        waits.append(group.wait_s)
    assert waits == [0.5, 1, 2, 4, 8, 16, 30, 30, 30]


def test_a_recording_alone_is_given_up_at_the_third_death() -> None:
    (group,), _ = after_death(Group(("file",)), 1.0, set(), LIVES)
    (group,), _ = after_death(group, 1.0, set(), LIVES)
    assert after_death(group, 1.0, set(), LIVES) == ([], ["file"])


def test_cameras_that_have_ended_are_left_out() -> None:
    assert after_death(Group(("a", "file"), deaths=1), 1.0, {"file"}, LIVES)[0] == [Group(("a",), deaths=2, wait_s=1)]
    assert after_death(Group(("file",)), 1.0, {"file"}, LIVES) == ([], [])
