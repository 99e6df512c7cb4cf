"""Compare two windows of a camera with Evidently: its report as a page, and its figures.

Does: hands columns of numbers to Evidently and gives back what it makes of them. Nothing of it runs on the live path.
Absent input: a column that one side lacks, or that holds no number on one side, is left out, and the result says so.
Costs: 3 to 5 s and 280 MB for the first import, 1 to 2 s a comparison, 4.5 MB a page.
Example: `load_class("evidently_report")().compare(training, now)`
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from engine.errors import UsageError

if TYPE_CHECKING:
    from evidently.core.report import Snapshot
    from evidently.presets import DataDriftPreset

Columns = Mapping[str, NDArray[Any]]

# Evidently's own defaults depend on the number of rows: up to 1000 a test that takes each row for independent, which
# frames of one camera are not, beyond that a distance whose bound of 0.1 a short window always passes by chance. Half
# the spread of the reference, and a visibly other mix, are more than twenty rows reach by chance.
_MAX_WASSERSTEIN = 0.5
_MAX_JENSEN_SHANNON = 0.2


@dataclass(frozen=True)
class EvidentlyResult:
    """What Evidently says.

    Attributes:
        html: its report, a page of its own.
        json: `version`, and `columns`: a row for each with `column`, `method`, `value`, `threshold` and `drifted`. The
            methods are distances: more is further apart.
        drifted: columns that are further apart than their threshold.
        left_out: columns that could not be compared, each with the reason.
    """

    html: str
    json: dict[str, Any]
    drifted: list[str]
    left_out: dict[str, str]


class EvidentlyReport:
    """Evidently, kept at arm's length."""

    def compare(self, reference: Columns, current: Columns, *, categorical: Collection[str] = ()) -> EvidentlyResult:
        """Compare two sets of columns.

        Args:
            reference: by name, (N,) numbers, or words where the column is categorical. Columns may differ in length:
                one row a sample, or one row a box. NaN stands for no value.
            current: the same of another time or place.
            categorical: names of the columns that hold words, such as the classes of boxes.

        Raises:
            UsageError: Evidently is not installed, or nothing can be compared.
        """
        shared, left_out = _shared(reference, current, categorical)
        evidently = _import_evidently()
        preset = evidently.presets.DataDriftPreset(
            num_method="wasserstein", num_threshold=_MAX_WASSERSTEIN,
            cat_method="jensenshannon", cat_threshold=_MAX_JENSEN_SHANNON,
        )  # fmt: skip
        snapshot = _run(preset, shared, categorical)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            html = snapshot.get_html_str(as_iframe=False)
        rows = _rows(snapshot)
        drifted = [row["column"] for row in rows if row["drifted"]]
        return EvidentlyResult(html, {"version": evidently.__version__, "columns": rows}, drifted, left_out)


def default_verdict(reference: Columns, current: Columns, *, categorical: Collection[str] = ()) -> dict[str, bool]:
    """Say which columns Evidently calls drifted when nothing is set: `DataDriftPreset()`.

    See `EvidentlyReport.compare` for arguments and errors; columns that cannot be compared are left out.
    """
    shared, _ = _shared(reference, current, categorical)
    snapshot = _run(_import_evidently().presets.DataDriftPreset(), shared, categorical)
    return {row["column"]: row["drifted"] for row in _rows(snapshot)}


def _import_evidently() -> Any:
    # It has telemetry for its own server, which we do not use; this switches it off for good.
    os.environ["DO_NOT_TRACK"] = "1"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import evidently
            import evidently.presets
    except ImportError as error:
        raise UsageError(f"a report by Evidently needs {error.name}: pip install 'vedette[drift]'") from None
    return evidently


def _shared(
    reference: Columns, current: Columns, categorical: Collection[str]
) -> tuple[dict[str, tuple[NDArray[Any], NDArray[Any]]], dict[str, str]]:
    """Give what both sides have values of, without NaN, and why the others were left out."""
    shared: dict[str, tuple[NDArray[Any], NDArray[Any]]] = {}
    left_out: dict[str, str] = {}
    for name in (*reference, *(name for name in current if name not in reference)):
        sides = {"the reference": reference.get(name), "the present": current.get(name)}
        kept = []
        for side, column in sides.items():
            values = np.zeros(0) if column is None else column if name in categorical else column[np.isfinite(column)]
            if not len(values):
                left_out.setdefault(name, f"{side} has no values")
            kept.append(values)
        if name not in left_out:
            shared[name] = (kept[0], kept[1])
    if not shared:
        raise UsageError("nothing to compare: no column has values on both sides")
    return shared, left_out


def _run(
    preset: DataDriftPreset, shared: Mapping[str, tuple[NDArray[Any], NDArray[Any]]], categorical: Collection[str]
) -> Snapshot:
    import pandas as pd
    from evidently import DataDefinition, Dataset, Report

    definition = DataDefinition(
        numerical_columns=[name for name in shared if name not in categorical],
        categorical_columns=[name for name in shared if name in categorical],
    )
    # Columns of samples and of boxes differ in length. Evidently drops missing rows column by column before it counts
    # or compares anything, so that one padded table says the same as two, in one page in place of two.
    reference, current = (
        Dataset.from_pandas(
            pd.DataFrame({name: pd.Series(pair[side]) for name, pair in shared.items()}), data_definition=definition
        )
        for side in (0, 1)
    )
    with warnings.catch_warnings():
        # Divisions by zero and the like in its own code; ours stay errors.
        warnings.simplefilter("ignore")
        return Report([preset], include_tests=True).run(current_data=current, reference_data=reference)


def _rows(snapshot: Snapshot) -> list[dict[str, Any]]:
    found = snapshot.dict()
    # A small p-value and a large distance both mean drift: the test's verdict knows which it is.
    verdicts = {
        test["metric_config"]["params"]["column"]: getattr(test["status"], "value", test["status"]) == "FAIL"
        for test in found["tests"]
        if "column" in test["metric_config"]["params"]
    }
    return [
        {
            "column": metric["config"]["column"],
            "method": metric["config"]["method"],
            "value": float(metric["value"]),
            "threshold": float(metric["config"]["threshold"]),
            "drifted": verdicts[metric["config"]["column"]],
        }
        for metric in found["metrics"]
        if "column" in metric["config"]
    ]
