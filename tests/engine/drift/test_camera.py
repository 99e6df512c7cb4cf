"""One camera: what lasts is raised once, with its cause, and cleared; what is usual never is."""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from typing import Any

import cv2
import numpy as np
import pytest

from engine.drift.camera import MIN_SAMPLES, OUTSIDE_FACTOR, CameraMonitor, DriftVerdict
from engine.drift.causes import CAUSES
from engine.drift.diagnosis import MARKS, MEASURES
from engine.drift.sample import PICTURE_STATISTICS, DriftSample
from engine.drift.settings import DriftSettings
from engine.drift.signatures import SIGNATURES
from engine.drift.training_normal import TrainingNormal
from engine.picture import Pixels
from tests.engine.drift.painted_camera import NOON_UNIX_S, PaintedCamera, jpeg, paint, said, watch
from tests.engine.drift.test_training_normal import build, with_scene

MINUTE_S, HOUR_S, DAY_S = 60.0, 3600.0, 86400.0
WINDOW_S = DriftSettings().window_s
# A change is raised when it has filled a good part of the window and has lasted for another.
SOON_S = 3 * WINDOW_S
BRIGHT = {"brightness": 8.0, "contrast": 4.0}


def units_of(cause: str) -> dict[str, float]:
    """Give a change of the statistics that leaves the marks of a cause, eight least changes at most."""
    signature = np.array(SIGNATURES[cause][0])
    scores = np.sign(signature) * np.expm1(np.abs(signature) * np.log(9) / np.abs(signature).max())
    units = dict(zip(MARKS, scores.tolist(), strict=True))
    units["color_cast_red"] = units.pop("color_cast")
    return {name: units[name] for name in PICTURE_STATISTICS if name in units}


DARK = units_of("dark")
BLURRED = units_of("blurred")


def begin(
    seed: int = 0, seconds: float = 10 * MINUTE_S, training: TrainingNormal | None = None, picture: Pixels | None = None,
    every_s: float = 3.0, **settings: Any,
) -> tuple[CameraMonitor, PaintedCamera]:  # fmt: skip
    """Give a monitor that has watched a camera for a while, and the camera."""
    monitor, camera = CameraMonitor(DriftSettings(**settings), training), PaintedCamera(seed, every_s)
    assert watch(monitor, camera.film(seconds, picture=picture)) == []
    return monitor, camera


def raised(cause: str) -> tuple[str, str]:
    return "raised", cause


def cleared(cause: str) -> tuple[str, str]:
    return "cleared", cause


# What is usual.


@pytest.mark.parametrize("seed", range(4))
def test_unchanged_noise_is_never_raised(seed: int) -> None:
    monitor, _ = begin(seed, HOUR_S, every_s=4.0)
    assert monitor.settled == 1
    assert max(check.score for check in monitor.history) < 1


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(100, 110))
def test_unchanged_noise_is_never_raised_in_half_a_day(seed: int) -> None:
    begin(seed, DAY_S / 2, every_s=4.0)


@pytest.mark.parametrize("seed", range(2))
def test_an_unchanged_view_is_never_raised(seed: int) -> None:
    begin(seed, 20 * MINUTE_S, picture=paint(seed), every_s=4.0)


def test_a_camera_settles_before_anything_is_compared() -> None:
    monitor, camera = CameraMonitor(DriftSettings(settle_s=300)), PaintedCamera()
    watch(monitor, camera.film(200))
    assert 0.4 < monitor.settled < 0.8
    assert not monitor.history
    watch(monitor, camera.film(200))
    assert monitor.settled == 1
    assert monitor.normal_s == pytest.approx(360, abs=WINDOW_S)
    assert monitor.history


def test_a_change_while_a_camera_settles_is_part_of_what_is_usual() -> None:
    monitor, camera = CameraMonitor(DriftSettings(settle_s=400)), PaintedCamera()
    assert watch(monitor, camera.film(200)) == []
    assert watch(monitor, camera.film(HOUR_S, BRIGHT)) == []


def test_a_change_that_does_not_last_is_not_raised() -> None:
    monitor, camera = begin()
    for _ in range(5):
        assert watch(monitor, camera.film(20, BRIGHT)) == []
        assert watch(monitor, camera.film(5 * MINUTE_S)) == []


def test_motion_alone_says_nothing_about_a_camera() -> None:
    monitor, camera = begin()
    assert watch(monitor, camera.film(20 * MINUTE_S, {"motion": 8})) == []


# What has changed.


@pytest.mark.parametrize("cause", ["dark", "dusk", "overexposed", "blurred", "noisy", "color_cast"])
def test_a_change_of_the_picture_is_raised_once_with_its_cause_and_cleared(cause: str) -> None:
    monitor, camera = begin()
    units, onset_s = units_of(cause), camera.pts_s
    verdicts = watch(monitor, camera.film(SOON_S, units))
    assert said(verdicts) == [raised(cause)]
    assert watch(monitor, camera.film(30 * MINUTE_S, units)) == []
    over_s = camera.pts_s
    verdicts += watch(monitor, camera.film(SOON_S))
    assert said(verdicts) == [raised(cause), cleared(cause)]
    assert watch(monitor, camera.film(30 * MINUTE_S)) == []

    part, end = (verdict.part for verdict in verdicts)
    assert part.against == "normal"
    assert part.score > 1
    assert part.began_s == pytest.approx(onset_s, abs=10)
    assert part.window.start_s >= onset_s - 10
    assert MIN_SAMPLES <= part.window.samples <= WINDOW_S / camera.every_s + 1
    assert 1 <= part.window.effective_samples <= part.window.samples
    assert part.text.startswith(CAUSES[cause])
    assert end.lasted_s == pytest.approx(over_s - onset_s, abs=SOON_S)
    assert end.text.startswith("over after ")


def test_the_statistics_say_what_it_was_and_is_in_its_own_unit() -> None:
    monitor, camera = begin()
    (verdict,) = watch(monitor, camera.film(SOON_S, {"brightness": -4.0}))
    first = verdict.part.statistics[0]
    assert first.name == "brightness"
    assert first.then == pytest.approx(110, abs=5)
    assert first.now == pytest.approx(110 - 4 * 15, abs=0.1 * 110 + 0.5 * 60)
    assert first.score < -1
    assert [abs(s.score) for s in verdict.part.statistics] == sorted(
        (abs(s.score) for s in verdict.part.statistics), reverse=True
    )
    assert f"brightness {first.then:.3g} → {first.now:.3g}" in verdict.part.text


@pytest.mark.parametrize("after_s", range(130, 250, 15))
def test_a_change_right_after_settling_is_not_learnt_as_usual(after_s: int) -> None:
    for seed in (0, 4):
        monitor, camera = begin(seed, after_s)
        verdicts = watch(monitor, camera.film(SOON_S, {"brightness": -3.0, "contrast": -3.0}))
        assert [verdict.type for verdict in verdicts][:1] == ["drift.raised"]


def test_a_change_that_stays_is_not_learnt_as_usual() -> None:
    monitor, camera = begin(every_s=4.0)
    known_s = monitor.normal_s
    assert said(watch(monitor, camera.film(3 * HOUR_S, BLURRED))) == [raised("blurred")]
    assert monitor.normal_s <= known_s + WINDOW_S
    assert [part.cause for part in monitor.open] == ["blurred"]
    assert said(watch(monitor, camera.film(SOON_S))) == [cleared("blurred")]
    assert said(watch(monitor, camera.film(SOON_S, BLURRED))) == [raised("blurred")]


def test_another_cause_ends_the_first() -> None:
    monitor, camera = begin()
    watch(monitor, camera.film(SOON_S, BLURRED))
    verdicts = watch(monitor, camera.film(10 * MINUTE_S, units_of("color_cast")))
    assert said(verdicts) == [cleared("blurred"), raised("color_cast")]
    assert [part.cause for part in monitor.open] == ["color_cast"]
    assert said(watch(monitor, camera.film(SOON_S))) == [cleared("color_cast")]


@pytest.mark.parametrize("phase_s", range(0, 60, 7))
def test_a_picture_that_stands_still_is_frozen_whenever_it_begins_to(phase_s: int) -> None:
    monitor, camera = begin(1, 400 + phase_s)
    assert said(watch(monitor, camera.film(2 * SOON_S, motion=0.0))) == [raised("frozen")]


def test_a_picture_that_moves_again_after_an_hour_is_soon_no_longer_frozen() -> None:
    monitor, camera = begin()
    assert said(watch(monitor, camera.film(HOUR_S, motion=0.0))) == [raised("frozen")]
    assert said(watch(monitor, camera.film(5 * MINUTE_S))) == [cleared("frozen")]


def test_a_frozen_picture_that_flickers_with_each_key_frame_is_frozen() -> None:
    monitor, camera = begin()
    assert said(watch(monitor, camera.film(2 * SOON_S, motion=0.2))) == [raised("frozen")]


def test_a_view_that_is_still_now_and_then_is_not_frozen() -> None:
    monitor, camera = begin()
    for _ in range(6):
        assert watch(monitor, camera.film(50, motion=0.0)) == []
        assert watch(monitor, camera.film(2 * MINUTE_S)) == []
    assert watch(monitor, camera.film(2 * MINUTE_S, motion=0.0)) == []
    assert said(watch(monitor, camera.film(10 * MINUTE_S, motion=0.0))) == [raised("frozen")]


def test_a_camera_that_moves_is_raised_with_its_shift_in_pixels() -> None:
    monitor, camera = begin(picture=paint(0))
    (verdict,) = watch(monitor, camera.film(SOON_S, picture=paint(0, at=(6.0, -3.0))))
    assert verdict.part.cause == "moved"
    # A thumbnail is an eighth of the picture.
    assert verdict.part.moved_px == pytest.approx((-48, 24), abs=4)
    assert " by 5" in verdict.part.text
    assert watch(monitor, camera.film(10 * MINUTE_S, picture=paint(0, at=(6.0, -3.0)))) == []
    assert said(watch(monitor, camera.film(SOON_S, picture=paint(0)))) == [cleared("moved")]


def test_another_view_is_raised_without_a_shift() -> None:
    monitor, camera = begin(picture=paint(0))
    (verdict,) = watch(monitor, camera.film(SOON_S, picture=paint(1)))
    assert verdict.part.cause in ("moved", "covered")
    assert verdict.part.moved_px is None


def covered() -> Pixels:
    picture = paint(0)
    picture[:, :100] = 50
    return picture


def soiled() -> Pixels:
    picture = paint(0).astype(np.float32)
    picture[20:60, 30:110] = 0.7 * picture[20:60, 30:110] + 50
    return picture.astype(np.uint8)


@pytest.mark.parametrize(("picture", "cause"), [(covered(), "covered"), (soiled(), "dirty")])
def test_something_on_the_lens_is_raised_and_cleared(picture: Pixels, cause: str) -> None:
    monitor, camera = begin(picture=paint(0))
    assert said(watch(monitor, camera.film(SOON_S, picture=picture))) == [raised(cause)]
    assert said(watch(monitor, camera.film(SOON_S, picture=paint(0)))) == [cleared(cause)]


# Days and nights, absences and clocks.


def night(camera: PaintedCamera, monitor: CameraMonitor) -> list[tuple[str, str]]:
    return said(watch(monitor, camera.film(40 * MINUTE_S, DARK)) + watch(monitor, camera.film(20 * MINUTE_S)))


def test_a_night_that_has_come_and_gone_is_known_the_next_day_at_that_hour_only() -> None:
    monitor, camera = begin(seconds=30 * MINUTE_S, every_s=4.0)
    begins_s = camera.unix_s
    assert night(camera, monitor) == [raised("dark"), cleared("dark")]
    camera.away(begins_s + DAY_S - camera.unix_s - 10 * MINUTE_S)
    assert watch(monitor, camera.film(10 * MINUTE_S)) == []
    assert night(camera, monitor) == []
    camera.away(6 * HOUR_S)
    # Until it is no longer of late.
    assert watch(monitor, camera.film(70 * MINUTE_S)) == []
    assert night(camera, monitor) == [raised("dark"), cleared("dark")]


def test_a_night_is_not_known_on_the_same_day() -> None:
    monitor, camera = begin(seconds=30 * MINUTE_S, every_s=4.0)
    for _ in range(2):
        assert night(camera, monitor) == [raised("dark"), cleared("dark")]


def test_a_blur_that_has_come_and_gone_is_raised_the_next_day_too() -> None:
    monitor, camera = begin(seconds=30 * MINUTE_S, every_s=4.0)
    for _ in range(2):
        assert said(watch(monitor, camera.film(40 * MINUTE_S, BLURRED))) == [raised("blurred")]
        assert said(watch(monitor, camera.film(20 * MINUTE_S))) == [cleared("blurred")]
        camera.away(DAY_S - HOUR_S)


def test_a_clock_that_knows_no_time_of_day_has_no_hours() -> None:
    monitor, camera = CameraMonitor(DriftSettings()), PaintedCamera(unix_s=0.0)
    camera.clock = "container"
    assert watch(monitor, camera.film(20 * MINUTE_S)) == []
    assert monitor.normal.hours == ()
    assert said(watch(monitor, camera.film(SOON_S, BLURRED))) == [raised("blurred")]


@pytest.mark.parametrize("new_epoch", [True, False])
def test_a_camera_that_was_off_for_a_day_keeps_its_normal(new_epoch: bool) -> None:
    monitor, camera = begin()
    now_s = monitor.now_s
    camera.away(DAY_S, new_epoch)
    assert watch(monitor, camera.film(10 * MINUTE_S)) == []
    assert monitor.settled == 1
    assert monitor.now_s == pytest.approx(now_s + 10 * MINUTE_S, abs=5)
    camera.away(DAY_S, new_epoch)
    assert said(watch(monitor, camera.film(SOON_S, BLURRED))) == [raised("blurred")]


def test_what_was_raised_before_an_absence_is_neither_raised_again_nor_cleared() -> None:
    monitor, camera = begin()
    watch(monitor, camera.film(SOON_S, BLURRED))
    camera.away(DAY_S)
    assert watch(monitor, camera.film(10 * MINUTE_S, BLURRED)) == []
    camera.away(DAY_S)
    assert said(watch(monitor, camera.film(SOON_S))) == [cleared("blurred")]


def test_a_reconnection_does_not_interrupt_what_goes_on() -> None:
    monitor, camera = begin()
    onset_s = camera.unix_s
    verdicts: list[DriftVerdict] = []
    while not verdicts and camera.unix_s < onset_s + 4 * SOON_S:
        verdicts = watch(monitor, camera.film(25, BLURRED))
        camera.away(5)
    assert said(verdicts) == [raised("blurred")]
    assert camera.unix_s - onset_s < SOON_S
    # Counted back in the stream time of the epoch in which it is raised.
    part = verdicts[0].part
    assert part.began_s == pytest.approx(part.window.stop_s - (camera.unix_s - onset_s), abs=20)


@pytest.mark.parametrize("jump_s", [-3 * HOUR_S, 5 * HOUR_S, -40 * DAY_S, 400 * DAY_S])
def test_a_wall_clock_that_jumps_changes_nothing_within_an_epoch(jump_s: float) -> None:
    monitor, camera = begin()
    camera.unix_s += jump_s
    assert watch(monitor, camera.film(20 * MINUTE_S)) == []
    assert said(watch(monitor, camera.film(SOON_S, BLURRED))) == [raised("blurred")]


@pytest.mark.parametrize("jump_s", [-500.0, 1e6, -1e6, float("nan")])
def test_stream_time_that_jumps_within_an_epoch_is_survived(jump_s: float) -> None:
    monitor, camera = begin()
    (sample,) = camera.film(1)
    monitor.observe(replace(sample, pts_s=sample.pts_s + jump_s))
    camera.pts_s += 0.0 if np.isnan(jump_s) else jump_s
    assert watch(monitor, camera.film(10 * MINUTE_S)) == []
    assert said(watch(monitor, camera.film(SOON_S, BLURRED))) == [raised("blurred")]


# Odd samples.


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_samples_that_hold_no_numbers_are_counted_and_left_out(value: float) -> None:
    monitor, camera = CameraMonitor(DriftSettings()), PaintedCamera()

    def spoil(samples: list[DriftSample]) -> list[DriftSample]:
        for number, sample in enumerate(samples):
            if number % 4 == 0:
                sample.values[number // 4 % (len(PICTURE_STATISTICS) - 1)] = value
        return samples

    assert watch(monitor, spoil(camera.film(20 * MINUTE_S))) == []
    assert (monitor.num_samples, monitor.num_unusable) == (600, 150)
    assert said(watch(monitor, spoil(camera.film(SOON_S, BLURRED)))) == [raised("blurred")]


def test_a_stream_without_any_numbers_never_settles() -> None:
    monitor, camera = CameraMonitor(DriftSettings()), PaintedCamera()
    samples = [replace(sample, values=np.full_like(sample.values, np.nan)) for sample in camera.film(20 * MINUTE_S)]
    assert watch(monitor, samples) == []
    assert (monitor.settled, monitor.num_unusable) == (0, 600)


def test_the_first_sample_of_an_epoch_knows_no_motion_and_is_no_fault() -> None:
    monitor, camera = CameraMonitor(DriftSettings()), PaintedCamera()
    for _ in range(10):
        samples = camera.film(MINUTE_S)
        samples[0].values[-1] = np.nan
        assert watch(monitor, samples) == []
        camera.away(2)
    assert monitor.num_unusable == 0
    assert monitor.settled == 1


def test_a_few_samples_say_nothing() -> None:
    monitor, camera = CameraMonitor(DriftSettings()), PaintedCamera()
    assert (monitor.settled, monitor.open, monitor.last) == (0, [], None)
    assert watch(monitor, camera.film(1)) == []
    assert monitor.num_samples == 1
    monitor, camera = begin()
    for _ in range(20):
        camera.away(HOUR_S)
        assert watch(monitor, camera.film((MIN_SAMPLES - 2) * camera.every_s, BLURRED)) == []


def test_a_constant_picture_is_its_own_normal() -> None:
    monitor, camera = CameraMonitor(DriftSettings()), PaintedCamera(noise=0.0)
    blank = np.full((90, 160), 16, np.uint8)

    def still(samples: list[DriftSample]) -> list[DriftSample]:
        return [replace(s, thumbnail=None if s.thumbnail is None else blank) for s in samples]

    assert watch(monitor, still(camera.film(20 * MINUTE_S, picture=blank, motion=0.0))) == []
    assert monitor.settled == 1
    assert [type_ for type_, _ in said(watch(monitor, camera.film(SOON_S, BRIGHT, picture=paint(0))))] == ["raised"]


def test_thumbnails_that_change_size_do_not_compare() -> None:
    monitor, camera = begin(picture=paint(0))
    sizes = [(90, 160), (120, 90), (160, 90), (64, 36)]
    for size_wh in sizes:
        assert watch(monitor, camera.film(4 * MINUTE_S, picture=paint(0, size_wh))) == []
    mixed = [camera.film(4, picture=paint(0, sizes[number % 4])) for number in range(60)]
    assert watch(monitor, [sample for samples in mixed for sample in samples]) == []
    assert watch(monitor, camera.film(6 * MINUTE_S, picture=paint(0))) == []
    (verdict,) = watch(monitor, camera.film(SOON_S, picture=paint(0, at=(6.0, -3.0))))
    assert verdict.part.moved_px == pytest.approx((-48, 24), abs=4)


@pytest.mark.parametrize("shape", [(1, 1), (3, 160), (90, 2)])
def test_thumbnails_too_small_to_show_anything_are_left_out(shape: tuple[int, int]) -> None:
    tiny = np.zeros(shape, np.uint8)
    monitor, camera = begin(picture=tiny)
    assert said(watch(monitor, camera.film(SOON_S, BLURRED, picture=tiny))) == [raised("blurred")]


def test_thumbnails_that_cease_to_come_are_not_missed() -> None:
    monitor, camera = begin(picture=paint(0))
    assert watch(monitor, camera.film(10 * MINUTE_S)) == []


@pytest.mark.parametrize("seed", range(5))
def test_whatever_comes_nothing_breaks_and_only_what_is_open_is_cleared(seed: int) -> None:
    rng = np.random.default_rng(seed)
    monitor, camera = CameraMonitor(DriftSettings(window_s=30, settle_s=30)), PaintedCamera(seed)
    is_open: list[str] = []
    for _ in range(60):
        units = {name: float(rng.normal(0, 4)) for name in PICTURE_STATISTICS} if rng.random() < 0.5 else None
        size_wh = ((160, 90), (90, 160), (24, 16), (4, 3))[rng.integers(4)]
        picture = paint(int(rng.integers(2)), size_wh) if rng.random() < 0.3 else None
        boxes = {"num": int(rng.integers(6)), "size": float(rng.uniform(0.01, 0.9))} if rng.random() < 0.7 else None
        samples = camera.film(float(rng.choice([2, 20, 60, 150])), units, picture, boxes=boxes)
        if rng.random() < 0.2:
            samples[0].values[rng.integers(len(samples[0].values))] = rng.choice([np.nan, np.inf, -np.inf, 1e30, -1e30])
        if rng.random() < 0.2:
            camera.away(float(rng.choice([-1e6, -5, 3, 1e3, 1e6])), new_epoch=bool(rng.random() < 0.5))
        verdicts = watch(monitor, samples)
        if rng.random() < 0.1:
            monitor = restarted(monitor, settings=DriftSettings(window_s=30, settle_s=30))
        if rng.random() < 0.05:
            verdicts += monitor.accept()
        for verdict in verdicts:
            json.loads(verdict.event().to_json())
            if verdict.type == "drift.raised":
                is_open.append(verdict.part.cause)
            else:
                is_open.remove(verdict.part.cause)
        assert sorted(is_open) == sorted(part.cause for part in monitor.open)


# Settings.


@pytest.mark.parametrize(
    ("settings", "raises"),
    [
        ({}, True),
        ({"sensitivity": 0.1}, False),
        ({"thresholds": dict.fromkeys(PICTURE_STATISTICS, 10.0)}, False),
        ({"thresholds": {"noise": 10.0}}, True),
    ],
)
def test_sensitivity_and_thresholds_have_their_effect(settings: dict[str, Any], raises: bool) -> None:
    monitor, camera = begin(**settings)
    assert bool(watch(monitor, camera.film(SOON_S, {"brightness": 5}))) == raises


def test_a_sensitive_monitor_raises_a_small_change() -> None:
    small = {"brightness": 0.5}
    for sensitivity, raises in ((1.0, False), (3.0, True)):
        monitor, camera = begin(every_s=1.0, sensitivity=sensitivity)
        assert bool(watch(monitor, camera.film(SOON_S, small))) == raises


def test_a_threshold_of_the_view_has_its_effect() -> None:
    monitor, camera = begin(picture=paint(0), thresholds={"dirty": 100.0, "scene_detail": 100.0})
    assert watch(monitor, camera.film(SOON_S, picture=soiled())) == []


def test_a_cause_that_is_ignored_is_not_raised_while_others_are() -> None:
    monitor, camera = begin(ignore=("blurred",))
    assert watch(monitor, camera.film(SOON_S, BLURRED)) == []
    monitor, camera = begin(ignore=("blurred",))
    assert said(watch(monitor, camera.film(SOON_S, units_of("noisy")))) == [raised("noisy")]


def colors(uri: str | None) -> tuple[float, float]:
    assert uri is not None
    data = base64.b64decode(uri.removeprefix("data:image/jpeg;base64,"))
    picture = np.asarray(cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR))
    return float(picture[:, :28].mean()), float(picture[:, -28:].mean())


@pytest.mark.parametrize("pictures", [True, False])
def test_then_and_now_go_with_what_is_raised_unless_no_pixel_may(pictures: bool) -> None:
    monitor, camera = CameraMonitor(DriftSettings(pictures=pictures)), PaintedCamera()
    watch(monitor, camera.film(10 * MINUTE_S, preview=jpeg(200)))
    raised_then, cleared_then = (
        verdict.part.picture
        for units, level in ((DARK, 40), (None, 200))
        for verdict in watch(monitor, camera.film(SOON_S, units, preview=jpeg(level)))
    )
    if pictures:
        assert colors(raised_then) == pytest.approx((200, 40), abs=3)
    else:
        assert raised_then is None
    assert cleared_then is None


def test_without_previews_there_is_no_picture() -> None:
    monitor, camera = begin()
    (verdict,) = watch(monitor, camera.film(SOON_S, BLURRED))
    assert verdict.part.picture is None


def test_what_is_accepted_is_cleared_and_becomes_the_normal() -> None:
    monitor, camera = begin()
    watch(monitor, camera.film(SOON_S, BLURRED))
    assert said(monitor.accept()) == [cleared("blurred")]
    assert (monitor.open, monitor.settled, monitor.normal_s) == ([], 0, 0)
    assert watch(monitor, camera.film(20 * MINUTE_S, BLURRED)) == []
    assert monitor.settled == 1
    assert [type_ for type_, _ in said(watch(monitor, camera.film(SOON_S)))] == ["raised"]


def test_a_monitor_that_has_seen_nothing_accepts_it() -> None:
    assert CameraMonitor(DriftSettings()).accept() == []


# A restart.


def restarted(
    monitor: CameraMonitor, training: TrainingNormal | None = None, settings: DriftSettings | None = None
) -> CameraMonitor:
    """Give another monitor with what the first would store, as it comes back from a file."""
    arrays, facts = monitor.pack()
    again = CameraMonitor(settings or DriftSettings(), training)
    again.restore(arrays, json.loads(json.dumps(facts)))
    return again


def test_what_is_open_is_not_raised_again_after_a_restart_and_cleared_when_it_is_over() -> None:
    monitor, camera = begin(picture=paint(0))
    moved = paint(0, at=(6.0, -3.0))
    watch(monitor, camera.film(SOON_S, picture=moved))
    onset_s = camera.pts_s - SOON_S
    again = restarted(monitor)
    assert again.open == monitor.open
    assert watch(again, camera.film(10 * MINUTE_S, picture=moved)) == []
    over_s = camera.pts_s
    (verdict,) = watch(again, camera.film(SOON_S, picture=paint(0)))
    assert said([verdict]) == [cleared("moved")]
    assert verdict.part.lasted_s == pytest.approx(over_s - onset_s, abs=SOON_S)


def test_a_restarted_monitor_says_what_the_first_would_have_said() -> None:
    monitor, camera = begin(picture=paint(0), every_s=4.0)
    again = restarted(monitor)
    assert (again.settled, again.now_s, again.normal_s) == (monitor.settled, monitor.now_s, monitor.normal_s)
    for units, picture in (
        (None, paint(0)),
        (BLURRED, paint(0)),
        (None, paint(0)),
        (None, covered()),
        (None, paint(0)),
    ):
        samples = camera.film(SOON_S + MINUTE_S, units, picture)
        assert said(watch(again, samples)) == said(watch(monitor, samples))


def test_a_night_is_known_after_a_restart() -> None:
    monitor, camera = begin(seconds=30 * MINUTE_S, every_s=4.0)
    begins_s = camera.unix_s
    assert night(camera, monitor) == [raised("dark"), cleared("dark")]
    again = restarted(monitor)
    camera.away(begins_s + DAY_S - camera.unix_s - 10 * MINUTE_S)
    assert watch(again, camera.film(10 * MINUTE_S)) == []
    assert night(camera, again) == []


def test_a_night_with_a_restart_in_it_is_known_the_next_day() -> None:
    monitor, camera = begin(seconds=30 * MINUTE_S, every_s=4.0)
    begins_s = camera.unix_s
    assert said(watch(monitor, camera.film(35 * MINUTE_S, DARK))) == [raised("dark")]
    again = restarted(monitor)
    assert said(watch(again, camera.film(5 * MINUTE_S, DARK)) + watch(again, camera.film(SOON_S))) == [cleared("dark")]
    camera.away(begins_s + DAY_S - camera.unix_s - 10 * MINUTE_S)
    assert watch(again, camera.film(10 * MINUTE_S)) == []
    assert night(camera, again) == []


def test_a_frozen_picture_is_not_raised_again_after_a_restart() -> None:
    monitor, camera = begin()
    for _ in range(2):
        # It often stands still for a while, so that it takes long to be sure.
        watch(monitor, camera.film(50, motion=0.0) + camera.film(2 * MINUTE_S))
    assert said(watch(monitor, camera.film(20 * MINUTE_S, motion=0.0))) == [raised("frozen")]
    again = restarted(monitor)
    assert watch(again, camera.film(20 * MINUTE_S, motion=0.0)) == []


def test_what_is_low_confidence_stays_so_after_a_restart() -> None:
    monitor, camera = CameraMonitor(DriftSettings()), PaintedCamera(every_s=3.0)
    watch(monitor, camera.film(40 * MINUTE_S, boxes={}))
    assert said(watch(monitor, camera.film(20 * MINUTE_S, boxes={"confidence": 0.3}))) == [raised("low_confidence")]
    again = restarted(monitor)
    assert watch(again, camera.film(30 * MINUTE_S, boxes={"confidence": 0.3})) == []
    assert said(watch(again, camera.film(30 * MINUTE_S, boxes={}))) == [cleared("low_confidence")]


def test_a_monitor_that_has_seen_nothing_is_restored_to_that() -> None:
    again = restarted(CameraMonitor(DriftSettings()))
    assert (again.settled, again.open, len(again.normal)) == (0, [], 0)
    assert watch(again, PaintedCamera().film(20 * MINUTE_S)) == []


@pytest.mark.parametrize(
    ("facts", "match"),
    [
        ({"measured_by": 1}, "statistics of version 1, expected"),
        ({"raised": {"0": [{"cause": "dark"}, 0, 0]}}, "text"),
        ({"now_s": None}, "NoneType"),
        ({"scene_natural": [[1.0]]}, "unpack"),
    ],
)
def test_what_another_version_has_stored_is_refused(facts: dict[str, Any], match: str) -> None:
    arrays, known = begin()[0].pack()
    with pytest.raises((ValueError, TypeError), match=match):
        CameraMonitor(DriftSettings()).restore(arrays, {**known, **facts})


# What the model was trained on.


def test_a_camera_of_the_training_set_is_compared_from_the_first_minute() -> None:
    training = TrainingNormal.of(with_scene(build(), "gate"), "gate")
    monitor, camera = CameraMonitor(DriftSettings(), training), PaintedCamera(5)
    assert monitor.settled == 1
    verdicts = watch(monitor, camera.film(SOON_S, {**BLURRED, "motion": 0.0}, picture=paint(0)))
    assert said(verdicts) == [raised("blurred")]
    assert verdicts[0].part.against == "training"
    assert watch(restarted(monitor, training=training), camera.film(10 * MINUTE_S, BLURRED, picture=paint(0))) == []


def test_a_camera_of_the_training_set_that_looks_as_it_did_is_not_raised() -> None:
    training = TrainingNormal.of(with_scene(build(), "gate"), "gate")
    monitor, camera = CameraMonitor(DriftSettings(), training), PaintedCamera(5)
    assert watch(monitor, camera.film(15 * MINUTE_S, picture=paint(0))) == []
    verdicts = watch(monitor, camera.film(SOON_S, picture=paint(0, at=(6.0, -3.0))))
    assert [(v.part.cause, v.part.against) for v in verdicts] == [("moved", "normal")]


def test_a_camera_that_is_outside_of_all_that_was_trained_is_raised_though_it_never_changes() -> None:
    training = TrainingNormal.of(build(("gate", "yard")), "elsewhere")
    units = {name: 2 * OUTSIDE_FACTOR * value for name, value in units_of("color_cast").items()}
    monitor, camera = CameraMonitor(DriftSettings(), training), PaintedCamera()
    assert monitor.settled == 0
    (verdict,) = watch(monitor, camera.film(HOUR_S, units))
    assert (verdict.part.cause, verdict.part.against) == ("color_cast", "training")
    assert verdict.part.began_s == pytest.approx(0, abs=5)
    verdicts = watch(monitor, camera.film(10 * MINUTE_S))
    end = next(v.part for v in verdicts if v.type == "drift.cleared" and v.part.against == "training")
    assert end.lasted_s == pytest.approx(HOUR_S, abs=2 * SOON_S)


def test_a_cause_is_open_once_when_what_was_never_trained_gets_worse() -> None:
    training = TrainingNormal.of(build(("gate", "yard")), "elsewhere")
    units = {name: 2 * OUTSIDE_FACTOR * value for name, value in units_of("color_cast").items()}
    monitor, camera = CameraMonitor(DriftSettings(), training), PaintedCamera()
    assert said(watch(monitor, camera.film(20 * MINUTE_S, units))) == [raised("color_cast")]
    worse = watch(monitor, camera.film(SOON_S, {name: 2 * value for name, value in units.items()}))
    assert said(worse) == [cleared("color_cast"), raised("color_cast")]
    assert [verdict.part.against for verdict in worse] == ["training", "normal"]


def test_a_camera_within_what_was_trained_is_not_raised() -> None:
    training = TrainingNormal.of(build(("gate", "yard"), brightness=8), "elsewhere")
    monitor, camera = CameraMonitor(DriftSettings(), training), PaintedCamera()
    assert watch(monitor, camera.film(30 * MINUTE_S, {"brightness": 4})) == []


# What is said.


def test_the_same_samples_give_the_same_events_byte_for_byte() -> None:
    def lines() -> list[bytes]:
        monitor, camera = CameraMonitor(DriftSettings()), PaintedCamera(3)
        verdicts = watch(monitor, camera.film(4 * MINUTE_S, picture=paint(0), preview=jpeg(200)))
        for picture in (covered(), paint(0), paint(0, at=(6.0, -3.0)), paint(0)):
            verdicts += watch(monitor, camera.film(SOON_S, picture=picture, preview=jpeg(40)))
        assert said(verdicts) == [raised("covered"), cleared("covered"), raised("moved"), cleared("moved")]
        return [verdict.event().to_json() for verdict in verdicts]

    assert lines() == lines()


def test_a_verdict_becomes_an_event_whose_rule_is_the_cause() -> None:
    monitor, camera = begin()
    (verdict,) = watch(monitor, camera.film(SOON_S, BLURRED))
    event = verdict.event()
    assert (event.type, event.rule, event.drift) == ("drift.raised", "blurred", verdict.part)


def test_a_check_names_its_scores() -> None:
    monitor, camera = begin(picture=paint(0))
    watch(monitor, camera.film(WINDOW_S, {"brightness": -5}, paint(0)))
    check = monitor.history[-1]
    assert tuple(check.scores) == MEASURES
    assert check.scores["brightness"] < -1
    assert check.score == pytest.approx(max(abs(value) for value in check.scores.values()))
    assert check.pts_s <= camera.pts_s
    assert check.stop_s == pytest.approx(monitor.now_s, abs=WINDOW_S)


def test_no_more_checks_are_kept_than_asked_for() -> None:
    monitor, camera = CameraMonitor(DriftSettings(), keep_checks=5), PaintedCamera()
    watch(monitor, camera.film(10 * MINUTE_S))
    assert len(monitor.history) == 5


def test_a_monitor_tells_how_far_apart_samples_are() -> None:
    assert begin(every_s=3.0)[0].every_s == pytest.approx(3, abs=0.1)
    assert PaintedCamera().unix_s == NOON_UNIX_S
