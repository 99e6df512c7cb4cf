from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.clock import Anchor, Timeline, next_epoch
from engine.frame import CaptureTime, Frame, SourceFrame
from engine.picture import Picture

WRAP_S = 2**33 / 90_000
SMALL = Picture.from_bgr(np.zeros((4, 6, 3), np.uint8))
LARGE = Picture.from_bgr(np.zeros((8, 12, 3), np.uint8))


def stamp_all(timeline: Timeline, *times_s: float | None, arrived_unix_us: int | None = None) -> list[Frame]:
    return [timeline.stamp(SourceFrame(SMALL, pts_s), arrived_unix_us) for pts_s in times_s]


def places(frames: list[Frame]) -> list[tuple[int, int]]:
    return [(frame.epoch, frame.pts_us) for frame in frames]


def file_timeline(**options: float) -> Timeline:
    return Timeline("cam", 0, live=False, **options)  # type: ignore[arg-type]


def test_a_file_keeps_the_times_of_its_container() -> None:
    frames = stamp_all(file_timeline(), 1.4, 1.44, 1.48)

    assert places(frames) == [(0, 1_400_000), (0, 1_440_000), (0, 1_480_000)]
    assert [frame.index for frame in frames] == [0, 1, 2]
    assert frames[0].camera == "cam"


def test_a_live_stream_counts_from_its_first_frame() -> None:
    timeline = Timeline("cam", 7, live=True)

    assert places(stamp_all(timeline, 500.0, 500.04, arrived_unix_us=1)) == [(7, 0), (7, 40_000)]


def test_missing_times_follow_the_declared_rate_and_then_the_usual_interval() -> None:
    timeline = file_timeline(nominal_fps=10.0)

    times = stamp_all(timeline, 0.0, None, 0.2, 0.25, 0.3, 0.35, None)

    assert [frame.pts_us for frame in times] == [0, 100_000, 200_000, 250_000, 300_000, 350_000, 400_000]


def test_a_live_stream_whose_first_frames_state_no_time_continues_after_them() -> None:
    timeline = Timeline("cam", 7, live=True, nominal_fps=25.0)

    frames = stamp_all(timeline, None, None, 90.0, 90.04, arrived_unix_us=1)

    assert [frame.pts_us for frame in frames] == [0, 40_000, 80_000, 120_000]


def test_a_file_that_states_no_time_at_all_runs_at_its_declared_rate() -> None:
    assert [f.pts_us for f in stamp_all(file_timeline(nominal_fps=50.0), None, None, None)] == [0, 20_000, 40_000]
    assert [f.pts_us for f in stamp_all(file_timeline(), None, None)] == [0, 40_000]


def test_a_small_step_back_or_none_becomes_one_microsecond_and_is_counted() -> None:
    timeline = file_timeline()

    frames = stamp_all(timeline, 10.0, 10.0, 9.5, 10.04)

    assert places(frames) == [(0, 10_000_000), (0, 10_000_001), (0, 10_000_002), (0, 10_040_000)]
    assert timeline.steps_back == 2


@pytest.mark.parametrize(("second_s", "epoch"), [(9.000001, 0), (9.0, 1), (0.0, 1), (20.0, 0), (20.000001, 1)])
def test_a_second_back_or_more_than_ten_forward_begin_an_epoch(second_s: float, epoch: int) -> None:
    frames = stamp_all(file_timeline(), 10.0, second_s)

    assert frames[1].epoch == epoch
    if epoch:
        assert frames[1].pts_us == round(second_s * 1e6)
    assert frames[1].index == 1


def test_a_time_lapse_file_stays_in_one_epoch() -> None:
    frames = stamp_all(file_timeline(nominal_fps=1 / 60), 0.0, 60.0, 120.0, 180.0, 180.0 + 181.0)

    assert [frame.epoch for frame in frames] == [0, 0, 0, 0, 1]


def test_the_33_bit_wrap_goes_on_even_with_a_late_frame_around_it() -> None:
    start_s = WRAP_S - 0.06

    frames = stamp_all(file_timeline(), start_s, start_s + 0.04, 0.02, start_s + 0.05, 0.06, 0.10)

    first = round(start_s * 1e6)
    steps = [frame.pts_us - first for frame in frames]
    assert [frame.epoch for frame in frames] == [0] * 6
    assert steps[0] == 0
    assert steps[1:3] == pytest.approx([40_000, 80_000], abs=2)
    assert steps[3] == steps[2] + 1
    assert steps[4:] == pytest.approx([120_000, 160_000], abs=2)


def test_a_change_of_size_begins_an_epoch() -> None:
    timeline = file_timeline()
    frames = [timeline.stamp(SourceFrame(picture, t)) for picture, t in ((SMALL, 0.0), (LARGE, 0.04), (LARGE, 0.08))]

    assert places(frames) == [(0, 0), (1, 40_000), (1, 80_000)]


def test_the_capture_time_of_a_file_counts_from_its_recording_or_from_1970() -> None:
    assert stamp_all(file_timeline(), 2.5)[0].captured == CaptureTime(2_500_000, "container", 0)

    recorded = Timeline("cam", 0, live=False, starts_unix_us=1_700_000_000_000_000)
    assert stamp_all(recorded, 2.5)[0].captured == CaptureTime(1_700_000_002_500_000, "container", 1000)


def test_live_capture_times_follow_the_first_arrival_and_are_never_rewritten_within_an_epoch() -> None:
    timeline = Timeline("cam", 7, live=True)

    first = timeline.stamp(SourceFrame(SMALL, 90.0), 1_000_000)
    late = timeline.stamp(SourceFrame(SMALL, 90.04), 9_000_000)
    jumped = timeline.stamp(SourceFrame(SMALL, 5.0), 9_100_000)

    assert first.captured == CaptureTime(1_000_000, "arrival", 500)
    assert late.captured == CaptureTime(1_040_000, "arrival", 500)
    assert (jumped.epoch, jumped.pts_us) == (8, 0)
    assert jumped.captured == CaptureTime(9_100_000, "arrival", 500)


def test_an_anchor_ties_both_times_together() -> None:
    anchor = Anchor(pts_us=100, unix_us=5_000, clock="rtcp", uncertainty_ms=5)

    assert anchor.captured(140) == CaptureTime(5_040, "rtcp", 5)


def test_a_live_frame_without_its_arrival_time_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="a live frame needs its arrival time"):
        Timeline("cam", 7, live=True).stamp(SourceFrame(SMALL, 0.0))


def test_flags_and_vectors_travel_with_the_frame() -> None:
    vectors = np.zeros(2, [("source", "i4")])

    frame = file_timeline().stamp(SourceFrame(SMALL, 0.0, is_key=True, motion_vectors=vectors))

    assert frame.is_key
    assert frame.motion_vectors is vectors
    assert frame.picture is SMALL


def test_live_epochs_grow_without_a_store_and_with_a_clock_that_steps_back() -> None:
    assert next_epoch(None, 1700000000.9) == 1700000000
    assert next_epoch(1700000000, 1700000000.95) == 1700000001
    assert next_epoch(1700000500, 1700000000.0) == 1700000501


@dataclass(frozen=True)
class Plain:
    """The rules written once more, slowly, for raw times in microseconds and no wrap."""

    interval_us: int

    def run(self, raw: list[tuple[int | None, Picture]]) -> list[tuple[int, int]]:
        out: list[tuple[int, int]] = []
        recent: list[int] = []
        epoch, previous, size = 0, None, None
        for raw_us, picture in raw:
            if size is not None and picture.size_wh != size:
                epoch, previous = epoch + 1, None
            size = picture.size_wh
            usual = round(float(np.median(recent[-15:]))) if recent else self.interval_us
            if raw_us is None:
                now = 0 if previous is None else previous + usual
            elif previous is None:
                now = raw_us
            elif raw_us - previous <= -1_000_000 or raw_us - previous > 10_000_000:
                epoch, now = epoch + 1, raw_us
            elif raw_us <= previous:
                now = previous + 1
            else:
                recent.append(raw_us - previous)
                now = raw_us
            out.append((epoch, now))
            previous = now
        return out


steps_us = st.one_of(
    st.just(40_000),
    st.integers(-40_000, 200_000),
    st.integers(-1_200_000, 1_200_000),
    st.sampled_from([-1_000_000, -999_999, 0, 10_000_000, 10_000_001]),
    st.integers(-50_000_000, 50_000_000),
)


@settings(max_examples=300)
@given(st.lists(st.tuples(steps_us, st.booleans(), st.integers(0, 9)), max_size=60), st.booleans())
def test_any_stream_moves_strictly_forward_and_new_epochs_begin_exactly_by_the_rules(
    steps: list[tuple[int, bool, int]], live: bool
) -> None:
    raw: list[tuple[int | None, Picture]] = []
    at_us = 0
    for step_us, missing, size in steps:
        at_us += step_us
        raw.append((None if missing else at_us, LARGE if size == 0 else SMALL))
    timeline = Timeline("cam", 0, live, nominal_fps=25.0)

    frames = [timeline.stamp(SourceFrame(p, None if t is None else t / 1e6), 0) for t, p in raw]

    keys = places(frames)
    assert keys == sorted(set(keys))
    assert [frame.index for frame in frames] == list(range(len(raw)))
    if not live:
        assert keys == Plain(40_000).run(raw)
    assert all(frame.captured.unix_us == frame.pts_us for frame in frames)


@given(st.integers(0, 2**33 - 1), st.lists(st.integers(1, 900_000), min_size=1, max_size=40))
def test_a_wrapping_counter_gives_the_same_intervals_as_one_that_never_wraps(start: int, steps: list[int]) -> None:
    ticks = [start + sum(steps[:n]) for n in range(len(steps) + 1)]

    wrapped = stamp_all(file_timeline(), *((t % 2**33) / 90_000 for t in ticks))
    plain = stamp_all(file_timeline(), *(t / 90_000 for t in ticks))

    assert {frame.epoch for frame in wrapped} == {0}
    assert [f.pts_us for f in wrapped] == pytest.approx([f.pts_us for f in plain], abs=2)
