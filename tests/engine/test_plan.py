"""Planning: which steps share a segment, and why."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import pytest

from engine.drift.settings import DriftSettings
from engine.errors import ConfigError, GraphError
from engine.operator import BatchOperator, Composite, Operator
from engine.pipeline import Pipeline
from engine.plan import ExecutionPlan, plan
from operators import FrameStats


@dataclass
class Boxes(Operator):
    writes: ClassVar = ("detections",)


@dataclass
class Model(BatchOperator):
    writes: ClassVar = ("detections",)
    path: str = "a"


@dataclass
class Follow(Operator):
    reads: ClassVar = ("detections",)
    writes: ClassVar = ("tracks",)


@dataclass
class Rule(Operator):
    reads: ClassVar = ("tracks",)
    writes: ClassVar = ("events",)


@dataclass
class Alone(Operator):
    isolate: ClassVar = True


@dataclass
class OnGpu(Operator):
    num_gpus = 0.5


@dataclass
class Watch(Operator):
    tap: ClassVar = True


@dataclass
class Odd(Operator):
    reads: ClassVar = ("sound",)


@dataclass
class Both(Composite):
    path: str = "a"

    def expand(self) -> list[Operator]:
        return [Alone(), Model(self.path)]


@dataclass
class Boxes2(Boxes):
    reads: ClassVar = ("detections",)


@dataclass
class Enrich(Operator):
    reads: ClassVar = ("tracks",)
    writes: ClassVar = ("tracks",)


@dataclass
class Finder(Boxes):
    names: tuple[str, ...] = ()

    def classes_given(self) -> tuple[str, ...]:
        return self.names


@dataclass
class Wants(Operator):
    on: str

    def classes_wanted(self) -> tuple[str, ...]:
        return (self.on,)


@dataclass
class Named(Composite):
    def expand(self) -> list[Operator]:
        return [Wants(self.name)]


def make(*operators: Operator | Composite) -> Pipeline:
    pipeline = Pipeline()
    for operator in operators:
        pipeline = pipeline.then(operator, name=f"{type(operator).__name__.lower()}{len(pipeline.steps)}")
    return pipeline


def shape(planned: ExecutionPlan, camera: str = "a") -> list[tuple[str, list[str]]]:
    return [(s.kind, [type(step.operator).__name__ for step in s.steps]) for s in planned.lanes[camera].segments]


def test_neighbouring_steps_of_one_camera_share_a_segment() -> None:
    assert shape(plan(make(Boxes(), Follow(), Rule()), ["a"])) == [("camera", ["Boxes", "Follow", "Objects", "Rule"])]


def test_a_batch_operator_stands_alone_between_a_cameras_segments() -> None:
    planned = plan(make(Alone(), Model(), Follow()), ["a", "b"])
    assert shape(planned) == [("camera", ["Alone"]), ("shared", ["Model"]), ("camera", ["Follow", "Objects"])]


def test_equal_shared_segments_are_merged_across_cameras() -> None:
    pipeline = Pipeline().then(Model("a"), name="m1", cameras=["x"]).then(Model("a"), name="m2", cameras=["y"])
    assert len(plan(pipeline, ["x", "y"]).shared) == 1
    other = Pipeline().then(Model("a"), name="m1", cameras=["x"]).then(Model("b"), name="m2", cameras=["y"])
    assert len(plan(other, ["x", "y"]).shared) == 2


def test_a_step_that_asks_for_it_or_needs_other_resources_gets_its_own_segment() -> None:
    assert shape(plan(make(Boxes(), Alone(), Follow()), ["a"])) == [
        ("camera", ["Boxes"]), ("camera", ["Alone"]), ("camera", ["Follow", "Objects"]),
    ]  # fmt: skip
    assert shape(plan(make(Boxes(), OnGpu()), ["a"])) == [("camera", ["Boxes"]), ("camera", ["OnGpu"])]


def test_taps_stand_beside_the_path() -> None:
    lane = plan(make(Boxes(), Watch(), Follow()), ["a"]).lanes["a"]
    assert [s.name for s in lane.taps] == ["watch1"]
    assert [len(s.steps) for s in lane.segments] == [3]


def test_composites_are_expanded_in_place_and_keep_their_name() -> None:
    lane = plan(Pipeline().then(Both(), name="detect"), ["a"]).lanes["a"]
    assert [step.name for s in lane.segments for step in s.steps] == ["detect.alone", "detect.model"]


def test_what_a_model_does_not_have_is_said_with_the_step() -> None:
    @dataclass
    class Mistaken(Composite):
        def expand(self) -> list[Operator]:
            raise ConfigError("detect.classes: the model has no class 'rad'")

    with pytest.raises(ConfigError, match=r"^step 'detect': detect\.classes: the model has no class 'rad'$"):
        plan(Pipeline().then(Mistaken(), name="detect"), ["a"])


def test_the_plan_says_why() -> None:
    text = plan(make(Alone(), Model(), Follow()), ["a", "b"]).explain()
    assert "a, b  (up to 4 frames in flight)" in text
    assert "shared by 2 camera(s), local: takes batches from many cameras" in text
    assert "back to one camera's order after a shared step" in text


def test_a_step_that_reads_what_nobody_writes_is_refused_with_advice() -> None:
    with pytest.raises(GraphError, match="step 'rule0': reads 'tracks', which no earlier step writes; put a tracker"):
        plan(make(Rule()), ["a"])
    with pytest.raises(GraphError, match="packets have no field 'sound'"):
        plan(make(Odd()), ["a"])


@pytest.mark.parametrize(
    ("operators", "message"),
    [
        (
            (Boxes(), Model()),
            r"step 'model1': replaces the 'detections' of step 'boxes0'; give the later `detect`",
        ),
        ((Boxes(), Follow(), Follow()), r"step 'follow2': replaces the 'tracks' of step 'follow1'; a camera has one"),
    ],
)
def test_a_step_that_would_lose_what_an_earlier_one_found_is_refused(
    operators: tuple[Operator, ...], message: str
) -> None:
    with pytest.raises(GraphError, match=message):
        plan(make(*operators), ["a"])


def test_a_step_may_add_to_what_it_reads_and_objects_come_after_it() -> None:
    steps = plan(make(Boxes(), Follow(), Enrich(), Rule()), ["a"]).lanes["a"].segments[0].steps
    assert [step.name for step in steps] == ["boxes0", "follow1", "enrich2", "objects", "rule3"]


def test_a_step_that_waits_for_a_class_which_nobody_finds_is_refused() -> None:
    plan(make(Finder(("Person", "traffic_light")), Follow(), Wants("traffic light")), ["a"])
    plan(make(Finder(("person",)), Boxes2(), Follow(), Wants("anything, since one detector says nothing")), ["a"])
    message = r"step 'wants2': waits for 'persn', which no detector before it finds \(did you mean 'person'\?\)"
    with pytest.raises(GraphError, match=message):
        plan(make(Finder(("person",)), Follow(), Wants("persn")), ["a"])


def test_a_composite_is_told_its_name_and_stays_as_it_was() -> None:
    pipeline = Pipeline().then(Named(), name="color")
    (step,) = plan(pipeline, ["a"]).lanes["a"].segments[0].steps
    assert step.operator == Wants("color")
    assert pipeline.steps[0].operator.name == ""


def test_a_step_for_a_camera_that_does_not_exist_is_refused() -> None:
    with pytest.raises(GraphError, match="no camera is called 'c'; cameras: a, b"):
        plan(Pipeline().then(Boxes(), cameras=["c"]), ["a", "b"])


def test_a_step_must_be_a_dataclass_operator_with_a_name_of_its_own() -> None:
    with pytest.raises(GraphError, match="must be a dataclass"):
        Pipeline().then(Operator())
    with pytest.raises(GraphError, match="the step name 'boxes' is taken"):
        Pipeline().then(Boxes()).then(Boxes())


def test_two_cameras_may_each_have_a_step_of_one_name() -> None:
    pipeline = Pipeline().then(Model("a"), name="m", cameras=["x"]).then(Model("b"), name="m", cameras=["y"])
    lanes = plan(pipeline, ["x", "y"]).lanes
    assert [lane.segments[0].steps[0].operator for lane in lanes.values()] == [Model("a"), Model("b")]
    with pytest.raises(GraphError, match="the step name 'm' is taken"):
        pipeline.then(Model("c"), name="m")


def test_the_digest_changes_with_what_a_pipeline_does_and_not_with_its_name() -> None:
    assert Pipeline("x").then(Model("a")).digest == Pipeline("y").then(Model("a")).digest
    assert Pipeline().then(Model("a")).digest != Pipeline().then(Model("b")).digest


def test_watching_for_drift_adds_a_tap_that_says_why_and_leaves_the_digest_alone() -> None:
    pipeline = make(Boxes(), Follow())
    planned = plan(pipeline, ["a"], DriftSettings(window_s=90, every_s=2, pictures=False))

    (tap,) = planned.lanes["a"].taps
    assert tap.operator == FrameStats(every_s=2, window_s=90, pictures=False)
    assert (planned.pipeline, shape(planned)) == (pipeline, shape(plan(pipeline, ["a"])))
    said = "tap frame_stats: only watches; left out when it cannot keep up; samples for drift over 90 s (`drift: false`"
    assert said in planned.explain()


def test_a_pipeline_that_samples_already_is_left_as_it_is() -> None:
    pipeline = Pipeline().then(Boxes(), cameras=["a"]).then(FrameStats(every_s=3), "mine", cameras=["a"])
    lanes = plan(pipeline, ["a", "b"], DriftSettings()).lanes

    assert [(tap.name, tap.operator) for tap in lanes["a"].taps] == [("mine", FrameStats(every_s=3))]
    assert [tap.name for tap in lanes["b"].taps] == ["frame_stats"]
