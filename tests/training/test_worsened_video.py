from __future__ import annotations

from collections.abc import Iterator

import pytest

from engine.frame import Frame
from tests.frames import make_frame
from training.worsened_video import looped


def recording() -> Iterator[Frame]:
    """Three frames, whose clock starts again before the third."""
    yield make_frame(5, size_wh=(32, 24))
    yield make_frame(6, size_wh=(32, 24))
    yield make_frame(0, size_wh=(32, 24), epoch=1)


def test_a_recording_is_read_once_from_time_zero() -> None:
    frames = list(looped(recording, None))

    assert [(frame.index, frame.epoch) for frame in frames] == [(0, 0), (1, 0), (2, 0)]
    assert [frame.pts_s for frame in frames] == pytest.approx([0.0, 0.1, 0.2])


def test_time_goes_on_from_one_turn_to_the_next_and_ends_in_the_middle_of_one() -> None:
    frames = list(looped(recording, 0.65))

    assert [frame.index for frame in frames] == list(range(7))
    assert [frame.pts_s for frame in frames] == pytest.approx([0.1 * k for k in range(7)])
