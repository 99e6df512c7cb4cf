"""Pictures to compare two backends on: labelled ones, or whatever a folder or a recording shows."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from engine.errors import SourceError
from engine.load import load_class
from engine.picture import Picture, Pixels
from training.dataset import Dataset
from training.evaluation.detections import common_labels
from training.evaluation.detections.command import read_data
from training.formats import FORMATS
from training.teach.footage import Clip, find_footage

# Of footage no time is used, but its reader wants to know how fast pictures follow one another.
_FPS = 10.0
_LABELS = (".yaml", ".yml", ".json")


@dataclass(frozen=True, eq=False)
class NamedPicture:
    """A picture, what to call it in a message, and by which id the truth and the results know it."""

    name: str
    image_id: int | str
    picture: Picture


@dataclass(frozen=True, eq=False)
class ImageSet:
    """Pictures in a fixed order, read anew each time.

    Attributes:
        name: for messages.
        num_images: as far as the headers of recordings tell.
        read: gives them.
        truth: COCO ground truth with classes that the model knows; None where there are no labels.
    """

    name: str
    num_images: int
    read: Callable[[], Iterator[NamedPicture]]
    truth: dict[str, Any] | None = None


def read_images(path: Path, model: Path, limit: int) -> ImageSet:
    """Find pictures: a data set that training reads, a folder of pictures or recordings, a recording, a picture.

    Of a recipe of `vedette train` the held-out pictures are taken.

    Args:
        path: the file or folder.
        model: the bundle; labels of classes that it does not know are left out.
        limit: at most so many pictures, evenly spread.

    Raises:
        SourceError: nothing there, nothing that can be read, or no class in common.
    """
    if not path.exists():
        raise SourceError(f"{path}: no such file or folder")
    if path.suffix.lower() in _LABELS or any(candidate.is_here(path) for candidate in FORMATS.values()):
        return _labelled(path, read_data(path, None)[0], model, limit)
    return _footage(path, find_footage([path]), limit)


def drawn_pictures(size_wh: tuple[int, int], count: int) -> list[Pixels]:
    """Draw BGR pictures of shapes on a ground of chance: the same ones every time.

    They put every part of a network to work and show nothing that it knows.
    """
    width, height = size_wh
    pictures = []
    for number in range(count):
        rng = np.random.default_rng((6, number))
        from_level, to_level = rng.uniform(0, 255, 2).tolist()
        levels = np.linspace(from_level, to_level, width)[None, :, None] * rng.uniform(0.3, 1, (height, 1, 3))
        bgr = levels + rng.normal(0, rng.uniform(0, 30), (height, width, 3))
        for _ in range(12):
            left, top = rng.integers(0, width), rng.integers(0, height)
            box_wh = rng.integers(4, max(5, min(size_wh) // 2), 2)
            bgr[top : top + box_wh[1], left : left + box_wh[0]] = rng.uniform(0, 255, 3)
        pictures.append(np.clip(bgr, 0, 255).astype(np.uint8))
    return pictures


def _labelled(path: Path, dataset: Dataset, model: Path, limit: int) -> ImageSet:
    dataset = dataset.relabelled(common_labels(model, dataset.labels))
    dataset = dataset.subset(_spread(len(dataset), limit))
    truth = dataset.to_coco()

    def read() -> Iterator[NamedPicture]:
        for sample, image in zip(dataset.samples, truth["images"], strict=True):
            yield NamedPicture(str(sample.path), image["id"], Picture.from_bgr(sample.read().bgr))

    return ImageSet(str(path), len(dataset), read, truth)


def _footage(path: Path, clips: Sequence[Clip], limit: int) -> ImageSet:
    lengths = [len(clip.pictures) or _num_frames(clip) for clip in clips]
    chosen = _spread(sum(lengths), limit)

    def read() -> Iterator[NamedPicture]:
        start, image_id = 0, 0
        for clip, length in zip(clips, lengths, strict=True):
            rows = {row - start for row in chosen if start <= row < start + length}
            for name, picture in _pictures(clip, rows):
                yield NamedPicture(name, image_id, picture)
                image_id += 1
            start += length

    return ImageSet(str(path), len(chosen), read)


def _pictures(clip: Clip, rows: set[int]) -> Iterator[tuple[str, Picture]]:
    if clip.pictures:
        for row in sorted(rows):
            yield str(clip.pictures[row]), Picture.read(clip.pictures[row])
    elif rows:
        for row, frame in enumerate(clip.frames(_FPS)):
            if row in rows:
                yield f"{clip.path}, frame {row}", frame.picture
            if row >= max(rows):
                return


def _num_frames(clip: Clip) -> int:
    video = load_class("video")(url=str(clip.path))
    try:
        video.open()
        stated = video.num_frames()
    finally:
        video.close()
    # Streams without a container do not say.
    return stated or sum(1 for _ in clip.frames(_FPS))


def _spread(count: int, limit: int) -> list[int]:
    return sorted(set(np.linspace(0, count - 1, min(count, limit)).round().astype(int).tolist()))
