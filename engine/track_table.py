"""The life of tracks, whatever moves their boxes: ids, confirmation, coasting and end, for many tracks at once."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.detections import Detections
from engine.tracks import Tracks

Rows = NDArray[np.intp]


# A detector that errs in one frame errs in the next one too, but hardly this much later: then two matches confirm.
INDEPENDENT_AFTER_S = 0.15
_INDEPENDENT_AFTER_US = round(INDEPENDENT_AFTER_S * 1_000_000)


# What a second without detections takes from a track's claim to one: chosen on seven sequences (259 id switches
# instead of 322, HOTA 39.9 instead of 39.8). Whoever was seen just now goes first.
STALE_AFTER_S = 1.0
STALE_SHARE = 0.6


class TrackTable:
    """Columns with one row a track, in the order of `track_id`.

    A track starts with a detection that belongs to no other track. It is tentative until `confirm_hits` frames that
    were looked at have matched it, one after the other (two, where looks are `INDEPENDENT_AFTER_S` apart); a
    tentative track that is missed once ends. A confirmed track ends when it is missed and its last match is more than
    `max_coast_s` ago.

    Args:
        confirm_hits: matches that make a track confirmed, the first included.
        max_coast_s: how long a confirmed track outlives its last match.
    """

    def __init__(self, confirm_hits: int, max_coast_s: float) -> None:
        self._confirm_hits = confirm_hits
        self._max_coast_us = round(max_coast_s * 1_000_000)
        self._next_id = 1
        self.track_id = np.zeros(0, np.int64)
        self.class_id = np.zeros(0, np.int64)
        self.confidence = np.zeros(0, np.float32)
        self.confirmed = np.zeros(0, np.bool_)
        self.hits = np.zeros(0, np.int64)
        self.started_us = np.zeros(0, np.int64)
        self.matched_us = np.zeros(0, np.int64)

    def __len__(self) -> int:
        return len(self.track_id)

    def start(self, detections: Detections, columns: Rows, pts_us: int) -> None:
        """Add a track for each of these detections, behind those that are there."""
        count = len(columns)
        now = np.full(count, pts_us)
        self.track_id = np.concatenate([self.track_id, np.arange(self._next_id, self._next_id + count)])
        self.class_id = np.concatenate([self.class_id, detections.class_id[columns]])
        self.confidence = np.concatenate([self.confidence, detections.confidence[columns]])
        self.confirmed = np.concatenate([self.confirmed, np.full(count, self._confirm_hits == 1)])
        self.hits = np.concatenate([self.hits, np.ones(count, np.int64)])
        self.started_us = np.concatenate([self.started_us, now])
        self.matched_us = np.concatenate([self.matched_us, now])
        self._next_id += count

    def match(self, rows: Rows, detections: Detections, columns: Rows, pts_us: int) -> None:
        """Note that these detections belong to these tracks."""
        self.class_id[rows] = detections.class_id[columns]
        self.confidence[rows] = detections.confidence[columns]
        self.hits[rows] += 1
        self.confirmed[rows] |= (self.hits[rows] >= self._confirm_hits) | (
            pts_us - self.matched_us[rows] >= _INDEPENDENT_AFTER_US
        )
        self.matched_us[rows] = pts_us

    def survivors(self, pts_us: int) -> NDArray[np.bool_]:
        """Say which tracks live on after a frame that was looked at, bool (N,)."""
        coasted_us = pts_us - self.matched_us
        alive: NDArray[np.bool_] = (coasted_us == 0) | (self.confirmed & (coasted_us <= self._max_coast_us))
        return alive

    def freshness(self, rows: Rows, pts_us: int, interval_s: float) -> NDArray[np.float32]:
        """Give the weight of tracks' claims to a detection, float32 (K,): 1 if matched one frame ago, less later.

        Args:
            rows: (K,), the tracks.
            pts_us: now.
            interval_s: seconds between frames.
        """
        coasted_s = (pts_us - self.matched_us[rows]) / 1e6 - interval_s
        return (1 - STALE_SHARE * np.clip(coasted_s / STALE_AFTER_S, 0, 1)).astype(np.float32)

    def keep(self, rows: NDArray[Any]) -> None:
        """Keep the tracks that a mask or an index array selects."""
        self.track_id = self.track_id[rows]
        self.class_id = self.class_id[rows]
        self.confidence = self.confidence[rows]
        self.confirmed = self.confirmed[rows]
        self.hits = self.hits[rows]
        self.started_us = self.started_us[rows]
        self.matched_us = self.matched_us[rows]

    def tracks(self, xyxy: NDArray[np.float32], velocity: NDArray[Any], pts_us: int, labels: tuple[str, ...]) -> Tracks:
        """Give the tracks as they are at a time; the arrays are not shared with later frames.

        Args:
            xyxy: (N, 4), where they are.
            velocity: (N, 2), pixels a second.
            pts_us: now.
            labels: the model's class names.
        """
        return Tracks(
            xyxy=xyxy,
            confidence=self.confidence.copy(),
            class_id=self.class_id.copy(),
            track_id=self.track_id,
            confirmed=self.confirmed.copy(),
            age_s=((pts_us - self.started_us) / 1e6).astype(np.float32),
            coasted_s=((pts_us - self.matched_us) / 1e6).astype(np.float32),
            velocity=velocity.astype(np.float32),
            labels=labels,
        )
