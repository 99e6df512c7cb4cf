"""A run's numbers, added up."""

from __future__ import annotations

from engine.summary import CameraSummary, Summary


def test_the_numbers_of_two_processes_that_ran_a_camera_add_up() -> None:
    first = CameraSummary(frames_decoded=10, connections=1, first_s=5.0, last_s=8.0)
    second = CameraSummary(frames_decoded=7, connections=2, first_s=9.0, last_s=12.0)
    first.events["camera.up"] = 1
    second.events["camera.up"] = 2
    second.latency.add(4.0)

    sum_of_both = CameraSummary()
    for part in (first, second, CameraSummary()):
        sum_of_both.add(part)

    assert (sum_of_both.frames_decoded, sum_of_both.connections, sum_of_both.events["camera.up"]) == (17, 3, 3)
    assert (sum_of_both.first_s, sum_of_both.last_s) == (5.0, 12.0)
    assert sum_of_both.latency.percentiles() == {"p50": 4.0, "p95": 4.0, "p99": 4.0}


def test_a_run_is_busy_from_its_first_frame_to_its_last() -> None:
    cameras = {"a": CameraSummary(first_s=5.0, last_s=8.0), "b": CameraSummary(first_s=6.0, last_s=9.5)}
    assert Summary({**cameras, "idle": CameraSummary()}).busy_s == 4.5
    assert Summary({}).busy_s == 0.0
