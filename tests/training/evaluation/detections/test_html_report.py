from __future__ import annotations

from html.parser import HTMLParser

import numpy as np
import pytest

from engine.picture import Pixels
from tests.training.evaluation.detections.scenes import box, random_scene, truth
from training.evaluation.detections.bootstrap import Difference, Interval
from training.evaluation.detections.comparison import compare
from training.evaluation.detections.evaluate import evaluate
from training.evaluation.detections.gallery import false_alarms, misses
from training.evaluation.detections.html_report import Report
from training.evaluation.detections.robustness import UnderCondition

pytest.importorskip("pycocotools")

# Tags of HTML that are never closed.
_VOID = {"meta", "br"}


class Page(HTMLParser):
    """Follows the tags of a page and fails where one is not closed, or loads something."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self._open: list[str] = []
        self.words: list[str] = []
        self.tags: list[str] = []
        self.feed(text)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_startendtag(tag, attrs)
        if tag not in _VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        for name, value in attrs:
            assert name not in ("src", "href") or (value or "").startswith("data:")

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(self.words)


def grey(_: int) -> Pixels:
    return np.full((200, 200, 3), 128, np.uint8)


def test_a_full_report_is_whole_and_holds_every_part() -> None:
    of_truth, results = random_scene(30, 0)
    a = evaluate(of_truth, results, name="nano <1>", draws=30)
    b = evaluate(of_truth, results[::2], name="pico", draws=30)
    rain = UnderCondition("rain", 0.5, 0.2, Difference(0.5, 0.4, Interval(-0.2, -0.05), 0.01))
    report = Report("street", (a, b), compare(a, b), (rain,), false_alarms(a, grey), misses(a, grey))
    page = Page(report.html())
    for part in (
        "Detection on street", "nano <1>", "Side by side", "Classes and sizes", "Precision over recall", "Slices",
        "Under conditions", "rain", "Mistakes", "Calibration", "Worst false alarms", "Worst misses", "pycocotools",
        "30 draws of the bootstrap. 30 pictures drawn one by one",
    ):  # fmt: skip
        assert part in page.text
    assert f"{a.scores.stats['ap50']:.3f}" in page.text
    assert page.tags.count("image") == len(false_alarms(a, grey)) + len(misses(a, grey)) > 4
    assert page.tags.count("polyline") >= 2 * 4


def test_a_report_without_pictures_conditions_and_bootstrap_leaves_them_out() -> None:
    page = Page(Report("street", (evaluate(*random_scene(10, 1)),), {}).html())
    for part in ("Side by side", "Under conditions", "Worst", "bootstrap"):
        assert part not in page.text


def test_perfect_results_leave_an_empty_gallery() -> None:
    found = evaluate(truth({}, boxes=[box(0, "car", 0, 0)]), [box(0, "car", 0, 0, score=0.9)])
    page = Page(Report("one", (found,), {}, (), false_alarms(found, grey), misses(found, grey)).html())
    assert page.text.count("None.") == 2


def test_a_model_that_sees_nothing_has_a_report_too() -> None:
    page = Page(Report("one", (evaluate(truth({}, boxes=[box(0, "car", 0, 0)]), []),), {}).html())
    assert "0.000" in page.text


def test_many_classes_show_the_busiest() -> None:
    labels = tuple(f"class{i:02}" for i in range(30))
    boxes = [{"image_id": 0, "category_id": i, "bbox": [6 * i, 0, 5, 5]} for i in range(30) for _ in range(1 + i)]
    results = [{**one, "score": 0.9} for one in boxes]
    page = Page(Report("many", (evaluate(truth({}, boxes=boxes, labels=labels), results),), {}).html())
    assert "the 20 busiest of 30" in page.text
    assert "the 12 with the most objects" in page.text
