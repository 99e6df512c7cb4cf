"""MOTChallenge text: detections, ground truth and tracking results, one box a line.

    frame,id,left,top,width,height,confidence,class or x,visibility or y[,z]

Frames, ids and pixel coordinates count from 1 in the text. In here coordinates are ours: 0 is the frame's left edge.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from engine.detections import Detections, select_rows
from engine.errors import SourceError
from engine.tracks import Tracks

PEDESTRIAN = 1
"""The class that MOT16, MOT17 and MOT20 judge."""

DISTRACTORS = (2, 7, 8, 12)
"""Classes that MOT16, MOT17 and MOT20 leave open: person on vehicle, static person, distractor, reflection."""

_NAMES = ("frame", "id", "left", "top", "width", "height", "confidence", "class", "visibility", "z")
_SHORTEST, _WITH_CLASS, _LONGEST = 7, 9, 10


@dataclass(frozen=True, slots=True, eq=False)
class MotTable:
    """The rows of one MOTChallenge file, in the order of the file.

    Attributes:
        frame: int64 (N,), from 1.
        track_id: int64 (N,), -1 in detections.
        xyxy: float64 (N, 4), pixels of the source frame.
        confidence: float64 (N,); in ground truth 0 marks a box that is not to be judged.
        class_id: int64 (N,), MOTChallenge's class where the file states one (nine columns), else -1.
    """

    frame: NDArray[np.int64]
    track_id: NDArray[np.int64]
    xyxy: NDArray[np.float64]
    confidence: NDArray[np.float64]
    class_id: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.frame)

    def __getitem__(self, rows: NDArray[np.bool_] | NDArray[np.int64] | slice) -> Self:
        """Select rows by a mask, an index array or a slice."""
        return select_rows(self, rows)

    @property
    def last_frame(self) -> int:
        """Number of the last frame that has a row, 0 for an empty table."""
        return int(self.frame.max()) if len(self) else 0

    @property
    def is_judged(self) -> NDArray[np.bool_]:
        """Which rows of ground truth must be found: confidence above 0 and, where classes are stated, pedestrians."""
        right_class = (self.class_id == -1) | (self.class_id == PEDESTRIAN)
        judged: NDArray[np.bool_] = (self.confidence > 0) & right_class
        return judged

    @property
    def is_open(self) -> NDArray[np.bool_]:
        """Which rows of ground truth may be found or not: confidence 0 or, where classes are stated, distractors."""
        return np.where(self.class_id == -1, self.confidence <= 0, np.isin(self.class_id, DISTRACTORS))

    def rows_by_frame(self, num_frames: int) -> list[NDArray[np.intp]]:
        """Give the rows of frames 1 to `num_frames`, one index array a frame; empty ones where a frame has none."""
        order = np.argsort(self.frame, kind="stable")
        edges = np.searchsorted(self.frame[order], np.arange(1, num_frames + 2))
        return [order[start:stop] for start, stop in pairwise(edges)]

    def by_frame(self, num_frames: int) -> Iterator[Self]:
        """Yield one table a frame, for frames 1 to `num_frames`; empty ones where a frame has no row."""
        return (self[rows] for rows in self.rows_by_frame(num_frames))

    def detections(self) -> Detections:
        """Give the boxes as detections of one class, `object`."""
        return Detections(
            xyxy=self.xyxy.astype(np.float32),
            confidence=self.confidence.astype(np.float32),
            class_id=np.zeros(len(self), np.int64),
        )


def read_mot(path: Path) -> MotTable:
    """Read a MOTChallenge file; a file without rows gives an empty table.

    Raises:
        SourceError: the file is missing, or a line does not say what it must (the message starts with file:line).
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise SourceError(f"{path}: cannot be read as MOTChallenge text: {error.strerror}") from None
    except UnicodeDecodeError:
        raise SourceError(f"{path}: is not text; expected MOTChallenge lines `{','.join(_NAMES[:7])}`") from None
    rows = [_parse(line, f"{path}:{number}") for number, line in enumerate(lines, 1) if line.strip()]
    values = np.array(rows, np.float64).reshape(-1, 8)
    left_top = values[:, 2:4] - 1
    return MotTable(
        frame=values[:, 0].astype(np.int64),
        track_id=values[:, 1].astype(np.int64),
        xyxy=np.concatenate([left_top, left_top + values[:, 4:6]], axis=1),
        confidence=values[:, 6],
        class_id=values[:, 7].astype(np.int64),
    )


def _parse(line: str, place: str) -> tuple[float, ...]:
    texts = line.replace(",", " ").split()
    if not _SHORTEST <= len(texts) <= _LONGEST:
        raise SourceError(
            f"{place}: has {len(texts)} columns; expected {_SHORTEST} to {_LONGEST}: {','.join(_NAMES[:7])},…"
        )
    values = [_number(text, name, place) for text, name in zip(texts, _NAMES, strict=False)]
    for value, name in zip(values[:2], _NAMES, strict=False):
        if value != int(value):
            raise SourceError(f"{place}: {name} must be a whole number, got {value:g}")
    if values[0] < 1:
        raise SourceError(f"{place}: frame {values[0]:g} does not exist; MOTChallenge frames start at 1")
    if values[4] < 0 or values[5] < 0:
        raise SourceError(f"{place}: a box cannot be {values[4]:g} wide and {values[5]:g} high")
    return (*values[:7], values[7] if len(values) == _WITH_CLASS else -1.0)


def _number(text: str, name: str, place: str) -> float:
    try:
        value = float(text)
    except ValueError:
        raise SourceError(f"{place}: {name} must be a number, got '{text}'") from None
    if not np.isfinite(value):
        raise SourceError(f"{place}: {name} must be a finite number, got '{text}'")
    return value


def format_tracks(frame_number: int, tracks: Tracks, first_id: int = 0) -> str:
    """Write tracks as result lines, each with its line end; no text for no tracks.

    Args:
        frame_number: MOTChallenge frame number, from 1.
        tracks: rows to write, all of them.
        first_id: is added to every id.
    """
    left_top = tracks.xyxy[:, :2] + 1
    size = tracks.xyxy[:, 2:] - tracks.xyxy[:, :2]
    rows = zip(
        (tracks.track_id + first_id).tolist(), left_top.tolist(), size.tolist(), tracks.confidence.tolist(), strict=True
    )
    return "".join(
        f"{frame_number},{track_id},{left:.2f},{top:.2f},{width:.2f},{height:.2f},{confidence:.4f},-1,-1,-1\n"
        for track_id, (left, top), (width, height), confidence in rows
    )
