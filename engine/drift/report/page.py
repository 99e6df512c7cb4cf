"""A drift report as one HTML file for people: no script of ours, nothing from outside; prints well."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Sequence
from functools import partial
from html import escape

import numpy as np

from engine.drift.causes import CAUSES
from engine.drift.report.answers import Answer, advice, answers, headline, moment, remark
from engine.drift.report.chart import range_bar, score_chart, statistic_chart
from engine.drift.report.parts import DriftReport, Finding
from engine.drift.report.series import Series
from engine.drift.report.words import HEADLINES, length, number, word_of

_LIGHTS = {"red": "●", "amber": "▲", "green": "✔", "grey": "?"}
_WORST = ("red", "amber", "grey", "green")
_MAX_PAIRS, _MAX_FILM, _MAX_CLASSES = 4, 8, 10


def report_html(report: DriftReport) -> str:
    """Write the page."""
    found = answers(report)
    parts = [
        *_head(report, found),
        *_pictures(report),
        "<h2>What to do</h2>",
        f"<ul>{''.join(f'<li>{_text(one)}</li>' for one in advice(report))}</ul>",
        *_timeline(report),
        *_table(report),
        *_classes(report),
        *_over_time(report),
        *_outside(report),
        *_how(report),
    ]
    return (
        f'<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>Drift: {escape(report.camera)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n"
        + "\n".join(parts)
        + "\n</body>\n</html>\n"
    )


def _text(text: str) -> str:
    """Escape a sentence; `what stands so` is code."""
    pieces = escape(text).split("`")
    return "".join(f"<code>{piece}</code>" if index % 2 else piece for index, piece in enumerate(pieces))


def _head(report: DriftReport, found: Sequence[Answer]) -> Iterator[str]:
    series = report.series
    worst = next(light for light in _WORST if any(answer.light == light for answer in found))
    if report.main is None and worst == "grey" and report.settled >= 1:
        worst = "green"
    model = f", model {escape(report.model)}" if report.model else ""
    yield (
        f"<header><h1>Camera {escape(report.camera)}</h1><p class=note>{escape(report.where)}: "
        f"{length(series.length_s)}, {len(series)} samples{model}. "
        f"Made on {report.made_at:%d %B %Y at %H:%M}.</p></header>"
    )
    yield f'<p class="headline {worst}">{_text(headline(report))}</p>'
    cards = [
        f'<div class="{one.light}"><b><i>{_LIGHTS[one.light]}</i>{escape(one.question)}</b>'
        f"<p>{_text(one.text)}</p></div>"
        for one in found
    ]
    yield f'<div class="answers">{"".join(cards)}</div>'


def _pictures(report: DriftReport) -> Iterator[str]:
    order = sorted(report.changes, key=lambda one: (one is not report.main, one.cleared_s is not None, -one.part.score))
    shown = [one for one in order if one.part.picture is not None][:_MAX_PAIRS]
    if shown:
        yield "<h2>Then and now</h2>"
        figures = [
            f'<figure class="pair"><img src="{escape(one.part.picture or "")}" alt="left then, right now">'
            f"<figcaption><span>then</span><span>{escape(moment(report, one.raised_s))}</span></figcaption>"
            f"<p>{_told(one)}</p></figure>"
            for one in shown
        ]
        yield f'<div class="pairs">{"".join(figures)}</div>'
    elif len(report.pictures) >= 2:
        yield "<h2>At the beginning and at the end</h2>"
        ends = (report.pictures[0], report.pictures[-1])
        yield f'<div class="film two">{"".join(_frame(report, *one) for one in ends)}</div>'


def _told(one: Finding) -> str:
    """Say what happened, and what the monitor says about it."""
    if one.part.against == "training" and one.part.cause == "changed":
        return "<b>Unlike the training pictures</b>, and no cause fits well."
    cause = HEADLINES.get(one.part.cause, one.part.cause)
    moved = ""
    if one.part.moved_px is not None:
        dx, dy = one.part.moved_px
        moved = f" It moved by {abs(dx):.0f} pixels sideways and {abs(dy):.0f} up or down."
    said = CAUSES.get(one.part.cause, one.part.text)
    return f"<b>{escape(cause[:1].upper() + cause[1:])}</b>: {escape(said)}.{moved}"


def _frame(report: DriftReport, at_s: float, jpeg: bytes) -> str:
    data = base64.b64encode(jpeg).decode()
    caption = escape(moment(report, at_s))
    return (
        f'<figure><img src="data:image/jpeg;base64,{data}" alt="the picture at {caption}">'
        f"<figcaption>{caption}</figcaption></figure>"
    )


def _timeline(report: DriftReport) -> Iterator[str]:
    if len(report.series) < 2:
        return
    yield "<h2>Over time</h2>"
    length_s = report.series.length_s
    learning_s = 0.0 if report.normal is not None else min(report.settings.settle_s, length_s)
    if report.checks or report.changes:
        yield (
            '<p class="note">How far the picture is from what it should be like. From 1 on (dashed) it is more than '
            "this camera's own ups and downs explain; only what lasts is reported.</p>"
        )
        yield score_chart(report.checks, report.changes, length_s, learning_s, partial(moment, report))
    else:
        yield '<p class="note">There is too little footage to compare it with the camera\'s own normal.</p>'
    pictures = list(report.pictures)
    if len(pictures) > 2:
        rows = np.unique(np.linspace(0, len(pictures) - 1, min(_MAX_FILM, len(pictures))).round().astype(int))
        yield f'<div class="film">{"".join(_frame(report, *pictures[row]) for row in rows.tolist())}</div>'
    if report.findings:
        rows_of = [["from", "until", "what", "compared with", "score", "what it went by"]]
        for one in report.findings:
            until = "it lasts" if one.cleared_s is None else escape(moment(report, one.cleared_s))
            against = "its own normal" if one.part.against == "normal" else "the training pictures"
            # How it always was did not begin at a moment.
            always = one.part.against == "training" and one.began_s <= report.settings.window_s
            began = "the start" if always else escape(moment(report, one.began_s))
            names = ", ".join(word_of(each.name).name for each in one.part.statistics)
            rows_of.append([
                began, until, _told(one), against, f"{one.part.score:.1f}", escape(names),
            ])  # fmt: skip
        yield _html_table(rows_of, "changes")


def _table(report: DriftReport) -> Iterator[str]:
    rows = report.rows()
    if not rows:
        return
    main = report.main
    if main is not None:
        end = "the end" if main.cleared_s is None else moment(report, main.cleared_s)
        now = f"from {moment(report, main.began_s)} to {end}"
    else:
        now = f"the last {length(report.now.length_s)}"
    before = f"the {length(report.then.length_s)} {'at the beginning' if main is None else 'before that'}"
    if report.normal is not None:
        before = f"the recording {report.normal_where}"
    yield "<h2>In numbers</h2>"
    yield (
        f'<p class="note">Now: {escape(now)}. Before: {escape(before)}. Each number is the middle one; the bars reach '
        f'from the lowest to the highest twentieth: <span class="key training"></span> training pictures, '
        f'<span class="key then"></span> before, <span class="key dot"></span> now.</p>'
    )
    lines = [["", "before", "now", "in training", "", "in words"]]
    for row in rows:
        word = word_of(row.name)
        training = "" if row.training is None else f"{number(row.training[0])} … {number(row.training[2])}"
        said = escape(remark(row))
        if row.outside_training or abs(row.change or 0.0) >= 1:
            said = f"<b>{said}</b>"
        name = f"{escape(word.name)} <small>{escape(word.meaning)}</small>"
        then = "" if row.then is None else number(row.then[1])
        lines.append([name, then, number(row.now[1]), training, range_bar(row), said])
    yield _html_table(lines, "numbers")


def _classes(report: DriftReport) -> Iterator[str]:
    mixes = [_mix(report.then), _mix(report.now)]
    training = None if report.reference is None else report.reference.class_mix()
    names = sorted({*mixes[0], *mixes[1]}, key=lambda name: -max(mix.get(name, 0.0) for mix in mixes))[:_MAX_CLASSES]
    if not names:
        return
    yield "<h2>What the model found</h2>"
    head = ["share of all objects", "before", "now", *([] if training is None else ["in training"])]
    rows = [
        [escape(name), *(f"{mix.get(name, 0.0):.0%}" for mix in mixes),
         *([] if training is None else [f"{training.get(name, 0.0):.0%}"])]
        for name in names
    ]  # fmt: skip
    yield _html_table([head, *rows])


def _mix(series: Series) -> dict[str, float]:
    names, counts = np.unique(series.class_name, return_counts=True)
    return dict(zip(names.tolist(), (counts / max(counts.sum(), 1)).tolist(), strict=True))


def _over_time(report: DriftReport) -> Iterator[str]:
    series = report.series
    charts = []
    for row in report.rows():
        values = series.over_time(row.name)
        if np.isfinite(values).sum() < 2:
            continue
        word = word_of(row.name)
        chart = statistic_chart(series.elapsed_s, values, row, report.changes, series.length_s, partial(moment, report))
        charts.append(
            f"<figure><figcaption><b>{escape(word.name)}</b> {escape(word.meaning)}</figcaption>{chart}</figure>"
        )
    if charts:
        yield "<h2>Every statistic over time</h2>"
        yield (
            '<p class="note"><span class="key training"></span> what nine of ten training pictures are like, '
            '<span class="key then"></span> what was usual before. Of objects it is the middle one of each sample.</p>'
        )
        yield f'<div class="charts">{"".join(charts)}</div>'


def _outside(report: DriftReport) -> Iterator[str]:
    if report.outside is None:
        return
    names = [word_of(name).name for name in report.outside.drifted]
    against = "before" if report.reference is None else "the training pictures"
    said = f"It calls these apart: {', '.join(names)}." if names else "It calls nothing apart."
    left_out = "; ".join(f"{word_of(name).name} ({why})" for name, why in report.outside.left_out.items())
    yield "<h2>A second opinion</h2>"
    yield (
        f'<p class="note">Evidently, a general tool for data, compared each column of now with {against}. '
        f"{escape(said)} It knows nothing of time: it takes every sample for independent, and the hour for drift."
        f"{escape(f' Left out: {left_out}.') if left_out else ''}</p>"
    )
    # A page of its own, with scripts that want the browser's storage: a sandbox leaves it blank.
    yield (
        f'<details><summary>Its report</summary><iframe title="Report by Evidently" loading="lazy" '
        f'srcdoc="{escape(report.outside.html)}"></iframe></details>'
    )


def _how(report: DriftReport) -> Iterator[str]:
    settings = report.settings
    yield "<h2>How this was made</h2>"
    lines = list(report.notes)
    every = "1 to 4 s" if settings.every_s == "auto" else f"{settings.every_s:g} s"
    lines.append(
        f"One picture every {every} was measured. The last {length(settings.window_s)} stand for the present; the "
        f"camera's own normal was known after {length(settings.settle_s)}."
    )
    if report.normal is not None:
        lines.append(f"What is normal was learnt from {report.normal_where} first ({length(report.normal.length_s)}).")
    if report.reference is not None:
        lines.append(
            f"Training: {len(report.reference)} pictures out of {report.reference.num_frames}, with "
            f"{report.reference.num_boxes} objects that the model found in them."
        )
    if not np.isnan(report.series.unix_s).any() and len(report.series):
        lines.append(f"Times of day are in {report.made_at.tzname()}.")
    yield f"<ul class=note>{''.join(f'<li>{_text(line)}</li>' for line in lines)}</ul>"


def _html_table(rows: Sequence[Sequence[str]], name: str = "") -> str:
    head = "".join(f"<th>{cell}</th>" for cell in rows[0])
    body = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in rows[1:])
    return f'<div class="wide"><table class="{name}"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


_STYLE = """
:root{color-scheme:light dark;--ink:#111827;--soft:#4b5563;--paper:#fff;--panel:#f9fafb;--rule:#e5e7eb;--line:#1d4ed8;
--red:#b91c1c;--amber:#b45309;--green:#15803d;--grey:#6b7280;--training:#93c5fd;--then:#9ca3af;--warn:#fca5a5}
@media screen and (prefers-color-scheme:dark){:root{--ink:#e5e7eb;--soft:#9ca3af;--paper:#0f1216;--panel:#171b21;
--rule:#2b313a;--line:#7aa2f7;--red:#f87171;--amber:#fbbf24;--green:#4ade80;--grey:#9ca3af;--training:#1e4f8f;
--then:#6b7280;--warn:#7f1d1d}}
body{font:15px/1.5 system-ui,sans-serif;color:var(--ink);background:var(--paper);max-width:1000px;margin:2rem auto;
padding:0 1rem}
h1{font-size:1.5rem;margin:0}h2{font-size:1.15rem;margin:2rem 0 .5rem;border-bottom:1px solid var(--rule)}
p{margin:.3rem 0 .6rem}.note,small,figcaption{color:var(--soft);font-size:13px}small{display:block;font-weight:400}
code{font-size:.92em;background:var(--panel);border:1px solid var(--rule);border-radius:4px;padding:0 .25em}
ul{padding-left:1.2rem;margin:.3rem 0}
.headline{font-size:1.35rem;line-height:1.35;font-weight:600;margin:1rem 0;padding:.8rem 1rem;background:var(--panel);
border-left:6px solid var(--mark);border-radius:0 8px 8px 0}
.red{--mark:var(--red)}.amber{--mark:var(--amber)}.green{--mark:var(--green)}.grey{--mark:var(--grey)}
.answers{display:grid;grid-template-columns:repeat(auto-fit,minmax(260px,1fr));gap:.8rem}
.answers div{border:1px solid var(--rule);border-top:4px solid var(--mark);border-radius:8px;padding:.6rem .9rem;
break-inside:avoid}
.answers b{display:block}.answers i{font-style:normal;color:var(--mark);margin-right:.4rem}.answers p{margin:.3rem 0 0}
figure{margin:0;break-inside:avoid}img{display:block;width:100%;height:auto;border-radius:6px}
.pairs{display:grid;gap:1rem}.pair{max-width:720px}
.pair figcaption{display:grid;grid-template-columns:1fr 1fr}.pair p{margin:.2rem 0 0}
.film{display:grid;grid-auto-flow:column;grid-auto-columns:1fr;gap:.4rem;margin:.4rem 0 1rem}.two{max-width:720px}
.wide{overflow-x:auto}table{border-collapse:collapse;font-variant-numeric:tabular-nums;margin:.4rem 0;width:100%}
th,td{padding:.3rem .6rem .3rem 0;text-align:left;border-bottom:1px solid var(--rule);vertical-align:top}
th{color:var(--soft);font-weight:600;font-size:13px}tr{break-inside:avoid}
.numbers td:nth-child(n+2):nth-child(-n+4),.numbers th:nth-child(n+2):nth-child(-n+4){text-align:right;
white-space:nowrap;padding-right:1rem}
.charts{display:grid;grid-template-columns:repeat(auto-fit,minmax(420px,1fr));gap:.8rem 1.2rem}
svg text{font:11px system-ui,sans-serif;fill:var(--soft)}svg .strong{fill:var(--ink);font-weight:600}
.chart{display:block;width:100%;height:auto}.grid{stroke:var(--rule);fill:none}
.line{fill:none;stroke:var(--line);stroke-width:1.6;stroke-linejoin:round}
.threshold{stroke:var(--red);stroke-width:1.4;stroke-dasharray:6 4}.learning{fill:var(--panel);stroke:var(--rule)}
.lasting{fill:var(--warn);fill-opacity:.45}.passed{fill:var(--amber);fill-opacity:.22}
rect.training{fill:var(--training);fill-opacity:.5}rect.then{fill:var(--then);fill-opacity:.55}
.near{fill:var(--line)}.far{fill:var(--red)}
.key{display:inline-block;width:1.4em;height:.7em;border-radius:2px;background:var(--training);opacity:.8}
.key.then{background:var(--then)}.key.dot{width:.7em;border-radius:50%;background:var(--line);opacity:1}
details summary{cursor:pointer;color:var(--line)}iframe{width:143%;height:1300px;
transform:scale(.7);transform-origin:0 0;margin:.5rem 0 -390px;border:1px solid var(--rule);background:#fff}
@media print{body{margin:0;max-width:none;font-size:11px}details{display:none}h2{break-after:avoid}
.charts{grid-template-columns:1fr 1fr}*{-webkit-print-color-adjust:exact;print-color-adjust:exact}}
@media(max-width:600px){.film:not(.two){grid-auto-flow:row;grid-template-columns:repeat(3,1fr)}
.charts{grid-template-columns:1fr}}
"""
