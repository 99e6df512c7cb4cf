"""Data sets in the formats that people have: read into one `Dataset`, and written again."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.errors import SourceError, UsageError
from engine.load import did_you_mean
from training.dataset import Dataset, DataSource
from training.formats import coco, label_studio, mot, pennfudan, voc, yolo
from training.formats.reading import Problems, Reading, Request
from training.formats.writing import whole_folder


@dataclass(frozen=True)
class Format:
    """A format of label files.

    Attributes:
        is_here: whether a file or folder looks like it.
        read: reads it into `train` and `val`, or into one part named ""; notes what cannot be used.
        write: writes parts into an empty folder; None where we only read it.
    """

    is_here: Callable[[Path], bool]
    read: Callable[[Request, Problems], dict[str, Dataset]]
    write: Callable[[Mapping[str, Dataset], Path], None] | None = None


FORMATS: Mapping[str, Format] = {
    "mot": Format(mot.is_here, mot.read),
    "yolo": Format(yolo.is_here, yolo.read, yolo.write),
    "coco": Format(coco.is_here, coco.read, coco.write),
    "label_studio": Format(label_studio.is_here, label_studio.read, label_studio.write),
    "voc": Format(voc.is_here, voc.read),
    "pennfudan": Format(pennfudan.is_here, pennfudan.read),
}
"""By name, in the order in which a folder is tried."""


def read(
    path: Path, format: str | None = None, *, images: Path | None = None, labels: Sequence[str] | None = None
) -> Reading:
    """Read labelled pictures: what can be used, and what is wrong with the rest.

    Args:
        path: a label file or a folder.
        format: a key of `FORMATS`; None tells it from what is there.
        images: the folder of the pictures; None looks beside the labels.
        labels: class names, for YOLO folders that do not say them, and their order for Label Studio.

    Raises:
        SourceError: nothing there, or not a data set at all.
        UsageError: a format that is not known.
    """
    if format is not None and format not in FORMATS:
        raise UsageError(f"no format '{format}'{did_you_mean(format, FORMATS)}")
    for place in (path, images):
        if place is not None and not place.exists():
            raise SourceError(f"{place}: no such file or folder")
    name = format or guess_format(path)
    problems = Problems()
    request = Request(path, images, None if labels is None else tuple(labels))
    parts = FORMATS[name].read(request, problems)
    source = DataSource(
        name=path.resolve().name,
        format=name,
        path=str(path),
        num_images=sum(map(len, parts.values())),
        num_boxes=sum(sum(dataset.box_counts().values()) for dataset in parts.values()),
    )
    parts = {part: replace(dataset, sources=(source,)) for part, dataset in parts.items()}
    return Reading(parts, tuple(problems.found))


def read_dataset(
    path: Path,
    format: str | None = None,
    *,
    images: Path | None = None,
    labels: Sequence[str] | None = None,
    part: str | None = None,
) -> Dataset:
    """Read labelled pictures; see `read`.

    Args:
        part: `train` or `val` of a data set that says so; None puts everything together.

    Raises:
        SourceError: also when a row cannot be used; the message is about the first, and says how many there are.
    """
    return usable(read(path, format, images=images, labels=labels), path, part)


def usable(reading: Reading, path: Path, part: str | None = None) -> Dataset:
    """Give the data set of a reading without faults.

    Raises:
        SourceError: a row cannot be used, no picture is there, or the data has no such part.
    """
    faults = [problem.text for problem in reading.problems if problem.is_error]
    if faults:
        more = f"; {len(faults) - 1} more cannot be used" if len(faults) > 1 else ""
        raise SourceError(f"{faults[0]}{more} (`vedette data check {path}` lists them)")
    if part is not None and part not in reading.parts:
        raise SourceError(f"{path}: has no part '{part}'; it is not split into train and val")
    dataset = reading.whole if part is None else reading.parts[part]
    if not len(dataset):
        raise SourceError(f"{path}: holds no labelled pictures")
    return dataset


def guess_format(path: Path) -> str:
    """Tell the format of a file or folder.

    Raises:
        SourceError: it looks like none of them.
    """
    for name, candidate in FORMATS.items():
        if candidate.is_here(path):
            return name
    raise SourceError(
        f"{path}: not a data set that can be read: expected a COCO or Label Studio JSON file, a YOLO data.yaml, or a "
        "folder with images/ and labels/ (YOLO), Annotations/ (Pascal VOC), or img1/ and gt/gt.txt (MOTChallenge)"
    )


def write_dataset(dataset: Dataset | Mapping[str, Dataset], folder: Path, format: str) -> None:
    """Write a data set, pictures included, into a folder that appears whole or not at all.

    Args:
        dataset: one, or `train` and `val`.
        folder: must be new or empty.
        format: `coco`, `yolo` or `label_studio`.

    Raises:
        UsageError: a format that we do not write, or a folder with something in it.
        SourceError: pictures that cannot be copied, a disk that is full.
    """
    writers = {name: candidate.write for name, candidate in FORMATS.items() if candidate.write}
    if format not in writers:
        raise UsageError(f"cannot write format '{format}'{did_you_mean(format, writers)}")
    with whole_folder(folder) as fresh:
        writers[format](dataset if isinstance(dataset, Mapping) else {"": dataset}, fresh)


def write_predictions(
    dataset: Dataset, confidence: Sequence[NDArray[np.floating[Any]]], model_version: str, folder: Path
) -> None:
    """Write a model's boxes as Label Studio tasks to accept or correct; see `label_studio.write_predictions`.

    Raises:
        UsageError: a folder with something in it.
        SourceError: pictures that cannot be copied, a disk that is full.
    """
    with whole_folder(folder) as fresh:
        label_studio.write_predictions(dataset, confidence, model_version, fresh)
