from __future__ import annotations

import numpy as np

from engine.detections import Detections
from training.teach.tracks import Track, link, one_name

LABELS = ("person", "car")


def seen(*rows: tuple[float, float, float, int]) -> Detections:
    """Boxes of 20x40 by left, top, confidence and class."""
    xyxy = [(left, top, left + 20, top + 40) for left, top, _, _ in rows]
    return Detections(
        np.array(xyxy, np.float32).reshape(-1, 4),
        np.array([row[2] for row in rows], np.float32),
        np.array([row[3] for row in rows], np.int64),
        LABELS,
    )


def lefts(tracks: list[Track]) -> list[list[float]]:
    return [[float(box[0]) for box in track.xyxy] for track in tracks]


def times(count: int) -> list[float]:
    return [index / 10 for index in range(count)]


def linked(frames: list[Detections]) -> list[Track]:
    return link(frames, times(len(frames)), sure=0.5, max_gap_s=1.0)


def test_two_that_walk_apart_are_two_tracks() -> None:
    tracks = linked([seen((100 + 4 * i, 0, 0.9, 0), (90 - 4 * i, 0, 0.9, 0)) for i in range(6)])
    assert lefts(tracks) == [[100 + 4 * i for i in range(6)], [90 - 4 * i for i in range(6)]]


def test_a_weak_detection_continues_a_track_and_does_not_take_the_place_of_a_sure_one() -> None:
    tracks = linked([seen((0, 0, 0.9, 0)), seen((0, 0, 0.3, 0)), seen((2, 0, 0.25, 0), (6, 0, 0.9, 0))])
    assert lefts(tracks) == [[0, 0, 6], [2]]
    assert tracks[0].frame == [0, 1, 2]


def test_a_track_goes_on_behind_a_gap_where_its_motion_leads() -> None:
    frames = [seen((10 * i, 0, 0.9, 0)) if i not in (5, 6, 7, 8) else seen() for i in range(14)]
    (track,) = linked(frames)
    assert track.frame == [0, 1, 2, 3, 4, 9, 10, 11, 12, 13]


def test_a_gap_of_more_than_a_second_ends_a_track() -> None:
    frames = [seen((0, 0, 0.9, 0)) if i < 3 or i > 13 else seen() for i in range(17)]
    assert [len(track) for track in linked(frames)] == [3, 3]


def test_who_stops_while_hidden_is_joined_by_the_look_backward() -> None:
    # It walks to 50, is hidden for half a second, and is next seen standing there; its velocity led to 100.
    walk = [10 * i if i < 6 else 50 for i in range(16)]
    frames = [seen() if 6 <= i < 11 else seen((x, 0, 0.9, 0)) for i, x in enumerate(walk)]
    (track,) = linked(frames)
    assert track.frame == [*range(6), *range(11, 16)]


def test_a_track_is_carried_on_and_back_at_its_own_velocity() -> None:
    (track,) = linked([seen((5 * i, 0, 0.9, 0)) for i in range(5)])
    assert track.after(4, 0.6).round().tolist() == [30, 0, 50, 40]
    assert track.before(0, -0.2).round().tolist() == [-10, 0, 10, 40]
    assert track.after(0, 9.0).tolist() == [0, 0, 20, 40]


def test_the_class_is_the_one_with_most_confidence_in_all() -> None:
    (track,) = linked([seen((0, 0, 0.9, 1)), seen((0, 0, 0.4, 0)), seen((0, 0, 0.4, 0))])
    assert track.best_class == 1
    assert len(track) == 3


def test_one_object_with_two_names_keeps_the_surer_one() -> None:
    kept = one_name(seen((0, 0, 0.4, 0), (1, 0, 0.8, 1), (50, 0, 0.3, 0)))
    assert kept.xyxy[:, 0].tolist() == [1, 50]
    assert kept.class_id.tolist() == [1, 0]


def test_one_class_may_overlap_itself() -> None:
    assert len(one_name(seen((0, 0, 0.4, 0), (1, 0, 0.8, 0)))) == 2


def test_nothing_seen_gives_no_tracks() -> None:
    assert linked([seen(), seen()]) == []
    assert linked([]) == []
