from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from engine.drift.sample import PICTURE_STATISTICS
from engine.frame import CaptureTime, Frame
from engine.frame_statistics import measure_frame
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
    assert (counts["samples"], counts["left_out"]) == (3, 0)
    assert (counts["brightness_mean"], counts["brightness_min"], counts["brightness_max"]) == (10.0, 0.0, 20.0)
    assert counts["motion_mean"] == 10.0
    assert len(counts) == 2 + 3 * len(PICTURE_STATISTICS)


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
    assert opened().counts() == {"samples": 0, "left_out": 0}
    assert opened().latest == {}
    assert opened().drain() == []


def test_what_is_measured_is_what_training_measures() -> None:
    stats, sent = opened(), packet(noise(), 3.0)
    stats.process(sent)
    measured = measure_frame(sent.frame.picture)
    assert stats.latest == {"pts_s": 3.0, **{name: float(np.float32(value)) for name, value in measured.items()}}


def test_samples_are_drained_once_and_in_order() -> None:
    stats = opened(every_s=1.0)
    for second in range(3):
        stats.process(packet(noise(), float(second)))
    assert [sample.pts_s for sample in stats.drain()] == [0, 1, 2]
    assert stats.drain() == []
    stats.process(packet(noise(), 3.0))
    assert [sample.pts_s for sample in stats.drain()] == [3]


def test_samples_that_nobody_drains_are_bounded_and_counted() -> None:
    stats = opened(every_s=1.0)
    for second in range(260):
        stats.process(packet(noise()[:9, :9], float(second)))
    assert [sample.pts_s for sample in stats.drain()] == list(range(4, 260))
    assert (stats.counts()["samples"], stats.counts()["left_out"]) == (260, 4)


def test_pictures_can_be_switched_off() -> None:
    for pictures in (True, False):
        stats = opened(pictures=pictures)
        stats.process(packet(noise()))
        assert (stats.drain()[0].preview is not None) is pictures


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"every_s": 0}, "every_s: a window of 60 s needs at least ten samples, so from 0 to 6, got 0"),
        ({"every_s": 3.0, "window_s": 20}, "every_s: a window of 20 s needs .* from 0 to 2, got 3"),
        ({"window_s": 0}, "window_s: must be above 0, got 0"),
    ],
)
def test_a_configuration_that_cannot_be_meant_is_refused(options: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        FrameStats(**options)
