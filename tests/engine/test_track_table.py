"""The life of tracks without boxes; `tests/operators/test_trackers.py` tries it through every tracker."""

from __future__ import annotations

import numpy as np

from engine.track_table import TrackTable
from tests.walks import Seen, make_detections


def test_new_tracks_stand_behind_old_ones_and_ids_are_never_used_twice() -> None:
    table = TrackTable(confirm_hits=1, max_coast_s=1.0)
    table.start(make_detections([Seen(1), Seen(2)]), np.array([0, 1]), 0)
    table.keep(np.array([True, False]))
    table.start(make_detections([Seen(3, class_id=1)]), np.array([0]), 40_000)

    assert table.track_id.tolist() == [1, 3]
    assert table.class_id.tolist() == [0, 1]
    assert table.confirmed.tolist() == [True, True]


def test_a_confirmed_track_lives_until_its_coast_is_over() -> None:
    table = TrackTable(confirm_hits=1, max_coast_s=1.0)
    table.start(make_detections([Seen(1)]), np.array([0]), 0)

    assert [table.survivors(pts_us).tolist() for pts_us in (0, 1_000_000, 1_000_001)] == [[True], [True], [False]]


def test_a_claim_fades_over_a_second() -> None:
    table = TrackTable(confirm_hits=1, max_coast_s=5.0)
    table.start(make_detections([Seen(1)]), np.array([0]), 0)

    claims = [table.freshness(np.array([0]), round(t * 1e6), interval_s=0.1)[0] for t in (0.1, 0.6, 1.1, 3.0)]

    assert np.allclose(claims, [1, 0.7, 0.4, 0.4])
