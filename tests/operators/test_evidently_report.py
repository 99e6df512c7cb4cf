from __future__ import annotations

import builtins
import json
import re
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from engine.errors import UsageError
from operators.evidently_report import EvidentlyReport, EvidentlyResult, default_verdict

Columns = dict[str, NDArray[Any]]


def columns(seed: int, num_samples: int, num_boxes: int, brighter: float = 0.0) -> Columns:
    rng = np.random.default_rng(seed)
    return {
        "brightness": (rng.normal(100 + brighter, 10, num_samples)).astype(np.float32),
        "sharpness": rng.normal(500, 50, num_samples).astype(np.float32),
        "size": rng.random(num_boxes).astype(np.float32),
        "class": np.array(["person", "car"])[rng.integers(0, 2, num_boxes)],
    }


@pytest.fixture(scope="module")
def compared() -> EvidentlyResult:
    """A picture 50 levels brighter; one column that only one side has, one that is NaN on one side."""
    reference = {**columns(0, 200, 900), "motion": np.full(200, np.nan, np.float32), "extra": np.ones(5, np.float32)}
    current = {**columns(1, 40, 90, brighter=50), "motion": np.ones(40, np.float32)}
    current["sharpness"][::2] = np.nan
    return EvidentlyReport().compare(reference, current, categorical=["class"])


@pytest.mark.slow
def test_names_what_drifted_and_what_could_not_be_compared(compared: EvidentlyResult) -> None:
    assert compared.drifted == ["brightness"]
    assert compared.left_out == {"motion": "the reference has no values", "extra": "the present has no values"}
    rows = {row["column"]: row for row in compared.json["columns"]}
    assert {name: row["method"] for name, row in rows.items()} == {
        "brightness": "wasserstein", "sharpness": "wasserstein", "size": "wasserstein", "class": "jensenshannon",
    }  # fmt: skip
    assert rows["brightness"]["value"] == pytest.approx(5, abs=0.5)
    # NaN and samples without boxes count for nothing: the other rows are as alike as two draws are.
    assert rows["sharpness"]["value"] < 0.4
    assert json.loads(json.dumps(compared.json)) == compared.json


@pytest.mark.slow
def test_its_page_needs_nothing_from_outside(compared: EvidentlyResult) -> None:
    assert compared.html.lstrip().startswith("<html") or "<!DOCTYPE" in compared.html[:200]
    assert re.findall(r"<(?:script|link|img)[^>]+(?:src|href)=[\"']?http", compared.html) == []


@pytest.mark.slow
def test_one_padded_table_says_what_two_tables_say() -> None:
    reference, current = columns(0, 200, 1500), columns(1, 40, 90, brighter=4)
    together = default_verdict(reference, current, categorical=["class"])
    apart: dict[str, bool] = {}
    for names in (("brightness", "sharpness"), ("size", "class")):
        sides = [{name: side[name] for name in names} for side in (reference, current)]
        apart |= default_verdict(*sides, categorical=["class"])
    assert together == apart


@pytest.mark.slow
def test_defaults_call_a_short_window_of_the_same_thing_drifted() -> None:
    rng = np.random.default_rng(3)
    reference = {f"s{i}": rng.normal(size=5000).astype(np.float32) for i in range(12)}
    current = {name: rng.normal(size=20).astype(np.float32) for name in reference}
    assert sum(default_verdict(reference, current).values()) == 12
    assert EvidentlyReport().compare(reference, current).drifted == []


def test_refuses_to_compare_nothing() -> None:
    empty: Mapping[str, NDArray[Any]] = {"brightness": np.full(3, np.nan)}
    with pytest.raises(UsageError, match="nothing to compare: no column has values on both sides"):
        default_verdict(empty, {"brightness": np.ones(3)})


def test_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *rest: Any) -> Any:
        if name.partition(".")[0] == "evidently":
            raise ModuleNotFoundError("No module named 'evidently'", name="evidently")
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(UsageError, match=r"a report by Evidently needs evidently: pip install 'vedette\[drift\]'"):
        EvidentlyReport().compare({"a": np.ones(3)}, {"a": np.ones(3)})
