from __future__ import annotations

import numpy as np
import pytest

from engine.errors import SourceError
from tests.training.evaluation.detections.scenes import LABELS, box, drawn, random_scene, truth
from training.evaluation.detections.judge import SIZES, Judge, judge_detections, mean_ap

pytest.importorskip("pycocotools")

ONE = truth({}, boxes=[box(0, "person", 10, 10)])


@pytest.mark.parametrize("seed", range(5))
def test_matches_used_again_give_what_a_fresh_judge_gives(seed: int) -> None:
    of_truth, results = random_scene(12, seed)
    judge = Judge(of_truth, results)
    rng = np.random.default_rng(seed)
    for images in (rng.integers(12, size=12), rng.integers(12, size=5), np.arange(12)):
        fresh = Judge(*drawn(of_truth, results, images))
        assert judge.scores(images) == fresh.scores()
        np.testing.assert_array_equal(judge.precision(images), fresh.precision())
        np.testing.assert_array_equal(judge.precision(images, iou50=True), fresh.precision()[:1])


def test_all_its_figures_are_those_of_pycocotools() -> None:
    of_truth, results = random_scene(20, 0)
    judge = Judge(of_truth, results)
    scores = judge_detections(of_truth, results)
    assert round(mean_ap(judge.precision()), 5) == scores.stats["ap"]
    assert round(mean_ap(judge.precision(iou50=True)), 5) == scores.stats["ap50"]
    by_size = judge.precision_by_size()
    assert [round(mean_ap(by_size[..., i]), 5) for i in range(len(SIZES))] == [
        scores.stats[key] for key in ("ap", "ap_small", "ap_medium", "ap_large")
    ]


def test_boxes_numbered_from_nought_count_like_all_others() -> None:
    # pycocotools itself takes a match with annotation 0 for no match.
    from_nought = {**ONE, "annotations": [{**ONE["annotations"][0], "id": 0}]}
    assert judge_detections(from_nought, [box(0, "person", 10, 10, score=0.9)]).stats["ap"] == 1


def test_results_in_a_crowd_are_neither_right_nor_wrong() -> None:
    of_truth = truth({}, boxes=[box(0, "person", 10, 10), box(0, "person", 100, 100, 80, 80, iscrowd=1)])
    in_crowd = [box(0, "person", 100 + i, 100 + i, 30, 30, score=0.95) for i in range(5)]
    scores = judge_detections(of_truth, [box(0, "person", 10, 10, score=0.9), *in_crowd])
    assert (scores.stats["ap"], scores.num_truth, scores.num_crowd) == (1, 2, 1)


def test_results_of_another_class_in_a_crowd_are_false_alarms() -> None:
    of_truth = truth({}, boxes=[box(0, "car", 10, 10), box(0, "person", 100, 100, 80, 80, iscrowd=1)])
    scores = judge_detections(of_truth, [box(0, "car", 110, 110, 30, 30, score=0.95), box(0, "car", 10, 10, score=0.9)])
    assert scores.per_class == {"car": {"ap": 0.5, "ap50": 0.5}}


def test_truth_of_crowds_alone_is_refused() -> None:
    with pytest.raises(SourceError, match="holds no box that is to be judged: all are crowds"):
        Judge(truth({}, boxes=[box(0, "person", 1, 1, iscrowd=1)]), [])


def test_boxes_of_classes_that_the_truth_does_not_list_are_not_judged() -> None:
    of_truth = truth({}, boxes=[box(0, "person", 10, 10), box(0, "boat", 100, 100)], labels=LABELS[:2])
    scores = judge_detections(of_truth, [box(0, "person", 10, 10, score=0.9)])
    assert (scores.stats["ap"], scores.num_truth) == (1, 1)


def test_a_class_without_truth_has_no_average_precision() -> None:
    precision = Judge(ONE, []).precision()
    assert precision.shape == (10, 101, 3)
    assert mean_ap(precision[:, :, 0]) == 0
    assert np.isnan(mean_ap(precision[:, :, 1]))
