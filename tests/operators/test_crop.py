from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from engine.packet import Packet
from engine.picture import Picture
from operators.crop import Crop
from tests.frames import make_frame
from tests.track_rows import Row, make_tracks

SIZE_WH = (160, 90)


def packet(*rows: Row, pts_s: float = 0.0, bgr: np.ndarray[Any, Any] | None = None) -> Packet:
    frame = make_frame(pts_s=pts_s, size_wh=SIZE_WH)
    if bgr is not None:
        object.__setattr__(frame, "picture", Picture.from_bgr(bgr))
    return Packet(frame, tracks=make_tracks(rows))


def opened(**options: Any) -> Crop:
    operator = Crop(**{"size_wh": (16, 16), "min_size": 4, "margin": 0, **options})
    operator.open()
    return operator


def turns(operator: Crop, frames: Sequence[Sequence[Row]], fps: float = 10.0) -> list[list[int]]:
    """The tracks that are cut out of each frame, in order."""
    out = []
    for index, rows in enumerate(frames):
        crops = operator.process(packet(*rows, pts_s=index / fps)).crops
        out.append([] if crops is None else crops.track_id.tolist())
    return out


def at(x: float, track_id: int = 1, **fields: Any) -> Row:
    return Row((x, 0.6), track_id, **fields)


def test_the_first_look_comes_with_confirmation_and_others_after_every_s() -> None:
    rows = [[at(0.5, confirmed=False)]] * 2 + [[at(0.5)]] * 12
    assert [i for i, cut in enumerate(turns(opened(every_s=0.5), rows)) if cut] == [2, 7, 12]


def test_every_s_of_nothing_looks_at_every_frame() -> None:
    assert turns(opened(every_s=0), [[at(0.5)]] * 3) == [[1]] * 3


def test_only_where_a_detection_matched_in_this_frame() -> None:
    assert turns(opened(), [[at(0.5, coasted_s=0.1)], [at(0.5)]]) == [[], [1]]


def test_only_the_classes_asked_for_by_any_spelling() -> None:
    rows = [at(0.2, 1), at(0.5, 2, class_id=1), at(0.8, 3, class_id=7)]
    assert turns(opened(on=("Car",)), [rows]) == [[2]]
    assert sorted(turns(opened(), [rows])[0]) == [1, 2, 3]
    assert opened(on=("Car",)).classes_wanted() == ("Car",)


def test_what_is_too_small_waits_until_it_has_come_nearer() -> None:
    # A box is half as wide as high: 9 pixels wide at height 0.2 of 90.
    near, far = at(0.5, height=0.4), at(0.5, height=0.2)
    assert turns(opened(min_size=12), [[far], [near]]) == [[], [1]]


def test_only_what_lies_in_the_picture_counts_and_is_cut() -> None:
    # Nine pixels wide, of which six lie in the picture.
    assert turns(opened(min_size=7), [[at(0.01)]]) == [[]]
    assert turns(opened(min_size=6), [[at(0.01)]]) == [[1]]
    assert turns(opened(min_size=0), [[Row((2.0, 0.6))]]) == [[]]


def test_who_waits_longest_comes_first_and_of_new_ones_the_larger() -> None:
    small, large, more = at(0.2, 1), at(0.5, 2, height=0.5), at(0.8, 3, height=0.4)
    crowd = [small, large, more]
    operator = opened(max_crops=1, every_s=0.1)
    assert turns(operator, [crowd] * 6) == [[2], [3], [1], [2], [3], [1]]


def test_an_end_of_the_epoch_begins_anew() -> None:
    operator = opened(every_s=10)
    assert turns(operator, [[at(0.5)]] * 2) == [[1], []]
    assert operator.flush("camera_gap") == ()
    assert turns(operator, [[at(0.5)]]) == [[1]]


def test_a_track_that_is_gone_is_forgotten() -> None:
    operator = opened(every_s=10)
    turns(operator, [[at(0.5)], []])
    assert operator._looked_us == {}


def test_a_packet_without_tracks_or_without_a_turn_passes_as_it_is() -> None:
    operator = opened()
    nothing = Packet(make_frame())
    assert operator.process(nothing) is nothing
    empty = packet()
    assert operator.process(empty) is empty


@pytest.mark.parametrize(("fit", "width"), [("stretch", 16), ("letterbox", 8)])
def test_shows_the_object_as_the_classifier_takes_pictures(fit: str, width: int) -> None:
    bgr = np.zeros((90, 160, 3), np.uint8)
    # The box of a row at the middle: 9 wide, 18 high.
    bgr[36:54, 75:85] = (10, 20, 200)
    crops = opened(fit=fit, pad=7).process(packet(at(0.5), bgr=bgr)).crops
    assert crops is not None
    assert crops.pixels.shape == (1, 3, 16, 16)
    assert crops.pixels.dtype == np.uint8
    assert [crops.pixels[0, channel, 8, 4] for channel in range(3)] == [200, 20, 10]
    assert crops.pixels[0, 0, 8, width:].tolist() == [7] * (16 - width)


def test_a_margin_shows_what_is_around() -> None:
    bgr = np.zeros((90, 160, 3), np.uint8)
    bgr[36:54, 75:85] = 255
    tight, wide = (opened(margin=m).process(packet(at(0.5), bgr=bgr)).crops for m in (0, 0.5))
    assert tight is not None
    assert wide is not None
    assert tight.pixels.min() > 200
    assert wide.pixels[0, 0, 8, [0, 15]].tolist() == [0, 0]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"every_s": -1}, "every_s must be 0 or more, got -1"),
        ({"every_s": float("inf")}, "every_s must be 0 or more, got inf"),
        ({"min_size": -1}, "min_size must be 0 or more"),
        ({"margin": float("nan")}, "margin must be 0 or more, got nan"),
        ({"max_crops": 0}, "max_crops must be at least 1, got 0"),
    ],
)
def test_settings_that_mean_nothing_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Crop(size_wh=(16, 16), **options)
