"""Samples: which frames, how far apart, and what is kept of each."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from engine.detections import Detections
from engine.drift.sample import PICTURE_STATISTICS, PREVIEW_LENGTH, THUMBNAIL_LENGTH, DriftSample
from engine.drift.sampler import DriftSampler, autocorrelation
from engine.drift.settings import DriftSettings
from engine.frame import CaptureTime, Frame
from engine.frame_statistics import measure
from engine.packet import Packet
from engine.picture import Picture

MOTION = PICTURE_STATISTICS.index("motion")


def packet(
    time_s: float, level: int = 100, epoch: int = 0, looked: bool | None = None, size_wh: tuple[int, int] = (64, 36)
) -> Packet:
    """A flat picture; `looked` says whether a detector saw a box, saw nothing, or did not look."""
    picture = Picture((np.full((size_wh[1], size_wh[0]), level, np.uint8),), "gray")
    frame = Frame("gate", epoch, 0, round(time_s * 1e6), CaptureTime(round(1e15 + time_s * 1e6), "rtcp"), picture)
    if looked is None:
        return Packet(frame)
    boxes = Detections(
        np.array([[8, 9, 24, 27]], np.float32), np.array([0.5], np.float32), np.array([1]), ("person", "car")
    )
    return Packet(frame, detections=boxes if looked else Detections.empty(("person", "car")))


def sampler(**settings: object) -> DriftSampler:
    return DriftSampler(DriftSettings(**settings))  # type: ignore[arg-type]


def samples(of: DriftSampler, packets: list[Packet]) -> list[DriftSample]:
    return [sample for one in packets if (sample := of.sample(one)) is not None]


def times(of: DriftSampler, packets: list[Packet]) -> list[float]:
    return [sample.pts_s for sample in samples(of, packets)]


def test_one_frame_a_second_is_sampled_at_any_frame_rate() -> None:
    assert times(sampler(), [packet(n / 25) for n in range(101)]) == [0, 1, 2, 3, 4]
    assert times(sampler(), [packet(n * 0.3) for n in range(11)]) == pytest.approx([0, 1.2, 2.4])
    assert times(sampler(every_s=0.5), [packet(n / 10) for n in range(11)]) == [0, 0.5, 1]


def test_a_sample_says_what_when_and_where() -> None:
    one = packet(3.5, level=80)
    (sample,) = samples(sampler(), [one])
    assert (sample.epoch, sample.pts_s, sample.unix_s, sample.clock) == (0, 3.5, 1_000_000_003.5, "rtcp")
    assert sample.size_wh == (64, 36)
    assert sample.values.dtype == np.float32
    expected = [*measure(one.frame.picture).values.values(), np.nan]
    np.testing.assert_array_equal(sample.values, np.array(expected, np.float32))


def test_motion_is_the_difference_to_the_sample_before() -> None:
    found = samples(sampler(), [packet(0, 100), packet(0.5, 200), packet(1, 103), packet(2, 103)])
    assert np.isnan(found[0].values[MOTION])
    assert [sample.values[MOTION] for sample in found[1:]] == [3, 0]


def test_a_new_epoch_or_another_size_has_no_motion() -> None:
    found = samples(sampler(), [packet(0), packet(0.1, epoch=1), packet(2, epoch=1, size_wh=(32, 18))])
    assert len(found) == 3
    assert np.isnan([sample.values[MOTION] for sample in found]).all()


def test_after_a_step_back_a_gap_or_a_reset_the_next_frame_is_sampled() -> None:
    of = sampler()
    assert times(of, [packet(5), packet(60), packet(0), packet(0.5)]) == [5, 60, 0]
    of.reset()
    assert times(of, [packet(0.6)]) == [0.6]
    assert of.num_samples == 4


def test_boxes_are_what_the_model_saw() -> None:
    seen, nothing, unlooked = samples(sampler(), [packet(0, looked=True), packet(1, looked=False), packet(2.9)])
    assert seen.boxes is not None
    assert nothing.boxes is not None
    assert unlooked.boxes is None
    assert (seen.boxes.labels, seen.boxes.class_id.tolist()) == (("person", "car"), [1])
    np.testing.assert_allclose(seen.boxes.columns[:, 0], [0.5, np.sqrt(1 / 8), np.log(16 / 18), 0.25, 0.5, 0.75], 1e-5)
    assert nothing.boxes.columns.shape == (6, 0)


def test_a_sample_waits_half_an_interval_for_a_frame_that_was_looked_at() -> None:
    def at(n: int, every: int) -> Packet:
        return packet(n / 10, looked=True if n % every == 0 else None)

    assert times(sampler(), [at(n, 4) for n in range(41)]) == [0, 1.2, 2.4, 3.6]
    # Every 17th comes too late.
    assert times(sampler(), [at(n, 17) for n in range(31)]) == [0, 1.5, 3.0]


def test_where_nobody_detects_no_sample_waits() -> None:
    assert times(sampler(), [packet(n / 10) for n in range(21)]) == [0, 1, 2]
    # A detector that has died is waited for once.
    dying = [packet(0, looked=True), *(packet(n / 10) for n in range(1, 40))]
    assert times(sampler(), dying) == [0, 1.5, 2.5, 3.5]


def test_pictures_come_with_some_samples_only() -> None:
    found = samples(sampler(), [packet(n, size_wh=(640, 360)) for n in range(21)])
    assert [s.pts_s for s in found if s.thumbnail is not None] == [0, 5, 10, 15, 20]
    assert [s.pts_s for s in found if s.preview is not None] == [0, 10, 20]
    first = found[0]
    assert first.thumbnail is not None
    assert first.preview is not None
    assert first.thumbnail.shape == (90, THUMBNAIL_LENGTH)
    decoded = cv2.imdecode(np.frombuffer(first.preview, np.uint8), cv2.IMREAD_COLOR)
    assert decoded is not None
    assert decoded.shape == (180, PREVIEW_LENGTH, 3)


def test_a_new_epoch_shows_itself_and_no_pixels_leave_where_pictures_are_off() -> None:
    again = samples(sampler(), [packet(0), packet(1, epoch=1)])[1]
    assert again.thumbnail is not None
    assert again.preview is not None
    shy = samples(sampler(pictures=False), [packet(0)])[0]
    assert shy.thumbnail is not None
    assert shy.preview is None


def levels(correlation: float, count: int, seed: int = 0) -> list[int]:
    """A first-order autoregressive walk of the picture's level."""
    rng, level, out = np.random.default_rng(seed), 0.0, []
    for _ in range(count):
        level = correlation * level + np.sqrt(1 - correlation**2) * rng.normal()
        out.append(round(128 + 25 * level))
    return [min(max(one, 0), 255) for one in out]


def drive(of: DriftSampler, series: list[int]) -> list[float]:
    """Show stripes of one brightness and contrast every second; give the interval after each."""
    intervals = []
    stripes = np.tile(np.array([0, 64], np.int16), (36, 32))
    for second, level in enumerate(series):
        gray = (stripes * level // 255 + level // 2).astype(np.uint8)
        shown = Frame("gate", 0, second, second * 1_000_000, CaptureTime(0), Picture((gray,), "gray"))
        of.sample(Packet(shown))
        intervals.append(of.every_s)
    return intervals


def test_the_interval_follows_how_much_neighbours_resemble_each_other() -> None:
    of = sampler()
    slow = drive(of, levels(0.99, 800))
    assert (slow[58], slow[59], slow[-1]) == (1, 2, 4)
    quick = drive(of, levels(0.0, 800))
    assert quick[-1] == 1


def test_a_still_picture_says_nothing_about_the_interval() -> None:
    assert drive(sampler(), [128] * 200) == [1] * 200


def test_the_interval_leaves_ten_samples_to_a_window_and_a_stated_one_stays() -> None:
    assert drive(sampler(window_s=20), levels(0.995, 800))[-1] == 2
    assert sampler(window_s=5).every_s == 0.5
    assert drive(sampler(every_s=1.0), levels(0.99, 300))[-1] == 1


def test_the_same_footage_gives_the_same_samples() -> None:
    def taken() -> list[NDArray[np.float32]]:
        series = levels(0.99, 400)
        return [s.values for s in samples(sampler(), [packet(float(n), level) for n, level in enumerate(series)])]

    np.testing.assert_array_equal(np.stack(taken()), np.stack(taken()))


def test_autocorrelation_is_the_median_of_the_statistics_that_vary() -> None:
    rng = np.random.default_rng(0)
    rough, constant, unknown = rng.normal(size=500), np.full(500, 7.0), np.full(500, np.nan)
    smooth = np.convolve(rng.normal(size=503), np.ones(4) / 4, "valid")
    both = np.stack([rough, constant, smooth, unknown, smooth], 1).astype(np.float32)
    assert autocorrelation(both) == pytest.approx(0.75, abs=0.07)
    assert autocorrelation(both[:, [0]]) == pytest.approx(0, abs=0.1)
    assert np.isnan(autocorrelation(both[:, [1, 3]]))
