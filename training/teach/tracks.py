"""Who is who in a whole recording: detections linked into tracks, with the future known as well as the past.

Two steps. Frame by frame, sure detections are given to tracks before weak ones (Zhang et al. 2022, ByteTrack,
arXiv 2110.06864), by overlap with where each track is expected. Then ends of tracks are joined to starts of later ones,
by overlap of the earlier track carried forward, and of the later one carried backward.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from engine.association import assign, unmatched
from engine.boxes import iou_matrix
from engine.detections import Detections

Floats = NDArray[np.float64]
Box = NDArray[np.float32]

# Boxes of two classes that overlap so much are one object with two names.
_SAME_OBJECT_IOU = 0.75
# Overlap of boxes with different names counts for less: a neighbour of the right class must not lose to it.
_OTHER_CLASS = 0.7
# Tracks are joined across a gap where their two looks, forward and backward, overlap so much on average.
_JOIN_IOU = 0.5
# Velocity is that of the sightings within so many seconds, at most so many: enough to average the jitter of boxes.
_VELOCITY_S, _VELOCITY_SIGHTINGS = 0.6, 12


@dataclass
class Track:
    """One object's sightings, in the order of time.

    Attributes:
        frame: positions of the frames.
        time_s: their times.
        xyxy: float32 (4,) each.
        confidence: of each sighting.
        class_id: of each sighting.
    """

    frame: list[int] = field(default_factory=list)
    time_s: list[float] = field(default_factory=list)
    xyxy: list[Box] = field(default_factory=list)
    confidence: list[float] = field(default_factory=list)
    class_id: list[int] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.frame)

    def add(self, frame: int, time_s: float, detections: Detections, row: int) -> None:
        """Take in a sighting."""
        self.frame.append(frame)
        self.time_s.append(time_s)
        self.xyxy.append(detections.xyxy[row])
        self.confidence.append(float(detections.confidence[row]))
        self.class_id.append(int(detections.class_id[row]))

    def join(self, later: Track) -> None:
        """Go on with the sightings of a later track."""
        for name in ("frame", "time_s", "xyxy", "confidence", "class_id"):
            getattr(self, name).extend(getattr(later, name))

    @property
    def best_class(self) -> int:
        """The class with most confidence in all; of equal ones the first."""
        sums: Counter[int] = Counter()
        for class_id, confidence in zip(self.class_id, self.confidence, strict=True):
            sums[class_id] += confidence  # type: ignore[assignment]
        return max(sorted(sums), key=lambda class_id: sums[class_id])

    def after(self, sighting: int, time_s: float) -> Box:
        """Carry a sighting's box (4,) on to a later time, at the velocity of the sightings up to it."""
        return self._carried(slice(max(sighting + 1 - _VELOCITY_SIGHTINGS, 0), sighting + 1), -1, time_s)

    def before(self, sighting: int, time_s: float) -> Box:
        """Carry a sighting's box (4,) back to an earlier time, at the velocity of the sightings from it on."""
        return self._carried(slice(sighting, sighting + _VELOCITY_SIGHTINGS), 0, time_s)

    def _carried(self, part: slice, end: int, time_s: float) -> Box:
        times = np.array(self.time_s[part])
        boxes = np.array(self.xyxy[part])
        near = np.abs(times - times[end]) <= _VELOCITY_S
        box: Box = boxes[end]
        if near.sum() < 2:
            return box
        centre = (boxes[near, :2] + boxes[near, 2:]) / 2
        apart = times[near] - times[near].mean()
        velocity = (apart[:, None] * centre).sum(0) / (apart**2).sum()
        moved: Box = (box + np.tile(velocity * (time_s - times[end]), 2)).astype(np.float32)
        return moved


def link(
    frames: Sequence[Detections], times_s: Sequence[float], *, sure: float, max_gap_s: float, min_iou: float = 0.25
) -> list[Track]:
    """Link detections into tracks; every detection belongs to exactly one, if only its own.

    Args:
        frames: what was seen in each frame, weak detections included.
        times_s: ascending, one for each frame.
        sure: detections from this confidence on choose first.
        max_gap_s: a track that is not seen for longer has ended.
        min_iou: overlap with the expected box that is needed.

    Returns:
        In the order of their first sightings.
    """
    done: list[Track] = []
    live: list[Track] = []
    for frame, (seen, time_s) in enumerate(zip(frames, times_s, strict=True)):
        detections = one_name(seen)
        done += [track for track in live if time_s - track.time_s[-1] > max_gap_s]
        live = [track for track in live if time_s - track.time_s[-1] <= max_gap_s]
        similarity = _similarity(live, time_s, detections)
        is_sure = detections.confidence >= sure
        waiting = np.arange(len(live))
        taken = np.zeros(len(detections), np.bool_)
        for rows in (np.flatnonzero(is_sure), np.flatnonzero(~is_sure)):
            near = similarity[np.ix_(waiting, rows)]
            tracks, columns = assign(near, near >= min_iou)
            for track, row in zip(waiting[tracks].tolist(), rows[columns].tolist(), strict=True):
                live[track].add(frame, time_s, detections, row)
            taken[rows[columns]] = True
            waiting = waiting[unmatched(len(waiting), tracks)]
        for row in np.flatnonzero(~taken).tolist():
            live.append(Track())
            live[-1].add(frame, time_s, detections, row)
    return _join(sorted(done + live, key=lambda track: track.frame[0]), max_gap_s)


def one_name(detections: Detections) -> Detections:
    """Drop the weaker of two boxes of different classes that lie on each other; best first."""
    ranked = detections[np.argsort(-detections.confidence, kind="stable")]
    other = ranked.class_id[:, None] != ranked.class_id
    overlaps = np.triu((iou_matrix(ranked.xyxy, ranked.xyxy) > _SAME_OBJECT_IOU) & other, 1)
    return ranked[~overlaps.any(axis=0)]


def _similarity(tracks: Sequence[Track], time_s: float, detections: Detections) -> NDArray[np.float32]:
    expected = np.array([track.after(len(track) - 1, time_s) for track in tracks], np.float32).reshape(-1, 4)
    classes = np.array([track.class_id[-1] for track in tracks], np.int64)
    other = classes[:, None] != detections.class_id
    return iou_matrix(expected, detections.xyxy) * np.where(other, np.float32(_OTHER_CLASS), np.float32(1))


def _join(tracks: list[Track], max_gap_s: float) -> list[Track]:
    """Join what was one track but for a gap in which its expectation drifted off."""
    # A single sighting says nothing about where it is going.
    known = [track for track in tracks if len(track) > 1]
    starts = np.array([track.time_s[0] for track in known])
    similarity = np.zeros((len(known), len(known)), np.float32)
    for i, early in enumerate(known):
        gap_s = starts - early.time_s[-1]
        for j in np.flatnonzero((gap_s > 0) & (gap_s <= max_gap_s)).tolist():
            if early.best_class == known[j].best_class:
                similarity[i, j] = _meeting(early, known[j])
    rows, columns = assign(similarity, similarity >= _JOIN_IOU)
    following = dict(zip(rows.tolist(), columns.tolist(), strict=True))
    joined = set()
    for i, track in enumerate(known):
        if i in joined:
            continue
        later = following.get(i)
        while later is not None:
            track.join(known[later])
            joined.add(later)
            later = following.get(later)
    gone = {id(known[i]) for i in joined}
    return [track for track in tracks if id(track) not in gone]


def _meeting(early: Track, late: Track) -> float:
    """Give the overlap of each track, carried to the other's end, with the box there: the mean of the two.

    One that stops while it is not seen is not where its velocity led, but it is where it is next seen standing.
    """
    forward = iou_matrix(early.after(len(early) - 1, late.time_s[0])[None], late.xyxy[0][None])
    backward = iou_matrix(late.before(0, early.time_s[-1])[None], early.xyxy[-1][None])
    return float(forward[0, 0] + backward[0, 0]) / 2
