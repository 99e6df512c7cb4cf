from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine.errors import BundleError, ConfigError
from engine.frame import Frame
from engine.onnx_import import ImportOptions, describe_onnx
from engine.packet import ModelInput, Packet
from engine.picture import Letterbox, Picture
from operators.infer import Infer
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
