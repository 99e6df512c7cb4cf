"""Charts as inline SVG: precision over recall, and confidence against what is right."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

import numpy as np
from numpy.typing import NDArray

from training.evaluation.detections.calibration import Calibration

COLORS = ("#1d4ed8", "#c2410c")
"""Of the first and the second model."""

_LEFT, _TOP, _RIGHT, _BOTTOM = 34, 8, 8, 30


def recall_chart(curves: Sequence[NDArray[np.float64]], width: int = 220, height: int = 170) -> str:
    """Draw precision (y) over recall (x).

    Args:
        curves: precision (101,) at recall 0, .01 … 1, one for each model; at most two.
        width: of the whole chart, in CSS pixels.
        height: likewise.
    """
    chart = _Chart(width, height)
    recall = np.linspace(0, 1, 101)
    lines = [chart.line(recall, np.maximum(curve, 0), color) for curve, color in zip(curves, COLORS, strict=False)]
    return chart.svg("recall", "precision", lines)


def calibration_chart(calibrations: Sequence[Calibration], width: int = 360, height: int = 300) -> str:
    """Draw the share of right boxes (y) over their confidence (x); the diagonal is what both should be.

    Args:
        calibrations: one for each model; at most two. A dot's area tells how many boxes it stands for.
        width: of the whole chart, in CSS pixels.
        height: likewise.
    """
    chart = _Chart(width, height)
    parts = [chart.line(np.array([0.0, 1.0]), np.array([0.0, 1.0]), "#9ca3af", dashed=True)]
    for calibration, color in zip(calibrations, COLORS, strict=False):
        bins = [one for one in calibration.bins if one.num]
        x, y = np.array([one.confidence for one in bins]), np.array([one.precision for one in bins])
        most = max((one.num for one in bins), default=1)
        parts.append(chart.line(x, y, color))
        for one in bins:
            radius = 2 + 7 * (one.num / most) ** 0.5
            title = f"{one.num} boxes: confidence {one.confidence:.2f}, right {one.precision:.2f}"
            parts.append(chart.dot(one.confidence, one.precision, radius, color, title))
    return chart.svg("confidence", "share that is right", parts)


class _Chart:
    """The unit square in a frame with marks at every fifth."""

    def __init__(self, width: int, height: int) -> None:
        self.size = (width, height)
        self._inner = (width - _LEFT - _RIGHT, height - _TOP - _BOTTOM)

    def x(self, value: float) -> float:
        return round(_LEFT + value * self._inner[0], 1)

    def y(self, value: float) -> float:
        return round(_TOP + (1 - value) * self._inner[1], 1)

    def line(self, x: NDArray[np.float64], y: NDArray[np.float64], color: str, dashed: bool = False) -> str:
        points = " ".join(f"{self.x(a)},{self.y(b)}" for a, b in zip(x.tolist(), y.tolist(), strict=True))
        style = ' stroke-dasharray="4 3"' if dashed else ""
        return f'<polyline points="{points}" fill="none" stroke="{color}" stroke-width="1.6"{style}/>'

    def dot(self, x: float, y: float, radius: float, color: str, title: str) -> str:
        place = f'cx="{self.x(x)}" cy="{self.y(y)}" r="{radius:.1f}"'
        return f'<circle {place} fill="{color}" fill-opacity="0.55"><title>{escape(title)}</title></circle>'

    def svg(self, x_label: str, y_label: str, parts: Sequence[str]) -> str:
        width, height = self.size
        marks = []
        for tick in np.linspace(0, 1, 6).tolist():
            x, y = self.x(tick), self.y(tick)
            marks.append(f'<path d="M{x},{self.y(0)}V{self.y(1)}M{self.x(0)},{y}H{self.x(1)}"/>')
            marks.append(f'<text x="{x}" y="{self.y(0) + 11}" text-anchor="middle">{tick:.1f}</text>')
            marks.append(f'<text x="{_LEFT - 4}" y="{y + 3}" text-anchor="end">{tick:.1f}</text>')
        turned = f'text-anchor="middle" transform="rotate(-90 9 {self.y(0.5)})"'
        names = (
            f'<text x="{self.x(0.5)}" y="{height - 6}" text-anchor="middle">{escape(x_label)}</text>'
            f'<text x="9" y="{self.y(0.5)}" {turned}>{escape(y_label)}</text>'
        )
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" class="chart" width="{width}" height="{height}" '
            f'viewBox="0 0 {width} {height}" role="img" aria-label="{escape(y_label)} over {escape(x_label)}">'
            f'<g class="grid">{"".join(marks)}</g><g class="grid">{names}</g>{"".join(parts)}</svg>'
        )


def interval_bar(low: float, value: float, high: float, width: int = 90) -> str:
    """Draw a figure of 0..1 as a mark in its interval, for a table's cell."""
    a, b, c = (round(2 + v * (width - 4), 1) for v in (low, value, high))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="12" viewBox="0 0 {width} 12" '
        f'aria-hidden="true"><path d="M2,6H{width - 2}" stroke="#e5e7eb" stroke-width="4"/>'
        f'<path d="M{a},6H{c}" stroke="#93c5fd" stroke-width="4"/><circle cx="{b}" cy="6" r="3" fill="{COLORS[0]}"/>'
        f"</svg>"
    )
