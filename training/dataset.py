"""Labelled pictures: what every format is read into, and what every other part of training takes."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.errors import SourceError
from engine.load import did_you_mean
from engine.picture import Picture, Pixels

Boxes = NDArray[np.float32]
ClassIds = NDArray[np.intp]
Flags = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Example:
    """Pixels with their labels, in memory.

    Attributes:
        bgr: uint8 (h, w, 3).
        xyxy: float32 (N, 4), pixels of `bgr`. N may be 0.
        class_id: intp (N,).
        ignore: bool (N,); neither right nor wrong inside: crowds, difficult or doubtful objects.
    """

    bgr: Pixels
    xyxy: Boxes
    class_id: ClassIds
    ignore: Flags

    @property
    def size_wh(self) -> tuple[int, int]:
        """Width and height in pixels."""
        return self.bgr.shape[1], self.bgr.shape[0]


@dataclass(frozen=True, eq=False)
class Sample:
    """A labelled picture on disk.

    Attributes:
        path: the image file.
        size_wh: its width and height in pixels.
        xyxy: float32 (N, 4), pixels of the picture. N may be 0.
        class_id: intp (N,), position in the data set's labels.
        ignore: bool (N,), see `Example`.
        camera: where it was taken; empty for a photograph that belongs to no camera.
        time_s: seconds of the camera's recording, where known.
        tags: what it is a slice of, such as `{"light": "night"}`.
    """

    path: Path
    size_wh: tuple[int, int]
    xyxy: Boxes
    class_id: ClassIds
    ignore: Flags
    camera: str = ""
    time_s: float | None = None
    tags: Mapping[str, str] = field(default_factory=dict)

    @property
    def image_id(self) -> int | str:
        """The file's name without suffix, as a number where it is one, as `vedette detect` counts."""
        return int(self.path.stem) if self.path.stem.isdecimal() else self.path.stem

    def read(self) -> Example:
        """Read the pixels.

        Raises:
            SourceError: the file is missing, is no image, or has another size than its labels say.
        """
        bgr = Picture.read(self.path).bgr()
        found_wh = (bgr.shape[1], bgr.shape[0])
        if found_wh != tuple(self.size_wh):
            raise SourceError(
                f"{self.path}: the picture is {found_wh[0]}x{found_wh[1]}, its labels were made for "
                f"{self.size_wh[0]}x{self.size_wh[1]}; label it again, or restore the picture"
            )
        return Example(bgr, self.xyxy, self.class_id, self.ignore)


@dataclass(frozen=True)
class DataSource:
    """Where samples come from: a line of the model's card.

    Attributes:
        name: for people.
        format: that it was read in.
        path: where it was read, as given.
        licence: of pictures and labels, as stated by the user.
        source: where it comes from: an address or a sentence.
        digest: SHA-256 over labels and pictures.
        num_images: pictures.
        num_boxes: boxes that are judged.
    """

    name: str
    format: str
    path: str
    licence: str = ""
    source: str = ""
    digest: str = ""
    num_images: int = 0
    num_boxes: int = 0


@dataclass(frozen=True)
class Dataset:
    """Samples that share one list of labels.

    Attributes:
        labels: class names; `Sample.class_id` counts in them from 0.
        samples: in a fixed order.
        sources: where they come from.
    """

    labels: tuple[str, ...]
    samples: tuple[Sample, ...]
    sources: tuple[DataSource, ...] = ()

    def __len__(self) -> int:
        return len(self.samples)

    @cached_property
    def digest(self) -> str:
        """SHA-256 over the labels and every sample's picture name, boxes, camera and time; not over pixels."""
        found = hashlib.sha256(repr(self.labels).encode())
        for sample in self.samples:
            head = (sample.path.name, sample.size_wh, sample.camera, sample.time_s, sorted(sample.tags.items()))
            found.update(repr(head).encode())
            for column in (sample.xyxy, sample.class_id.astype(np.int64), sample.ignore):
                found.update(np.ascontiguousarray(column).tobytes())
        return found.hexdigest()

    def box_counts(self) -> dict[str, int]:
        """Count the judged boxes of every label, labels without a box too."""
        counts: Counter[int] = Counter()
        for sample in self.samples:
            counts.update(sample.class_id[~sample.ignore].tolist())
        return {label: counts[column] for column, label in enumerate(self.labels)}

    def subset(self, indices: Iterable[int]) -> Dataset:
        """Give some of the samples, in the order of the indices."""
        return replace(self, samples=tuple(self.samples[index] for index in indices))

    def relabelled(self, labels: Sequence[str] | None, rename: Mapping[str, str | None] | None = None) -> Dataset:
        """Give the same pictures with other class names.

        Args:
            labels: the new list and its order; None keeps the old names that are left, in their order.
            rename: old name to new name; None drops the boxes of a class. Classes that are not in `labels` after
                renaming are dropped too.

        Raises:
            SourceError: a class to rename that the data does not know.
        """
        rename = dict(rename or {})
        for name in rename:
            if name not in self.labels:
                raise SourceError(f"rename: the data has no class '{name}'{did_you_mean(name, self.labels)}")
        names = [rename.get(label, label) for label in self.labels]
        new = tuple(labels) if labels is not None else tuple(dict.fromkeys(n for n in names if n is not None))
        column = np.array([new.index(name) if name in new else -1 for name in names], np.intp)
        return replace(self, labels=new, samples=tuple(_relabel(sample, column) for sample in self.samples))

    def to_coco(self) -> dict[str, Any]:
        """Write it as COCO ground truth: category ids are positions in `labels`, `iscrowd` marks what is ignored."""
        ids = Counter(sample.image_id for sample in self.samples)
        # Two folders may both hold 000001.jpg: then every picture is known by its position.
        unique = all(count == 1 for count in ids.values())
        images: list[dict[str, Any]] = []
        annotations: list[dict[str, Any]] = []
        for position, sample in enumerate(self.samples):
            image_id = sample.image_id if unique else position
            facts: dict[str, Any] = {"camera": sample.camera} if sample.camera else {}
            facts |= {} if sample.time_s is None else {"time_s": sample.time_s}
            facts |= {"tags": dict(sample.tags)} if sample.tags else {}
            width, height = sample.size_wh
            images.append({"id": image_id, "file_name": sample.path.name, "width": width, "height": height, **facts})
            for (x1, y1, x2, y2), class_id, ignore in zip(
                sample.xyxy.tolist(), sample.class_id.tolist(), sample.ignore.tolist(), strict=True
            ):
                annotations.append({
                    "id": len(annotations) + 1, "image_id": image_id, "category_id": class_id,
                    "bbox": [x1, y1, x2 - x1, y2 - y1], "area": (x2 - x1) * (y2 - y1), "iscrowd": int(ignore),
                })  # fmt: skip
        categories = [{"id": column, "name": label} for column, label in enumerate(self.labels)]
        return {"images": images, "annotations": annotations, "categories": categories}


def _relabel(sample: Sample, column: ClassIds) -> Sample:
    class_id = column[sample.class_id]
    kept = class_id >= 0
    return replace(sample, xyxy=sample.xyxy[kept], class_id=class_id[kept], ignore=sample.ignore[kept])


def concat(datasets: Sequence[Dataset]) -> Dataset:
    """Put data sets together; labels are united in the order in which they first occur."""
    labels = tuple(dict.fromkeys(label for dataset in datasets for label in dataset.labels))
    alike = [dataset.relabelled(labels) for dataset in datasets]
    return Dataset(
        labels,
        tuple(sample for dataset in alike for sample in dataset.samples),
        tuple(source for dataset in datasets for source in dataset.sources),
    )
