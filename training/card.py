"""Write a model's card: its figures, and what they say against it."""

from __future__ import annotations

import datetime
import math
import os
from collections.abc import Iterator
from pathlib import Path

from engine.boxes import areas as areas_of
from engine.bundle import Bundle
from engine.card import Card, DataEntry, Figure, Parity, Teacher, installed_versions
from engine.file_entry import sha256_of
from training.bundle_evaluation import BundleEvaluation
from training.dataset import Dataset, DataSource
from training.evaluation.detections import Evaluation, Interval
from training.recipe import Recipe

HELD_OUT = "held out"
# From how many points of AP50 on a loss is named, and from how few boxes or pictures on a figure is called rough.
_WORSE = 0.1
_FEW_BOXES = 20
_FEW_TRAINING_BOXES = 50
_FEW_PICTURES = 50


def make_card(
    recipe: Recipe,
    train: Dataset,
    val: Dataset,
    evaluation: BundleEvaluation,
    parity: Parity,
    teacher: Teacher | None = None,
) -> Card:
    """Describe a trained model.

    Args:
        recipe: how it was trained; its paths are written relative to one another.
        train, val: what it has learned from, and what it was judged on.
        evaluation: of the exported model, on `val`.
        parity: of the exported model with the trained one.
        teacher: the model that labelled the pictures, where people did not.
    """
    width, height = recipe.model.input_wh
    num_pictures = len({sample.path for sample in train.samples})
    held_out = DataEntry(
        name=HELD_OUT, digest=val.digest, num_images=len(val), num_boxes=sum(val.box_counts().values()),
        licence=", ".join(dict.fromkeys(source.licence for source in val.sources if source.licence)),
    )  # fmt: skip
    return Card(
        name=recipe.name,
        made_at=datetime.datetime.now(datetime.UTC).date(),
        summary=f"Detects {', '.join(train.labels)}: size {recipe.model.size} at {width}x{height}, trained on "
        f"{num_pictures} pictures, judged on {len(val)} that were held out of training.",
        started_from=_started_from(recipe.model.init),
        trained_on=tuple(map(_entry, train.sources)),
        judged_on=(held_out, *map(_entry, val.sources)),
        recipe=portable(recipe).to_yaml(),
        figures=tuple(_figures(evaluation, val)),
        known_weaknesses=tuple(_weaknesses(evaluation, train, val, teacher)),
        versions=installed_versions(),
        parity=parity,
        teacher=teacher,
    )


def portable(recipe: Recipe) -> Recipe:
    """Give the recipe with its paths relative to the folder that they have in common."""
    paths = [path for part in recipe.data for path in (part.path, part.images) if path is not None]
    paths += [] if recipe.model.init is None else [recipe.model.init]
    common = Path(os.path.commonpath([path.absolute().parent for path in paths]))

    def beside(path: Path | None) -> Path | None:
        return None if path is None else path.absolute().relative_to(common)

    parts = tuple(
        part.model_copy(update={"path": beside(part.path), "images": beside(part.images)}) for part in recipe.data
    )
    model = recipe.model.model_copy(update={"init": beside(recipe.model.init)})
    return recipe.model_copy(update={"data": parts, "model": model})


def _started_from(init: Path | None) -> str:
    if init is None:
        return ""
    file = Bundle.load(init).file("onnx") if init.is_dir() else init
    return f"{init.name}, SHA-256 {sha256_of(file)[:16]}"


def _entry(source: DataSource) -> DataEntry:
    return DataEntry(
        name=source.name, licence=source.licence, source=source.source, digest=source.digest,
        num_images=source.num_images, num_boxes=source.num_boxes,
    )  # fmt: skip


def _figures(evaluation: BundleEvaluation, val: Dataset) -> Iterator[Figure]:
    """Overall, by class, by slice, by size, by condition; what is undefined is left out."""
    clean = evaluation.clean
    total = len(val), sum(val.box_counts().values())
    for metric, key in (("AP50", "ap50"), ("AP", "ap")):
        yield _figure(metric, "all", clean.figures[key], total, clean.interval(key))
    for key, value in clean.figures.items():
        kind, _, name = key.partition("/")
        if kind in ("class", "slice") and not math.isnan(value):
            part = f"class={name}" if kind == "class" else name.replace("/", "=", 1)
            yield _figure("AP50", part, value, _counts(clean, key), clean.interval(key))
    for size in ("small", "medium", "large"):
        if (value := clean.scores.stats[f"ap_{size}"]) >= 0:
            yield _figure("AP", f"size={size}", value, (len(val), _num_of_size(val, size)))
    for one in evaluation.conditions:
        yield _figure("AP50", f"condition={one.name}", one.ap50.b, evaluation.part)


def _figure(metric: str, part: str, value: float, counts: tuple[int, int], within: Interval | None = None) -> Figure:
    low, high = (None, None) if within is None else (within.low, within.high)
    return Figure(
        metric=metric, value=round(value, 5), slice=part, data=HELD_OUT, num_images=counts[0], num_boxes=counts[1],
        low=low, high=high,
    )  # fmt: skip


def _counts(clean: Evaluation, key: str) -> tuple[int, int]:
    """Give the pictures and boxes that a figure by class or by slice rests on."""
    kind, _, name = key.partition("/")
    if kind == "class":
        counts = clean.counts(class_id=clean.judge.labels.index(name))
    else:
        counts = clean.counts(next(s.images for s in clean.slices if f"{s.axis}/{s.value}" == name))
    return counts.num_images, counts.num_truth


def _num_of_size(val: Dataset, size: str) -> int:
    """Count the judged boxes of a size as COCO does: small is under 32x32 pixels, large from 96x96 on."""
    low, high = {"small": (0, 32**2), "medium": (32**2, 96**2), "large": (96**2, math.inf)}[size]
    areas = [areas_of(sample.xyxy[~sample.ignore]) for sample in val.samples]
    return sum(int(((area >= low) & (area < high)).sum()) for area in areas)


def _weaknesses(evaluation: BundleEvaluation, train: Dataset, val: Dataset, teacher: Teacher | None) -> Iterator[str]:
    """Say what somebody who wants to use the model should know, in sentences that follow from figures."""
    clean = evaluation.clean
    overall = clean.figures["ap50"]
    if teacher is not None:
        yield f"Its labels come from the model {teacher.name}, not from people: what that model misses is not counted."
    if len(val) < _FEW_PICTURES:
        yield f"Judged on only {len(val)} pictures: the figures are rough."
    cameras = {sample.camera for sample in val.samples} - {""}
    if cameras and cameras <= {sample.camera for sample in train.samples}:
        yield "Judged on cameras that it was trained on: at other places it will see less."
    for label, num_boxes in train.box_counts().items():
        if num_boxes < _FEW_TRAINING_BOXES:
            yield f"{label}: trained with only {num_boxes} boxes."
    for label, num_boxes in val.box_counts().items():
        if not num_boxes:
            yield f"{label}: the held-out pictures show none, so nothing is known about it."
        elif num_boxes < _FEW_BOXES:
            yield f"{label}: judged on only {num_boxes} boxes."
    for key, value in clean.figures.items():
        kind, _, name = key.partition("/")
        if kind in ("class", "slice") and value < overall - _WORSE and _counts(clean, key)[1] >= _FEW_BOXES:
            yield f"{name.replace('/', ' ')}: AP50 {value:.2f}, where it is {overall:.2f} overall."
    for one in evaluation.conditions:
        if one.ap50.b < one.ap50.a - _WORSE:
            yield f"{one.name}, at strength {one.strength:g}: AP50 falls from {one.ap50.a:.2f} to {one.ap50.b:.2f}."
