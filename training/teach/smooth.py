"""From a teacher's detections to labels: what was missed is filled in along time, what is doubtful is said to be so.

Every track (see `training.teach.tracks`) is smoothed forward and backward, and a sighting is judged by what stands
around it in time: a weak one amid sure ones is a label, a sure one that nothing supports is not.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from engine.boxes import areas, clip_boxes, iou_matrix
from engine.detections import Detections
from training.dataset import Boxes, ClassIds, Flags
from training.teach.path import smooth_path
from training.teach.tracks import Floats, Track, link

# A filled-in box that another label covers so far belongs to somebody who stands behind.
_HIDDEN = 0.6
# Boxes before and after a gap, each carried to its middle, must overlap so much for the motion to be consistent.
_STEADY_IOU = 0.4


@dataclass(frozen=True)
class Rules:
    """When a sighting becomes a label.

    Attributes:
        sure: confidence from which a detection counts as sure. A sighting is a label where the mean confidence around
            it, misses counted as 0, reaches this, or the mean of that and its own.
        doubtful: what is no label is ignored from this confidence on; weaker, it is nothing.
        min_sure: sure sightings that a track needs to have labels at all.
        around_s: seconds before and after a sighting that support it.
        max_gap_s: longest time in which a track's missing boxes are filled in.
    """

    sure: float = 0.5
    doubtful: float = 0.35
    min_sure: int = 3
    around_s: float = 1.5
    max_gap_s: float = 1.0

    @classmethod
    def from_confidence(cls, sure: float) -> Rules:
        """Give the rules for another confidence that counts as sure."""
        return cls(sure=sure, doubtful=sure * cls.doubtful / cls.sure)

    def for_photographs(self) -> Rules:
        """Give the rules for pictures that have no neighbours in time."""
        return replace(self, min_sure=1)


@dataclass(frozen=True, eq=False)
class Labels:
    """What is in one frame, as far as the teacher can be trusted.

    Attributes:
        xyxy: float32 (N, 4), pixels of the frame.
        class_id: intp (N,).
        ignore: bool (N,), doubtful: neither an object nor background.
        seen: bool (N,), a sighting of the teacher; the others are filled in.
    """

    xyxy: Boxes
    class_id: ClassIds
    ignore: Flags
    seen: Flags

    def __len__(self) -> int:
        return len(self.xyxy)


def smooth(
    frames: Sequence[Detections], times_s: Sequence[float], size_wh: tuple[int, int], rules: Rules | None = None
) -> list[Labels]:
    """Turn one recording's detections into labels.

    Args:
        frames: what the teacher saw in each frame, detections much weaker than `sure` included.
        times_s: ascending, one for each frame.
        size_wh: of the frames.
        rules: see Rules.

    Returns:
        One for each frame.
    """
    rules = rules or Rules()
    times = np.array(times_s, np.float64)
    rows: list[list[_Row]] = [[] for _ in frames]
    for track in link(frames, times_s, sure=rules.sure, max_gap_s=rules.max_gap_s):
        for frame, row in _judge(track, times, rules):
            rows[frame].append(row)
    return [_labels(found, size_wh) for found in rows]


@dataclass(frozen=True, slots=True)
class _Row:
    xyxy: NDArray[np.float32]
    class_id: int
    ignore: bool
    seen: bool


def _judge(track: Track, times: Floats, rules: Rules) -> Iterator[tuple[int, _Row]]:
    """Give the frames of a track that have a box, with the box."""
    class_id = track.best_class
    support = _support(track, times, rules.around_s)
    holds = np.maximum(support, (support + np.array(track.confidence)) / 2) >= rules.sure
    if sum(c >= rules.sure for c in track.confidence) < rules.min_sure:
        holds[:] = False
    box_in = dict(zip(track.frame, track.xyxy, strict=True))
    if holds.any():
        life = range(track.frame[0], track.frame[-1] + 1)
        path = smooth_path(np.array(track.time_s), np.array(track.xyxy), times[life.start : life.stop])
        box_in = dict(zip(life, path, strict=True))
    for sighting, (frame, confidence) in enumerate(zip(track.frame, track.confidence, strict=True)):
        if holds[sighting] or confidence >= rules.doubtful:
            yield frame, _Row(box_in[frame], class_id, not holds[sighting], seen=True)
        if sighting + 1 < len(track) and holds[sighting] and holds[sighting + 1]:
            steady = _is_steady(track, sighting)
            for missed in range(frame + 1, track.frame[sighting + 1]):
                yield missed, _Row(box_in[missed], class_id, not steady, seen=False)


def _support(track: Track, times: Floats, around_s: float) -> Floats:
    """Give the mean confidence around each sighting within its track's life; frames that missed it count as 0."""
    first, last = track.frame[0], track.frame[-1]
    here = times[first : last + 1]
    confidence = np.zeros(len(here))
    confidence[np.array(track.frame) - first] = track.confidence
    total = np.concatenate([[0.0], np.cumsum(confidence)])
    at = np.array(track.time_s)
    start = np.searchsorted(here, at - around_s)
    stop = np.searchsorted(here, at + around_s, side="right")
    mean: Floats = (total[stop] - total[start]) / (stop - start)
    return mean


def _is_steady(track: Track, sighting: int) -> bool:
    """Say whether the motion before the gap after a sighting and the motion behind it lead to the same place."""
    middle_s = (track.time_s[sighting] + track.time_s[sighting + 1]) / 2
    before, after = track.after(sighting, middle_s), track.before(sighting + 1, middle_s)
    return bool(iou_matrix(before[None], after[None])[0, 0] >= _STEADY_IOU)


def _labels(rows: Sequence[_Row], size_wh: tuple[int, int]) -> Labels:
    xyxy = clip_boxes(np.array([row.xyxy for row in rows], np.float32).reshape(-1, 4), size_wh)
    ignore = np.array([row.ignore for row in rows], np.bool_)
    seen = np.array([row.seen for row in rows], np.bool_)
    ignore |= ~seen & (_covered(xyxy, ~ignore) > _HIDDEN)
    # Smoothing may carry an object that leaves the picture out of it.
    inside = (xyxy[:, 2:] - xyxy[:, :2] >= 1).all(axis=1)
    return Labels(
        xyxy=xyxy[inside],
        class_id=np.array([row.class_id for row in rows], np.intp)[inside],
        ignore=ignore[inside],
        seen=seen[inside],
    )


def _covered(xyxy: Boxes, by: Flags) -> NDArray[np.float32]:
    """Give the share of each box that the most covering one of the others covers."""
    sides = np.minimum(xyxy[:, None, 2:], xyxy[:, 2:]) - np.maximum(xyxy[:, None, :2], xyxy[:, :2])
    share = np.maximum(sides, 0).prod(2) / np.maximum(areas(xyxy), 1e-6)[:, None]
    np.fill_diagonal(share, 0)
    covered: NDArray[np.float32] = share[:, by].max(axis=1, initial=0)
    return covered
