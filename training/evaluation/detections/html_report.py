"""The evaluation as one HTML file: no script, nothing from outside, prints well."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape

import numpy as np

from training.evaluation.detections.bootstrap import Difference, Interval
from training.evaluation.detections.charts import COLORS, calibration_chart, interval_bar, recall_chart
from training.evaluation.detections.evaluate import Evaluation
from training.evaluation.detections.gallery import Failure
from training.evaluation.detections.judge import SIZES, mean_ap
from training.evaluation.detections.matches import MISTAKES
from training.evaluation.detections.robustness import UnderCondition

# Beyond this a page of curves or a matrix is no longer looked at.
MAX_CURVES = 12
MAX_CONFUSED = 20


@dataclass(frozen=True, eq=False)
class Report:
    """What goes into the file.

    Attributes:
        data: what was judged on, in words.
        evaluations: one or two, judged on the same pictures.
        differences: of the second and the first, by the keys of `Evaluation.figures`; empty with one.
        conditions: of the first model.
        false_alarms: of the first model, None where no pictures are at hand.
        misses: likewise.
        notes: sentences that come first.
    """

    data: str
    evaluations: tuple[Evaluation, ...]
    differences: dict[str, Difference]
    conditions: tuple[UnderCondition, ...] = ()
    false_alarms: Sequence[Failure] | None = None
    misses: Sequence[Failure] | None = None
    notes: Sequence[str] = ()

    def html(self) -> str:
        """Write the page."""
        names = [
            f'<span style="color:{color}">■</span> {escape(one.name)}'
            for one, color in zip(self.evaluations, COLORS, strict=False)
        ]
        parts = [
            f"<h1>Detection on {escape(self.data)}</h1>",
            f'<p class="names">{" against ".join(names)}</p>',
            *(f"<p>{escape(note)}</p>" for note in self.notes),
            *(_tiles(one, len(self.evaluations) > 1) for one in self.evaluations),
            *(_comparison(self.evaluations, self.differences) if self.differences else ()),
            *_classes(self.evaluations[0]),
            *_curves(self.evaluations),
            *_slices(self.evaluations[0]),
            *_conditions(self.conditions),
            *_mistakes(self.evaluations[0]),
            *_calibration(self.evaluations),
            *_gallery("Worst false alarms", "The most confident results that are wrong", self.false_alarms),
            *_gallery("Worst misses", "The largest objects that were not found", self.misses),
            *_how(self.evaluations[0]),
        ]
        title = escape(f"Detection: {self.evaluations[0].name}")
        return (
            f'<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
            f'<meta name="viewport" content="width=device-width, initial-scale=1">\n<title>{title}</title>\n'
            f"<style>{_STYLE}</style>\n</head>\n<body>\n" + "\n".join(parts) + "\n</body>\n</html>\n"
        )


_STYLE = """
body{font:14px/1.5 system-ui,sans-serif;color:#111827;background:#fff;max-width:1000px;margin:2rem auto;padding:0 1rem}
h1{font-size:1.5rem;margin:0 0 .2rem}h2{font-size:1.1rem;margin:2rem 0 .4rem;border-bottom:1px solid #e5e7eb}
p{margin:.3rem 0 .6rem}.names{font-weight:600}.note{color:#4b5563}
.tiles{display:flex;flex-wrap:wrap;gap:.6rem;margin:.6rem 0}
.tiles div{border:1px solid #e5e7eb;border-radius:6px;padding:.4rem .8rem;min-width:7rem}
.tiles b{display:block;font-size:1.3rem}.tiles small{color:#4b5563}
table{border-collapse:collapse;font-variant-numeric:tabular-nums;margin:.4rem 0}
th,td{padding:.15rem .6rem;text-align:right;border-bottom:1px solid #f3f4f6;white-space:nowrap}
th{color:#4b5563;font-weight:600;white-space:normal;vertical-align:bottom}th:first-child,td:first-child{text-align:left}
.axis td{font-weight:600;padding-top:.6rem}.better{color:#15803d;font-weight:600}.worse{color:#b91c1c;font-weight:600}
.wide{overflow-x:auto}.matrix td,.matrix th{padding:.15rem .4rem}
.matrix .turned{writing-mode:vertical-rl;text-align:left}
.charts,.gallery{display:flex;flex-wrap:wrap;gap:.8rem}figure{margin:0;break-inside:avoid}
figcaption{font-size:12px;max-width:220px;overflow-wrap:anywhere}figcaption small{color:#4b5563}
.gallery figure{width:180px}.gallery svg{width:180px;height:180px;background:#f3f4f6}
.grid path{stroke:#eef0f3;fill:none}.grid text{font-size:9px;fill:#4b5563}
@media print{body{margin:0;max-width:none;font-size:11px}h2{break-after:avoid}tr{break-inside:avoid}
*{-webkit-print-color-adjust:exact;print-color-adjust:exact}}
"""


def _tiles(one: Evaluation, named: bool) -> str:
    stats, counts = one.scores.stats, one.scores

    def tile(name: str, value: str, small: str = "") -> str:
        return f"<div>{name}<b>{value}</b><small>{small}</small></div>"

    head = f"<p class=names>{escape(one.name)}</p>" if named else ""
    tiles = [
        tile("AP .5:.95", _cell(stats["ap"]), _within(one.interval("ap"))),
        tile("AP .5", _cell(stats["ap50"]), _within(one.interval("ap50"))),
        tile("precision", _cell(one.at.precision), f"at confidence {one.at.min_confidence:.2f}"),
        tile("recall", _cell(one.at.recall), f"best F1 {one.at.f1:.3f}"),
        tile("calibration error", _cell(one.calibration.error), f"bias {one.calibration.bias:+.3f}"),
        tile("judged", f"{counts.num_truth - counts.num_crowd}", f"objects in {counts.num_images} pictures"),
    ]
    return head + f'<div class="tiles">{"".join(tiles)}</div>'


def _comparison(evaluations: Sequence[Evaluation], differences: dict[str, Difference]) -> Iterable[str]:
    certain = sum(apart.interval is not None for apart in differences.values())
    yield "<h2>Side by side</h2>"
    yield (
        f'<p class="note">Both were judged on the same draws of the bootstrap, so what is hard for both does not '
        f"count. A difference is coloured where 0 lies outside its 95 % interval. {certain} figures are "
        f"compared: one in twenty would be coloured by chance alone.</p>"
    )
    rows = [["AP .5 of", *(escape(one.name) for one in evaluations), "difference", "95 % interval", "p"]]
    for key, apart in differences.items():
        if math.isnan(apart.a):
            continue
        way = ("better" if apart.b > apart.a else "worse") if apart.is_significant else ""
        p = "" if apart.p is None else f"{apart.p:.3f}"
        change = f'<span class="{way}">{apart.b - apart.a:+.3f}</span>'
        within = "" if apart.interval is None else f"{apart.interval.low:+.3f} to {apart.interval.high:+.3f}"
        rows.append([_key(key), _cell(apart.a), _cell(apart.b), change, within, p])
    yield _table(rows)


def _key(key: str) -> str:
    names = {"ap": "everything (AP .5:.95)", "ap50": "everything"}
    kind, _, rest = key.partition("/")
    return names.get(key) or escape(rest if kind == "class" else rest.replace("/", ": ", 1))


def _classes(one: Evaluation) -> Iterable[str]:
    precision = one.judge.precision_by_size()
    yield "<h2>Classes and sizes</h2>"
    yield (
        f'<p class="note">Small is under 32×32 pixels, large from 96×96 on. Precision and recall at confidence '
        f"{one.at.min_confidence:.2f}, the best F1 of all classes together.</p>"
    )
    head = ["class", "objects", "AP .5:.95", "AP .5", "95 % interval", "", *SIZES[1:], "precision", "recall"]
    rows = [head]
    for column, label in enumerate(one.judge.labels):
        if label not in one.scores.per_class:
            continue
        counts = one.counts(class_id=column).as_json()
        sizes = [_cell(mean_ap(precision[:, :, column, i])) for i in range(1, len(SIZES))]
        figure, within = one.figures[f"class/{label}"], one.interval(f"class/{label}")
        rows.append([
            escape(label), str(counts["num_truth"]), _cell(one.scores.per_class[label]["ap"]), _cell(figure),
            _within(within), _bar(figure, within), *sizes, _cell(counts["precision"]), _cell(counts["recall"]),
        ])  # fmt: skip
    sizes = [_cell(one.scores.stats[f"ap_{size}"]) for size in SIZES[1:]]
    total, within = one.counts().as_json(), one.interval("ap50")
    rows.append([
        "all", str(total["num_truth"]), _cell(one.figures["ap"]), _cell(one.figures["ap50"]), _within(within),
        _bar(one.figures["ap50"], within), *sizes, _cell(one.at.precision), _cell(one.at.recall),
    ])  # fmt: skip
    yield _table(rows)


def _curves(evaluations: Sequence[Evaluation]) -> Iterable[str]:
    first = evaluations[0]
    precisions = [one.judge.precision() for one in evaluations]
    judged = [i for i, label in enumerate(first.judge.labels) if label in first.scores.per_class]
    objects = np.bincount(first.matches.truth.class_id, minlength=len(first.judge.labels))
    shown = sorted(judged, key=lambda i: -objects[i])[:MAX_CURVES]
    charts = [("all classes, IoU .5", [p[0][:, judged].mean(axis=1) for p in precisions])]
    charts += [("all classes, IoU .75", [p[5][:, judged].mean(axis=1) for p in precisions])]
    if len(judged) > 1:
        charts += [(first.judge.labels[i], [p[0][:, i] for p in precisions]) for i in shown]
    more = f", the {MAX_CURVES} with the most objects" if len(judged) > MAX_CURVES else ""
    yield "<h2>Precision over recall</h2>"
    yield f'<p class="note">As COCO interpolates it; classes{more} at IoU .5.</p>'
    figures = [f"<figure>{recall_chart(c)}<figcaption>{escape(name)}</figcaption></figure>" for name, c in charts]
    yield f'<div class="charts">{"".join(figures)}</div>'


def _slices(one: Evaluation) -> Iterable[str]:
    if not one.slices:
        return
    yield "<h2>Slices</h2>"
    rows = [
        ["", "pictures", "objects", "AP .5", "95 % interval", "", "precision", "recall", "false alarms per picture"]
    ]
    axis = ""
    for part in one.slices:
        if part.axis != axis:
            axis = part.axis
            rows.append([escape(axis)])
        key, counts = f"slice/{part.axis}/{part.value}", one.counts(part.images).as_json()
        within = one.interval(key)
        rows.append([
            escape(part.value), str(counts["num_images"]), str(counts["num_truth"]), _cell(one.figures[key]),
            _within(within), _bar(one.figures[key], within), _cell(counts["precision"]), _cell(counts["recall"]),
            f"{counts['false_alarms_per_image']:.2f}",
        ])  # fmt: skip
    yield _table(rows)


def _conditions(conditions: Sequence[UnderCondition]) -> Iterable[str]:
    if not conditions:
        return
    yield "<h2>Under conditions</h2>"
    yield (
        f'<p class="note">The same pictures, changed before the model sees them, at strength '
        f"{conditions[0].strength:g} (0 changes nothing, 1 is the worst that is worth looking at).</p>"
    )
    rows = [["condition", "AP .5:.95", "AP .5", "change", "95 % interval", "kept"]]
    for one in conditions:
        change = one.ap50
        kept = f"{100 * change.b / change.a:.0f} %" if change.a else ""
        within = "" if change.interval is None else f"{change.interval.low:+.3f} to {change.interval.high:+.3f}"
        rows.append([escape(one.name), _cell(one.ap), _cell(change.b), f"{change.b - change.a:+.3f}", within, kept])
    yield _table(rows)


_MEANING = {
    "wrong class": "the box lies on an object of another class",
    "poorly placed": "the box touches an object of its class, with an IoU of .1 to .5",
    "duplicate": "the object has a better box already",
    "background": "nothing is there",
}


def _mistakes(one: Evaluation) -> Iterable[str]:
    mistakes = one.mistakes()
    yield "<h2>Mistakes</h2>"
    rows = [["false alarms", "count"], *([f"{kind}: {_MEANING[kind]}", str(mistakes[kind])] for kind in MISTAKES)]
    yield _table(rows)
    labels, counts = one.confusion()
    # Background stays; of the classes those with the most objects and results.
    size = counts.sum(axis=0) + counts.sum(axis=1)
    size[-1] = size.max() + 1
    shown = np.sort(np.argsort(-size, kind="stable")[: MAX_CONFUSED + 1])
    more = f", the {MAX_CONFUSED} busiest of {len(labels) - 1}" if len(labels) > len(shown) else ""
    yield (
        f'<p class="note">What objects (rows) were taken for (columns){more}, at IoU .5 and confidence '
        f"{one.at.min_confidence:.2f}. Background: nobody saw the object; nothing was there.</p>"
    )
    head = "".join(f'<th class="turned">{escape(labels[i])}</th>' for i in shown)
    lines = [f"<tr><th></th>{head}</tr>"]
    for i in shown:
        cells = "".join(_shaded(int(counts[i, j]), int(counts[i].sum()), bool(i == j)) for j in shown)
        lines.append(f"<tr><th>{escape(labels[i])}</th>{cells}</tr>")
    yield f'<div class="wide"><table class="matrix">{"".join(lines)}</table></div>'


def _shaded(count: int, total: int, right: bool) -> str:
    share = count / total if total else 0.0
    color = "21,128,61" if right else "185,28,28"
    return f'<td style="background:rgba({color},{0.6 * share:.2f})">{count or ""}</td>'


def _calibration(evaluations: Sequence[Evaluation]) -> Iterable[str]:
    yield "<h2>Calibration</h2>"
    for one in evaluations:
        bias = one.calibration.bias
        way = "more than is right" if bias > 0 else "less than is right"
        yield (
            f'<p class="note">{escape(one.name)}: confidence is {abs(bias):.3f} {way} on average over '
            f"{one.calibration.num} boxes of confidence 0.1 and more; expected calibration error "
            f"{one.calibration.error:.3f}.</p>"
        )
    yield calibration_chart([one.calibration for one in evaluations])


def _gallery(title: str, text: str, failures: Sequence[Failure] | None) -> Iterable[str]:
    if failures is None:
        return
    yield f"<h2>{title}</h2>"
    if not failures:
        yield '<p class="note">None.</p>'
        return
    yield (
        f'<p class="note">{text}, at most one of each block of time or picture. Orange: the mistake. '
        f"Green: what is truly there.</p>"
    )
    yield f'<div class="gallery">{"".join(_figure(one) for one in failures)}</div>'


def _figure(one: Failure) -> str:
    width, height = one.size_wh
    # Lines are as thick on the page whatever the size of the crop.
    line = 'fill="none" vector-effect="non-scaling-stroke" stroke-width="2"'
    boxes = [_rect(xyxy.tolist(), f'{line} stroke="#22c55e" stroke-dasharray="4 3"') for xyxy in one.truth]
    boxes.append(_rect(one.box.tolist(), f'{line} stroke="#f97316"'))
    return (
        f'<figure><svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}">'
        f'<image href="{one.jpeg}" width="{width}" height="{height}"/>{"".join(boxes)}</svg>'
        f"<figcaption>{escape(one.title)}<br><small>{escape(one.place)}</small></figcaption></figure>"
    )


def _rect(xyxy: Sequence[float], style: str) -> str:
    x1, y1, x2, y2 = xyxy
    return f'<rect x="{x1:.1f}" y="{y1:.1f}" width="{x2 - x1:.1f}" height="{y2 - y1:.1f}" {style}/>'


def _how(one: Evaluation) -> Iterable[str]:
    from importlib.metadata import version

    yield "<h2>How it was counted</h2>"
    draws = f"Intervals: {len(one.draws)} draws of the bootstrap. {one.blocks.sentence()}." if len(one.draws) else ""
    yield (
        f'<p class="note">Every AP is counted by pycocotools {version("pycocotools")}: at most 100 boxes a class and '
        f"picture, boxes in crowds neither right nor wrong ({one.scores.num_crowd} crowds here). "
        f"{one.scores.num_results} results were judged. {escape(draws)}</p>"
    )


def _table(rows: Sequence[Sequence[str]]) -> str:
    """Make a table; the first row is its head, and a row of one cell heads what follows."""
    lines = ["<tr>" + "".join(f"<th>{cell}</th>" for cell in rows[0]) + "</tr>"]
    for row in rows[1:]:
        if len(row) == 1:
            lines.append(f'<tr class="axis"><td colspan="{len(rows[0])}">{row[0]}</td></tr>')
        else:
            lines.append("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>")
    return f'<div class="wide"><table>{"".join(lines)}</table></div>'


def _cell(value: float | None) -> str:
    # COCO's -1 stands for nothing to be found.
    return "" if value is None or math.isnan(value) or value < 0 else f"{value:.3f}"


def _within(within: Interval | None) -> str:
    return "" if within is None else str(within)


def _bar(value: float, within: Interval | None) -> str:
    return "" if within is None else interval_bar(within.low, value, within.high)
