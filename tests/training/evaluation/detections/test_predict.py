from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from engine.errors import BundleError, SourceError
from engine.picture import Pixels
from operators.commands.detect import detect
from tests.training.evaluation.detections.models import coloured_squares, tiny_bundle
from training.evaluation.detections import common_labels, judge_detections, predict

pytest.importorskip("pycocotools")


def test_a_model_that_sees_everything_is_perfect(tmp_path: Path) -> None:
    dataset = coloured_squares(tmp_path / "images")
    results = predict(tiny_bundle(tmp_path), dataset, min_confidence=0.5)
    assert judge_detections(dataset.to_coco(), results).stats["ap"] == 1


def test_it_sees_what_vedette_detect_sees(tmp_path: Path) -> None:
    bundle, dataset = tiny_bundle(tmp_path), coloured_squares(tmp_path / "images")
    detect(tmp_path / "images", model=str(bundle), out=tmp_path / "r.json", min_confidence=0.01, max_detections=300)
    assert predict(bundle, dataset) == json.loads((tmp_path / "r.json").read_text())


def test_classes_are_matched_by_name(tmp_path: Path) -> None:
    # The model's labels are the other way round, spelt differently, and it knows more.
    bundle = tiny_bundle(tmp_path, ("dark_blue", "Bright Red"))
    data = replace(coloured_squares(tmp_path / "images"), labels=("green", "bright_red"))
    results = predict(bundle, data, min_confidence=0.5)
    assert {result["category_id"] for result in results} == {1}
    assert common_labels(bundle, ("green", "bright red", "Dark blue")) == ("bright red", "Dark blue")


def test_a_model_that_knows_none_of_the_classes_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"knows none of the data's classes: it has blue, red, the data has dog; ren"):
        common_labels(tiny_bundle(tmp_path), ("dog",))
    with pytest.raises(BundleError, match="no such model"):
        common_labels(tmp_path / "gone", ("dog",))


def test_pictures_with_the_same_name_are_kept_apart(tmp_path: Path) -> None:
    one, other = coloured_squares(tmp_path / "a", 2), coloured_squares(tmp_path / "b", 2)
    both = replace(one, samples=one.samples + other.samples)
    results = predict(tiny_bundle(tmp_path), both, min_confidence=0.5)
    assert sorted({result["image_id"] for result in results}) == [0, 1, 2, 3]
    assert judge_detections(both.to_coco(), results).stats["ap"] == 1


def test_the_model_sees_what_a_change_makes_of_the_picture(tmp_path: Path) -> None:
    ticks: list[int] = []
    seen: list[int] = []

    def blacken(position: int, bgr: Pixels) -> Pixels:
        seen.append(position)
        return np.zeros_like(bgr) if position else bgr

    results = predict(
        tiny_bundle(tmp_path),
        coloured_squares(tmp_path / "images", 3),
        0.5,
        change=blacken,
        tick=lambda: ticks.append(1),
    )
    assert {result["image_id"] for result in results} == {0}
    assert (seen, len(ticks)) == ([0, 1, 2], 3)


def test_a_picture_of_another_size_than_its_labels_is_refused(tmp_path: Path) -> None:
    dataset = coloured_squares(tmp_path / "images", 1)
    cv2.imwrite(str(dataset.samples[0].path), np.zeros((32, 32, 3), np.uint8))
    with pytest.raises(SourceError, match=r"0.png: the picture is 32x32, its labels were made for 64x64"):
        predict(tiny_bundle(tmp_path), dataset)
