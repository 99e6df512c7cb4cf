from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from engine.attribute import Attribute
from engine.crops import Crops, Recognition
from engine.packet import Packet
from operators.remember import Remember
from tests.frames import make_frame
from tests.track_rows import Row, make_tracks

HERE = Row((0.5, 0.6))


def opened() -> Remember:
    operator = Remember("paint")
    operator.open()
    return operator


def packet(*looks: Recognition, rows: Sequence[Row] = (HERE,)) -> Packet:
    return Packet(make_frame(), tracks=make_tracks(rows), recognitions=looks or None)


def given(packet: Packet) -> dict[int, dict[str, Attribute]]:
    assert packet.tracks is not None
    return dict(packet.tracks.attributes)


def after(operator: Remember, *looks: tuple[str, float]) -> Attribute:
    for label, confidence in looks:
        found = given(operator.process(packet(Recognition(1, label, confidence))))
    return found[1]["paint"]


def test_a_look_gives_the_attribute_and_later_frames_keep_it() -> None:
    operator = opened()
    assert given(operator.process(packet())) == {}
    assert given(operator.process(packet(Recognition(1, "red", 0.934)))) == {1: {"paint": Attribute("red", 0.93)}}
    assert given(operator.process(packet())) == {1: {"paint": Attribute("red", 0.93)}}


def test_confidence_is_high_where_looks_agree() -> None:
    assert after(opened(), ("red", 0.9), ("red", 0.7)) == Attribute("red", round((0.9 * 0.8 + 0.7) / 1.8, 2))
    assert after(opened(), ("red", 0.9), ("blue", 0.7)).confidence < 0.5


def test_another_label_needs_a_lead() -> None:
    operator = opened()
    assert after(operator, *[("red", 0.9)] * 3, ("blue", 0.9)).label == "red"
    assert after(operator, ("blue", 0.9)).label == "red"
    assert after(operator, ("blue", 0.9)).label == "blue"


def test_what_was_seen_long_ago_is_soon_outvoted() -> None:
    operator = opened()
    assert after(operator, *[("on", 0.9)] * 50).label == "on"
    assert after(operator, *[("off", 0.9)] * 4).label == "off"


def test_tracks_do_not_share_and_what_is_gone_is_forgotten() -> None:
    operator = opened()
    rows = [HERE, Row((0.2, 0.6), track_id=2)]
    both = packet(Recognition(1, "red", 0.9), Recognition(2, "blue", 0.8), rows=rows)
    assert given(operator.process(both)) == {1: {"paint": Attribute("red", 0.9)}, 2: {"paint": Attribute("blue", 0.8)}}
    assert given(operator.process(packet(rows=rows[1:]))) == {2: {"paint": Attribute("blue", 0.8)}}
    assert given(operator.process(packet(rows=rows))) == {2: {"paint": Attribute("blue", 0.8)}}


def test_another_step_s_attributes_stay() -> None:
    rows = [Row((0.5, 0.6), color="red"), Row((0.2, 0.6), track_id=2, color="blue")]
    found = given(opened().process(packet(Recognition(1, "matt", 0.9), rows=rows)))
    assert found == {
        1: {"color": Attribute("red", 0.9), "paint": Attribute("matt", 0.9)},
        2: {"color": Attribute("blue", 0.9)},
    }


def test_pictures_go_no_further() -> None:
    crops = Crops(np.zeros((1, 3, 8, 8), np.uint8), np.ones(1, np.int64))
    done = opened().process(packet(Recognition(1, "red", 0.9)).replace(crops=crops))
    assert (done.crops, done.recognitions) == (None, None)


def test_without_tracks_nothing_changes() -> None:
    nothing = Packet(make_frame())
    assert opened().process(nothing) is nothing


@pytest.mark.parametrize("reason", ["camera_gap", "shutdown"])
def test_the_next_epoch_knows_nobody(reason: str) -> None:
    operator = opened()
    after(operator, ("red", 0.9))
    assert operator.flush(reason) == ()  # type: ignore[arg-type]
    assert given(operator.process(packet())) == {}
