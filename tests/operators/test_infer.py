from __future__ import annotations

import dataclasses
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from numpy.typing import NDArray

from engine import model_runner
from engine.bundle import Bundle
from engine.detections import Detections
from engine.errors import BundleError, ConfigError, DeviceMemoryError
from engine.frame import Frame
from engine.inference import BackendOptions
from engine.onnx_import import ImportOptions, describe_onnx
from engine.packet import ModelInput, Packet, PictureInput
from engine.picture import Letterbox, Picture, Pixels
from operators.infer import Infer
from operators.inference_onnxruntime import InferenceOnnxruntime
from tests.frames import make_frame
from tests.tiny_models import save_constant, save_yolox, squares

SPEC = Letterbox((64, 64))


def model(tmp_path: Path, **options: Any) -> str:
    path = save_yolox(tmp_path / "tiny.onnx", **options)
    describe_onnx(path, ImportOptions(family="yolox", labels=("blue", "red"))).write(tmp_path / "tiny")
    return str(tmp_path / "tiny")


def constant_model(
    tmp_path: Path, family: str, *outputs: np.ndarray[Any, Any], labels: tuple[str, ...] = ("a", "b")
) -> str:
    path = save_constant(tmp_path / "constant.onnx", outputs)
    describe_onnx(path, ImportOptions(family=family, labels=labels)).write(tmp_path / "constant")
    return str(tmp_path / "constant")


def opened(model: str, **options: Any) -> Infer:
    operator = Infer(model=model, **options)
    operator.open()
    return operator


def packet(*cells: tuple[int, int, str], index: int = 0, size_wh: tuple[int, int] = (64, 64), cell: int = 8) -> Packet:
    """A prepared frame with coloured cells."""
    picture = Picture.from_bgr(squares(*cells, size_wh=size_wh, cell=cell))
    frame: Frame = dataclasses.replace(make_frame(index), picture=picture)
    return Packet(frame, tensor=ModelInput(picture.letterbox(SPEC), SPEC.geometry(picture.size_wh)))


def seen(packet: Packet) -> list[tuple[str, list[float]]]:
    """Labels and boxes, rounded to pixels, in order."""
    found = packet.detections
    assert found is not None
    return [(found.label(i), found.xyxy[i].round(1).tolist()) for i in range(len(found))]


def test_sees_what_is_there(tmp_path: Path) -> None:
    found = opened(model(tmp_path)).process(packet((1, 2, "blue"), (5, 5, "red")))
    assert sorted(seen(found)) == [("blue", [8, 16, 16, 24]), ("red", [40, 40, 48, 48])]
    assert found.detections is not None
    assert found.detections.labels == ("blue", "red")


def test_boxes_are_pixels_of_the_source_frame(tmp_path: Path) -> None:
    # 256x192 fits into 64x48: a cell of 8 pixels is 32 pixels of the source.
    found = opened(model(tmp_path)).process(packet((2, 1, "red"), size_wh=(256, 192), cell=32))
    assert seen(found) == [("red", [64, 32, 96, 64])]


def test_looked_and_nothing_there_differs_from_not_looked(tmp_path: Path) -> None:
    operator = opened(model(tmp_path))
    not_due = Packet(make_frame(1))
    looked, skipped = operator.process_batch([packet(), not_due])
    assert looked.detections is not None
    assert len(looked.detections) == 0
    assert looked.detections.labels == ("blue", "red")
    assert skipped is not_due


def test_one_that_merges_adds_its_boxes_to_those_of_an_earlier_detector(tmp_path: Path) -> None:
    operator = opened(model(tmp_path), merge=True)
    assert operator.reads == ("tensor", "detections")
    before = Detections(np.array([[0, 0, 9, 9]], np.float32), np.ones(1, np.float32), np.zeros(1, np.int64), ("plate",))
    merged = operator.process(packet((5, 5, "red")).replace(detections=before))
    assert seen(merged) == [("plate", [0, 0, 9, 9]), ("red", [40, 40, 48, 48])]
    assert merged.detections is not None
    assert merged.detections.labels == ("plate", "blue", "red")


def test_a_classifier_is_refused(tmp_path: Path) -> None:
    path = save_constant(tmp_path / "c.onnx", [np.array([[2, -1]], np.float32)])
    describe_onnx(path, ImportOptions(family="classifier", labels=("a", "b"))).write(tmp_path / "c")
    with pytest.raises(BundleError, match="c: a classifier finds no boxes"):
        opened(str(tmp_path / "c"))


def test_the_classes_that_it_gives_are_those_asked_for_or_all(tmp_path: Path) -> None:
    name = model(tmp_path)
    assert Infer(model=name).classes_given() == ("blue", "red")
    assert Infer(model=name, classes=("red",)).classes_given() == ("red",)


def test_an_empty_batch_and_one_where_nothing_is_due(tmp_path: Path) -> None:
    operator = opened(model(tmp_path))
    assert operator.process_batch([]) == []
    assert operator.process_batch([Packet(make_frame())])[0].detections is None


@pytest.mark.parametrize("fixed_batch", [None, 1])
@pytest.mark.parametrize("count", [2, 3, 8])
def test_what_else_is_in_a_batch_never_changes_a_result(tmp_path: Path, count: int, fixed_batch: int | None) -> None:
    operator = opened(model(tmp_path, batch=fixed_batch, box_cells=1.7), min_confidence=0.05)
    rng = np.random.default_rng(count)
    packets = []
    for index in range(count):
        picture = Picture.from_bgr(rng.integers(0, 256, (64, 64, 3), dtype=np.uint8))
        tensor = ModelInput(picture.letterbox(SPEC), SPEC.geometry((64, 64)))
        packets += [Packet(make_frame(index), tensor=tensor), Packet(make_frame(index))]
    together = operator.process_batch(packets)
    assert [p.frame.index for p in together] == [p.frame.index for p in packets]
    for packet_, before in zip(together, packets, strict=True):
        alone = operator.process(before).detections
        if packet_.detections is None or alone is None:
            assert packet_.detections is alone
            continue
        assert len(alone) > 5
        for name, column in packet_.detections.columns().items():
            assert np.array_equal(column, alone.columns()[name]), name


def test_only_the_wanted_classes(tmp_path: Path) -> None:
    operator = opened(model(tmp_path), classes=("red",))
    assert seen(operator.process(packet((1, 2, "blue"), (5, 5, "red")))) == [("red", [40, 40, 48, 48])]


def test_an_unknown_class_names_the_near_ones(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"detect.classes: the model has no class 'bleu'; did you mean 'blue'\?"):
        opened(model(tmp_path), classes=("bleu",))


def test_overlapping_boxes_of_a_class_become_one(tmp_path: Path) -> None:
    # Boxes of two cells' width on neighbouring cells overlap by a third.
    name = model(tmp_path, box_cells=2.0)
    cells = (packet((3, 3, "red"), (4, 3, "red")), packet((3, 3, "red"), (4, 3, "blue")))
    strict, lax = opened(name, iou=0.3), opened(name, iou=0.4)
    assert [len(seen(strict.process(p))) for p in cells] == [1, 2]
    assert [len(seen(lax.process(p))) for p in cells] == [2, 2]


def test_weak_boxes_go(tmp_path: Path) -> None:
    name = model(tmp_path)
    assert len(seen(opened(name, min_confidence=0.97).process(packet((1, 1, "red"))))) == 1
    assert len(seen(opened(name, min_confidence=0.98).process(packet((1, 1, "red"))))) == 0


def test_the_best_boxes_stay_when_there_are_too_many(tmp_path: Path) -> None:
    rows = np.zeros((1, 20, 6), np.float32)
    rows[0, :, :4] = [1, 1, 9, 9]
    rows[0, :, 4] = np.linspace(0.3, 0.9, 20)
    found = opened(constant_model(tmp_path, "yolo", rows), max_detections=3).process(packet()).detections
    assert found is not None
    assert found.confidence.tolist() == rows[0, :-4:-1, 4].tolist()


def test_boxes_in_the_border_alone_go(tmp_path: Path) -> None:
    # A picture of 64x32 leaves the lower half of the input to the border.
    rows = np.zeros((1, 2, 6), np.float32)
    rows[0] = [[10, 40, 20, 60, 0.9, 0], [10, 20, 20, 60, 0.8, 1]]
    found = opened(constant_model(tmp_path, "yolo", rows)).process(packet(size_wh=(64, 32)))
    assert seen(found) == [("b", [10, 20, 20, 32])]


def test_yolo_s_known_boxes(tmp_path: Path) -> None:
    output = np.zeros((1, 6, 84), np.float32)
    output[0, :, 7] = [32, 32, 16, 8, 0.1, 0.8]
    output[0, :, 8] = [33, 32, 16, 8, 0.1, 0.7]
    assert seen(opened(constant_model(tmp_path, "yolo", output)).process(packet())) == [("b", [24, 28, 40, 36])]


def test_detr_s_known_boxes_are_not_suppressed(tmp_path: Path) -> None:
    logits = np.full((1, 10, 2), -9, np.float32)
    logits[0, 3, 1], logits[0, 4, 1] = 2, 1
    boxes = np.full((1, 10, 4), 0.5, np.float32)
    found = opened(constant_model(tmp_path, "detr", logits, boxes)).process(packet())
    assert seen(found) == [("b", [16, 16, 48, 48])] * 2


def test_detr_with_a_background_column_never_gives_background(tmp_path: Path) -> None:
    logits = np.full((1, 10, 3), -9, np.float32)
    logits[0, 3, 2], logits[0, 4, 0] = 9, 1
    boxes = np.full((1, 10, 4), 0.5, np.float32)
    found = opened(constant_model(tmp_path, "detr", boxes, logits)).process(packet())
    assert seen(found) == [("a", [16, 16, 48, 48])]


def test_detr_by_coco_category_ids_gives_the_80_names(tmp_path: Path) -> None:
    from engine.labels import COCO

    logits = np.full((1, 10, 91), -9, np.float32)
    logits[0, 3, 13], logits[0, 4, 12] = 3, 9  # stop sign, and an id that COCO does not use
    boxes = np.full((1, 10, 4), 0.5, np.float32)
    name = constant_model(tmp_path, "detr", logits, boxes, labels=COCO)
    assert seen(opened(name).process(packet())) == [("stop sign", [16, 16, 48, 48])]
    assert seen(opened(name, classes=("stop_sign", "person")).process(packet())) == [("stop sign", [16, 16, 48, 48])]


def test_a_model_that_is_not_there_is_refused_and_closing_still_works(tmp_path: Path) -> None:
    operator = Infer(model=str(tmp_path / "gone"))
    with pytest.raises(BundleError, match="gone: no such model"):
        operator.open()
    operator.close()


def test_a_closed_copy_can_be_opened_again(tmp_path: Path) -> None:
    operator = opened(model(tmp_path))
    operator.close()
    operator.open()
    assert len(seen(operator.process(packet((1, 1, "red"))))) == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"min_confidence": 0.0}, "min_confidence must be above 0 and at most 1, got 0"),
        ({"min_confidence": 1.5}, "min_confidence must be above 0 and at most 1, got 1.5"),
        ({"iou": -0.1}, "iou must be between 0 and 1, got -0.1"),
        ({"max_detections": 0}, "max_detections must be at least 1, got 0"),
        ({"place": "moon"}, "place must be local or actor, got 'moon'"),
        ({"backend": "onnx"}, r"unknown backend 'onnx'"),
    ],
)
def test_settings_that_mean_nothing_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Infer(model="m", **options)


class SmallDevice(InferenceOnnxruntime):
    """A device that has memory for two pictures."""

    name = "small"
    fits = 2
    asked: ClassVar[list[int]] = []

    def infer(self, tensor: Pixels) -> list[NDArray[Any]]:
        self.asked.append(len(tensor))
        if len(tensor) > self.fits:
            raise DeviceMemoryError(f"cuda:0 has no memory for {len(tensor)} pictures")
        return super().infer(tensor)


@pytest.fixture
def small_device(monkeypatch: pytest.MonkeyPatch) -> type[SmallDevice]:
    def open_backend(bundle: Bundle, name: str, require: str | None, options: BackendOptions) -> SmallDevice:
        backend = SmallDevice(options)
        backend.open(bundle)
        backend.max_batch = 8
        return backend

    monkeypatch.setattr(model_runner, "open_backend", open_backend)
    SmallDevice.asked = []
    return SmallDevice


def test_a_device_without_memory_gets_half_the_batch_and_nothing_is_lost(
    tmp_path: Path, small_device: type[SmallDevice], caplog: pytest.LogCaptureFixture
) -> None:
    operator = opened(model(tmp_path))
    assert operator.batch_size == 8
    small_device.asked.clear()
    packets = [packet((n % 8, 2, "blue"), index=n) for n in range(7)]
    found = operator.process_batch(packets)
    assert [seen(one) for one in found] == [[("blue", [n % 8 * 8, 16, n % 8 * 8 + 8, 24])] for n in range(7)]
    assert small_device.asked == [7, 4, 2, 2, 2, 1]
    assert operator.batch_size == 2
    assert [record.getMessage() for record in caplog.records] == [
        f"{tmp_path / 'tiny'}: batches of at most 4 from now on: cuda:0 has no memory for 7 pictures",
        f"{tmp_path / 'tiny'}: batches of at most 2 from now on: cuda:0 has no memory for 4 pictures",
    ]
    operator.process_batch(packets)
    assert max(small_device.asked[6:]) == 2


class OnDevice(SmallDevice):
    """A device that letterboxes pictures by itself."""

    def infer_pictures(self, pictures: Sequence[Picture]) -> list[NDArray[Any]]:
        return self.infer(np.stack([one.letterbox(SPEC) for one in pictures]))


def as_picture(packet: Packet) -> Packet:
    return packet.replace(tensor=PictureInput(packet.frame.picture, SPEC))


def test_pictures_are_letterboxed_on_the_device_or_else_here(
    tmp_path: Path,
    small_device: type[SmallDevice],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    packets = [packet((n, 2, "blue"), index=n, size_wh=(128, 64)) for n in range(5)]
    here = opened(model(tmp_path))
    expected = [seen(one) for one in here.process_batch(packets)]
    caplog.clear()
    for _ in range(2):
        assert [seen(one) for one in here.process_batch([as_picture(one) for one in packets])] == expected
    (said,) = caplog.messages
    assert "cannot letterbox on the device, `letterbox: device` is done on the host" in said

    monkeypatch.setattr(sys.modules[__name__], "SmallDevice", OnDevice)
    there = opened(model(tmp_path))
    monkeypatch.setattr(PictureInput, "pixels", None)
    small_device.asked.clear()
    assert [seen(one) for one in there.process_batch([as_picture(one) for one in packets])] == expected
    assert small_device.asked == [5, 3, 2, 2, 1]


def test_a_batch_of_both_kinds_of_input_is_letterboxed_here(
    tmp_path: Path, small_device: type[SmallDevice], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.modules[__name__], "SmallDevice", OnDevice)
    packets = [packet((1, 2, "blue")), as_picture(packet((3, 4, "red")))]
    found = opened(model(tmp_path)).process_batch(packets)
    assert [seen(one) for one in found] == [[("blue", [8, 16, 16, 24])], [("red", [24, 32, 32, 40])]]


def test_no_memory_for_one_picture_is_an_error(
    tmp_path: Path, small_device: type[SmallDevice], monkeypatch: pytest.MonkeyPatch
) -> None:
    operator = opened(model(tmp_path))
    monkeypatch.setattr(small_device, "fits", 0)
    with pytest.raises(DeviceMemoryError, match="no memory for 1 pictures"):
        operator.process_batch([packet((1, 2, "blue"))])


def test_more_pictures_than_a_batch_may_have_are_given_in_pieces(
    tmp_path: Path, small_device: type[SmallDevice]
) -> None:
    operator = opened(model(tmp_path), max_batch=2)
    small_device.asked.clear()
    found = operator.process_batch([packet((n, 2, "red"), index=n) for n in range(5)])
    assert [len(one.detections or ()) for one in found] == [1] * 5
    assert small_device.asked == [2, 2, 1]


def test_on_the_processor_a_batch_is_one_picture(tmp_path: Path) -> None:
    assert opened(model(tmp_path)).batch_size == 1


@pytest.mark.parametrize(
    ("fields", "match"),
    [
        ({"require": "tensorflow"}, "unknown backend 'tensorflow'"),
        ({"require": "auto"}, "require must name one backend, the one of `backend`, got 'auto'"),
        ({"require": "onnxruntime", "backend": "torch"}, "require must name one backend"),
        ({"device": "gpu"}, "device must be auto, cpu, cuda or cuda:N, got 'gpu'"),
        ({"precision": "half"}, "precision must be one of"),
        ({"max_batch": 0}, "max_batch must be at least 1"),
        ({"num_gpus": -1}, "num_gpus must be 0 or more, got -1"),
    ],
)
def test_settings_of_backend_and_device_that_mean_nothing(fields: dict[str, Any], match: str) -> None:
    with pytest.raises(ValueError, match=match):
        Infer(model="m", **fields)


def test_what_is_required_and_not_there_stops(tmp_path: Path) -> None:
    with pytest.raises((BundleError, ConfigError), match="ensor"):
        opened(model(tmp_path), require="tensorrt")
