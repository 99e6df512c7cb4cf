"""What every tracker promises, tried on each of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from engine.load import load_class
from engine.tracker import FrameSteps, Tracker
from tests.walks import LABELS, SIZE_WH, Seen, centres, follow, ids, make_packets


@pytest.fixture(params=["sort_reference", "sort", "oc_sort"])
def kind(request: pytest.FixtureRequest) -> str:
    if request.param == "sort_reference":
        pytest.importorskip("filterpy", reason="the extra 'reference' is not installed")
    return str(request.param)


def make(kind: str, **fields: Any) -> Tracker:
    tracker = load_class(kind)(**fields)
    assert isinstance(tracker, Tracker)
    return tracker


def test_ids_persist_through_a_crossing(kind: str) -> None:
    # One walks right, one left, eight pixels apart in depth; their boxes cover each other in the middle.
    frames = [[Seen(50 + 5 * k, 96), Seen(250 - 5 * k, 104)] for k in range(40)]

    tracks = follow(make(kind), make_packets(frames))

    assert [ids(t) for t in tracks] == [[1, 2]] * 40
    assert np.allclose(centres(tracks[-1]), [[245, 96], [55, 104]], atol=2)


def test_a_track_is_confirmed_by_its_third_detection_in_a_row(kind: str) -> None:
    tracks = follow(make(kind), make_packets([[Seen(50)]] * 4))

    assert [t.confirmed.tolist() for t in tracks] == [[False], [False], [True], [True]]


def test_a_flicker_is_never_confirmed(kind: str) -> None:
    frames = [[Seen(50)] if k % 3 < 2 else [] for k in range(60)]

    tracks = follow(make(kind), make_packets(frames))

    assert not any(t.confirmed.any() for t in tracks)
    assert [ids(t) for t in tracks[:6]] == [[1], [1], [], [2], [2], []]


def test_two_detections_that_are_far_apart_in_time_confirm(kind: str) -> None:
    tracks = follow(make(kind), make_packets([[Seen(50)], None, [Seen(50)]]))

    assert [t.confirmed.tolist() for t in tracks] == [[False], [False], [True]]


def test_an_object_lost_for_less_than_max_coast_keeps_its_id(kind: str) -> None:
    frames = [[Seen(50 + 2 * k)] if k < 10 or k >= 18 else [] for k in range(25)]

    tracks = follow(make(kind, max_coast_s=1.0), make_packets(frames))

    assert [ids(t) for t in tracks] == [[1]] * 25
    assert tracks[17].coasted_s == pytest.approx(0.8)
    assert tracks[18].coasted_s == 0
    assert tracks[18].age_s == pytest.approx(1.8)
    assert centres(tracks[17])[0, 0] == pytest.approx(84, abs=1)


def test_who_was_seen_just_now_goes_before_who_has_been_lost(kind: str) -> None:
    # The first stands still and is lost; the second walks near and stops; then a detection nearer to the first comes.
    frames = [[Seen(100), Seen(70 + 2 * k)] for k in range(8)] + [[Seen(84)]] * 6 + [[Seen(93)]]

    tracks = follow(make(kind), make_packets(frames))

    assert tracks[-1].track_id[tracks[-1].coasted_s == 0].tolist() == [2]


def test_an_object_lost_for_longer_than_max_coast_ends(kind: str) -> None:
    frames = [[Seen(50)] if k < 10 or k >= 25 else [] for k in range(28)]

    tracks = follow(make(kind, max_coast_s=1.0), make_packets(frames))

    assert [len(t) for t in tracks[19:21]] == [1, 0]
    assert ids(tracks[25]) == [2]


def test_a_gap_in_time_longer_than_max_coast_ends_every_track(kind: str) -> None:
    times_s = [0.0, 0.1, 0.2, 0.3, 2.0, 2.1]

    tracks = follow(make(kind, max_coast_s=1.0), make_packets([[Seen(50)]] * 6, times_s=times_s))

    assert [ids(t) for t in tracks] == [[1], [1], [1], [1], [2], [2]]


def test_a_shorter_gap_in_time_moves_boxes_by_that_time(kind: str) -> None:
    times_s = [k / 10 for k in range(10)] + [1.6]
    frames = [[Seen(50 + 60 * t)] for t in times_s]

    tracks = follow(make(kind), make_packets(frames, times_s=times_s))

    assert ids(tracks[-1]) == [1]
    assert tracks[-1].velocity[0, 0] == pytest.approx(60, rel=0.05)


def test_ids_restart_after_a_flush(kind: str) -> None:
    tracker = make(kind)
    follow(tracker, make_packets([[Seen(50), Seen(150)]] * 4))

    assert tracker.flush("camera_gap") == ()

    tracks = tracker.process(make_packets([[Seen(60)]])[0]).tracks
    assert tracks is not None
    assert (ids(tracks), tracks.confirmed.tolist(), tracks.age_s.tolist()) == ([1], [False], [0.0])


def test_frames_that_were_not_looked_at_miss_nobody(kind: str) -> None:
    frames = [[Seen(50 + 3 * k)] for k in range(6)] + [None] * 25

    tracks = follow(make(kind, max_coast_s=1.0), make_packets(frames))

    assert ids(tracks[-1]) == [1]
    assert tracks[-1].confirmed.tolist() == [True]
    assert tracks[-1].coasted_s == pytest.approx(2.5)
    assert centres(tracks[-1])[0, 0] == pytest.approx(65 + 25 * 3, abs=4)


def test_flow_moves_boxes_in_frames_that_were_not_looked_at(kind: str) -> None:
    # A quarter-size flow of one pixel to the right and half a pixel down: four and two in the frame.
    flow = np.full((SIZE_WH[1] // 4, SIZE_WH[0] // 4, 2), (1, 0.5), np.float32)

    tracks = follow(make(kind), make_packets([[Seen(50)]] * 3 + [None] * 10, flow=flow))

    assert np.allclose(centres(tracks[-1]), [[90, 120]], atol=1.5)
    assert np.allclose(tracks[-1].velocity, [[40, 20]], atol=0.5)


def test_flow_that_cannot_be_seen_leaves_a_box_to_its_velocity(kind: str) -> None:
    flow = np.full((24, 32, 2), 9, np.float32)

    tracks = follow(make(kind), make_packets([[Seen(-60)]] * 3 + [None] * 4, flow=flow))

    assert np.allclose(centres(tracks[-1]), [[-60, 100]], atol=0.5)


def test_nothing_seen_gives_no_tracks_and_keeps_the_labels(kind: str) -> None:
    tracks = follow(make(kind), make_packets([[], [], None, []]))

    assert [len(t) for t in tracks] == [0, 0, 0, 0]
    assert tracks[-1].labels == LABELS
    assert tracks[0].xyxy.dtype == np.float32
    assert tracks[0].xyxy.shape == (0, 4)


def test_a_frame_before_any_detection_has_no_tracks(kind: str) -> None:
    assert len(follow(make(kind), make_packets([None]))[0]) == 0


def test_one_detection_gives_a_whole_row(kind: str) -> None:
    (tracks,) = follow(make(kind), make_packets([[Seen(50, confidence=0.75, class_id=1)]]))

    assert np.allclose(tracks.xyxy, [[40, 80, 60, 120]], atol=1e-3)
    assert tracks.confidence == pytest.approx(0.75)
    assert (tracks.label(0), ids(tracks)) == ("car", [1])
    assert tracks.velocity.tolist() == [[0, 0]]


def test_an_unsure_detection_continues_a_confirmed_track_and_starts_none(kind: str) -> None:
    weak = Seen(50, confidence=0.3)
    frames = [[Seen(50)]] * 3 + [[weak, Seen(200, confidence=0.3)]] * 3

    tracks = follow(make(kind), make_packets(frames))

    assert ids(tracks[-1]) == [1]
    assert tracks[-1].coasted_s == 0
    assert tracks[-1].confidence == pytest.approx(0.3)


def test_an_unsure_detection_confirms_nothing(kind: str) -> None:
    tracks = follow(make(kind), make_packets([[Seen(50)], [Seen(50, confidence=0.3)]]))

    assert len(tracks[-1]) == 0


def test_detections_below_low_confidence_do_not_exist(kind: str) -> None:
    frames = [[Seen(50)]] * 3 + [[Seen(50, confidence=0.05)]]

    tracks = follow(make(kind), make_packets(frames))

    assert tracks[-1].coasted_s == pytest.approx(0.1)


def test_a_track_keeps_to_its_class(kind: str) -> None:
    frames = [[Seen(50)]] * 3 + [[Seen(50, class_id=1)]]

    tracks = follow(make(kind), make_packets(frames))

    assert (ids(tracks[-1]), tracks[-1].class_id.tolist()) == ([1, 2], [0, 1])


def test_a_track_changes_its_class_where_that_is_allowed(kind: str) -> None:
    frames = [[Seen(50)]] * 3 + [[Seen(50, class_id=1)]]

    tracks = follow(make(kind, across_classes=True), make_packets(frames))

    assert (ids(tracks[-1]), tracks[-1].class_id.tolist()) == ([1], [1])


def test_a_box_that_shrinks_to_nothing_stays_finite(kind: str) -> None:
    tracker = make(kind)
    packets = make_packets([[Seen(50)]] * 4 + [None] * 60)
    for index in range(4):
        packets[index].detections.xyxy[0] = (50 - 12 + 3 * index, 100 - 12 + 3 * index, 51, 101)  # type: ignore[union-attr]

    tracks = follow(tracker, packets)

    assert all(np.isfinite(t.xyxy).all() for t in tracks)


def test_earlier_tables_do_not_change_later(kind: str) -> None:
    packets = make_packets([[Seen(50 + 3 * k)] for k in range(6)])
    tracker = make(kind)
    tracker.open()
    first = tracker.process(packets[0]).tracks
    assert first is not None
    before = {name: np.copy(getattr(first, name)) for name in ("xyxy", "confidence", "confirmed", "age_s", "coasted_s")}

    for packet in packets[1:]:
        tracker.process(packet)

    assert all(np.array_equal(getattr(first, name), value) for name, value in before.items())


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"min_confidence": 1.5}, "min_confidence must be between 0 and 1, got 1.5"),
        ({"low_confidence": -0.1}, "low_confidence must be between 0 and 1, got -0.1"),
        ({"low_confidence": 0.7}, "low_confidence must not be above min_confidence, got 0.7 and 0.6"),
        ({"min_iou": 0.0}, "min_iou must be above 0 and at most 1, got 0.0"),
        ({"confirm_hits": 0}, "confirm_hits must be 1 or more, got 0"),
        ({"max_coast_s": -1.0}, "max_coast_s must be 0 or more, got -1.0"),
    ],
)
def test_settings_that_cannot_be_meant_are_refused(kind: str, fields: dict[str, float], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        make(kind, **fields)


@pytest.mark.parametrize("hook", ["_clear", "_end_all", "_tracks", "_predict", "_associate"])
def test_a_tracker_without_its_parts_says_which(hook: str) -> None:
    arguments = {"_tracks": (0,), "_predict": (1.0, None), "_associate": (None, 0)}.get(hook, ())
    with pytest.raises(NotImplementedError, match=f"Tracker must define {hook}"):
        getattr(Tracker(), hook)(*arguments)


def test_frame_steps_learn_the_rate_and_count_lost_frames() -> None:
    steps = FrameSteps()

    counted = [steps.advance(pts_us)[1] for pts_us in (0, 40_000, 80_000, 121_000, 240_000, 240_000)]

    assert counted == pytest.approx([0, 1, 1, 1.025, 2.94, 0], abs=0.02)
    assert steps.interval_s == pytest.approx(0.0405)
