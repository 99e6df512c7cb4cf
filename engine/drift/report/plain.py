"""A drift report for programs."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.drift.report.answers import advice, answers, headline
from engine.drift.report.parts import DriftReport, Row
from engine.drift.report.series import SERIES_STATISTICS

SCHEMA = "vedette.drift-report/1"


def report_dict(report: DriftReport) -> dict[str, Any]:
    """Give a report as plain JSON, without pictures other than those of its findings."""
    series = report.series
    return {
        "schema": SCHEMA,
        "camera": report.camera,
        "source": report.where,
        "model": report.model,
        "made_at": report.made_at.isoformat(timespec="seconds"),
        "headline": headline(report),
        "advice": advice(report),
        "answers": [dataclasses.asdict(answer) for answer in answers(report)],
        "settings": dataclasses.asdict(report.settings),
        "notes": list(report.notes),
        "length_s": round(series.length_s, 3),
        "samples": len(series),
        "boxes": len(series.sample),
        "settled": round(report.settled, 3),
        "statistics": [_row(row) for row in report.rows()],
        "findings": [_plain(dataclasses.asdict(one)) for one in report.findings],
        "checks": [_plain(dataclasses.asdict(check)) for check in report.checks],
        "series": {
            "elapsed_s": _numbers(series.elapsed_s),
            "unix_s": _numbers(series.unix_s),
            **{name: _numbers(series.over_time(name)) for name in SERIES_STATISTICS},
        },
        "evidently": None
        if report.outside is None
        else {**report.outside.json, "drifted": report.outside.drifted, "left_out": report.outside.left_out},
    }


def _row(row: Row) -> dict[str, Any]:
    return {**_plain(dataclasses.asdict(row)), "outside_training": row.outside_training}


def _numbers(values: NDArray[Any]) -> list[float | None]:
    return [round(value, 4) if np.isfinite(value) else None for value in values.tolist()]


def _plain(value: Any) -> Any:
    """Round what JSON need not say in 17 digits."""
    if isinstance(value, dict):
        return {key: _plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    if isinstance(value, float):
        return round(value, 4) if np.isfinite(value) else None
    return value
