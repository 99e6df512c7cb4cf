"""A drift report's charts as inline SVG; colours come from the page, which knows light and dark."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from html import escape
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from engine.drift.report.parts import Check, Finding, Row
from engine.drift.report.words import HEADLINES, clock

# Scores beyond are drawn at the top: how far above the threshold is for the table to say.
_MAX_SCORE = 4.0
_MAX_POINTS = 400
_WIDTH, _LEFT, _RIGHT = 960, 34, 10
_STEPS_S = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 21600, 43200, 86400)


def score_chart(
    checks: Sequence[Check],
    findings: Sequence[Finding],
    length_s: float,
    learning_s: float,
    label: Callable[[float], str] = clock,
) -> str:
    """Draw the greatest score over time, with the threshold and what was raised.

    Args:
        checks: scores in order.
        findings: are shaded, from when they began until they passed.
        length_s: where the axis ends.
        learning_s: until then the camera's normal was learnt and nothing was compared with it.
        label: names a place on the axis.
    """
    height, top, bottom = 190, 30, 24
    low = height - bottom
    x = _axis(length_s)

    def y(score: float) -> float:
        return round(low - min(abs(score), _MAX_SCORE) / _MAX_SCORE * (low - top), 1)

    parts = []
    if learning_s > 0:
        right = x(min(learning_s, length_s))
        parts.append(f'<rect class="learning" x="{_LEFT}" y="{top}" width="{right - _LEFT:.1f}" height="{low - top}"/>')
        if right - _LEFT > 120:
            parts.append(f'<text x="{_LEFT + 6}" y="{low - 6}">learning what is normal</text>')
    for number, one in enumerate(findings):
        start, stop = x(one.began_s), max(x(one.stop_s(length_s)), x(one.began_s) + 2)
        cause = HEADLINES.get(one.part.cause, one.part.cause)
        anchor = ' text-anchor="end"' if start > _WIDTH * 0.7 else ""
        at = stop if anchor else start
        parts.append(
            f'<rect class="{_class(one)}" x="{start}" y="{top}" width="{stop - start:.1f}" height="{low - top}">'
            f"<title>{escape(cause)}, from {escape(label(one.began_s))}</title></rect>"
            f'<text class="strong" x="{at}" y="{12 + 12 * (number % 2)}"{anchor}>{escape(cause)}</text>'
        )
    for score in range(int(_MAX_SCORE) + 1):
        parts.append(f'<path class="grid" d="M{_LEFT},{y(score)}H{_WIDTH - _RIGHT}"/>')
        parts.append(f'<text x="{_LEFT - 6}" y="{y(score) + 4}" text-anchor="end">{score}</text>')
    if checks:
        rows = _thin(np.array([abs(check.score) for check in checks]), "max")
        times = _thin(np.array([check.at_s for check in checks]), "max")
        points = " ".join(f"{x(a)},{y(b)}" for a, b in zip(times.tolist(), rows.tolist(), strict=True))
        parts.append(f'<polyline class="line" points="{points}"/>')
    parts.append(f'<path class="threshold" d="M{_LEFT},{y(1)}H{_WIDTH - _RIGHT}"/>')
    parts += _ticks(x, length_s, low, label)
    return _svg(height, parts, "how far the picture is from normal, over time; 1 is the threshold")


def statistic_chart(
    elapsed_s: NDArray[np.float64],
    values: NDArray[np.float64],
    row: Row,
    findings: Sequence[Finding],
    length_s: float,
    label: Callable[[float], str] = clock,
) -> str:
    """Draw one statistic over time, in front of what was normal and of what the training pictures are like."""
    height, top, bottom = 96, 6, 18
    known = np.isfinite(values)
    elapsed_s, values = _thin(elapsed_s[known], "mean"), _thin(values[known], "median")
    x = _axis(length_s, 470)
    ends: list[float] = [*values.tolist(), *([] if row.then is None else [row.then[0], row.then[-1]])]
    least, most = min(ends), max(ends)
    margin = (most - least or 1.0) * 0.08
    least, most, low = least - margin, most + margin, height - bottom

    def y(value: float) -> float:
        return round(low - (min(max(value, least), most) - least) / (most - least) * (low - top), 1)

    width = 470 - _RIGHT - _LEFT
    parts = []
    for band, name in ((row.training, "training"), (row.then, "then")):
        if band is not None and y(band[0]) > y(band[-1]):
            size = f'y="{y(band[-1])}" height="{y(band[0]) - y(band[-1]):.1f}"'
            parts.append(f'<rect class="{name}" x="{_LEFT}" width="{width}" {size}/>')
    for one in findings:
        start, stop = x(one.began_s), max(x(one.stop_s(length_s)), x(one.began_s) + 1)
        parts.append(
            f'<rect class="{_class(one)}" x="{start}" y="{top}" width="{stop - start:.1f}" height="{low - top}"/>'
        )
    points = " ".join(f"{x(a)},{y(b)}" for a, b in zip(elapsed_s.tolist(), values.tolist(), strict=True))
    parts.append(f'<polyline class="line" points="{points}"/>')
    for value in (least + margin, most - margin):
        parts.append(f'<text x="{_LEFT - 4}" y="{y(value) + 3}" text-anchor="end">{_short(value)}</text>')
    parts += _ticks(x, length_s, low, label, every=4, width=470)
    return _svg(height, parts, f"{row.name} over time", 470)


def range_bar(row: Row) -> str:
    """Draw, for a table's cell, training and then as ranges and now as a mark."""
    width, height = 170, 18
    ends = [*row.now, *(row.then or ()), *(row.training or ())]
    least, most = min(ends), max(ends)
    scale = (width - 12) / ((most - least) or 1.0)

    def x(value: float) -> float:
        return round(6 + (value - least) * scale, 1)

    parts = []
    for band, name, size in ((row.training, "training", 12), (row.then, "then", 5)):
        if band is not None:
            wide = max(x(band[-1]) - x(band[0]), 1.5)
            place = f'x="{x(band[0])}" y="{(height - size) / 2}" width="{wide:.1f}" height="{size}"'
            parts.append(f'<rect class="{name}" {place} rx="2"/>')
    far = row.outside_training or abs(row.change or 0.0) >= 1
    parts.append(f'<circle class="{"far" if far else "near"}" cx="{x(row.now[1])}" cy="{height / 2}" r="4.5"/>')
    return (
        f'<svg class="bar" width="{width}" height="{height}" viewBox="0 0 {width} {height}" aria-hidden="true">'
        f"{''.join(parts)}</svg>"
    )


def _class(one: Finding) -> str:
    return "lasting" if one.cleared_s is None else "passed"


def _axis(length_s: float, width: int = _WIDTH) -> Callable[[float], float]:
    scale = (width - _LEFT - _RIGHT) / max(length_s, 1e-9)
    return lambda at_s: round(_LEFT + min(max(at_s, 0.0), length_s) * scale, 1)


def _ticks(
    x: Callable[[float], float],
    length_s: float,
    low: float,
    label: Callable[[float], str],
    every: int = 8,
    width: int = _WIDTH,
) -> list[str]:
    step_s = next((step for step in _STEPS_S if length_s / step <= every), _STEPS_S[-1])
    parts = []
    for at_s in np.arange(0.0, length_s + 1e-6, step_s).tolist():
        anchor = "start" if at_s == 0 else "end" if x(at_s) > width - 40 else "middle"
        parts.append(f'<path class="grid" d="M{x(at_s)},{low}v4"/>')
        parts.append(f'<text x="{x(at_s)}" y="{low + 15}" text-anchor="{anchor}">{escape(label(at_s))}</text>')
    return parts


def _thin(values: NDArray[np.float64], how: Literal["max", "mean", "median"]) -> NDArray[np.float64]:
    """Sum up runs of values, so that no chart has more points than it has pixels."""
    size = -(-len(values) // _MAX_POINTS)
    if size <= 1:
        return values
    runs = [values[start : start + size] for start in range(0, len(values), size)]
    return np.array([run.max() if how == "max" else np.mean(run) if how == "mean" else np.median(run) for run in runs])


def _short(value: float) -> str:
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def _svg(height: int, parts: Sequence[str], name: str, width: int = _WIDTH) -> str:
    view = f'viewBox="0 0 {width} {height}" role="img" aria-label="{escape(name)}"'
    return f'<svg class="chart" {view}>{"".join(parts)}</svg>'
