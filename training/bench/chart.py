"""The results as a picture of two panels, pictures per second and milliseconds over the batch size; SVG, no library."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from html import escape

from training.bench.report import Report
from training.bench.rounds import Figures, Result

_WIDTH, _HEIGHT, _LEFT, _TOP, _BOTTOM = 960, 340, 56, 34, 46
_PANEL, _GAP, _LABELS = 320, 70, 190
_COLORS = ("#1d4ed8", "#c2410c", "#15803d", "#7e22ce", "#be123c", "#0e7490", "#a16207", "#4d7c0f")
_STYLE = (
    "svg{font:12px system-ui,sans-serif;background:#fff}text{fill:#111827}.soft{fill:#6b7280}"
    ".grid{stroke:#e5e7eb;fill:none}"
    "@media(prefers-color-scheme:dark){svg{background:#111827}text{fill:#f3f4f6}.soft{fill:#9ca3af}"
    ".grid{stroke:#374151}}"
)

Points = list[tuple[int, float]]


def draw(report: Report) -> str:
    """Draw what ran as an SVG document: a line for each variant, with whiskers to p99 in the second panel."""
    batches = report.plan.batches
    parts = [f'<text x="{_LEFT}" y="16" font-weight="600">{escape(report.name)}</text>']
    rates = [[(batch, f.pictures_s) for batch, f in _figures(one)] for one in report.runs]
    times = [[(batch, f.ms[0]) for batch, f in _figures(one)] for one in report.runs]
    tails = [[(batch, f.ms[2]) for batch, f in _figures(one)] for one in report.runs]
    parts += _panel(_LEFT, "pictures per second", batches, rates, None, logarithmic=False)
    parts += _panel(_LEFT + _PANEL + _GAP, "ms a batch, p50 to p99", batches, times, tails, logarithmic=True)
    for i, one in enumerate(report.runs):
        y = _TOP + 14 + 20 * i
        x = _WIDTH - _LABELS + 16
        parts.append(f'<rect x="{x}" y="{y - 9}" width="14" height="4" fill="{_color(i)}"/>')
        parts.append(f'<text x="{x + 20}" y="{y - 3}">{escape(str(one.variant))}</text>')
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" width="{_WIDTH}" height="{_HEIGHT}" '
        f'role="img" aria-label="rates and times of {escape(report.name)} by batch size"><style>{_STYLE}</style>'
        f"{''.join(parts)}</svg>\n"
    )


def page(report: Report) -> str:
    """Write the picture and the table as an HTML document."""
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8"><meta name="color-scheme" content="light dark">'
        f"<title>{escape(report.name)}</title>{draw(report)}<pre>{escape(report.table())}</pre></html>\n"
    )


def _figures(result: Result) -> list[tuple[int, Figures]]:
    return [(batch, figures) for batch, figures in result.figures.items() if isinstance(figures, Figures)]


def _color(i: int) -> str:
    return _COLORS[i % len(_COLORS)]


def _panel(
    left: int, title: str, batches: Sequence[int], lines: list[Points], tops: list[Points] | None, *, logarithmic: bool
) -> list[str]:
    values = [value for line in lines for _, value in line] + [value for line in tops or [] for _, value in line]
    ticks = _powers(values) if logarithmic else _steps(max(values))
    low = _HEIGHT - _BOTTOM
    y = _scale(ticks[0], ticks[-1], low, _TOP + 10, logarithmic)
    # One size alone stands in the middle.
    x = _scale(batches[0], batches[-1], left + 12, left + _PANEL - 12, True)
    parts = [f'<text class="soft" x="{left}" y="{_TOP}">{title}</text>']
    for tick in ticks:
        parts.append(f'<path class="grid" d="M{left},{y(tick)}h{_PANEL}"/>')
        parts.append(f'<text class="soft" x="{left - 6}" y="{y(tick) + 4}" text-anchor="end">{tick:g}</text>')
    for batch in batches:
        parts.append(f'<text class="soft" x="{x(batch)}" y="{low + 16}" text-anchor="middle">{batch}</text>')
    parts.append(f'<text class="soft" x="{left + _PANEL / 2}" y="{low + 34}" text-anchor="middle">batch</text>')
    for i, line in enumerate(lines):
        color = _color(i)
        for (batch, value), (_, top) in zip(line, tops[i] if tops else [], strict=False):
            # Side by side, or the last one would hide the others.
            beside = x(batch) + 3 * (i - (len(lines) - 1) / 2)
            parts.append(f'<path stroke="{color}" stroke-opacity=".6" d="M{beside},{y(value)}V{y(top)}"/>')
        points = " ".join(f"{x(batch)},{y(value)}" for batch, value in line)
        parts.append(f'<polyline points="{points}" fill="none" stroke="{color}" stroke-width="1.8"/>')
        parts += [
            f'<circle cx="{x(batch)}" cy="{y(value)}" r="3" fill="{color}"><title>batch {batch}: {value:.4g}</title>'
            "</circle>"
            for batch, value in line
        ]
    return parts


def _scale(least: float, most: float, start: float, stop: float, logarithmic: bool) -> Callable[[float], float]:
    step = math.log if logarithmic else float
    length = step(most) - step(least)
    if not length:
        return lambda _: (start + stop) / 2
    return lambda value: round(start + (step(value) - step(least)) / length * (stop - start), 1)


def _steps(most: float) -> list[float]:
    """Four to ten round numbers from 0 to above the greatest."""
    size = 10.0 ** math.floor(math.log10(most))
    step = next(s * size for s in (0.2, 0.5, 1.0, 2.0) if most / (s * size) <= 7)
    return [i * step for i in range(math.ceil(most / step) + 1)]


def _powers(values: Sequence[float]) -> list[float]:
    """1, 2 and 5 of every power of ten that the values span."""
    marks = [m * 10.0**e for e in range(-3, 7) for m in (1, 2, 5)]
    first = max(i for i, mark in enumerate(marks) if mark <= max(min(values), marks[0]))
    last = min(i for i, mark in enumerate(marks) if mark >= min(max(values), marks[-1]))
    return marks[first : max(last, first + 1) + 1]
