from __future__ import annotations

import builtins
import json
import sys
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner, Result

from engine.errors import SourceError, UsageError
from training.commands.evaluate import register
from training.evaluation.detections import judge_detections, read_results, read_truth

pytest.importorskip("pycocotools")

TRUTH: dict[str, Any] = {
    "images": [{"id": 1, "width": 100, "height": 100}, {"id": "gate", "width": 100, "height": 100}],
    "categories": [{"id": 0, "name": "person"}, {"id": 2, "name": "car"}, {"id": 3, "name": "boat"}],
    "annotations": [
        {"id": 1, "image_id": 1, "category_id": 0, "bbox": [10, 10, 40, 40]},
        {"id": 2, "image_id": 1, "category_id": 2, "bbox": [50, 50, 40, 40]},
        {"id": 3, "image_id": "gate", "category_id": 0, "bbox": [0, 0, 50, 50]},
    ],
}


def result(image_id: int | str, category_id: int, *bbox: float, score: float = 0.9) -> dict[str, Any]:
    return {"image_id": image_id, "category_id": category_id, "bbox": list(bbox), "score": score}


PERFECT = [result(1, 0, 10, 10, 40, 40), result(1, 2, 50, 50, 40, 40), result("gate", 0, 0, 0, 50, 50)]


def run(*arguments: object) -> Result:
    app = typer.Typer()
    register(app)
    outcome = CliRunner().invoke(app, ["evaluate", "detections", *map(str, arguments)])
    if outcome.exception is not None and not isinstance(outcome.exception, SystemExit):
        raise outcome.exception
    return outcome


def test_the_truth_as_result_is_perfect() -> None:
    scores = judge_detections(TRUTH, PERFECT)
    assert (scores.stats["ap"], scores.stats["ap50"], scores.stats["ar_100"]) == (1, 1, 1)
    assert scores.per_class == {"person": {"ap": 1, "ap50": 1}, "car": {"ap": 1, "ap50": 1}}
    assert (scores.num_images, scores.num_truth, scores.num_results, scores.num_ignored) == (2, 3, 3, 0)


def test_no_results_are_worth_nothing() -> None:
    scores = judge_detections(TRUTH, [])
    assert (scores.stats["ap"], scores.stats["ar_100"]) == (0, 0)
    assert scores.per_class["person"] == {"ap": 0, "ap50": 0}


def test_a_missed_class_costs_its_share() -> None:
    scores = judge_detections(TRUTH, [r for r in PERFECT if r["category_id"] == 0])
    assert scores.per_class == {"person": {"ap": 1, "ap50": 1}, "car": {"ap": 0, "ap50": 0}}
    assert scores.stats["ap"] == 0.5


def test_a_shifted_box_counts_at_low_overlaps_only() -> None:
    # 40x40 shifted by 8: IoU 2/3, good for the thresholds .50 .55 .60 .65 of ten.
    scores = judge_detections(TRUTH, [PERFECT[0], result(1, 2, 58, 50, 40, 40), PERFECT[2]])
    assert scores.per_class["car"] == {"ap": 0.4, "ap50": 1}


def test_boxes_of_unknown_images_and_classes_are_left_out_and_counted() -> None:
    scores = judge_detections(TRUTH, [*PERFECT, result(99, 0, 1, 1, 9, 9), result(1, 50, 1, 1, 9, 9)])
    assert (scores.stats["ap"], scores.num_results, scores.num_ignored) == (1, 3, 2)


def test_results_of_something_else_altogether_are_refused() -> None:
    with pytest.raises(
        SourceError, match=r"none of the 1 results .* image_id '000139' .* the truth has 1, 'gate' and 0, 2, 3"
    ):
        judge_detections(TRUTH, [result("000139", 0, 1, 1, 9, 9)])


def test_truth_without_boxes_is_refused() -> None:
    with pytest.raises(SourceError, match="the ground truth holds no boxes"):
        judge_detections({**TRUTH, "annotations": []}, PERFECT)


def test_the_inputs_are_not_changed() -> None:
    before = json.dumps([TRUTH, PERFECT])
    judge_detections(TRUTH, PERFECT)
    assert json.dumps([TRUTH, PERFECT]) == before


def test_the_command_prints_a_table_or_json(tmp_path: Path) -> None:
    (tmp_path / "gt.json").write_text(json.dumps(TRUTH))
    (tmp_path / "r.json").write_text(json.dumps([*PERFECT, result(99, 0, 1, 1, 9, 9)]))
    files = ("--gt", tmp_path / "gt.json", "--results", tmp_path / "r.json")
    text = run(*files)
    assert "3 boxes against 3 in 2 images" in text.stdout
    assert "1 boxes of images or classes that" in text.stderr
    data = json.loads(run(*files, "--json").stdout)
    assert (data["ap"], data["num_ignored"], data["per_class"]["car"]["ap50"]) == (1, 1, 1)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "not JSON"),
        ("[]", "not COCO ground truth: no 'images'"),
        ('{"images": [], "annotations": []}', "not COCO ground truth: no 'categories'"),
        ('{"images": [], "annotations": [{"id": 1}], "categories": []}', r"annotations\[0\]: expected id, image_id"),
        (
            '{"images": [], "annotations": [{"id": 1, "image_id": 4, "category_id": 0, "bbox": [0, 0, 1, 1]}],'
            ' "categories": []}',
            r"annotations\[0\]: no image has the id 4",
        ),
    ],
)
def test_a_truth_file_that_is_none_is_refused(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "gt.json"
    path.write_text(text)
    with pytest.raises(SourceError, match=f"gt.json: {message}"):
        read_truth(path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{}", "not COCO results: expected a list"),
        ('[{"image_id": 1}]', r"\[0\]: expected image_id, category_id, bbox"),
    ],
)
def test_a_results_file_that_is_none_is_refused(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "r.json"
    path.write_text(text)
    with pytest.raises(SourceError, match=f"r.json: {message}"):
        read_results(path)
    with pytest.raises(SourceError, match=r"gone.json: no such file"):
        read_results(tmp_path / "gone.json")


def test_without_pycocotools_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def refuse(name: str, *arguments: Any, **options: Any) -> Any:
        if name.startswith("pycocotools"):
            raise ImportError(name)
        return real(name, *arguments, **options)

    for module in [name for name in sys.modules if name.startswith("pycocotools")]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(UsageError, match=r"needs pycocotools: pip install 'vedette\[evaluate\]'"):
        judge_detections(TRUTH, PERFECT)
