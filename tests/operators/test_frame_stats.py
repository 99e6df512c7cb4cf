from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from engine.frame import CaptureTime, Frame
from engine.frame_statistics import FRAME_STATISTICS, measure_frame
from engine.packet import Packet
from engine.picture import Picture
from operators.frame_stats import FrameStats


def packet(gray: np.ndarray, time_s: float = 0.0) -> Packet:
    pts_us = round(time_s * 1e6)
    return Packet(Frame("cam", 0, 0, pts_us, CaptureTime(pts_us), Picture((gray,), "gray")))


def noise(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 255, (90, 160), np.uint8)


def opened(**options: Any) -> FrameStats:
    stats = FrameStats(**options)
    stats.open()
    return stats


def test_packets_pass_unchanged() -> None:
    sent = packet(noise())
    assert opened().process(sent) is sent


def test_samples_once_every_s_of_stream_time() -> None:
    stats = opened(every_s=1.0)
    for index in range(25):
        stats.process(packet(np.full((9, 9), index, np.uint8), index / 10))
    assert stats.latest["pts_s"] == 2.0
    assert stats.latest["brightness"] == pytest.approx(20)
    counts = stats.counts()
    assert counts["samples"] == 3
    assert (counts["brightness_mean"], counts["brightness_min"], counts["brightness_max"]) == (10.0, 0.0, 20.0)
    assert len(counts) == 1 + 3 * len(FRAME_STATISTICS)


def test_after_a_gap_or_a_step_back_the_next_frame_is_sampled() -> None:
    stats = opened(every_s=1.0)
    for time_s in (5.0, 60.0, 0.0):
        stats.process(packet(noise(), time_s))
    assert stats.counts()["samples"] == 3


def test_the_end_of_the_stream_keeps_what_was_measured_for_the_summary() -> None:
    stats = opened()
    stats.process(packet(noise(), 0.0))
    assert stats.flush("camera_gap") == ()
    stats.process(packet(noise(), 0.1))
    assert stats.counts()["samples"] == 2


def test_without_a_frame_there_are_no_numbers() -> None:
    assert opened().counts() == {"samples": 0}
    assert opened().latest == {}


def test_what_is_measured_is_what_training_measures() -> None:
    stats, sent = opened(), packet(noise(), 3.0)
    stats.process(sent)
    assert stats.latest == {"pts_s": 3.0, **measure_frame(sent.frame.picture)}


def test_a_configuration_that_cannot_be_meant_is_refused() -> None:
    with pytest.raises(ValueError, match="every_s: must be above 0, got 0"):
        FrameStats(every_s=0)
