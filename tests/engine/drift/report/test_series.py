from __future__ import annotations

import numpy as np
import pytest

from engine.drift.report.series import SERIES_STATISTICS, Series, SeriesLog, quantiles
from tests.engine.drift.report.builders import make_sample


def logged(*samples: tuple[float, int]) -> SeriesLog:
    log = SeriesLog()
    for pts_s, epoch in samples:
        log.add(make_sample(pts_s, epoch))
    return log


def two_frames() -> Series:
    """Two boxes, none, not looked, and three boxes."""
    log = SeriesLog()
    for t, boxes, confidence in ((0, (0, 1), 0.5), (1, (), 0.0), (2, None, 0.0), (3, (1, 1, 0), 0.9)):
        log.add(make_sample(t, boxes=boxes, confidence=confidence, brightness=float(t)))
    return log.series()


def test_leaves_out_the_time_between_recordings() -> None:
    log = logged((5, 0), (6, 0), (7, 0), (100, 1), (101, 1), (0, 2))
    assert log.series().elapsed_s.tolist() == [0, 1, 2, 3, 4, 5]


@pytest.mark.parametrize(
    ("pts_s", "at", "place"),
    [(100.5, 4, 3.5), (101, 4, 4), (6.5, 4, 1.5), (2, 4, 0), (300, 4, 4), (7, 2, 2)],
)
def test_finds_the_place_of_a_stream_time(pts_s: float, at: int, place: float) -> None:
    log = logged((5, 0), (6, 0), (7, 0), (100, 1), (101, 1))
    assert log.find(pts_s, at) == place


def test_gives_columns_of_samples_and_of_boxes() -> None:
    series = two_frames()
    assert series.values["count"].tolist()[:2] == [2, 0]
    assert np.isnan(series.values["count"][2])
    assert series.column("count").tolist() == [2, 0, 3]
    assert series.sample.tolist() == [0, 0, 3, 3, 3]
    assert series.class_name.tolist() == ["person", "car", "car", "car", "person"]
    assert set(series.columns()) == {*SERIES_STATISTICS, "class"}
    np.testing.assert_allclose(series.over_time("confidence"), [0.5, np.nan, np.nan, 0.9], rtol=1e-6)
    np.testing.assert_array_equal(series.over_time("brightness"), [0, 1, 2, 3])


def test_a_part_has_the_boxes_of_its_samples() -> None:
    part = two_frames().between(1, 4)
    assert (len(part), part.elapsed_s.tolist(), part.length_s) == (3, [1, 2, 3], 2)
    assert part.sample.tolist() == [2, 2, 2]
    assert part.column("brightness").tolist() == [1, 2, 3]
    assert part.class_name.tolist() == ["car", "car", "person"]


def test_nothing_is_a_series_too() -> None:
    series = SeriesLog().series()
    assert (len(series), series.length_s, len(series.between(0, 9))) == (0, 0, 0)
    assert all(len(series.column(name)) == 0 for name in SERIES_STATISTICS)
    assert quantiles(series.column("brightness")) is None


def test_a_time_of_day_is_known_where_the_clock_has_one() -> None:
    log = SeriesLog()
    log.add(make_sample(0))
    log.add(make_sample(1, unix_s=1_795_331_704.0))
    unix_s = log.series().unix_s
    assert np.isnan(unix_s[0])
    assert unix_s[1] == 1_795_331_704.0


@pytest.mark.parametrize("count", [1, 2, 32, 33, 40, 200])
def test_keeps_some_pictures_evenly_spread_and_the_last(count: int) -> None:
    log = SeriesLog()
    for t in range(count):
        log.add(make_sample(t, preview=bytes([t])))
        log.add(make_sample(t + 0.5))
    times = [t for t, _ in log.pictures]
    assert times[0] == 0
    assert times[-1] == count - 1
    assert len(times) <= 33
    assert len(set(np.diff(times[:-1]))) <= 1
    assert [jpeg[0] for _, jpeg in log.pictures] == times
