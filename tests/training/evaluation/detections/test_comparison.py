from __future__ import annotations

import json

import pytest

from tests.training.evaluation.detections.scenes import random_scene
from training.evaluation.detections.comparison import compare, comparison_json
from training.evaluation.detections.evaluate import evaluate

pytest.importorskip("pycocotools")


def test_better_results_are_found_significantly_better() -> None:
    of_truth, worse = random_scene(60, 0)
    better = [{**a, "score": 0.9} for a in of_truth["annotations"]]
    a, b = evaluate(of_truth, worse, name="a", draws=80), evaluate(of_truth, better, name="b", draws=80)
    differences = compare(a, b)
    assert list(differences) == list(a.figures)
    assert differences["ap"].b == 1
    assert differences["ap"].is_significant
    said = comparison_json(a, b, differences)
    assert (said["a"], said["b"], said["figures"]["ap"]["significant"]) == ("a", "b", True)
    assert said["figures"]["ap"]["difference"] == pytest.approx(1 - a.figures["ap"], abs=1e-5)
    assert not any(one.is_significant for one in compare(a, a).values())
    json.dumps(said, allow_nan=False)
