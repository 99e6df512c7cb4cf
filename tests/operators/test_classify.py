from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from engine.config import load_site
from engine.detections import Detections
from engine.errors import BundleError, ConfigError, GraphError
from engine.onnx_import import ImportOptions, describe_onnx
from engine.operator import Operator
from engine.packet import Packet
from engine.pipeline import Pipeline
from engine.plan import plan
from engine.replay import replay
from engine.site import Site
from operators.classify import Classify
from operators.crop import Crop
from operators.line_count import LineCount
from operators.recognise import Recognise
from operators.remember import Remember
from operators.sort import Sort
from tests.clips import write_clip
from tests.tiny_models import COLORS, save_colors, save_yolox

DATA = Path(__file__).resolve().parents[2].parent / "shared" / "data"
SCENES = Path(__file__).resolve().parents[2] / "replay_data"
RED, BLUE = (30, 30, 220), (220, 40, 30)


@pytest.fixture
def model(tmp_path: Path) -> str:
    plain = (("mean", (0.0, 0.0, 0.0)), ("std", (255.0, 255.0, 255.0)), ("resize", "letterbox"), ("pad", 9))
    options = ImportOptions(family="classifier", labels=COLORS, input=plain)
    describe_onnx(save_colors(tmp_path / "color.onnx"), options).write(tmp_path / "color")
    return str(tmp_path / "color")


@dataclass
class Spots(Operator):
    """A detector that knows: two squares of 40 pixels, one of them moving, in every second frame."""

    writes: ClassVar = ("detections",)

    def process(self, packet: Packet) -> Packet:
        index = packet.frame.index
        if index % 2:
            return packet
        boxes = np.array([[index, 60, index + 40, 100], [20, 5, 60, 45]], np.float32)
        return packet.replace(
            detections=Detections(boxes, np.full(2, 0.9, np.float32), np.array([0, 1]), ("car", "person"))
        )

    def classes_given(self) -> tuple[str, ...]:
        return ("car", "person")


def clip(tmp_path: Path, name: str = "gate") -> str:
    """At 10 frames a second: something red crosses the picture and is blue from the 40th frame on."""
    frames = []
    for index in range(80):
        picture = np.full((120, 160, 3), 128, np.uint8)
        picture[60:100, index : index + 40] = RED if index < 40 else BLUE
        frames.append(picture)
    return str(write_clip(tmp_path / f"{name}.mp4", frames, fps=10))


def lines(tmp_path: Path, pipeline: Pipeline, *clips: str) -> list[bytes]:
    log = tmp_path / "events.jsonl"
    _, errors = replay(Site.of_sources(list(clips), pipeline=pipeline, events=str(log)))
    assert errors == {}
    return log.read_bytes().splitlines()


def followed(*steps: tuple[Any, str]) -> Pipeline:
    pipeline = Pipeline().then(Spots()).then(Sort(confirm_hits=1))
    for operator, name in steps:
        pipeline = pipeline.then(operator, name)
    return pipeline.then(LineCount(line=((0.5, 0.0), (0.5, 1.0)), min_side_s=0.0), "middle")


def test_stands_for_crop_model_and_memory_as_the_bundle_says(model: str) -> None:
    step = Classify(
        model, on="person", every_s=2, labels=("red",), min_confidence=0.7, min_size=9, margin=0.1, max_crops=3
    )
    assert step.expand() == [
        Crop(size_wh=(32, 32), fit="letterbox", color="rgb", pad=9, on=("person",), every_s=2, min_size=9, margin=0.1,
             max_crops=3),
        Recognise(model, labels=("red",), min_confidence=0.7),
        Remember("classify"),
    ]  # fmt: skip


def test_is_planned_behind_the_tracker_and_before_the_objects(model: str) -> None:
    planned = plan(followed((Classify(model, on=("car",)), "color")), ["a", "b"])
    assert [(s.kind, [p.name for p in s.steps]) for s in planned.lanes["a"].segments] == [
        ("camera", ["spots", "sort", "color.crop"]),
        ("shared", ["color.recognise"]),
        ("camera", ["color.remember", "objects", "middle"]),
    ]
    assert len(planned.shared) == 1, "one model for all cameras"


def test_two_steps_with_one_model_share_it(model: str) -> None:
    pipeline = followed((Classify(model, on="car"), "car_color"), (Classify(model, on="person"), "coat"))
    assert len(plan(pipeline, ["a"]).shared) == 1


def test_every_event_about_an_object_says_its_colour(tmp_path: Path, model: str) -> None:
    found = list(map(json.loads, lines(tmp_path, followed((Classify(model), "color")), clip(tmp_path))))
    car = [e for e in found if e.get("object", {}).get("class") == "car"]

    def color(event: dict[str, Any]) -> str | None:
        label: str | None = event["object"].get("attributes", {}).get("color", {}).get("label")
        return label

    assert [(e["type"], color(e)) for e in car] == [
        ("object.new", "red"), ("object.update", "blue"), ("line.crossed", "blue"), ("object.end", "blue"),
    ]  # fmt: skip
    assert car[0]["object"]["attributes"]["color"]["confidence"] > 0.95
    assert car[1]["pts_s"] == 6.0, "blue from 4 s on; a look a second, and the third one has the lead"
    # Plain grey is nothing in particular: nobody says anything, in those words.
    other = [e for e in found if e.get("object", {}).get("class") == "person"]
    assert [e["type"] for e in other] == ["object.new", "object.end"]
    assert all("attributes" not in e["object"] for e in other)


def test_only_the_classes_asked_for_are_looked_at(tmp_path: Path, model: str) -> None:
    found = lines(tmp_path, followed((Classify(model, on="person"), "color")), clip(tmp_path))
    assert found == lines(tmp_path, followed(), clip(tmp_path))
    assert not any(b"attributes" in line for line in found)


def test_a_replay_gives_the_same_bytes_again_and_beside_other_cameras(tmp_path: Path, model: str) -> None:
    pipeline = followed((Classify(model, every_s=0), "color"), (Classify(model, on="car"), "paint"))
    gate, yard = clip(tmp_path), clip(tmp_path, "yard")
    alone = lines(tmp_path, pipeline, gate)
    assert alone == lines(tmp_path, pipeline, gate)
    together = lines(tmp_path, pipeline, gate, yard)
    assert [line for line in together if b'"camera":"gate"' in line] == alone
    assert b'"color":{"label":"red","confidence":' in alone[1]
    assert b'"paint":{"label":"red","confidence":' in alone[1]


def test_a_model_that_is_no_classifier_and_a_wrong_label_are_refused(tmp_path: Path, model: str) -> None:
    save_yolox(tmp_path / "tiny.onnx")
    describe_onnx(tmp_path / "tiny.onnx", ImportOptions(family="yolox", labels=("a", "b"))).write(tmp_path / "tiny")
    with pytest.raises(BundleError, match=r"a detector \(family 'yolox'\) classifies no crops; use it in `detect`"):
        Classify(str(tmp_path / "tiny")).expand()
    with pytest.raises(BundleError, match="gone: no such model"):
        Classify(str(tmp_path / "gone")).expand()
    with pytest.raises(ConfigError, match=r"classify.labels: the model has no class 'rad'; did you mean 'red'\?"):
        Classify(model, labels=("rad",)).expand()


def test_a_class_that_no_detector_finds_is_refused_before_the_first_frame(model: str) -> None:
    with pytest.raises(GraphError, match=r"step 'color.crop': waits for 'persn', .* \(did you mean 'person'\?\)"):
        plan(followed((Classify(model, on="persn"), "color")), ["a"])


def test_without_a_tracker_there_is_nobody_to_look_at(model: str) -> None:
    with pytest.raises(
        GraphError, match=r"step 'color.crop': reads 'tracks', which no earlier step writes; put a tracker"
    ):
        plan(Pipeline().then(Spots()).then(Classify(model), "color"), ["a"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"every_s": -1}, "every_s must be 0 or more"),
        ({"min_confidence": 2}, "min_confidence must be between 0 and 1"),
        ({"backend": "tensorflow"}, "unknown backend 'tensorflow'"),
    ],
)
def test_settings_that_mean_nothing_are_refused_without_a_model(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Classify("m", **options)


@pytest.mark.parametrize("on", ["person", "[person, car]"])
def test_a_configuration_names_one_class_or_several(tmp_path: Path, model: str, on: str) -> None:
    (tmp_path / "site.yaml").write_text(
        f"cameras:\n  gate: {clip(tmp_path)}\npipeline:\n  - motion_blobs\n  - track: {{kind: sort}}\n"
        f"  - classify: {{name: color, model: color, on: {on}, every_s: 1}}\n",
        encoding="utf-8",
    )
    site = load_site(tmp_path / "site.yaml")
    step = site.pipeline.steps[2].operator
    assert isinstance(step, Classify)
    assert Path(step.model) == tmp_path / "color"


@pytest.mark.slow
def test_the_colours_of_rendered_vehicles_are_theirs(tmp_path: Path, model: str) -> None:
    from operators.motion_blobs import MotionBlobs

    pipeline = Pipeline().then(MotionBlobs()).then(Sort()).then(Classify(model, margin=0, min_size=16), "color")
    found = list(map(json.loads, lines(tmp_path, pipeline, str(SCENES / "clips" / "street.mp4"))))
    ends = [e["object"] for e in found if e["type"] == "object.end"]
    named = [one["attributes"]["color"]["label"] for one in ends if "attributes" in one]
    assert len(named) >= len(ends) // 2 > 3
    assert set(named) <= set(COLORS)
