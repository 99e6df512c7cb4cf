from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest

from engine.frame import CaptureTime, Frame
from engine.packet import Packet
from engine.picture import Picture
from operators.frame_stats import FrameStats, measure


def packet(gray: np.ndarray, time_s: float = 0.0) -> Packet:
    pts_us = round(time_s * 1e6)
    return Packet(Frame("cam", 0, 0, pts_us, CaptureTime(pts_us), Picture((gray,), "gray")))


def noise(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 255, (90, 160), np.uint8)


def opened(**options: Any) -> FrameStats:
    stats = FrameStats(**options)
    stats.open()
    return stats


def test_a_flat_picture_has_brightness_only() -> None:
    assert measure(np.full((9, 9), 80, np.uint8)) == {"brightness": 80.0, "contrast": 0.0, "sharpness": 0.0}


def test_half_black_half_white_has_full_contrast() -> None:
    halves = np.zeros((8, 8), np.uint8)
    halves[:, 4:] = 255
    assert measure(halves)["contrast"] == 127.5


def test_sharpness_is_the_variance_of_the_laplacian() -> None:
    picture = noise()
    laplacian = cv2.Laplacian(picture, cv2.CV_32F)[1:-1, 1:-1]
    assert measure(picture)["sharpness"] == pytest.approx(float(laplacian.var()), rel=1e-4)


def test_a_lens_out_of_focus_is_less_sharp_and_as_bright() -> None:
    sharp = noise()
    blurred = np.asarray(cv2.GaussianBlur(sharp, (7, 7), 0), np.uint8)
    assert measure(blurred)["sharpness"] < 0.1 * measure(sharp)["sharpness"]
    assert measure(blurred)["brightness"] == pytest.approx(measure(sharp)["brightness"], abs=1)


@pytest.mark.parametrize("shape", [(1, 1), (2, 2), (1, 9), (48, 48)])
def test_tiny_pictures_are_measured(shape: tuple[int, int]) -> None:
    assert measure(np.full(shape, 7, np.uint8))["brightness"] == 7.0


def test_packets_pass_unchanged() -> None:
    sent = packet(noise())
    assert opened().process(sent) is sent


def test_samples_once_every_s_of_stream_time() -> None:
    stats = opened(every_s=1.0)
    for index in range(25):
        stats.process(packet(np.full((9, 9), index, np.uint8), index / 10))
    assert stats.latest == {"pts_s": 2.0, "brightness": 20.0, "contrast": 0.0, "sharpness": 0.0}
    assert stats.counts() == {
        "samples": 3,
        "brightness_mean": 10.0, "brightness_min": 0.0, "brightness_max": 20.0,
        "contrast_mean": 0.0, "contrast_min": 0.0, "contrast_max": 0.0,
        "sharpness_mean": 0.0, "sharpness_min": 0.0, "sharpness_max": 0.0,
    }  # fmt: skip


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


def test_the_picture_is_reduced_and_never_enlarged() -> None:
    large = np.asarray(cv2.resize(noise(), (1280, 720), interpolation=cv2.INTER_NEAREST), np.uint8)
    stats, plain = opened(work_width=320), opened(work_width=4000)
    stats.process(packet(large))
    plain.process(packet(large))
    assert stats.latest["sharpness"] != plain.latest["sharpness"]
    assert {"pts_s": 0.0, **measure(large)} == plain.latest


@pytest.mark.parametrize(
    ("options", "message"),
    [({"every_s": 0}, "every_s: must be above 0, got 0"), ({"work_width": 2}, "work_width: must be at least 3 pixels")],
)
def test_a_configuration_that_cannot_be_meant_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        FrameStats(**options)
