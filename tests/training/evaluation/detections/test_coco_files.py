from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from engine.errors import SourceError
from tests.training.evaluation.detections.scenes import box, truth
from training.evaluation.detections.coco_files import read_results, read_truth

GOOD = truth({}, boxes=[box(0, "car", 1, 1)])


def write(path: Path, data: Any) -> Path:
    path.write_text(json.dumps(data))
    return path


def test_files_are_read_as_they_are(tmp_path: Path) -> None:
    assert read_truth(write(tmp_path / "gt.json", GOOD)) == GOOD
    results = [box(0, "car", 1, 1, score=0.5)]
    assert read_results(write(tmp_path / "r.json", results)) == results


def test_two_images_with_one_id_are_refused(tmp_path: Path) -> None:
    doubled = {**GOOD, "images": GOOD["images"] * 2}
    with pytest.raises(SourceError, match=r"gt.json: images\[1\]: another image has the id 0 too"):
        read_truth(write(tmp_path / "gt.json", doubled))
    with pytest.raises(SourceError, match=r"gt.json: images\[0\]: expected an object with an id, got 'a'"):
        read_truth(write(tmp_path / "gt.json", {**GOOD, "images": ["a"]}))


@pytest.mark.parametrize("bbox", [[1, 2, 3], None, [1, 2, "x", 4], [1, 2, 3, float("nan")]])
def test_boxes_that_are_no_four_numbers_are_refused(tmp_path: Path, bbox: Any) -> None:
    results = [box(0, "car", 1, 1, score=0.5), {**box(0, "car", 1, 1, score=0.5), "bbox": bbox}]
    with pytest.raises(SourceError, match=r"r.json: \[1\]: expected .* with four numbers in bbox"):
        read_results(write(tmp_path / "r.json", results))


def test_a_score_that_is_no_number_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"r.json: \[0\]: expected image_id"):
        read_results(write(tmp_path / "r.json", [box(0, "car", 1, 1, score=float("nan"))]))
