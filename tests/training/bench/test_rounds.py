from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.engine_rows import tiny_bundle
from tests.training.bench.backends import FakeSubject
from training.bench.chart import draw, page
from training.bench.report import Report
from training.bench.rounds import Figures, Plan, Result, measure, num_steps
from training.bench.variant import Variant
from training.bench.worker import Refused


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Report:
    model = str(tiny_bundle(tmp_path_factory.mktemp("model")).root)
    variants = [Variant(name) for name in ("Absent", "Plain", "Slow", "Small", "Telling")]
    plan = Plan(model, variants, [1, 4], rounds=3, seconds=0.0, profile=True)
    ticks: list[None] = []
    results = measure(plan, lambda: ticks.append(None), FakeSubject)
    assert len(ticks) <= num_steps(plan)
    return Report(plan, "tiny", results)


def figures(report: Report, name: str, batch: int) -> Figures:
    (result,) = [one for one in report.results if one.variant.backend == name]
    found = result.figures[batch]
    assert isinstance(found, Figures)
    return found


def test_rates_and_ratios_come_from_the_same_rounds(report: Report) -> None:
    plain, slow = figures(report, "Plain", 4), figures(report, "Slow", 4)

    assert plain.ratio == 1.0
    # Four times as slow; a busy machine may sleep longer than told.
    assert slow.ratio is not None
    assert 0.1 < slow.ratio < 0.7
    assert plain.ms[0] >= 4.0
    assert plain.ms[0] <= plain.ms[1] <= plain.ms[2]
    assert plain.num_batches == 9
    assert plain.pictures_s <= 1000.0


def test_the_reference_is_the_first_that_runs(report: Report) -> None:
    assert report.as_json()["reference"] == "Plain"
    assert "; ratio to Plain" in report.table()


def test_what_cannot_run_is_a_row_with_the_reason(report: Report) -> None:
    reasons = {(case["backend"], case["batch"]): case["reason"] for case in report.as_json()["cases"] if case["reason"]}

    assert reasons == {("Absent", None): "no driver", ("Small", 4): "no memory for 4 pictures"}
    assert "Absent        auto    usual          -  no driver" in report.table()
    assert "Small         cpu     fp32           4  no memory for 4 pictures" in report.table()


def test_json_has_every_case(report: Report) -> None:
    found = json.loads(json.dumps(report.as_json()))
    (telling,) = [case for case in found["cases"] if case["backend"] == "Telling" and case["batch"] == 1]

    assert set(telling) == {
        "backend", "device", "precision", "batch", "reason", "failed", "ms", "num_batches", "pictures_s", "ratio", "model_ms",
        "rss_mib", "device_mib", "map", "map_reason",
    }  # fmt: skip
    assert (telling["device"], telling["model_ms"]) == ("cuda:0 (NVIDIA L4)", 0.2)
    assert [set(one) for one in found["profile"]] == [{"variant", "layers", "reason"}] * 4


def test_layers_stand_below_the_table_with_what_would_tell_more(report: Report) -> None:
    table = report.table()

    assert "0.150 ms   75%" in table
    assert (
        f"nsys profile --trace=cuda,nvtx,osrt --output=Telling-1 vedette bench detector {report.plan.model} " in table
    )
    assert "Plain, batch 1, by layer:\n  plain on cpu does not tell" in table


def test_the_picture_has_a_line_for_each_that_runs(report: Report) -> None:
    svg = draw(report)
    root = ElementTree.fromstring(svg)
    lines = [element for element in root.iter() if element.tag.endswith("polyline")]

    assert len(lines) == 2 * 4
    assert "Absent" not in svg
    assert svg in page(report)


def test_a_picture_of_one_batch_size_has_its_dots_in_the_middle() -> None:
    figures = Figures((2.0, 3.0, 4.0), 500.0, 1.0, None, 9)
    plan = Plan("tiny.onnx", [Variant("Plain")], [1], rounds=1, seconds=0.0)
    result = Result(plan.variants[0], Refused(""), {1: figures})
    svg = draw(Report(plan, "tiny", [result]))

    assert "nan" not in svg
    assert 'cx="216.0"' in svg


def test_a_process_that_dies_in_the_middle_is_a_row(tmp_path: Path) -> None:
    model = str(tiny_bundle(tmp_path).root)
    plan = Plan(model, [Variant("Crashing"), Variant("Plain")], [1], rounds=1, seconds=0.0)
    crashed, plain = measure(plan, subject=FakeSubject)

    assert crashed.opened == Refused("its process ended with SIGABRT")
    assert isinstance(plain.figures[1], Figures)
    assert plain.figures[1].ratio == 1.0
