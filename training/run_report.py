"""A run as one HTML file: curves, what the network saw, what it sees now. No script, nothing from outside."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

from engine.picture import Picture, Pixels
from training.checkpoint import load_trained, replace_file
from training.dataset import Dataset, Example
from training.held_out import HeldOut
from training.loader import Batch, Loader
from training.recipe import Recipe
from training.recorder import read_metrics
from training.schedule import Schedule

REPORT = "report.html"
_NUM_TRAIN, _NUM_VAL = 12, 12
_LONGEST = 300
_MIN_CONFIDENCE = 0.3
_LOSSES = ("total", "box", "objectness", "class", "l1")
_SCORES = ("val_ap50", "val_ap", "val_ap75")
_COLORS = ("#1d4ed8", "#c2410c", "#047857", "#7c3aed", "#6b7280")


def write_report(
    work: Path, recipe: Recipe, train: Dataset, held_out: HeldOut, loader: Loader, schedule: Schedule
) -> None:
    """Write `report.html` into a run's folder, from its figures and its best weights so far.

    Raises:
        DiskError: it cannot be written.
        SourceError: a picture cannot be read.
    """
    rows = read_metrics(work)
    trained = load_trained(work)
    best = {name: value for name, value in trained.scores.items() if value >= 0}
    tiles = {
        "AP50, best": f"{best['ap50']:.3f}", "AP, best": f"{best['ap']:.3f}", "at step": str(trained.step),
        "steps": f"{int(rows[-1]['step'])} of {schedule.num_steps}",
        "epochs": str(schedule.num_epochs),
        "waiting for pictures": f"{rows[-1].get('data_wait_share', 0):.1%}",
    }  # fmt: skip
    shown = min(_NUM_VAL, len(held_out.dataset))
    results = held_out.predict(trained.detector, torch.device("cpu"), shown)
    parts = [
        f"<h1>Training of {escape(recipe.name)}</h1>",
        '<div class="tiles">',
        *(f"<div><small>{name}</small><b>{value}</b></div>" for name, value in tiles.items()),
        "</div>",
        "<h2>Held-out pictures</h2>", curves(rows, _SCORES, "step", from_zero=True),
        "<h2>Losses</h2><p>Mean of each epoch. The last part is without mosaic and with the L1 loss.</p>",
        curves(rows, _LOSSES, "step", from_zero=True),
        "<h2>Learning rate</h2>", curves(rows, ("lr",), "step", from_zero=True),
        "<h2>What the network is shown</h2><p>Pictures of the next epoch, varied as the recipe says.</p>",
        figures_of(_shown_in_training(loader, schedule), train.labels),
        f"<h2>What it sees in held-out pictures</h2><p>White: the truth. Blue: found, with at least "
        f"{_MIN_CONFIDENCE:g} confidence.</p>",
        "".join(_figure_of_result(held_out, index, results) for index in range(shown)),
        "<h2>Data</h2>", _data_table(train, held_out.dataset),
        f"<h2>Recipe</h2><pre>{escape(recipe.to_yaml())}</pre>",
    ]  # fmt: skip
    page = (
        f'<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<title>Training of '
        f"{escape(recipe.name)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n" + "\n".join(parts) +
        "\n</body>\n</html>\n"
    )  # fmt: skip
    replace_file(work / REPORT, page.encode())


_STYLE = """
body{font:14px/1.5 system-ui,sans-serif;color:#111827;background:#fff;max-width:1000px;margin:2rem auto;padding:0 1rem}
h1{font-size:1.5rem;margin:0 0 .2rem}h2{font-size:1.1rem;margin:2rem 0 .4rem;border-bottom:1px solid #e5e7eb}
.tiles{display:flex;flex-wrap:wrap;gap:.6rem;margin:.6rem 0}
.tiles div{border:1px solid #e5e7eb;border-radius:6px;padding:.4rem .8rem;min-width:7rem}
.tiles b{display:block;font-size:1.3rem}small{color:#4b5563}
table{border-collapse:collapse}td,th{padding:.15rem .8rem .15rem 0;text-align:left}td.n{text-align:right}
pre{background:#f9fafb;border:1px solid #e5e7eb;border-radius:6px;padding:.8rem;overflow:auto;font-size:12px}
svg.picture{margin:0 .4rem .4rem 0;background:#727272}svg text{font:11px system-ui,sans-serif;fill:#4b5563}
"""


@dataclass(frozen=True)
class _Line:
    name: str
    x: Sequence[float]
    y: Sequence[float]


def curves(
    rows: Iterable[dict[str, float]], names: Sequence[str], over: str, from_zero: bool = False, width: int = 960
) -> str:
    """Draw figures as inline SVG; rows without a figure are left out of its line.

    Args:
        rows: as `read_metrics` gives them.
        names: the figures, each a line.
        over: the figure along x.
        from_zero: y begins at 0.
        width: in CSS pixels.
    """
    rows = list(rows)
    found = [_Line(n, [row[over] for row in rows if n in row], [row[n] for row in rows if n in row]) for n in names]
    lines = [line for line in found if line.x and any(line.y)]
    if not lines:
        return "<p>No figures yet.</p>"
    height, left, top, bottom = 240, 56, 8, 24
    right = max(max(line.x) for line in lines) or 1.0
    low = 0.0 if from_zero else min(min(line.y) for line in lines)
    high = max(max(line.y) for line in lines)
    span = (high - low) or 1.0

    def place(x: float, y: float) -> tuple[float, float]:
        across = left + x / right * (width - left - 130)
        return round(across, 1), round(top + (1 - (y - low) / span) * (height - top - bottom), 1)

    parts = []
    for tick in np.linspace(0, 1, 5).tolist():
        (x, base), (_, y) = place(tick * right, low), place(0, low + tick * span)
        edge = place(right, low)[0]
        parts.append(f'<path d="M{left},{y}H{edge}" stroke="#e5e7eb"/>')
        parts.append(f'<text x="{left - 6}" y="{y + 4}" text-anchor="end">{low + tick * span:.3g}</text>')
        parts.append(f'<text x="{x}" y="{base + 16}" text-anchor="middle">{tick * right:.0f}</text>')
    for number, (line, color) in enumerate(zip(lines, _COLORS, strict=False)):
        points = [place(x, y) for x, y in zip(line.x, line.y, strict=True)]
        path = " ".join(f"{x},{y}" for x, y in points)
        parts.append(f'<polyline points="{path}" fill="none" stroke="{color}" stroke-width="1.8"/>')
        parts += [f'<circle cx="{x}" cy="{y}" r="2" fill="{color}"/>' for x, y in points if len(points) < 60]
        legend = f"{line.name} {line.y[-1]:.3g}"
        parts.append(f'<text x="{width - 122}" y="{top + 12 + 16 * number}" style="fill:{color}">{legend}</text>')
    return f'<svg width="{width}" height="{height}" viewBox="0 0 {width} {height}" role="img">{"".join(parts)}</svg>'


def figures_of(examples: Iterable[Example], labels: Sequence[str]) -> str:
    """Show pictures with their boxes; what is ignored is dashed."""
    return "".join(
        picture_svg(
            example.bgr,
            [
                _Box(xyxy, labels[class_id], "#facc15", dashed=bool(ignore))
                for xyxy, class_id, ignore in zip(
                    example.xyxy.tolist(), example.class_id.tolist(), example.ignore.tolist(), strict=True
                )
            ],
        )
        for example in examples
    )


@dataclass(frozen=True)
class _Box:
    xyxy: Sequence[float]
    title: str
    color: str
    dashed: bool = False


def picture_svg(bgr: Pixels, boxes: Iterable[_Box]) -> str:
    """Give a picture with boxes over it as inline SVG; the picture itself is a JPEG in a data URI."""
    height, width = bgr.shape[:2]
    ratio = min(1.0, _LONGEST / max(width, height))
    small_wh = (max(1, round(width * ratio)), max(1, round(height * ratio)))
    _, jpeg = cv2.imencode(".jpg", Picture.from_bgr(bgr).bgr(small_wh), [cv2.IMWRITE_JPEG_QUALITY, 80])
    data = base64.b64encode(jpeg.tobytes()).decode("ascii")
    drawn = []
    for box in boxes:
        x1, y1, x2, y2 = box.xyxy
        dash = ' stroke-dasharray="6 4"' if box.dashed else ""
        drawn.append(
            f'<rect x="{x1:.1f}" y="{y1:.1f}" width="{x2 - x1:.1f}" height="{y2 - y1:.1f}" fill="none" '
            f'stroke="{box.color}" stroke-width="{2 / ratio:.1f}"{dash}><title>{escape(box.title)}</title></rect>'
        )
    return (
        f'<svg class="picture" width="{small_wh[0]}" height="{small_wh[1]}" viewBox="0 0 {width} {height}">'
        f'<image href="data:image/jpeg;base64,{data}" width="{width}" height="{height}"/>{"".join(drawn)}</svg>'
    )


def _shown_in_training(loader: Loader, schedule: Schedule) -> list[Example]:
    """Make pictures as the middle of the run sees them."""
    first = schedule.num_steps // 2
    num = -(-_NUM_TRAIN // loader.batch_size)
    steps = range(first, min(first + num, schedule.num_steps))
    return [example for batch in loader.batches(schedule, steps) for example in _examples(batch)][:_NUM_TRAIN]


def _examples(batch: Batch) -> list[Example]:
    targets = batch.targets(torch.device("cpu"))
    return [
        Example(image.numpy(), target.xyxy.numpy(), target.class_id.numpy(), target.ignore.numpy())
        for image, target in zip(batch.images, targets, strict=True)
    ]


def _figure_of_result(held_out: HeldOut, index: int, results: Sequence[dict[str, Any]]) -> str:
    example = held_out.dataset.samples[index].read()
    labels = held_out.dataset.labels
    boxes = [
        _Box(xyxy, labels[class_id], "#ffffff", dashed=bool(ignore))
        for xyxy, class_id, ignore in zip(
            example.xyxy.tolist(), example.class_id.tolist(), example.ignore.tolist(), strict=True
        )
    ]
    for found in results:
        if found["image_id"] == held_out.image_id(index) and found["score"] >= _MIN_CONFIDENCE:
            x, y, w, h = found["bbox"]
            title = f"{labels[found['category_id']]} {found['score']:.2f}"
            boxes.append(_Box((x, y, x + w, y + h), title, "#2563eb"))
    return picture_svg(example.bgr, boxes)


def _data_table(train: Dataset, val: Dataset) -> str:
    counts = {"training": train.box_counts(), "held out": val.box_counts()}
    head = "".join(f"<th>{name}</th>" for name in ("", *counts))
    pictures = f'<tr><td>pictures</td><td class="n">{len(train)}</td><td class="n">{len(val)}</td></tr>'
    body = "".join(
        f"<tr><td>{escape(label)}</td>"
        + "".join(f'<td class="n">{one[label]}</td>' for one in counts.values())
        + "</tr>"
        for label in train.labels
    )
    sources = "".join(
        f"<li>{escape(source.name)}: {source.num_images} pictures, {source.num_boxes} boxes, licence "
        f"{escape(source.licence or 'not stated')}</li>"
        for source in train.sources
    )
    return f"<table><tr>{head}</tr>{pictures}{body}</table><ul>{sources}</ul>"
