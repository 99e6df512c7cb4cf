"""Events: what consumers read. The body is a pure function of footage, pipeline and model.

Operators make events without identity; the lane stamps site, camera, epoch, sequence number and time on them.
"""

from __future__ import annotations

import datetime as dt
import json
import uuid
from dataclasses import dataclass, fields, is_dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args

from pydantic import Field, TypeAdapter

from engine.attribute import Attribute
from engine.detections import label_of
from engine.frame import ClockName

if TYPE_CHECKING:
    from engine.frame import Frame
    from engine.tracks import Tracks

SCHEMA = "vedette.event/1.0"
EVENT_NAMESPACE = uuid.UUID("6c4a0e0e-6d1b-5c55-9c77-0d1f4d6f7c11")

EventType = Literal[
    "object.new", "object.update", "object.end",
    "zone.entered", "zone.exited", "zone.dwelled",
    "line.crossed", "occupancy.changed",
    "camera.up", "camera.down", "camera.gap",
    "drift.raised", "drift.cleared", "model.changed",
]  # fmt: skip
EVENT_TYPES: tuple[str, ...] = get_args(EventType)

EndReason = Literal["left", "lost", "camera_gap", "shutdown"]
Unit = Annotated[float, Field(ge=0, le=1)]


@dataclass(frozen=True, slots=True)
class ObjectPart:
    """The object that an event is about; boxes are fractions of the source frame, speeds fractions a second.

    `attributes` are what classifiers say about it, by the name of their step.
    """

    track_id: int
    class_: Annotated[str, Field(alias="class")]
    confidence: Unit
    xyxy_unit: tuple[Unit, Unit, Unit, Unit]
    age_s: float
    speed_unit_s: tuple[float, float]
    attributes: dict[str, Attribute] | None = None

    @classmethod
    def of(cls, tracks: Tracks, row: int, size_wh: tuple[int, int], class_id: int | None = None) -> ObjectPart:
        """Describe one row of a track table; `class_id` overrules the row's own."""
        width, height = size_wh
        # `tolist()` first: arithmetic on NumPy's scalars costs ten times that on Python's, and this runs for every
        # track in every frame.
        x1, y1, x2, y2 = tracks.xyxy[row].tolist()
        speed_x, speed_y = tracks.velocity[row].tolist()
        track_id = int(tracks.track_id[row])
        return cls(
            track_id=track_id,
            class_=label_of(tracks.labels, int(tracks.class_id[row]) if class_id is None else class_id),
            confidence=_unit(tracks.confidence[row].item(), 2),
            xyxy_unit=(_unit(x1 / width), _unit(y1 / height), _unit(x2 / width), _unit(y2 / height)),
            age_s=round(tracks.age_s[row].item(), 2),
            # Adding zero turns -0.0 into 0.0.
            speed_unit_s=(round(speed_x / width, 3) + 0.0, round(speed_y / height, 3) + 0.0),
            attributes=tracks.attributes.get(track_id),
        )


def _unit(value: float, digits: int = 4) -> float:
    return round(0.0 if value < 0 else 1.0 if value > 1 else value, digits)


@dataclass(frozen=True, slots=True)
class ZonePart:
    """The zone that an event is about; `occupancy` counts the confirmed objects inside, after this event."""

    name: str
    occupancy: int
    dwell_s: float | None = None


@dataclass(frozen=True, slots=True)
class LinePart:
    """The line that was crossed. `in`: from the left of a→b to its right, seen looking from a to b."""

    name: str
    direction: Literal["in", "out"]
    count_in: int
    count_out: int


@dataclass(frozen=True, slots=True)
class CameraPart:
    """What happened to the camera itself.

    `previous_epoch` and `previous_seq` (camera.up, and a camera.down that no camera.up came before) name the last event
    of the connection before, where known, so that a consumer can prove that it has missed nothing. `duration_s` and
    `frames` (camera.gap, when it closes) say how long was not analysed and how many frames that cost, where known.
    """

    state: Literal["up", "down", "gap_open", "gap_closed"]
    cause: str | None = None
    previous_epoch: int | None = None
    previous_seq: int | None = None
    duration_s: float | None = None
    frames: int | None = None


@dataclass(frozen=True, slots=True)
class DriftStatistic:
    """One statistic that changed: its median then and now, in its own unit.

    `score` is how far it went, in units of its threshold; the sign says which way.
    """

    name: str
    then: float
    now: float
    score: float


@dataclass(frozen=True, slots=True)
class DriftWindow:
    """The stretch of stream time that was compared.

    `effective_samples` is how many independent samples the correlated ones are worth.
    """

    start_s: float
    stop_s: float
    samples: int
    effective_samples: float


@dataclass(frozen=True, slots=True)
class DriftPart:
    """How a camera has changed, and what that usually means.

    `against` says what it was compared with: the camera's own `normal`, or the pictures that the model was trained on.
    `score` is the greatest of the statistics, 1 at the threshold. `began_s` is the stream time at which the change is
    thought to have begun (of its own epoch, which may be an earlier one), `lasted_s` how long it lasted
    (drift.cleared). `moved_px` is the shift of the scene in pixels of the source frame. `picture` shows then (left) and
    now as a data URI of a JPEG.
    """

    cause: str
    text: str
    against: Literal["normal", "training"]
    score: float
    window: DriftWindow
    statistics: tuple[DriftStatistic, ...] = ()
    began_s: float | None = None
    lasted_s: float | None = None
    moved_px: tuple[float, float] | None = None
    picture: str | None = None


@dataclass(frozen=True, slots=True)
class Event:
    """One fact about one camera.

    An operator sets `type` and the parts; everything below `rule` is stamped by the lane.

    Attributes:
        type: what happened.
        rule: name of the step that says so; empty for the life cycle of objects and cameras.
        rev: counts 1, 2, 3… over `object.*` events of one object; 2 for the closing `camera.gap`; 1 elsewhere.
        reason: why an object ended.
        seq: counts 1, 2, 3… without a gap within (camera, epoch).
        time_us: capture time, microseconds since 1970.
        pts_us: stream time in microseconds.
    """

    type: str
    rule: str = ""
    rev: int = 1
    reason: EndReason | None = None
    object: ObjectPart | None = None
    zone: ZonePart | None = None
    line: LinePart | None = None
    camera_state: CameraPart | None = None
    drift: DriftPart | None = None
    data: dict[str, Any] | None = None
    site: str = ""
    camera: str = ""
    epoch: int = 0
    seq: int = 0
    time_us: int = 0
    clock: ClockName = "container"
    uncertainty_ms: int = 0
    pts_us: int = 0
    frame_wh: tuple[int, int] | None = None

    @property
    def event_id(self) -> str:
        """UUIDv5 of what the event is about: the same footage gives the same id."""
        track_id = "" if self.object is None else self.object.track_id
        name = f"{self.site}|{self.camera}|{self.epoch}|{self.type}|{track_id}|{self.rule}|{self.rev}|{self.pts_us}"
        return str(uuid.uuid5(EVENT_NAMESPACE, name))

    @property
    def order(self) -> tuple[int, int, str, int]:
        """Sort key that merges the events of several cameras."""
        return (self.epoch, self.pts_us, self.camera, self.seq)

    def body(self) -> dict[str, Any]:
        """Give the JSON object that is published; parts that do not apply are absent."""
        out: dict[str, Any] = {
            "schema": SCHEMA,
            "event_id": self.event_id,
            "type": self.type,
            "rev": self.rev,
            "site": self.site,
            "camera": self.camera,
            "epoch": self.epoch,
            "seq": self.seq,
            "time": format_time(self.time_us),
            "clock": self.clock,
            "uncertainty_ms": self.uncertainty_ms,
            "pts_s": round(self.pts_us / 1_000_000, 6),
        }
        if self.frame_wh is not None:
            out["frame_wh"] = list(self.frame_wh)
        for key in ("rule", "reason", "object", "zone", "line", "camera_state", "drift", "data"):
            value = getattr(self, key)
            if value is not None and value != "":
                out[key] = _plain(value)
        return out

    def to_json(self) -> bytes:
        """Give the body as one line of UTF-8 JSON: the same bytes for the same event on every run."""
        return json.dumps(self.body(), ensure_ascii=False, separators=(",", ":")).encode()


def _plain(value: Any) -> Any:
    if is_dataclass(value):
        named = ((f.name.rstrip("_"), getattr(value, f.name)) for f in fields(value))
        return {name: _plain(item) for name, item in named if item is not None}
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, tuple) else value


def format_time(unix_us: int) -> str:
    """Write microseconds since 1970 as RFC 3339 in UTC, always with six decimals."""
    moment = dt.datetime(1970, 1, 1, tzinfo=dt.UTC) + dt.timedelta(microseconds=unix_us)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def object_event(type: EventType, frame: Frame, tracks: Tracks, row: int, **parts: Any) -> Event:
    """Make an event about one row of a track table, for the lane to stamp."""
    return Event(type=type, object=ObjectPart.of(tracks, row, frame.size_wh), **parts)


@dataclass(frozen=True, slots=True)
class EventBody:
    """The published JSON object: one source for its schema. See `Event` for what the fields mean."""

    schema: Literal["vedette.event/1.0"]
    event_id: Annotated[str, Field(pattern="^[0-9a-f-]{36}$")]
    type: Annotated[str, Field(description="one of the known types, or one added later", examples=list(EVENT_TYPES))]
    rev: Annotated[int, Field(ge=1)]
    site: str
    camera: str
    epoch: Annotated[int, Field(ge=0)]
    seq: Annotated[int, Field(ge=1)]
    time: Annotated[str, Field(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$")]
    clock: ClockName
    uncertainty_ms: Annotated[int, Field(ge=0)]
    pts_s: float
    frame_wh: tuple[int, int] | None = None
    rule: str | None = None
    reason: EndReason | None = None
    object: ObjectPart | None = None
    zone: ZonePart | None = None
    line: LinePart | None = None
    camera_state: CameraPart | None = None
    drift: DriftPart | None = None
    data: dict[str, Any] | None = None


def parse_body(body: dict[str, Any]) -> EventBody:
    """Check a published JSON object against the contract; fields of later minor versions are ignored.

    Raises:
        pydantic.ValidationError: a field is missing or of the wrong type.
    """
    return _BODY.validate_python(body)


def json_schema() -> dict[str, Any]:
    """Give the JSON Schema (draft 2020-12) of the published body, generated from the types above."""
    schema = _BODY.json_schema(by_alias=True)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"https://vedette.example/{SCHEMA}.json",
        **schema,
        "title": "Vedette event",
    }


_BODY: TypeAdapter[EventBody] = TypeAdapter(EventBody)
