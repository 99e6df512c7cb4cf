from __future__ import annotations

import dataclasses
import io
import json
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine.errors import BundleError, ConfigError, GraphError
from engine.frame import CaptureTime, Frame
from engine.onnx_import import ImportOptions, describe_onnx
from engine.packet import Packet
from engine.picture import Picture
from engine.pipeline import Pipeline
from engine.plan import plan
from operators.commands.detect import coco_results
from operators.detect import Detect
from operators.infer import Infer
from operators.letterbox import Letterbox
from tests.frames import make_frame
from tests.tiny_models import save_constant, save_yolox, squares

DATA = Path(__file__).resolve().parents[2].parent / "shared" / "data"


@pytest.fixture
def model(tmp_path: Path) -> str:
    options = ImportOptions(family="yolox", labels=("blue", "red"), input=(("color", "rgb"), ("pad", 7)))
    describe_onnx(save_yolox(tmp_path / "tiny.onnx"), options).write(tmp_path / "tiny")
    return str(tmp_path / "tiny")


def test_stands_for_letterbox_and_infer_as_the_bundle_says(model: str) -> None:
    step = Detect(model, classes=("red",), min_confidence=0.4, iou=0.5, cadence=3, max_interval=9, max_detections=5)
    letterbox = Letterbox(size_wh=(64, 64), fit="letterbox", color="rgb", pad=7, cadence=3, max_interval=9)
    infer = Infer(model, classes=("red",), min_confidence=0.4, iou=0.5, max_detections=5)
    assert step.expand() == [letterbox, infer]


def test_is_planned_as_a_camera_segment_and_a_shared_one(model: str) -> None:
    lane = plan(Pipeline().then(Detect(model)), ["gate"]).lanes["gate"]
    assert [(s.kind, [p.name for p in s.steps]) for s in lane.segments] == [
        ("camera", ["detect.letterbox"]),
        ("shared", ["detect.infer"]),
    ]


def test_finds_objects_in_the_frames_that_are_due(model: str) -> None:
    operators = Detect(model, cadence=2).expand()
    for operator in operators:
        operator.open()
    found = []
    for index in range(3):
        frame = dataclasses.replace(make_frame(index), picture=Picture.from_bgr(squares((1, 2, "blue"))))
        packet = Packet(frame)
        for operator in operators:
            packet = operator.process(packet)
        found.append(packet.detections)
    # The model reads red and blue in RGB order, the other way round.
    assert [None if d is None else (d.label(0), d.xyxy.tolist()) for d in found] == [
        ("red", [[8, 16, 16, 24]]),
        None,
        ("red", [[8, 16, 16, 24]]),
    ]


def test_a_second_detector_adds_its_boxes_where_the_first_one_looked(model: str, tmp_path: Path) -> None:
    # It takes red for blue: in BGR order the model's labels are right.
    options = ImportOptions(family="yolox", labels=("azure", "ruby"))
    describe_onnx(save_yolox(tmp_path / "other.onnx"), options).write(tmp_path / "other")
    pipeline = Pipeline().then(Detect(model, cadence=2)).then(Detect(str(tmp_path / "other"), merge=True), "more")
    steps = [step.operator for s in plan(pipeline, ["gate"]).lanes["gate"].segments for step in s.steps]
    for operator in steps:
        operator.open()
    found = []
    for index in range(2):
        packet = Packet(dataclasses.replace(make_frame(index), picture=Picture.from_bgr(squares((1, 2, "blue")))))
        for operator in steps:
            packet = operator.process(packet)
        found.append(packet.detections)
    assert found[0] is not None
    assert [found[0].label(i) for i in range(len(found[0]))] == ["red", "azure"]
    assert found[1] is None


def test_a_second_detector_that_would_replace_the_first_is_refused(model: str) -> None:
    pipeline = Pipeline().then(Detect(model)).then(Detect(model), "more")
    with pytest.raises(
        GraphError, match=r"step 'more.infer': replaces the 'detections' of step 'detect.infer'; give the"
    ):
        plan(pipeline, ["gate"])


def test_one_that_merges_needs_a_detector_before_it(model: str) -> None:
    with pytest.raises(GraphError, match=r"step 'detect.letterbox': reads 'detections', which no earlier step writes"):
        plan(Pipeline().then(Detect(model, merge=True)), ["gate"])


def test_cameras_of_their_own_may_have_detectors_of_their_own(model: str) -> None:
    pipeline = Pipeline().then(Detect(model), cameras=["a"]).then(Detect(model, iou=0.1), "more", cameras=["b"])
    assert len(plan(pipeline, ["a", "b"]).shared) == 2


def test_a_classifier_is_refused(tmp_path: Path) -> None:
    path = save_constant(tmp_path / "c.onnx", [np.array([[2, -1]], np.float32)])
    describe_onnx(path, ImportOptions(family="classifier", labels=("a", "b"))).write(tmp_path / "c")
    with pytest.raises(BundleError, match="c: a classifier finds no boxes; use it in a `classify` step"):
        Detect(str(tmp_path / "c")).expand()


def test_a_class_that_the_model_does_not_know_is_refused(model: str) -> None:
    with pytest.raises(ConfigError, match=r"detect.classes: the model has no class 'rad'; did you mean 'red'\?"):
        Detect(model, classes=("rad",)).expand()


def test_a_model_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="gone: no such model"):
        Detect(str(tmp_path / "gone")).expand()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"min_confidence": 2.0}, "min_confidence must be above 0"),
        ({"cadence": "often"}, "cadence must be every, adaptive or a number"),
        ({"merge": True, "cadence": 2}, "cadence belongs to the first detector"),
        ({"backend": "tensorflow"}, "unknown backend 'tensorflow'"),
        ({"max_interval": 0}, "max_interval must be at least 1 frame"),
        ({"letterbox": "device", "place": "actor"}, "letterbox: device needs place: local; pictures do not travel"),
    ],
)
def test_settings_that_mean_nothing_are_refused_without_a_model(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Detect("no model needed", **options)


def average_precision(model: Path, folder: Path) -> tuple[float, int]:
    """COCO's AP of a model on a folder of pictures with truth, and the number of boxes."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    truth = json.loads((folder / "instances.json").read_text())
    operators = Detect(str(model), min_confidence=0.001).expand()
    results = []
    for operator in operators:
        operator.open()
    for index, image in enumerate(truth["images"]):
        picture = Picture.read(folder / "images" / image["file_name"])
        packet = Packet(Frame("coco", 0, index, index, CaptureTime(index), picture))
        for operator in operators:
            packet = operator.process(packet)
        assert packet.detections is not None
        results += coco_results(image["id"], packet.detections)
    for operator in operators:
        operator.close()
    with redirect_stdout(io.StringIO()):
        coco = COCO(str(folder / "instances.json"))
        judge = COCOeval(coco, coco.loadRes(results), "bbox")
        judge.evaluate()
        judge.accumulate()
        judge.summarize()
    return float(judge.stats[0]), len(results)


# Measured: yolox .349, picodet .396, nanodet .320, fastestdet .235.
@pytest.mark.data
@pytest.mark.parametrize(
    ("model", "least"),
    [("yolox_nano_416", 0.32), ("yolox_nano_416_dyn", 0.32), ("picodet_s_416_dyn", 0.365), ("nanodet_m_416_dyn", 0.29),
     ("fastestdet_352", 0.205)],
)  # fmt: skip
def test_each_family_reaches_its_average_precision_on_coco_pictures(model: str, least: float) -> None:
    pytest.importorskip("pycocotools")
    path, folder = DATA / "models" / f"{model}.onnx", DATA / "detection" / "coco_val64_a"
    if not (path.is_file() and folder.is_dir()):
        pytest.skip(f"{path} or {folder} is not there")
    found, _ = average_precision(path, folder)
    assert found > least


@pytest.mark.data
@pytest.mark.parametrize("model", ["yolox_nano_416", "yolox_nano_416_dyn", "picodet_s_416_dyn", "nanodet_m_416_dyn"])
def test_batches_of_a_real_model_change_no_bit(model: str) -> None:
    path, folder = DATA / "models" / f"{model}.onnx", DATA / "detection" / "coco_val64_a" / "images"
    if not (path.is_file() and folder.is_dir()):
        pytest.skip(f"{path} or {folder} is not there")
    letterbox, infer = Detect(str(path), min_confidence=0.05).expand()
    letterbox.open()
    infer.open()
    assert isinstance(infer, Infer)
    pictures = [Picture.read(p) for p in sorted(folder.iterdir())[:8]]
    packets = [letterbox.process(Packet(dataclasses.replace(make_frame(i), picture=p))) for i, p in enumerate(pictures)]
    alone = [infer.process(packet).detections for packet in packets]
    for size in (2, 3, 8):
        for start in range(0, 8, size):
            together = infer.process_batch(packets[start : start + size])
            for packet, expected in zip(together, alone[start : start + size], strict=True):
                assert packet.detections is not None
                assert expected is not None
                for name, column in packet.detections.columns().items():
                    assert np.array_equal(column, expected.columns()[name]), (size, name)
