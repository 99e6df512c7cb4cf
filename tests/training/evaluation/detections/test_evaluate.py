from __future__ import annotations

import json

import numpy as np
import pytest

from tests.training.evaluation.detections.scenes import box, random_scene, truth
from training.evaluation.detections.evaluate import evaluate

pytest.importorskip("pycocotools")


def test_everything_is_said_about_a_small_scene() -> None:
    of_truth = truth(
        {"camera": "gate", "time_s": 0.0},
        {"camera": "dock", "time_s": 0.0},
        boxes=[box(0, "person", 0, 0), box(0, "car", 100, 100), box(1, "person", 0, 0, 20, 20)],
    )
    results = [
        box(0, "person", 0, 0, score=0.9),
        box(0, "person", 100, 100, score=0.8),
        box(1, "person", 0, 0, 20, 20, score=0.7),
    ]
    said = evaluate(of_truth, results, name="nano").as_json()
    assert (said["name"], said["num_images"], said["ap50"]) == ("nano", 2, pytest.approx((5 / 6 + 0) / 2, abs=0.01))
    assert said["working_point"] == {"min_confidence": 0.7, "precision": 0.66667, "recall": 0.66667, "f1": 0.66667}
    assert said["mistakes"] == {"wrong class": 1, "poorly placed": 0, "duplicate": 0, "background": 0, "missed": 1}
    assert said["confusion"] == {
        "labels": ["person", "car", "background"],
        "counts": [[2, 0, 0], [1, 0, 0], [0, 0, 0]],
    }
    assert [(one["axis"], one["value"], one["ap50"], one["recall"]) for one in said["slices"]] == [
        ("camera", "dock", 1.0, 1.0),
        ("camera", "gate", pytest.approx(0.5), 0.5),
    ]
    person = said["classes"]["person"]
    assert (person["num_truth"], person["recall"], person["precision"]) == (2, 1.0, 0.66667)
    assert (person["ap_small"], person["ap_large"]) == (1.0, None)
    assert said["bootstrap"]["num_draws"] == 0
    assert said["bootstrap"]["ap50"] is None
    assert "boat" not in said["classes"]
    json.dumps(said, allow_nan=False)


def test_slices_without_objects_count_their_false_alarms() -> None:
    of_truth = truth({}, {}, boxes=[box(0, "person", 0, 0)])
    results = [box(0, "person", 0, 0, score=0.5)] + [box(1, "person", 50 * i, 100, score=0.9) for i in range(3)]
    said = evaluate(of_truth, results).as_json()
    empty, few = said["slices"]
    assert (empty["value"], empty["ap50"], empty["recall"], empty["precision"]) == ("0 objects", None, None, 0.0)
    assert (empty["false_alarms_per_image"], few["false_alarms_per_image"]) == (3.0, 0.0)


def test_intervals_hold_the_figures_and_the_same_seed_gives_the_same() -> None:
    of_truth, results = random_scene(40, 0)
    first = evaluate(of_truth, results, draws=60)
    within = first.interval("ap50")
    assert within is not None
    assert within.low < first.figures["ap50"] < within.high
    assert first.figures["ap50"] == pytest.approx(first.scores.stats["ap50"], abs=1e-5)
    assert first.as_json() == evaluate(of_truth, results, draws=60).as_json()
    assert first.as_json() != evaluate(of_truth, results, draws=60, seed=1).as_json()


def test_what_occurs_in_too_few_blocks_has_no_interval() -> None:
    images = [{"camera": "gate", "time_s": i / 2} for i in range(80)]
    boxes = [box(i, "person", 0, 0) for i in range(80)] + [box(i, "car", 100, 0) for i in range(35)]
    results = [box(i, "person", 0, 0, score=0.9) for i in range(0, 80, 2)]
    found = evaluate(truth(*images, boxes=boxes), results, draws=30)
    # Cars are seen for 17.5 seconds: four blocks of five.
    assert found.interval("class/car") is None
    assert found.interval("class/person") is not None
    assert found.interval("ap") is not None


def test_measured_numbers_become_slices() -> None:
    of_truth, results = random_scene(9, 0)
    found = evaluate(of_truth, results, measured={"brightness": np.arange(9.0)})
    assert [len(one.images) for one in found.slices if one.axis == "brightness"] == [3, 3, 3]
