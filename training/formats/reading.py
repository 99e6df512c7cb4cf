"""What readers of label files share: finding pictures, judging boxes, and saying what is wrong with a row."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from engine.errors import SourceError, UsageError
from training.dataset import Dataset, Sample, concat
from training.formats.image_files import ImageFolder, image_size

Kind = Literal[
    "missing_image", "broken_image", "bad_box", "bad_row", "unknown_class", "bad_split", "leak",
    "cut_box", "unlabelled", "tiny_box", "double_box", "copy", "near_copy", "rare_class", "missing_class",
]  # fmt: skip

_CUT_PX = 2.0
"""Boxes that stick out by less are rounding; beyond it, cutting them to the picture is worth a word."""


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong with a data set.

    Attributes:
        kind: for counting.
        text: a sentence for a person: file, row, value, what was expected.
        is_error: what it is about cannot be used; else it can, as the text says.
    """

    kind: Kind
    text: str
    is_error: bool = True


@dataclass(frozen=True)
class Request:
    """What to read.

    Attributes:
        path: a label file or a folder.
        images: the folder of the pictures; None looks beside the labels.
        labels: class names, for formats that do not say them.
    """

    path: Path
    images: Path | None = None
    labels: tuple[str, ...] | None = None


@dataclass(frozen=True)
class Reading:
    """A data set as it is read: everything that can be used, and what cannot.

    Attributes:
        parts: `train` and `val` where the data says so; else one part named "".
        problems: in the order found.
    """

    parts: Mapping[str, Dataset]
    problems: tuple[Problem, ...] = ()

    @property
    def whole(self) -> Dataset:
        """All parts together."""
        datasets = list(self.parts.values())
        return replace(concat(datasets), sources=datasets[0].sources)


@dataclass(frozen=True)
class Row:
    """One box of a label file.

    Attributes:
        class_id: position in the labels.
        xyxy: pixels, as the file says them.
        place: file and row, for messages.
        ignore: see `Sample`.
    """

    class_id: int
    xyxy: tuple[float, float, float, float]
    place: str
    ignore: bool = False


@dataclass
class Problems:
    """Collects what is wrong while a format is read."""

    found: list[Problem] = field(default_factory=list)
    _used: dict[tuple[ImageFolder, Path], str] = field(default_factory=dict)

    def add(self, kind: Kind, text: str, is_error: bool = True) -> None:
        """Note one."""
        self.found.append(Problem(kind, text, is_error))

    def picture(
        self, images: ImageFolder, name: str, place: str, size_wh: tuple[int, int] | None = None
    ) -> tuple[Path, tuple[int, int]] | None:
        """Find a picture and its size, or note why there is none.

        Args:
            images: where to look.
            name: as the labels call it.
            place: file and row that names it.
            size_wh: as the labels state it; `Sample.read` checks it. None looks into the picture.
        """
        path = images.find(name)
        if path is None:
            self.add("missing_image", f"{place}: no picture '{name}' in {images}")
            return None
        before = self._used.setdefault((images, path), place)
        if before != place:
            # The rest of a name may be lost on the way: "gate/1.jpg" and "dock/1.jpg" must not become one picture.
            self.add("bad_row", f"{place}: {path} has labels already, from {before}")
            return None
        return self.sized(path, size_wh)

    def sized(self, path: Path, size_wh: tuple[int, int] | None = None) -> tuple[Path, tuple[int, int]] | None:
        """Give a picture with its size, or note that it is none; see `picture`."""
        try:
            return path, size_wh or image_size(path)
        except SourceError as error:
            self.add("broken_image", str(error))
            return None

    def sample(
        self,
        picture: tuple[Path, tuple[int, int]],
        rows: Sequence[Row],
        *,
        camera: str = "",
        time_s: float | None = None,
        tags: Mapping[str, str] | None = None,
        whole_objects: bool = False,
    ) -> Sample:
        """Make a sample of the rows that can be used; boxes are cut to the picture.

        Args:
            picture: path and size.
            rows: all boxes of the picture.
            whole_objects: the format draws objects beyond the picture's edge (MOTChallenge does): that is no fault.
        """
        path, size_wh = picture
        good = []
        for row in rows:
            fault, sticks_out_px = _judge(row.xyxy, size_wh, whole_objects)
            if fault:
                self.add("bad_box", f"{row.place}: box {_show(row.xyxy)} {fault}")
            elif fault is None:
                if sticks_out_px > _CUT_PX and not whole_objects:
                    text = f"{row.place}: box {_show(row.xyxy)} sticks out of the picture by {sticks_out_px:.0f} px"
                    self.add("cut_box", f"{text}; cut", is_error=False)
                good.append(row)
        xyxy = np.array([row.xyxy for row in good], np.float32).reshape(-1, 4)
        return Sample(
            path=path,
            size_wh=size_wh,
            xyxy=np.clip(xyxy, np.float32(0), np.array(size_wh * 2, np.float32)),
            class_id=np.array([row.class_id for row in good], np.intp),
            ignore=np.array([row.ignore for row in good], np.bool_),
            camera=camera,
            time_s=time_s,
            tags=dict(tags or {}),
        )


def _judge(
    xyxy: tuple[float, float, float, float], size_wh: tuple[int, int], whole_objects: bool
) -> tuple[str | None, float]:
    """Say what is wrong with a box ("" for one to pass over in silence), and how far it sticks out."""
    if not all(map(math.isfinite, xyxy)):
        return "is not four finite numbers", 0.0
    x1, y1, x2, y2 = xyxy
    if x2 < x1 or y2 < y1:
        return "is turned inside out: right and bottom must be larger than left and top", 0.0
    if x2 == x1 or y2 == y1:
        return "has no area", 0.0
    width, height = size_wh
    inside = max(min(x2, width) - max(x1, 0.0), 0.0) * max(min(y2, height) - max(y1, 0.0), 0.0)
    if whole_objects:
        return (None if inside else ""), 0.0
    if inside < 0.5 * (x2 - x1) * (y2 - y1):
        return f"lies outside its {width}x{height} picture", 0.0
    return None, max(-x1, -y1, x2 - width, y2 - height)


def _show(xyxy: tuple[float, float, float, float]) -> str:
    return "(" + ", ".join(f"{value:.6g}" for value in xyxy) + ")"


def refuse_labels(request: Request, name: str) -> None:
    """Refuse class names for a format that says them itself.

    Raises:
        UsageError: there are some.
    """
    if request.labels is not None:
        raise UsageError(f"{request.path}: {name} names its classes itself; leave the labels out")


def numbers(values: Any, count: int) -> tuple[float, ...] | None:
    """Give `count` numbers as floats; None for anything else (a truth value is not a number)."""
    if not isinstance(values, Sequence) or isinstance(values, str) or len(values) != count:
        return None
    if any(isinstance(value, bool) or not isinstance(value, int | float) for value in values):
        return None
    return tuple(map(float, values))


def read_text(path: Path) -> str:
    """Read a text file.

    Raises:
        SourceError: missing, or not UTF-8.
    """
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise SourceError(f"{path}: is not UTF-8 text") from None
    except OSError as error:
        raise SourceError(f"{path}: cannot be read: {error.strerror}") from None


def read_json(path: Path) -> Any:
    """Read a JSON file.

    Raises:
        SourceError: missing, or not JSON.
    """
    try:
        return json.loads(read_text(path))
    except ValueError as error:
        raise SourceError(f"{path}: is not JSON: {error}") from None
