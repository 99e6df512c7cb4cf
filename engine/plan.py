"""Planning: from a pipeline to segments that a runner can execute, with the reason for each.

Neighbouring steps share a segment unless one is a batch operator, their resources differ, or one asks to be alone.
The rules read operator properties, never classes.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from itertools import groupby
from typing import Literal, cast

from engine.drift.settings import DriftSettings
from engine.errors import ConfigError, GraphError
from engine.labels import plain_name
from engine.load import did_you_mean, load_class
from engine.operator import BatchOperator, Operator
from engine.packet import PACKET_FIELDS
from engine.pipeline import Pipeline, Step, describe, kind_of

# Frames of one camera that may be in flight. Also the fixed delay of the feedback to the cadence, so it is the same
# in every runner: changing it changes what an adaptive cadence decides.
DEPTH = 4


@dataclass(frozen=True)
class PlannedStep:
    """One operator in its place, after composites have been expanded; `reason` says why the planner added it."""

    name: str
    operator: Operator
    where: str = ""
    reason: str = ""

    def __str__(self) -> str:
        kind = kind_of(self.operator)
        return kind if kind == self.name else f"{self.name} ({kind})"


@dataclass(frozen=True)
class Segment:
    """Steps that run together.

    Attributes:
        kind: `camera` has one copy of its operators per camera; `shared` has one operator for many cameras.
        steps: the operators in order; exactly one in a shared segment.
        reason: why the segment begins where it begins.
        place: `local` or `actor`, for shared segments.
        key: equal for shared segments of different cameras that can be merged.
    """

    kind: Literal["camera", "shared"]
    steps: tuple[PlannedStep, ...]
    reason: str
    place: str = "local"
    key: str = ""


@dataclass(frozen=True)
class LanePlan:
    """How one camera's packets are processed. Taps see finished packets, after the last segment."""

    segments: tuple[Segment, ...]
    taps: tuple[PlannedStep, ...] = ()
    depth: int = DEPTH


@dataclass(frozen=True)
class ExecutionPlan:
    """The lane plan of every camera, and the shared segments merged across them."""

    pipeline: Pipeline
    lanes: dict[str, LanePlan] = field(default_factory=dict)

    @property
    def shared(self) -> dict[str, Segment]:
        """The distinct shared segments by key."""
        return {s.key: s for lane in self.lanes.values() for s in lane.segments if s.kind == "shared"}

    def explain(self) -> str:
        """Say in lines how the pipeline will be executed and why."""
        lines = [f"pipeline {self.pipeline.name} ({self.pipeline.digest}), {len(self.lanes)} camera(s)"]
        by_plan = groupby(sorted(self.lanes.items(), key=lambda x: (_lane_key(x[1]), x[0])), lambda x: _lane_key(x[1]))
        for _, group in by_plan:
            members = list(group)
            lane = members[0][1]
            lines.append(f"\n{', '.join(camera for camera, _ in members)}  (up to {lane.depth} frames in flight)")
            for number, segment in enumerate(lane.segments, 1):
                steps = " → ".join(str(step) for step in segment.steps)
                users = sum(any(s.key == segment.key for s in other.segments) for other in self.lanes.values())
                who = (
                    "one copy a camera" if segment.kind == "camera" else f"shared by {users} camera(s), {segment.place}"
                )
                lines.append(f"  {number}. {steps}")
                lines.append(f"     {who}: {segment.reason}")
            for step in lane.taps:
                reason = f"; {step.reason}" if step.reason else ""
                lines.append(f"  tap {step}: only watches; left out when it cannot keep up{reason}")
        return "\n".join(lines)


def plan(pipeline: Pipeline, cameras: Iterable[str], drift: DriftSettings | None = None) -> ExecutionPlan:
    """Plan a pipeline for cameras.

    Args:
        pipeline: what to do.
        cameras: their names.
        drift: watch the cameras for drift; this adds a tap, and changes neither the pipeline nor its digest.

    Raises:
        ConfigError: a step asks for what its model does not have.
        GraphError: a step reads what no earlier step writes, names a camera that does not exist, or writes a field
            that packets do not have.
    """
    names = list(cameras)
    for step in pipeline.steps:
        unknown = [camera for camera in step.cameras or () if camera not in names]
        if unknown:
            raise GraphError(f"{_at(step)}: no camera is called '{unknown[0]}'; cameras: {', '.join(names)}")
    lanes: dict[tuple[int, ...], LanePlan] = {}
    planned = {}
    for camera in names:
        key = tuple(number for number, step in enumerate(pipeline.steps) if step.applies_to(camera))
        if key not in lanes:
            steps = _with_objects(_expand(pipeline.steps[number] for number in key))
            lanes[key] = _plan_lane(steps if drift is None else _with_samples(steps, drift))
        planned[camera] = lanes[key]
    return ExecutionPlan(pipeline, planned)


def _expand(steps: Iterable[Step]) -> list[PlannedStep]:
    out = []
    for step in steps:
        if isinstance(step.operator, Operator):
            out.append(PlannedStep(step.name, step.operator, step.where))
            continue
        # Some parts carry the step's name into events. A copy, since a pipeline's own steps never change.
        composite = replace(step.operator)  # type: ignore[type-var]
        object.__setattr__(composite, "name", step.name)
        try:
            parts = composite.expand()
        except ConfigError as error:
            raise ConfigError(f"{_at(step)}: {error}") from None
        out += [PlannedStep(f"{step.name}.{kind_of(part)}", part, step.where) for part in parts]
    return out


def _with_objects(steps: list[PlannedStep]) -> list[PlannedStep]:
    """Add the life cycle of objects after the last tracker, unless it is there."""
    if any(kind_of(step.operator) == "objects" for step in steps):
        return steps
    trackers = [i for i, step in enumerate(steps) if "tracks" in step.operator.writes]
    if not trackers:
        return steps
    objects = PlannedStep("objects", load_class("objects")())
    return [*steps[: trackers[-1] + 1], objects, *steps[trackers[-1] + 1 :]]


def _with_samples(steps: list[PlannedStep], drift: DriftSettings) -> list[PlannedStep]:
    """Add the tap that samples frames for the drift monitor, unless it is there."""
    if any(kind_of(step.operator) == "frame_stats" for step in steps):
        return steps
    tap = load_class("frame_stats")(every_s=drift.every_s, window_s=drift.window_s, pictures=drift.pictures)
    reason = f"samples for drift over {drift.window_s:g} s (`drift: false` leaves it out)"
    return [*steps, PlannedStep("frame_stats", tap, reason=reason)]


def _plan_lane(steps: list[PlannedStep]) -> LanePlan:
    _check_fields(steps)
    _check_classes(steps)
    segments: list[Segment] = []
    for step in (s for s in steps if not s.operator.tap):
        operator = step.operator
        reason = _boundary(segments[-1] if segments else None, operator)
        if reason is None:
            last = segments.pop()
            segments.append(Segment("camera", (*last.steps, step), last.reason))
        elif isinstance(operator, BatchOperator):
            segments.append(Segment("shared", (step,), reason, operator.place, _operator_key(operator)))
        else:
            segments.append(Segment("camera", (step,), reason))
    return LanePlan(tuple(segments), tuple(s for s in steps if s.operator.tap))


def _boundary(last: Segment | None, operator: Operator) -> str | None:
    """Say why a new segment begins before an operator, None if none does."""
    if isinstance(operator, BatchOperator):
        return "takes batches from many cameras"
    if last is None:
        return "first step"
    if last.kind == "shared":
        return "back to one camera's order after a shared step"
    before = last.steps[-1].operator
    if operator.isolate or before.isolate:
        return "isolated on request"
    if operator.num_gpus != before.num_gpus:
        return f"needs {operator.num_gpus:g} GPU where the step before needs {before.num_gpus:g}"
    return None


def _check_classes(steps: list[PlannedStep]) -> None:
    """Refuse a step that waits for a class of objects which no detector before it finds."""
    detectors: list[Operator] = []
    for step in steps:
        if "detections" in step.operator.writes:
            detectors.append(step.operator)
        wanted = tuple(step.operator.classes_wanted())
        given = [detector.classes_given() for detector in detectors] if wanted else []
        if not given or None in given:
            continue
        names = dict.fromkeys(name for some in given for name in some or ())
        for name in wanted:
            if plain_name(name) not in map(plain_name, names):
                raise GraphError(
                    f"{_at(step)}: waits for '{name}', which no detector before it finds{did_you_mean(name, names)}"
                )


_KEPT = {
    "detections": "give the later `detect` `merge: true`, which adds its boxes; a step of your own must read them",
    "tracks": "a camera has one tracker; leave one out",
    "flow": "one flow is enough; leave one out",
}
"""Fields that would be lost if a later step replaced them, and what to do."""

_WRITER = {
    "tensor": "a `detect` step",
    "detections": "a detector such as `detect` or `motion_blobs`",
    "tracks": "a tracker such as `track`",
    "flow": "a flow step such as `dis_flow`",
}


def _check_fields(steps: list[PlannedStep]) -> None:
    there = {"frame", "feedback", "events"}
    writers: dict[str, PlannedStep] = {}
    for step in steps:
        for name in (*step.operator.reads, *step.operator.writes):
            if name not in PACKET_FIELDS:
                raise GraphError(
                    f"{_at(step)}: packets have no field '{name}'; they have {', '.join(sorted(PACKET_FIELDS))}"
                )
        for name in step.operator.reads:
            if name not in there:
                hint = _WRITER.get(name, "a step that writes it")
                raise GraphError(f"{_at(step)}: reads '{name}', which no earlier step writes; put {hint} before it")
        for name in step.operator.writes:
            if name in writers and name in _KEPT and name not in step.operator.reads:
                raise GraphError(f"{_at(step)}: replaces the '{name}' of step '{writers[name].name}'; {_KEPT[name]}")
            writers[name] = step
        there.update(step.operator.writes)


def _at(step: Step | PlannedStep) -> str:
    return f"{step.where}: step '{step.name}'" if step.where else f"step '{step.name}'"


def _operator_key(operator: Operator) -> str:
    return hashlib.sha256(json.dumps(describe(operator), sort_keys=True, default=str).encode()).hexdigest()[:16]


def _lane_key(lane: LanePlan) -> str:
    return "|".join(
        f"{step.name}:{_operator_key(step.operator)}" for s in lane.segments for step in s.steps
    ) + "|".join(step.name for step in lane.taps)


def batch_operator(segment: Segment) -> BatchOperator:
    """The operator of a shared segment."""
    return cast(BatchOperator, segment.steps[0].operator)
