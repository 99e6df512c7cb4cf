"""Events: the same bytes for the same fact, and the published schema fits them."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from engine.attribute import Attribute
from engine.event import CameraPart, Event, ObjectPart, ZonePart, format_time, json_schema, object_event, parse_body
from engine.tracks import Tracks
from tests.frames import make_frame


def make_tracks() -> Tracks:
    return Tracks(
        xyxy=np.array([[6.4, 4.8, 12.8, 60.0]], np.float32),
        confidence=np.array([0.912], np.float32),
        class_id=np.array([0]),
        track_id=np.array([57]),
        confirmed=np.array([True]),
        age_s=np.array([4.21], np.float32),
        coasted_s=np.zeros(1, np.float32),
        velocity=np.array([[6.4, 0.0]], np.float32),
        labels=("person",),
    )


def stamped(event: Event) -> Event:
    return dataclasses.replace(
        event, site="north", camera="gate", epoch=3, seq=9, pts_us=812_440_000, frame_wh=(64, 48)
    )


def test_a_body_holds_what_applies_in_units_of_the_frame_clipped_to_it() -> None:
    event = stamped(object_event("zone.entered", make_frame(), make_tracks(), 0, rule="yard", zone=ZonePart("yard", 2)))
    assert json.loads(event.to_json()) == {
        "schema": "vedette.event/1.0", "event_id": event.event_id, "type": "zone.entered", "rev": 1, "site": "north",
        "camera": "gate", "epoch": 3, "seq": 9, "time": "1970-01-01T00:00:00.000000Z", "clock": "container",
        "uncertainty_ms": 0, "pts_s": 812.44, "frame_wh": [64, 48], "rule": "yard",
        "object": {"track_id": 57, "class": "person", "confidence": 0.91, "xyxy_unit": [0.1, 0.1, 0.2, 1.0],
                   "age_s": 4.21, "speed_unit_s": [0.1, 0.0]},
        "zone": {"name": "yard", "occupancy": 2},
    }  # fmt: skip


def test_the_id_names_the_fact_and_not_the_run() -> None:
    event = stamped(object_event("line.crossed", make_frame(), make_tracks(), 0, rule="in"))
    assert event.event_id == dataclasses.replace(event, seq=1, time_us=5, clock="arrival").event_id
    others: list[dict[str, Any]] = [
        {"site": "s"}, {"camera": "c"}, {"epoch": 4}, {"type": "x"}, {"rule": "out"}, {"rev": 2}, {"pts_us": 1},
    ]  # fmt: skip
    assert len({event.event_id, *(dataclasses.replace(event, **change).event_id for change in others)}) == 8


def test_every_body_fits_the_published_schema() -> None:
    for event in (
        object_event("object.new", make_frame(), make_tracks(), 0),
        Event("camera.down", camera_state=CameraPart("down", "stall")),
        Event("test.later", data={"anything": [1, 2]}),
    ):
        parsed = parse_body(json.loads(stamped(event).to_json()))
        assert parsed.type == event.type


def test_a_body_that_breaks_the_contract_is_refused() -> None:
    body = json.loads(stamped(Event("camera.up")).to_json())
    with pytest.raises(ValidationError, match="seq"):
        parse_body({**body, "seq": 0})
    with pytest.raises(ValidationError, match="time"):
        parse_body({**body, "time": "yesterday"})


def test_fields_of_a_later_minor_version_are_ignored() -> None:
    assert parse_body({**json.loads(stamped(Event("camera.up")).to_json()), "novelty": 1}).seq == 9


def test_the_schema_lists_what_is_required() -> None:
    schema = json_schema()
    assert {"schema", "event_id", "type", "camera", "epoch", "seq", "time", "pts_s"} <= set(schema["required"])
    assert "class" in schema["$defs"]["ObjectPart"]["properties"]


def test_attributes_stand_in_the_object_and_only_where_there_are_some() -> None:
    attributes = {57: {"color": Attribute("red", 0.93)}, 58: {"color": Attribute("blue", 0.5)}}
    event = stamped(
        object_event("object.new", make_frame(), dataclasses.replace(make_tracks(), attributes=attributes), 0)
    )
    body = json.loads(event.to_json())
    assert body["object"]["attributes"] == {"color": {"label": "red", "confidence": 0.93}}
    assert list(body["object"])[-1] == "attributes"
    parsed = parse_body(body).object
    assert parsed is not None
    assert parsed.attributes == attributes[57]
    assert (
        "attributes"
        not in json.loads(stamped(object_event("object.new", make_frame(), make_tracks(), 0)).to_json())["object"]
    )


def test_times_always_have_microseconds() -> None:
    assert format_time(0) == "1970-01-01T00:00:00.000000Z"
    assert format_time(1_795_331_704_120_000) == "2026-11-22T07:15:04.120000Z"


def test_a_box_of_many_digits_is_written_with_four() -> None:
    tracks = dataclasses.replace(make_tracks(), xyxy=np.array([[1 / 3, 1 / 7, 20.123456, 30.98765]], np.float32))
    part = ObjectPart.of(tracks, 0, (64, 48))
    assert part.xyxy_unit == (0.0052, 0.003, 0.3144, 0.6456)
