"""What a teacher looks at: recordings, folders of consecutive frames, and photographs."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

from engine.errors import SourceError, UsageError
from engine.feed import read_frames
from engine.frame import CaptureTime, Frame
from engine.load import load_class
from engine.picture import Picture
from engine.summary import CameraSummary

IMAGE_SUFFIXES = frozenset(".jpg .jpeg .png .bmp .webp .tif .tiff".split())
VIDEO_SUFFIXES = frozenset(".avi .mp4 .m4v .mkv .mov .webm .ts .mts .mpg .mpeg .wmv .flv .h264 .h265 .hevc".split())


@dataclass(frozen=True)
class Clip:
    """Pictures that belong together.

    Attributes:
        name: of the camera, unless they are photographs.
        path: a recording, or the folder of the pictures.
        pictures: image files in order; none for a recording.
        is_sequence: the pictures follow one another in time.
    """

    name: str
    path: Path
    pictures: tuple[Path, ...] = ()
    is_sequence: bool = True

    def duration_s(self, fps: float) -> float:
        """Say how long it is, as far as its header knows; photographs last one second each.

        Raises:
            SourceError: the recording cannot be opened.
        """
        if self.pictures:
            return len(self.pictures) / (fps if self.is_sequence else 1.0)
        video = load_class("video")(url=str(self.path))
        try:
            video.open()
            return float((video.num_frames() or 0) / (video.nominal_fps or fps))
        finally:
            video.close()

    def frames(self, fps: float) -> Iterator[Frame]:
        """Read it; a new epoch begins where its pictures change size or its clock jumps.

        Args:
            fps: of consecutive pictures.

        Raises:
            SourceError: it cannot be read.
        """
        if self.pictures:
            yield from _read_pictures(self, fps)
            return
        video = load_class("video")(url=str(self.path))
        try:
            video.open()
            yield from read_frames(self.name, video, 0, CameraSummary())
        finally:
            video.close()


def find_footage(places: Sequence[Path]) -> list[Clip]:
    """Find recordings and pictures in files and folders, folders in folders too.

    Pictures of one folder whose names count up in equal steps are consecutive frames; others are photographs.

    Returns:
        In the order given, sorted within a folder; names are unique.

    Raises:
        SourceError: nothing there, or nothing that is a recording or a picture.
    """
    clips: list[Clip] = []
    for place in places:
        if not place.exists():
            raise SourceError(f"{place}: no such file or folder")
        found = _in_folder(place) if place.is_dir() else [_of_file(place)]
        if not found:
            raise SourceError(
                f"{place}: holds neither recordings ({_some(VIDEO_SUFFIXES)}) nor pictures ({_some(IMAGE_SUFFIXES)})"
            )
        clips += found
    if len({clip.path.resolve() for clip in clips}) < len(clips):
        raise UsageError("footage: the same file or folder was given twice")
    taken: dict[str, int] = {}
    unique = []
    for clip in clips:
        taken[clip.name] = count = taken.get(clip.name, 0) + 1
        unique.append(clip if count == 1 else replace(clip, name=f"{clip.name}-{count}"))
    return unique


def _of_file(path: Path) -> Clip:
    if path.suffix.lower() in IMAGE_SUFFIXES:
        return Clip(path.stem, path, (path,), is_sequence=False)
    return Clip(path.stem, path)


def _in_folder(folder: Path) -> list[Clip]:
    clips = []
    for place in sorted([folder, *(path for path in folder.rglob("*") if path.is_dir())]):
        files = sorted(path for path in place.iterdir() if path.is_file())
        clips += [Clip(path.stem, path) for path in files if path.suffix.lower() in VIDEO_SUFFIXES]
        pictures = tuple(path for path in files if path.suffix.lower() in IMAGE_SUFFIXES)
        if pictures:
            clips.append(Clip(place.resolve().name, place, *_in_order(pictures)))
    return clips


def _in_order(pictures: tuple[Path, ...]) -> tuple[tuple[Path, ...], bool]:
    """Give pictures in the order of time, and True, where their names count up in equal steps."""
    named = [re.fullmatch(r"(.*?)(\d+)", path.stem) for path in pictures]
    numbers = [int(match[2]) for match in named if match]
    if len(numbers) < len(pictures) or len(pictures) < 3 or len({match[1] for match in named if match}) > 1:
        return pictures, False
    order = sorted(range(len(pictures)), key=lambda i: numbers[i])
    steps = {numbers[b] - numbers[a] for a, b in pairwise(order)}
    return (tuple(pictures[i] for i in order), True) if len(steps) == 1 else (pictures, False)


def _read_pictures(clip: Clip, fps: float) -> Iterator[Frame]:
    epoch, size_wh = 0, None
    for index, path in enumerate(clip.pictures):
        picture = Picture.read(path)
        epoch += size_wh not in (None, picture.size_wh)
        size_wh = picture.size_wh
        pts_us = round(index * 1_000_000 / fps)
        yield Frame(clip.name, epoch, index, pts_us, CaptureTime(pts_us), picture)


def _some(suffixes: frozenset[str]) -> str:
    return ", ".join(sorted(suffixes))
