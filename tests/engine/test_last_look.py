"""Which boxes rest on what was seen."""

from __future__ import annotations

import numpy as np

from engine.detections import Detections
from engine.last_look import LastLook
from engine.packet import Packet
from engine.tracks import Tracks
from tests.frames import make_frame


def packet(index: int, looked: bool, *coasted_s: float) -> Packet:
    count = len(coasted_s)
    tracks = Tracks(
        np.zeros((count, 4), np.float32), np.ones(count, np.float32), np.zeros(count, np.int64), np.arange(1, count + 1),
        np.ones(count, np.bool_), np.zeros(count, np.float32), np.array(coasted_s, np.float32), np.zeros((count, 2), np.float32),
    )  # fmt: skip
    return Packet(make_frame(index), tracks=tracks, detections=Detections.empty() if looked else None)


def test_what_matched_at_the_last_look_stays_observed_while_it_is_carried() -> None:
    look = LastLook()
    assert look.observed(packet(0, True, 0.0, 0.3)).tolist() == [True, False]
    assert look.observed(packet(1, False, 0.1, 0.4)).tolist() == [True, False]
    assert look.observed(packet(2, False, 0.2, 0.5)).tolist() == [True, False]
    assert look.observed(packet(3, True, 0.3, 0.0)).tolist() == [False, True]


def test_no_tracks_are_no_rows() -> None:
    assert LastLook().observed(Packet(make_frame(0))).shape == (0,)
    assert LastLook().observed(packet(0, True)).shape == (0,)
