from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.training.evaluation.detections.scenes import box, random_scene, truth
from training.evaluation.detections.judge import Judge
from training.evaluation.detections.matches import Matches, best_f1, confusion, explain, match, working_point

pytest.importorskip("pycocotools")


def matched(boxes: list[dict[str, Any]], results: list[dict[str, Any]], num_images: int = 1) -> Matches:
    return match(Judge(truth(*({} for _ in range(num_images)), boxes=boxes), results))


def test_every_box_knows_its_partner() -> None:
    matches = matched(
        [box(1, "car", 0, 0), box(0, "person", 10, 10), box(0, "person", 100, 100)],
        [box(0, "person", 102, 102, score=0.4), box(1, "car", 1, 1, score=0.9), box(0, "person", 160, 10, score=0.6)],
        num_images=2,
    )
    seen = {
        (int(i), matches.labels[c], float(s))
        for i, c, s in zip(matches.truth.image, matches.truth.class_id, matches.seen_with(), strict=True)
    }
    assert seen == {(1, "car", 0.9), (0, "person", 0.4), (0, "person", 0.0)}
    for row in np.flatnonzero(matches.is_right):
        assert matches.truth.match[matches.found.match[row]] == row
    (alarm,) = matches.false_alarms(0.0)
    assert matches.found.xyxy[alarm].tolist() == [160, 10, 200, 50]


def test_false_alarms_come_by_confidence_and_misses_by_size() -> None:
    matches = matched(
        [box(0, "car", 0, 0, 10, 10), box(0, "car", 50, 0, 40, 40), box(0, "car", 0, 100, 20, 20)],
        [box(0, "person", 0, 0, score=0.3), box(0, "person", 90, 90, score=0.8), box(0, "car", 50, 0, score=0.2)],
    )
    assert matches.confidence[matches.false_alarms(0.25)].tolist() == [0.8, 0.3]
    assert (matches.truth.xyxy[matches.misses(0.1), 2] - matches.truth.xyxy[matches.misses(0.1), 0]).tolist() == [
        20,
        10,
    ]
    # The large one was seen, but not with confidence enough.
    assert len(matches.misses(0.25)) == 3


def test_crowds_and_what_lies_in_them_are_no_mistakes() -> None:
    matches = matched(
        [box(0, "car", 0, 0), box(0, "person", 100, 100, iscrowd=1)], [box(0, "person", 110, 110, 20, 20, score=0.9)]
    )
    assert len(matches.false_alarms(0.0)) == 0
    assert matches.truth.class_id[matches.misses(0.0 + 1e-9)].tolist() == [1]


def test_the_working_point_has_the_best_f1() -> None:
    matches = matched(
        [box(0, "car", 0, 0), box(0, "car", 50, 50), box(0, "car", 100, 100)],
        [
            box(0, "car", 0, 0, score=0.9),
            box(0, "car", 50, 50, score=0.7),
            box(0, "car", 150, 0, score=0.6),
            box(0, "car", 100, 0, score=0.5),
            box(0, "car", 100, 100, score=0.2),
        ],
    )
    at = best_f1(matches)
    assert (at.min_confidence, at.precision) == (0.7, 1.0)
    assert at.recall == pytest.approx(2 / 3)
    assert at.f1 == pytest.approx(0.8)
    assert working_point(matches, 0.2).precision == pytest.approx(3 / 5)


@pytest.mark.parametrize("seed", range(5))
def test_no_threshold_beats_the_working_point(seed: int) -> None:
    matches = match(Judge(*random_scene(15, seed)))
    best = best_f1(matches)
    assert best.f1 == pytest.approx(max(working_point(matches, c).f1 for c in np.unique(matches.confidence)))


def test_without_results_the_working_point_finds_nothing() -> None:
    at = best_f1(matched([box(0, "car", 0, 0)], []))
    assert (at.min_confidence, at.precision, at.recall, at.f1) == (1.0, 0.0, 0.0, 0.0)


def test_confusion_says_what_objects_were_taken_for() -> None:
    matches = matched(
        [box(0, "car", 0, 0), box(0, "car", 50, 0), box(0, "person", 100, 0), box(0, "boat", 0, 100)],
        [
            box(0, "car", 0, 0, score=0.9),
            box(0, "person", 52, 0, score=0.8),
            box(0, "person", 100, 0, score=0.1),
            box(0, "boat", 150, 150, score=0.7),
            box(0, "boat", 0, 100, score=0.6),
        ],
    )
    assert confusion(matches, 0.5).tolist() == [
        # person, car, boat, background
        [0, 0, 0, 1],
        [1, 1, 0, 0],
        [0, 0, 1, 0],
        [0, 0, 1, 0],
    ]


@pytest.mark.parametrize("seed", range(5))
def test_confusion_counts_every_object_and_every_result_once(seed: int) -> None:
    matches = match(Judge(*random_scene(15, seed)))
    counts = confusion(matches, 0.4)
    objects = np.bincount(matches.truth.class_id[~matches.truth.ignore], minlength=3)
    results = matches.found.class_id[~matches.found.ignore & (matches.confidence >= 0.4)]
    assert counts[:-1].sum(axis=1).tolist() == objects.tolist()
    assert counts[:, :-1].sum(axis=0).tolist() == np.bincount(results, minlength=3).tolist()
    right = matches.is_right & (matches.confidence >= 0.4)
    assert np.trace(counts[:-1, :-1]) == right.sum()


@pytest.mark.parametrize(
    ("result", "kind"),
    [
        (box(0, "car", 3, 3, score=0.4), "duplicate"),
        (box(0, "person", 3, 3, score=0.4), "wrong class"),
        (box(0, "car", 20, 0, score=0.4), "poorly placed"),
        (box(0, "car", 100, 100, score=0.4), "background"),
        (box(0, "person", 20, 0, score=0.4), "background"),
    ],
)
def test_a_false_alarm_is_explained(result: dict[str, Any], kind: str) -> None:
    matches = matched([box(0, "car", 0, 0)], [box(0, "car", 0, 0, score=0.9), result])
    (alarm,) = matches.false_alarms(0.0)
    assert explain(matches, alarm) == kind


def test_no_results_at_all_are_no_problem() -> None:
    matches = matched([box(0, "car", 0, 0)], [])
    assert len(matches.found) == 0
    assert confusion(matches, 0.5).tolist() == [[0, 0, 0, 0], [0, 0, 0, 1], [0, 0, 0, 0], [0, 0, 0, 0]]
