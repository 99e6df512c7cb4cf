"""Builders for tests of trackers: what a detector says about objects, frame by frame."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engine.detections import Detections
from engine.operator import Operator
from engine.packet import Packet
from engine.tracks import Tracks
from tests.frames import make_frame

SIZE_WH = (320, 240)
LABELS = ("person", "car")


@dataclass(frozen=True)
class Seen:
    """One detection: a box of 20 x 40 pixels around a centre."""

    x: float
    y: float = 100.0
    confidence: float = 0.9
    class_id: int = 0


def make_detections(seen: Sequence[Seen]) -> Detections:
    return Detections(
        xyxy=np.array([[s.x - 10, s.y - 20, s.x + 10, s.y + 20] for s in seen], np.float32).reshape(-1, 4),
        confidence=np.array([s.confidence for s in seen], np.float32),
        class_id=np.array([s.class_id for s in seen], np.int64),
        labels=LABELS,
    )


def make_packets(
    frames: Sequence[Sequence[Seen] | None],
    fps: float = 10.0,
    times_s: Sequence[float] | None = None,
    flow: NDArray[np.float32] | None = None,
) -> list[Packet]:
    """One packet a frame; None: not looked at. `flow` goes with the frames that were not looked at."""
    return [
        Packet(
            make_frame(index, fps=fps, pts_s=None if times_s is None else times_s[index], size_wh=SIZE_WH),
            detections=None if seen is None else make_detections(seen),
            flow=flow if seen is None else None,
        )
        for index, seen in enumerate(frames)
    ]


def follow(tracker: Operator, packets: Sequence[Packet]) -> list[Tracks]:
    """Open a tracker and give the tracks of every packet; the tracker stays open."""
    tracker.open()
    out = []
    for packet in packets:
        tracks = tracker.process(packet).tracks
        assert tracks is not None
        out.append(tracks)
    return out


def ids(tracks: Tracks) -> list[int]:
    return [int(track_id) for track_id in tracks.track_id]


def centres(tracks: Tracks) -> NDArray[np.float32]:
    return ((tracks.xyxy[:, :2] + tracks.xyxy[:, 2:]) / 2).astype(np.float32)


def random_packets(seed: int, num_frames: int = 120, num_objects: int = 12, not_looked: float = 0.2) -> list[Packet]:
    """Objects of two classes that walk, hide, cross and flicker in an uneven frame rate, with flow now and then."""
    rng = np.random.default_rng(seed)
    centre = rng.uniform((20, 20), (300, 220), (num_objects, 2))
    speed = rng.normal(0, 2.5, (num_objects, 2))
    size = rng.uniform((12, 25), (30, 70), (num_objects, 2))
    class_id = rng.integers(0, 2, num_objects)
    packets, time_s = [], 0.0
    for index in range(num_frames):
        time_s += 1.5 if rng.random() < 0.01 else float(rng.choice([0.04, 0.041, 0.08]))
        centre += speed
        speed += rng.normal(0, 0.2, speed.shape)
        shown = rng.random(num_objects) < 0.85
        middle = centre[shown] + rng.normal(0, 0.8, (int(shown.sum()), 2))
        half = size[shown] * rng.normal(1, 0.03, (len(middle), 2)) / 2
        noise = rng.uniform(0, 220, (int(rng.integers(0, 3)), 2))
        xyxy = np.concatenate([np.hstack([middle - half, middle + half]), np.hstack([noise, noise + 25])])
        confidence = np.concatenate([rng.uniform(0.2, 1, len(middle)), rng.uniform(0.05, 0.8, len(noise))])
        classes = np.concatenate([class_id[shown], rng.integers(0, 2, len(noise))])
        detections = Detections(
            xyxy.astype(np.float32), confidence.astype(np.float32), classes.astype(np.int64), LABELS
        )
        flow = rng.normal(0, 1, (60, 80, 2)).astype(np.float32) if rng.random() < 0.3 else None
        looked = rng.random() >= not_looked
        packets.append(
            Packet(
                make_frame(index, pts_s=time_s, size_wh=SIZE_WH), detections=detections if looked else None, flow=flow
            )
        )
    return packets
