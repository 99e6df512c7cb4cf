from __future__ import annotations

import numpy as np
import pytest

from engine.detections import Detections
from tests.training.teach.test_tracks import seen, times
from training.teach.smooth import Labels, Rules, smooth

SIZE_WH = (320, 240)


def labelled(frames: list[Detections], rules: Rules | None = None) -> list[Labels]:
    return smooth(frames, times(len(frames)), SIZE_WH, rules)


def kinds(labels: list[Labels]) -> str:
    """One letter a frame: L label, F filled in, i to be ignored, f filled in and to be ignored, - nothing."""
    letters = []
    for one in labels:
        assert len(one) <= 1
        letters.append("-" if not len(one) else "LFif"[int(not one.seen[0]) + 2 * int(one.ignore[0])])
    return "".join(letters)


def test_a_weak_sighting_amid_sure_ones_is_a_label() -> None:
    frames = [seen((100, 100, 0.3 if i in (4, 5) else 0.9, 0)) for i in range(10)]
    assert kinds(labelled(frames)) == "LLLLLLLLLL"


def test_a_track_that_begins_weak_is_labelled_backward_from_where_it_is_sure() -> None:
    frames = [seen((100 + i, 100, 0.3 if i < 2 else 0.9, 0)) for i in range(12)]
    assert kinds(labelled(frames))[:2] == "LL"


def test_missed_frames_of_a_steady_walk_are_filled_in() -> None:
    frames = [seen() if i in (5, 6, 7) else seen((20 + 6 * i, 100, 0.9, 0)) for i in range(15)]
    labels = labelled(frames)
    assert kinds(labels) == "LLLLLFFFLLLLLLL"
    np.testing.assert_allclose(labels[6].xyxy[0], [56, 100, 76, 140], atol=1.5)


def test_a_gap_in_which_the_motion_breaks_is_ignored() -> None:
    # It walks right, is lost, and is next seen walking left, above where it would be.
    walk = [(20 + 12 * i, 100) for i in range(6)] + [(0, 0)] * 3 + [(100 - 12 * i, 95) for i in range(6)]
    frames = [seen() if 6 <= i < 9 else seen((x, y, 0.9, 0)) for i, (x, y) in enumerate(walk)]
    assert "F" not in kinds(labelled(frames))


def test_long_gaps_are_left_open() -> None:
    frames = [seen() if 8 <= i < 20 else seen((100, 100, 0.9, 0)) for i in range(28)]
    assert kinds(labelled(frames)) == "L" * 8 + "-" * 12 + "L" * 8


def test_a_single_sighting_is_doubtful_however_sure() -> None:
    frames = [seen((100, 100, 0.95, 0)) if i == 3 else seen() for i in range(7)]
    assert kinds(labelled(frames)) == "---i---"


def test_weak_ones_that_nothing_supports_are_nothing() -> None:
    assert kinds(labelled([seen((100, 100, 0.3, 0)) for _ in range(8)])) == "-" * 8


def test_what_is_half_sure_all_the_time_is_ignored() -> None:
    assert kinds(labelled([seen((100, 100, 0.45, 0)) for _ in range(8)])) == "i" * 8


def test_a_sure_sighting_amid_half_sure_ones_is_a_label() -> None:
    frames = [seen((100, 100, 0.7 if i % 3 == 2 else 0.38, 0)) for i in range(9)]
    assert kinds(labelled(frames)) == "iiLiiLiiL"


def test_a_photograph_is_judged_alone() -> None:
    (labels,) = smooth([seen((0, 0, 0.7, 0), (100, 0, 0.4, 0), (200, 0, 0.25, 0))], [0.0], SIZE_WH,
                       Rules().for_photographs())  # fmt: skip
    assert labels.ignore.tolist() == [False, True]
    assert labels.xyxy[:, 0].tolist() == [0, 100]


def test_who_is_hidden_behind_another_is_ignored() -> None:
    # Two walk towards each other; the one behind is not seen while they cross.
    frames = []
    for i in range(21):
        near, far = (100.0, 100.0, 0.9, 0), (50.0 + 5 * i, 102.0, 0.9, 0)
        frames.append(seen(near) if 8 <= i <= 12 else seen(near, far))
    labels = labelled(frames)
    crossing = labels[10]
    assert crossing.seen.tolist().count(False) == 1
    assert crossing.ignore[~crossing.seen].all()
    assert not crossing.ignore[crossing.seen].any()


def test_boxes_are_cut_at_the_frame_and_stay_there() -> None:
    labels = labelled([seen((-8, 100, 0.9, 0)) for _ in range(5)])
    assert kinds(labels) == "LLLLL"
    assert labels[2].xyxy[0].tolist() == pytest.approx([0, 100, 12, 140], abs=0.5)


def test_confidence_that_counts_as_sure_moves_all_rules() -> None:
    rules = Rules.from_confidence(0.8)
    assert rules.sure == 0.8
    assert rules.doubtful == pytest.approx(0.56)
    assert kinds(labelled([seen((100, 100, 0.7, 0)) for _ in range(8)], rules)) == "i" * 8


def test_frames_without_anything() -> None:
    assert kinds(labelled([seen()] * 3)) == "---"
    assert labelled([]) == []
