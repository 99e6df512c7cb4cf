from __future__ import annotations

import numpy as np
import pytest

from engine.detections import Detections
from engine.packet import ModelInput, Packet, PictureInput
from engine.tracks import Tracks
from operators.letterbox import Cadence, Letterbox, horizon_s, is_uncertain
from tests.frames import make_frame


def opened(cadence: Cadence = "every", max_interval: int = 5) -> Letterbox:
    operator = Letterbox(size_wh=(32, 32), cadence=cadence, max_interval=max_interval)
    operator.open()
    return operator


def tracks(
    *, confirmed: bool = True, coasted_s: float = 0.0, speed: float = 0.0, count: int = 1, side: float = 20.0
) -> Tracks:
    """Equal tracks of square boxes, moving to the right."""
    return Tracks(
        xyxy=np.tile(np.array([[10, 10, 10 + side, 10 + side]], np.float32), (count, 1)),
        confidence=np.ones(count, np.float32),
        class_id=np.zeros(count, np.int64),
        track_id=np.arange(1, count + 1),
        confirmed=np.full(count, confirmed),
        age_s=np.ones(count, np.float32),
        coasted_s=np.full(count, coasted_s, np.float32),
        velocity=np.tile(np.array([[speed, 0]], np.float32), (count, 1)),
    )


def looks(operator: Letterbox, feedback: list[Tracks | None], start: int = 0) -> list[int]:
    """Positions of the frames, at 10 a second, that the operator prepares."""
    packets = [operator.process(Packet(make_frame(start + i), feedback=f)) for i, f in enumerate(feedback)]
    return [i for i, packet in enumerate(packets) if packet.tensor is not None]


def test_prepares_the_picture_and_says_where_it_lies() -> None:
    packet = opened().process(Packet(make_frame(size_wh=(64, 48))))
    assert packet.tensor is not None
    assert packet.tensor.pixels.shape == (3, 32, 32)
    assert packet.tensor.pixels[:, :24].tolist() == np.full((3, 24, 32), 128).tolist()
    assert packet.tensor.pixels[:, 24:].tolist() == np.full((3, 8, 32), 114).tolist()
    assert packet.tensor.geometry.to_source(np.array([[0, 0, 32, 24]])).tolist() == [[0, 0, 64, 48]]


def test_leaves_the_picture_to_the_device_where_it_is_told_to() -> None:
    packet = Packet(make_frame(size_wh=(64, 48)))
    operator = Letterbox(size_wh=(32, 32), where="device")
    operator.open()
    here, there = opened().process(packet).tensor, operator.process(packet).tensor
    assert isinstance(here, ModelInput)
    assert isinstance(there, PictureInput)
    assert there.picture is packet.frame.picture
    assert np.array_equal(there.pixels, here.pixels)
    assert there.geometry == here.geometry


def test_every_frame_is_due_by_default() -> None:
    assert looks(opened(), [None] * 4) == [0, 1, 2, 3]


def test_every_third_frame_begins_with_the_first_of_an_epoch() -> None:
    operator = opened(cadence=3)
    assert looks(operator, [None] * 8) == [0, 3, 6]
    assert operator.flush("camera_gap") == ()
    assert looks(operator, [None] * 5) == [0, 3]


def test_adaptive_looks_at_every_frame_until_it_hears_of_tracks() -> None:
    assert looks(opened("adaptive"), [None] * 4) == [0, 1, 2, 3]


def test_adaptive_looks_now_and_then_where_nothing_is() -> None:
    assert looks(opened("adaptive", max_interval=4), [Tracks.empty()] * 10) == [0, 4, 8]


def test_adaptive_looks_now_and_then_at_still_certain_tracks() -> None:
    assert looks(opened("adaptive", max_interval=4), [tracks()] * 10) == [0, 4, 8]


def test_adaptive_looks_at_every_frame_while_a_track_is_new() -> None:
    assert looks(opened("adaptive"), [tracks(confirmed=False)] * 4) == [0, 1, 2, 3]


def test_adaptive_looks_at_every_frame_while_a_track_is_missed() -> None:
    missed = tracks(coasted_s=0.6)
    assert looks(opened("adaptive"), [tracks(), tracks(), missed, missed, tracks()]) == [0, 2, 3]


def test_coasting_between_looks_is_no_miss() -> None:
    # What the lane does: the tracks of four frames ago, which coast since the look before that frame.
    operator = opened("adaptive")
    looked: list[int] = []
    history: list[Tracks] = []
    for index in range(20):
        feedback = history[index - 4] if index >= 4 else None
        if operator.process(Packet(make_frame(index), feedback=feedback)).tensor is not None:
            looked.append(index)
        history.append(tracks(coasted_s=0.1 * (index - looked[-1])))
    assert looked == [0, 1, 2, 3, 8, 13, 18]


def test_adaptive_looks_sooner_the_faster_a_track_is_for_its_size() -> None:
    # A quarter of 20 pixels at 30 pixels a second lasts 0.17 s: it is over at the second frame.
    assert looks(opened("adaptive"), [tracks(speed=30)] * 7) == [0, 2, 4, 6]
    assert looks(opened("adaptive"), [tracks(speed=30, side=40)] * 9) == [0, 4, 8]


def test_adaptive_looks_after_a_gap_in_time() -> None:
    operator = opened("adaptive")
    moving = tracks(speed=10)
    assert looks(operator, [moving, moving]) == [0]
    assert looks(operator, [moving], start=60) == [0]


def test_the_horizon_without_tracks_is_endless() -> None:
    assert horizon_s(Tracks.empty()) == float("inf")
    assert not is_uncertain(Tracks.empty(), 0.1)


@pytest.mark.parametrize("cadence", [0, -1, True, "often"])
def test_a_cadence_that_means_nothing_is_refused(cadence: Cadence) -> None:
    with pytest.raises(
        ValueError, match=rf"cadence must be every, adaptive or a number of frames from 1, got '?{cadence}"
    ):
        Letterbox(size_wh=(32, 32), cadence=cadence)


def test_an_interval_below_one_frame_is_refused() -> None:
    with pytest.raises(ValueError, match="max_interval must be at least 1 frame, got 0"):
        Letterbox(size_wh=(32, 32), max_interval=0)


def test_one_that_follows_looks_where_an_earlier_detector_has_looked_and_nowhere_else() -> None:
    operator = Letterbox(size_wh=(32, 32), follow=True)
    operator.open()
    first = opened().process(Packet(make_frame()))
    assert operator.reads == ("frame", "detections")
    looked = operator.process(first.replace(detections=Detections.empty()))
    assert looked.tensor is not None
    assert looked.tensor is not first.tensor
    assert operator.process(first).tensor is None, "the first detector's input is not the second one's"
