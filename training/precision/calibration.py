"""Pictures to measure ranges on: of a folder, a data set or a recording, as the model will get to see them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from engine.errors import SourceError, UsageError
from engine.feed import read_frames
from engine.input_spec import InputSpec
from engine.load import load_class
from engine.picture import Picture, Pixels
from engine.summary import CameraSummary
from training import formats
from training.formats.image_files import SUFFIXES, list_images

# They are kept in memory, 0.5 MB each at 416x416, and ranges hardly move after a few hundred.
MAX_PICTURES = 5000
_DATA_SETS = (".json", ".yaml", ".yml")


def calibration_pictures(source: Path, spec: InputSpec, limit: int = 128) -> list[Pixels]:
    """Give pictures of a source, evenly spread over it, in the letterbox that live frames take.

    Args:
        source: a folder of pictures, folders in it too; a picture; a data set's COCO or YOLO file; or a recording.
        spec: the model's input.
        limit: at most so many; all where there are fewer. Of a long recording at least half as many.

    Returns:
        uint8 (3, h, w) each, at least one, in the order of their names or of time.

    Raises:
        SourceError: nothing there, no picture in it, or one that cannot be read.
        UsageError: a limit below 1 or above 5000.
    """
    if not 1 <= limit <= MAX_PICTURES:
        raise UsageError(f"calibration takes 1 to {MAX_PICTURES} pictures, got {limit}; a few hundred are enough")
    if not source.exists():
        raise SourceError(f"{source}: no such file or folder; give calibration pictures or a recording")
    if source.is_dir():
        paths = list_images(source)
    elif source.suffix.lower() in _DATA_SETS:
        paths = [sample.path for sample in formats.read(source).whole.samples]
    elif source.suffix.lower() in SUFFIXES:
        paths = [source]
    else:
        return _of_recording(source, spec, limit)
    if not paths:
        raise SourceError(f"{source}: holds no pictures to calibrate on ({', '.join(SUFFIXES)}); give others")
    rows = np.linspace(0, len(paths) - 1, min(len(paths), limit)).round().astype(int)
    return [Picture.read(paths[row]).letterbox(spec.letterbox) for row in rows]


def pictures_sha256(pictures: Iterable[Pixels]) -> str:
    """Give the SHA-256 of letterboxed pictures, in order."""
    found = hashlib.sha256()
    for picture in pictures:
        found.update(picture.tobytes())
    return found.hexdigest()


def _of_recording(source: Path, spec: InputSpec, limit: int) -> list[Pixels]:
    """Keep every n-th frame; n doubles whenever there are too many: headers do not know how long a recording is."""
    kept: list[Pixels] = []
    every = 1
    video = load_class("video")(url=str(source))
    try:
        video.open()
        for number, frame in enumerate(read_frames(source.stem, video, 0, CameraSummary())):
            if number % every == 0:
                kept.append(frame.picture.letterbox(spec.letterbox))
            if len(kept) > limit:
                kept, every = kept[::2], 2 * every
    finally:
        video.close()
    return kept
