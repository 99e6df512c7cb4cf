"""A first look at a data set: what is in it, and what is wrong with it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from engine.boxes import areas, iou_matrix
from engine.errors import SourceError
from training.dataset import Dataset, Sample
from training.fingerprint import is_cut_off, looks
from training.formats.image_files import image_size
from training.formats.reading import Problem, Reading
from training.leakage import alike, copies, find_leaks

SMALL_AREA, LARGE_AREA = 32.0**2, 96.0**2
"""COCO's limits between small, medium and large boxes, in square pixels."""

TINY_PX = 4.0
"""Boxes with a shorter side lie between the cells of a detector whose finest stride is 8."""

RARE_BOXES = 20
"""A class with fewer boxes can neither be learnt nor judged."""

_DOUBLE_IOU = 0.9


@dataclass(frozen=True)
class ClassCount:
    """The boxes of one class.

    Attributes:
        boxes: that are judged; `small`, `medium` and `large` of them.
        pictures: with such a box.
    """

    boxes: int
    pictures: int
    small: int
    medium: int
    large: int


@dataclass(frozen=True)
class DataReport:
    """What is in a data set, and what is wrong with it.

    Attributes:
        num_images: pictures that can be used, by part; the part is "" where there is no split.
        num_ignored: boxes to ignore.
        num_empty: pictures without any box.
        classes: by name, the most frequent first; classes without a box too.
        sizes: pictures by width and height, the most frequent first.
        cameras: pictures by camera, "" for photographs.
        problems: errors and warnings, those of reading first.
    """

    num_images: Mapping[str, int]
    num_ignored: int
    num_empty: int
    classes: Mapping[str, ClassCount]
    sizes: Mapping[tuple[int, int], int]
    cameras: Mapping[str, int]
    problems: tuple[Problem, ...]

    @property
    def errors(self) -> tuple[Problem, ...]:
        """What cannot be used as it is."""
        return tuple(problem for problem in self.problems if problem.is_error)

    @property
    def warnings(self) -> tuple[Problem, ...]:
        """What a person should know."""
        return tuple(problem for problem in self.problems if not problem.is_error)

    def as_json(self) -> dict[str, Any]:
        """Give everything as one object."""
        return {
            "num_images": sum(self.num_images.values()),
            "parts": dict(self.num_images),
            "num_boxes": sum(count.boxes for count in self.classes.values()),
            "num_ignored": self.num_ignored,
            "num_empty": self.num_empty,
            "classes": {label: vars(count) for label, count in self.classes.items()},
            "sizes": [[width, height, count] for (width, height), count in self.sizes.items()],
            "cameras": dict(self.cameras),
            "errors": _by_kind(self.errors),
            "warnings": _by_kind(self.warnings),
        }

    def text(self, shown: int = 3) -> str:
        """Give everything for a person to read, the first `shown` problems of every kind."""
        lines = [*self._counts(), *_list("error", self.errors, shown), *_list("warning", self.warnings, shown)]
        return "\n".join(lines if self.problems else [*lines, "nothing wrong"])

    def _counts(self) -> Iterator[str]:
        found = {label: count for label, count in self.classes.items() if count.boxes}
        num_boxes = sum(count.boxes for count in found.values())
        of = f"of one class, {next(iter(found))}" if len(found) == 1 else f"of {len(found)} classes"
        yield f"{sum(self.num_images.values())} pictures, {num_boxes} boxes {of}"
        if any(self.num_images):
            yield "  " + ", ".join(f"{part} {count} pictures" for part, count in self.num_images.items())
        yield f"  {self.num_empty} pictures without a box, {self.num_ignored} boxes to ignore"
        if any(self.cameras):
            named = (f"{camera or 'without a camera'} {count}" for camera, count in self.cameras.items())
            yield f"  cameras: {_some(list(named))}"
        yield f"  sizes: {_some([f'{width}x{height} ({count})' for (width, height), count in self.sizes.items()])}"
        width = max([5, *map(len, found)])
        yield f"  {'class':{width}}   boxes  pictures   small  medium   large"
        for label, count in found.items():
            numbers = f"{count.boxes:7} {count.pictures:9} {count.small:7} {count.medium:7} {count.large:7}"
            yield f"  {label:{width}} {numbers}"


def check_data(reading: Reading) -> DataReport:
    """Look at every picture and every box of a data set.

    Pictures are decoded at a quarter of their size: about 3 ms each.
    """
    whole = reading.whole
    problems = [*reading.problems]
    broken = set()
    for sample in whole.samples:
        found = list(_picture_problems(sample))
        if any(problem.is_error for problem in found):
            broken.add(sample.path)
        problems += [*found, *_box_problems(sample, whole.labels)]
    problems += _copy_problems([sample for sample in whole.samples if sample.path not in broken])
    classes = _count_classes(whole)
    problems += _class_problems(classes, reading.parts)
    if "val" in reading.parts:
        train, val = (_without(reading.parts[part], broken) for part in ("train", "val"))
        problems += [Problem("leak", leak) for leak in find_leaks(train, val)]
    return DataReport(
        num_images={part: len(dataset) for part, dataset in reading.parts.items()},
        num_ignored=sum(int(sample.ignore.sum()) for sample in whole.samples),
        num_empty=sum(not len(sample.xyxy) for sample in whole.samples),
        classes=classes,
        sizes=dict(Counter(sample.size_wh for sample in whole.samples).most_common()),
        cameras=dict(Counter(sample.camera for sample in whole.samples).most_common()),
        problems=tuple(problems),
    )


def _without(dataset: Dataset, broken: set[Path]) -> Dataset:
    return replace(dataset, samples=tuple(sample for sample in dataset.samples if sample.path not in broken))


def _picture_problems(sample: Sample) -> Iterator[Problem]:
    try:
        if is_cut_off(sample.path):
            yield Problem("broken_image", f"{sample.path}: the file is cut off; fetch it again")
            return
        found_wh = image_size(sample.path)
        looks(sample.path)
    except SourceError as error:
        yield Problem("broken_image", str(error))
        return
    if found_wh != sample.size_wh:
        stated = f"{sample.size_wh[0]}x{sample.size_wh[1]}"
        text = f"{sample.path}: the picture is {found_wh[0]}x{found_wh[1]}, its labels were made for {stated}"
        yield Problem("broken_image", text)


def _box_problems(sample: Sample, labels: Sequence[str]) -> Iterator[Problem]:
    for (x1, y1, x2, y2), column, ignore in zip(
        sample.xyxy.tolist(), sample.class_id.tolist(), sample.ignore.tolist(), strict=True
    ):
        if min(x2 - x1, y2 - y1) < TINY_PX and not ignore:
            at = f"{x2 - x1:.1f}x{y2 - y1:.1f} px at ({x1:.0f}, {y1:.0f})"
            yield Problem("tiny_box", f"{sample.path}: a '{labels[column]}' of {at}", is_error=False)
    same_class = sample.class_id[:, None] == sample.class_id
    double = np.triu((iou_matrix(sample.xyxy, sample.xyxy) > _DOUBLE_IOU) & same_class, 1)
    for first, _ in np.argwhere(double).tolist():
        x1, y1 = sample.xyxy[first, :2].tolist()
        text = f"{sample.path}: two boxes on one '{labels[sample.class_id[first]]}' at ({x1:.0f}, {y1:.0f})"
        yield Problem("double_box", text, is_error=False)


def _copy_problems(samples: Sequence[Sample]) -> Iterator[Problem]:
    said = set()  # each picture once, with the first that it resembles
    for first, second in copies(samples):
        a, b = samples[first], samples[second]
        said.add(b.path)
        also = "" if _same_labels(a, b) else ", with other boxes"
        yield Problem("copy", f"{b.path} is a copy of {a.path}{also}", is_error=False)
    photos = [sample for sample in samples if not sample.camera]
    for first, second in alike(photos).tolist():
        path = photos[second].path
        if path not in said:
            said.add(path)
            yield Problem("near_copy", f"{path} looks like {photos[first].path}", is_error=False)


def _same_labels(a: Sample, b: Sample) -> bool:
    return np.array_equal(a.xyxy, b.xyxy) and np.array_equal(a.class_id, b.class_id)


def _count_classes(dataset: Dataset) -> dict[str, ClassCount]:
    pictures: Counter[int] = Counter()
    for sample in dataset.samples:
        pictures.update(set(sample.class_id[~sample.ignore].tolist()))
    none = np.zeros(0, np.float32)
    area = np.concatenate([none, *(areas(sample.xyxy[~sample.ignore]) for sample in dataset.samples)])
    column = np.concatenate([none, *(sample.class_id[~sample.ignore] for sample in dataset.samples)]).astype(np.intp)
    # 0 small, 1 medium, 2 large.
    size = (area >= SMALL_AREA).astype(np.intp) + (area >= LARGE_AREA)
    table = np.zeros((len(dataset.labels), 3), np.intp)
    np.add.at(table, (column, size), 1)
    counts = {
        label: ClassCount(sum(row), pictures[number], *row)
        for number, (label, row) in enumerate(zip(dataset.labels, table.tolist(), strict=True))
    }
    return dict(sorted(counts.items(), key=lambda item: -item[1].boxes))


def _class_problems(classes: Mapping[str, ClassCount], parts: Mapping[str, Dataset]) -> Iterator[Problem]:
    rare = [f"{label} ({count.boxes})" for label, count in classes.items() if 0 < count.boxes < RARE_BOXES]
    if rare:
        yield Problem("rare_class", f"fewer than {RARE_BOXES} boxes: {_some(rare)}", is_error=False)
    absent = [label for label, count in classes.items() if not count.boxes]
    if absent:
        yield Problem("missing_class", f"no box: {_some(absent)}", is_error=False)
    if "val" in parts:
        train, val = (parts[part].box_counts() for part in ("train", "val"))
        for name, one, other in (("val", val, train), ("train", train, val)):
            lone = [label for label, boxes in one.items() if boxes and not other.get(label)]
            if lone:
                yield Problem("missing_class", f"boxes in {name} only: {_some(lone)}", is_error=False)


def _by_kind(problems: Sequence[Problem]) -> dict[str, list[str]]:
    out: dict[str, list[str]] = {}
    for problem in problems:
        out.setdefault(problem.kind, []).append(problem.text)
    return out


def _list(title: str, problems: Sequence[Problem], shown: int) -> Iterator[str]:
    if problems:
        yield f"{len(problems)} {title}{'s' if len(problems) > 1 else ''}"
    for kind, texts in _by_kind(problems).items():
        yield f"  {kind.replace('_', ' ')}: {len(texts)}"
        yield from (f"    {text}" for text in texts[:shown])
        if len(texts) > shown:
            yield f"    … and {len(texts) - shown} more"


def _some(texts: Sequence[str], most: int = 8) -> str:
    return ", ".join(texts[:most]) + (f", … {len(texts) - most} more" if len(texts) > most else "")
