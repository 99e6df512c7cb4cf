"""What OC-SORT adds to SORT: momentum, re-update, recovery."""

from __future__ import annotations

import numpy as np
import pytest

from operators.oc_sort import OcSort, direction_agreement
from operators.sort import Sort
from tests.walks import Seen, centres, follow, ids, make_packets, random_packets


def test_re_update_leaves_a_found_track_as_if_it_had_been_seen_on_a_straight_line() -> None:
    walk = [[Seen(50 + 2 * k)] for k in range(8)]
    lost: list[list[Seen]] = [[] for _ in range(4)]
    found = [[Seen(69, 105)]]
    straight = [[Seen(64 + k, 100 + k)] for k in (1, 2, 3, 4)]

    mended = follow(OcSort(), make_packets(walk + lost + found))[-1]
    seen = follow(Sort(), make_packets(walk + straight + found))[-1]

    assert ids(mended) == ids(seen) == [1]
    assert np.allclose(mended.xyxy, seen.xyxy, atol=1e-3)
    assert np.allclose(mended.velocity, seen.velocity, atol=1e-3)


def test_recovery_finds_an_object_where_it_was_last_seen() -> None:
    # Its box would have drifted away by 40 pixels, two widths, when it is seen again where it stood still.
    frames: list[list[Seen]] = [[Seen(50 + 6 * k)] for k in range(8)] + [[] for _ in range(6)] + [[Seen(94)]]

    assert ids(follow(Sort(), make_packets(frames))[-1]) == [1, 2]
    assert ids(follow(OcSort(), make_packets(frames))[-1]) == [1]


@pytest.mark.parametrize(("momentum", "expected_y"), [(0.0, 107), (0.2, 100)])
def test_momentum_prefers_the_detection_straight_on(momentum: float, expected_y: float) -> None:
    walk = [[Seen(50 + 4 * k)] for k in range(8)]
    # It is expected at 82. The one below overlaps a little better, the other one lies straight on.
    fork = [[Seen(82, 107.5), Seen(86, 100)]]

    tracks = follow(OcSort(momentum=momentum), make_packets(walk + fork))

    assert centres(tracks[-1])[0, 1] == pytest.approx(expected_y, abs=3)


def test_without_what_it_adds_it_is_sort() -> None:
    # Nobody is lost and directions do not count: the same boxes and ids, bit for bit.
    frames = [[Seen(40 + 2 * k, 80), Seen(300 - 3 * k, 160)] for k in range(40)]
    packets = make_packets(frames)

    for ours, plain in zip(follow(OcSort(momentum=0), packets), follow(Sort(), packets), strict=True):
        assert ids(ours) == ids(plain)
        assert np.array_equal(ours.xyxy, plain.xyxy)


@pytest.mark.parametrize("seed", range(4))
def test_tables_are_whole_on_random_walks(seed: int) -> None:
    for tracks in follow(OcSort(), random_packets(seed)):
        assert ids(tracks) == sorted(set(ids(tracks)))
        assert np.isfinite(tracks.xyxy).all()
        assert np.isfinite(tracks.velocity).all()
        assert (tracks.xyxy[:, 2:] > tracks.xyxy[:, :2]).all()


def test_direction_agreement_goes_from_straight_on_to_straight_back() -> None:
    went = np.array([[[0, 0, 10, 10], [10, 0, 20, 10]], [[0, 0, 10, 10]] * 2], np.float32)
    there = np.array([[30, 0, 40, 10], [0, 30, 10, 40], [-30, 0, -20, 10]], np.float32)

    expected = np.array([[0.5, 0, -0.5], [0, 0, 0]])
    assert np.allclose(direction_agreement(went, there), expected, atol=1e-3)


def test_negative_momentum_is_refused() -> None:
    with pytest.raises(ValueError, match="momentum must be 0 or more, got -1"):
        OcSort(momentum=-1)
