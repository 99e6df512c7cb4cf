"""Follow objects from frame to frame: SORT (arXiv 1602.00763), one filterpy Kalman filter a track, plainly written.

The yardstick of `sort`, which does the same for all tracks at once and is the one to run: a test holds the two
together. Read this file to understand either. Needs the extra `reference` (filterpy).

A frame that was not looked at (`detections` is None) moves the boxes and nothing else: by their own velocity, and by
the median of `flow` inside each box where an earlier step has computed it. No track is missed or ended there.

About 1 ms a frame with ten objects.

    - track: {kind: sort_reference, max_coast_s: 2}
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from filterpy.kalman import KalmanFilter
from numpy.typing import NDArray

from engine.association import assign
from engine.detections import Detections
from engine.flow import Flow, box_flow
from engine.packet import Packet
from engine.track_table import INDEPENDENT_AFTER_S, STALE_AFTER_S, STALE_SHARE
from engine.tracker import Tracker
from engine.tracks import Tracks


def iou(a: NDArray[np.float32], b: NDArray[np.float32]) -> float:
    """Give the intersection over union of two boxes."""
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 0.0
    overlap = float(width * height)
    return overlap / (float((a[2] - a[0]) * (a[3] - a[1])) + float((b[2] - b[0]) * (b[3] - b[1])) - overlap)


class Track:
    """One object; its filter knows centre x, centre y, area, width over height, and how fast the first three change."""

    def __init__(self, track_id: int, detections: Detections, row: int, pts_us: int, confirm_hits: int) -> None:
        self.track_id = track_id
        self.started_us = self.matched_us = pts_us
        self.hits = 0
        self.confirm_hits = confirm_hits
        self.confirmed = False
        self.kalman = KalmanFilter(dim_x=7, dim_z=4)
        self.kalman.H = np.eye(4, 7)
        self.kalman.R = np.diag([1.0, 1.0, 10.0, 10.0])
        self.kalman.P = np.diag([10.0, 10.0, 10.0, 10.0, 1e4, 1e4, 1e4])
        self.kalman.x[:4, 0] = self.measurement(detections.xyxy[row])
        self._note(detections, row, pts_us)

    @staticmethod
    def measurement(xyxy: NDArray[np.float32]) -> NDArray[np.float64]:
        """Turn a box into centre x, centre y, area, width over height."""
        left, top, right, bottom = map(float, xyxy)
        width, height = max(right - left, 1e-3), max(bottom - top, 1e-3)
        return np.array([(left + right) / 2, (top + bottom) / 2, width * height, width / height])

    @property
    def xyxy(self) -> NDArray[np.float32]:
        """Where the object is."""
        x, y, area, ratio = self.kalman.x[:4, 0]
        width = np.sqrt(area * ratio)
        height = area / width
        return np.array([x - width / 2, y - height / 2, x + width / 2, y + height / 2], np.float32)

    def predict(self, steps: float, flow: Flow | None, frame_wh: tuple[int, int]) -> None:
        """Move by `steps` frames."""
        measured = None if flow is None else box_flow(flow, self.xyxy[None], frame_wh)
        x = self.kalman.x
        if x[2, 0] + steps * x[6, 0] <= 0:
            x[6, 0] = 0
        transition = np.eye(7)
        transition[0, 4] = transition[1, 5] = transition[2, 6] = steps
        self.kalman.predict(F=transition, Q=steps * np.diag([1.0, 1.0, 1.0, 1.0, 1e-2, 1e-2, 1e-4]))
        if measured is not None and np.isfinite(measured[0]).all():
            # What flow measures is the velocity of the centre. filterpy shapes only measurements for its own H.
            moved, variance = measured[0][0], measured[1][0]
            self.kalman.update(moved[:, None] / steps, R=np.diag(variance) / steps**2, H=np.eye(7)[4:6])

    def match(self, detections: Detections, row: int, pts_us: int) -> None:
        """Take in a detection."""
        self.kalman.update(self.measurement(detections.xyxy[row]))
        self._note(detections, row, pts_us)

    def _note(self, detections: Detections, row: int, pts_us: int) -> None:
        self.class_id = int(detections.class_id[row])
        self.confidence = float(detections.confidence[row])
        self.hits += 1
        # Two matches are enough where they are so far apart that they cannot be one and the same mistake.
        is_late = pts_us - self.matched_us >= INDEPENDENT_AFTER_S * 1_000_000
        self.confirmed = self.confirmed or self.hits >= self.confirm_hits or is_late
        self.matched_us = pts_us


@dataclass
class SortReference(Tracker):
    """Follow objects by overlap and constant velocity, one at a time."""

    def _clear(self) -> None:
        self._list: list[Track] = []
        self._next_id = 1

    def _end_all(self) -> None:
        self._list = []

    def _predict(self, steps: float, packet: Packet) -> None:
        for track in self._list:
            track.predict(steps, packet.flow, packet.frame.size_wh)

    def _associate(self, detections: Detections, pts_us: int) -> None:
        sure = [row for row, c in enumerate(detections.confidence) if c >= self.min_confidence]
        unsure = [row for row, c in enumerate(detections.confidence) if self.low_confidence <= c < self.min_confidence]
        pairs = self._pair(self._list, detections, sure, pts_us)
        matched = {id(track) for track, _ in pairs}
        missed = [track for track in self._list if id(track) not in matched and track.confirmed]
        pairs += self._pair(missed, detections, unsure, pts_us)
        for track, row in pairs:
            track.match(detections, row, pts_us)
        self._list = [track for track in self._list if self._lives(track, pts_us)]
        taken = {row for _, row in pairs}
        for row in sure:
            if row not in taken:
                self._list.append(Track(self._next_id, detections, row, pts_us, self.confirm_hits))
                self._next_id += 1

    def _pair(
        self, tracks: list[Track], detections: Detections, rows: list[int], pts_us: int
    ) -> list[tuple[Track, int]]:
        similarity = np.zeros((len(tracks), len(rows)))
        claim = np.ones((len(tracks), 1))
        for i, track in enumerate(tracks):
            # Whoever was seen a frame ago goes before those that have been lost for longer.
            lost_s = (pts_us - track.matched_us) / 1e6 - self._steps.interval_s
            claim[i] = 1 - STALE_SHARE * min(max(lost_s / STALE_AFTER_S, 0), 1)
            for j, row in enumerate(rows):
                if self.across_classes or track.class_id == detections.class_id[row]:
                    similarity[i, j] = iou(track.xyxy, detections.xyxy[row])
        return [
            (tracks[i], rows[j]) for i, j in zip(*assign(similarity * claim, similarity >= self.min_iou), strict=True)
        ]

    def _lives(self, track: Track, pts_us: int) -> bool:
        coasted_us = pts_us - track.matched_us
        return coasted_us == 0 or (track.confirmed and coasted_us <= round(self.max_coast_s * 1_000_000))

    def _tracks(self, pts_us: int) -> Tracks:
        if not self._list:
            return Tracks.empty(self._labels)
        rate = 1 / self._steps.interval_s if self._steps.interval_s else 0.0
        return Tracks(
            xyxy=np.stack([track.xyxy for track in self._list]),
            confidence=np.array([track.confidence for track in self._list], np.float32),
            class_id=np.array([track.class_id for track in self._list], np.int64),
            track_id=np.array([track.track_id for track in self._list], np.int64),
            confirmed=np.array([track.confirmed for track in self._list], np.bool_),
            age_s=np.array([(pts_us - track.started_us) / 1e6 for track in self._list], np.float32),
            coasted_s=np.array([(pts_us - track.matched_us) / 1e6 for track in self._list], np.float32),
            velocity=np.stack([track.kalman.x[4:6, 0] * rate for track in self._list]).astype(np.float32),
            labels=self._labels,
        )
