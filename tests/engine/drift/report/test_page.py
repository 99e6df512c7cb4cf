from __future__ import annotations

import dataclasses
import json
import re
from html import unescape
from types import SimpleNamespace
from typing import Any
from xml.etree import ElementTree

import pytest

from engine.drift.report.page import report_html
from engine.drift.report.parts import DriftReport
from engine.drift.report.plain import report_dict
from tests.engine.drift.report.builders import JPEG, blurred, make_report, make_sample, training

EVIDENTLY = SimpleNamespace(
    html='<html><body class="x">its own page & more</body></html>',
    json={"version": "1", "columns": []},
    drifted=["sharpness"],
    left_out={"motion": "the reference has no values"},
)

REPORTS = {
    "nothing": lambda: make_report([], settled=0.0),
    "one frame": lambda: make_report([make_sample(0, preview=JPEG)], settled=0.0),
    "no model": lambda: make_report([make_sample(t, boxes=None) for t in range(60)], model=""),
    "no object": lambda: make_report([make_sample(t, boxes=()) for t in range(60)], reference=training()),
    "constant": lambda: make_report([make_sample(t, preview=JPEG) for t in range(60)]),
    "not settled": lambda: make_report([make_sample(t) for t in range(5)], settled=0.1, reference=training()),
    "nan": lambda: make_report([make_sample(t, motion=float("nan")) for t in range(60)]),
    "blurred": lambda: blurred(reference=training(), outside=EVIDENTLY),
    "passed": lambda: blurred(cleared_s=45.0),
    "normal": lambda: blurred(normal=make_report([make_sample(t) for t in range(9)]).series, normal_where="a.mp4"),
}


@pytest.mark.parametrize("name", REPORTS)
def test_every_report_is_a_page_and_plain_json(name: str) -> None:
    report = REPORTS[name]()
    page = report_html(report)
    assert page.startswith("<!DOCTYPE html>")
    for svg in re.findall(r"<svg.*?</svg>", page, re.DOTALL):
        ElementTree.fromstring(svg)
    assert "nan" not in re.sub(r'srcdoc=".*?"', "", page).lower().replace("nano", "")
    text = json.dumps(report_dict(report), allow_nan=False)
    assert json.loads(text)["schema"] == "vedette.drift-report/1"


def test_nothing_comes_from_outside() -> None:
    page = report_html(blurred(reference=training(), outside=EVIDENTLY))
    assert re.findall(r"(?:src|href)=\"(?!data:)[^\"]*", page) == []
    assert "url(" not in page
    assert "<script" not in page


def test_says_what_happened_and_shows_it() -> None:
    page = report_html(blurred(reference=training(), outside=EVIDENTLY))
    assert (
        "From 0:30 on the picture is blurred: out of focus, or the lens is wet. The model was trained on pictures that are sharper."
        in page
    )
    assert '<img src="data:image/jpeg;base64,AAAA"' in page
    assert "Clean and dry the lens" in page
    assert page.count('class="red"') == 1
    assert "softer than before; softer than nearly all training pictures" in page
    srcdoc = re.search(r'srcdoc="([^"]*)"', page)
    assert srcdoc is not None
    assert unescape(srcdoc[1]) == EVIDENTLY.html
    assert "It calls these apart: sharpness." in page
    assert "Left out: motion (the reference has no values)." in page


def test_names_cannot_break_the_page() -> None:
    evil = "<script>alert(1)</script>"
    report = dataclasses.replace(blurred(), camera=evil, where=evil, model=evil, notes=[evil], normal_where=evil)
    assert "<script" not in report_html(report)


def test_json_holds_everything_machine_readable() -> None:
    found: dict[str, Any] = report_dict(blurred(reference=training(), outside=EVIDENTLY))
    assert found["headline"].startswith("From 0:30 on the picture is blurred: ")
    assert [answer["light"] for answer in found["answers"]] == ["amber", "red", "green"]
    assert found["findings"][0]["part"]["cause"] == "blurred"
    assert (found["findings"][0]["began_s"], found["findings"][0]["cleared_s"]) == (30, None)
    assert found["series"]["sharpness"][:2] == [10, 10]
    assert len(found["series"]["elapsed_s"]) == found["samples"] == 60
    row = next(row for row in found["statistics"] if row["name"] == "sharpness")
    assert (row["then"][1], row["now"][1], row["score"], row["outside_training"]) == (10, 2, -3, -1)
    assert found["evidently"] == {
        "version": "1", "columns": [], "drifted": ["sharpness"], "left_out": {"motion": "the reference has no values"},
    }  # fmt: skip


def test_the_page_is_the_same_for_the_same_report() -> None:
    first, second = (report_html(blurred(reference=training())) for _ in range(2))
    assert first == second


def test_long_footage_draws_no_more_points_than_pixels() -> None:
    report: DriftReport = make_report([make_sample(t, brightness=t % 7) for t in range(5000)])
    longest = max(len(points.split()) for points in re.findall(r'points="([^"]*)"', report_html(report)))
    assert longest <= 400
