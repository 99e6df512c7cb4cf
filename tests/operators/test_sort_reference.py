"""The reference against figures that were worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from tests.walks import Seen, centres, follow, make_packets

reference = pytest.importorskip("operators.sort_reference", reason="the extra 'reference' is not installed")


def test_second_detection_moves_a_box_by_the_gain_of_the_published_noise() -> None:
    tracks = follow(reference.SortReference(), make_packets([[Seen(50)], [Seen(54)]]))

    # Variance of the centre: 10 at the start, 1e4 more for one step of unknown velocity, 1 of process noise.
    gain = 10_011 / 10_012
    assert centres(tracks[1])[0, 0] == pytest.approx(50 + 4 * gain, abs=1e-4)
    assert tracks[1].velocity[0, 0] == pytest.approx(10 * 4 * 10_000 / 10_012, rel=1e-5)


@pytest.mark.parametrize(
    ("other", "expected"),
    [((0, 0, 10, 10), 1.0), ((5, 0, 15, 10), 1 / 3), ((10, 0, 20, 10), 0.0), ((3, 3, 3, 3), 0.0)],
)
def test_iou(other: tuple[int, ...], expected: float) -> None:
    box = np.array([0, 0, 10, 10], np.float32)

    assert reference.iou(box, np.array(other, np.float32)) == pytest.approx(expected)
