from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from engine.errors import UsageError
from tests.training.evaluation.detections.models import coloured_squares, tiny_bundle
from training.augment.conditions import CONDITIONS
from training.evaluation.detections import evaluate, predict
from training.evaluation.detections.robustness import condition_names, judge_condition, under

pytest.importorskip("pycocotools")


def test_a_condition_costs_what_it_costs(tmp_path: Path) -> None:
    bundle, dataset = tiny_bundle(tmp_path), coloured_squares(tmp_path / "images", 8)
    clean = evaluate(dataset.to_coco(), predict(bundle, dataset, 0.5), draws=20)
    ticks: list[int] = []
    hard = judge_condition(bundle, dataset, "night", 1.0, clean, min_confidence=0.5, tick=lambda: ticks.append(1))
    assert (hard.ap50.a, hard.ap50.b, len(ticks)) == (1.0, 0.0, 8)
    assert hard.ap50.is_significant
    said = hard.as_json()
    assert (said["condition"], said["strength"], said["ap50"], said["change"]) == ("night", 1.0, 0.0, -1.0)


def test_strength_nought_changes_nothing(tmp_path: Path) -> None:
    bundle, dataset = tiny_bundle(tmp_path), coloured_squares(tmp_path / "images", 8)
    clean = evaluate(dataset.to_coco(), predict(bundle, dataset, 0.5), draws=20)
    same = judge_condition(bundle, dataset, "night", 0.0, clean, min_confidence=0.5)
    assert (same.ap, same.ap50.b, same.ap50.p) == (clean.figures["ap"], 1.0, 1.0)


def test_pictures_are_changed_alike_on_every_run_and_dirt_stays_where_it_is(tmp_path: Path) -> None:
    grey = np.full((64, 64, 3), 128, np.uint8)
    footage = coloured_squares(tmp_path / "images", 2, camera="gate")
    dirt = under(footage, "lens_dirt", 1.0, seed=0)
    assert (dirt(0, grey) == dirt(1, grey)).all()
    assert (dirt(0, grey) != grey).any()
    noise = under(footage, "sensor_noise", 0.5, seed=0)
    assert (noise(0, grey) == under(footage, "sensor_noise", 0.5, seed=0)(0, grey)).all()
    assert (noise(0, grey) != noise(1, grey)).any()
    assert (noise(0, grey) != under(footage, "sensor_noise", 0.5, seed=1)(0, grey)).any()


def test_conditions_are_named() -> None:
    assert condition_names("all") == tuple(CONDITIONS)
    assert condition_names("night, rain") == ("night", "rain")
    with pytest.raises(UsageError, match=r"--conditions: unknown condition 'nihgt' \(did you mean 'night'\?\)"):
        condition_names("rain,nihgt")
