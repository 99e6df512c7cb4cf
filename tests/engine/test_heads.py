from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from engine.errors import BundleError
from engine.heads import FAMILIES, check_outputs, class_columns, guess_families, make_head
from engine.heads.classifier import kind_of_scores, probabilities
from engine.heads.head import MAX_CANDIDATES, Head, pick
from engine.labels import COCO, COCO_COLUMNS

Arrays = list[NDArray[Any]]


def blank(family: str, classes: int = 3, size: int = 64) -> Arrays:
    """Outputs of a family for one picture, with the batch dimension, that hold no object."""
    strides = {"picodet": (8, 16, 32, 64), "nanodet": (8, 16, 32)}.get(family, (8, 16, 32))
    cells = [(size // s) ** 2 for s in strides]
    levels: list[tuple[int, ...]] = [(1, n, k) for k in (classes, 32) for n in cells]
    shapes: dict[str, list[tuple[int, ...]]] = {
        "yolox": [(1, sum(cells), 5 + classes)],
        "picodet": levels,
        "nanodet": levels,
        "fastestdet": [(1, 5 + classes, size // 16, size // 16)],
        "yolo": [(1, 4 + classes, sum(cells))],
        "detr": [(1, 20, classes), (1, 20, 4)],
    }
    outputs: Arrays = [np.zeros(shape, np.float32) for shape in shapes[family]]
    if family == "detr":
        outputs[0] -= 20
    return outputs


def decode(family: str, outputs: Arrays, size: int = 64, **options: Any) -> tuple[Any, Any, Any]:
    head = make_head(family, outputs, (size, size), "m.onnx")
    found = head.candidates([o[0] for o in outputs], **{"min_confidence": 0.3, **options})
    confidence = found.confidence.astype(float).round(4).tolist()
    return found.xyxy.round(3).tolist(), confidence, found.column.tolist()


def test_yolox_boxes_are_cells_and_logarithms() -> None:
    outputs = blank("yolox")
    row = 64 + 1 * 4 + 2  # stride 16, row 1, column 2
    outputs[0][0, row] = [0.5, 0.25, np.log(2), np.log(3), 0.8, 0, 0.9, 0.1]
    assert decode("yolox", outputs) == ([[40 - 16, 20 - 24, 40 + 16, 20 + 24]], [0.72], [1])


def test_yolox_with_absurd_sizes_gives_numbers_and_no_warning() -> None:
    outputs = blank("yolox")
    outputs[0][0, 0] = [0, 0, 1e9, 1e9, 1, 1, 1, 1]
    head = make_head("yolox", outputs, (64, 64), "m.onnx")
    with np.errstate(all="raise"):
        assert np.isfinite(head.candidates([outputs[0][0]], 0.3).xyxy).all()


@pytest.mark.parametrize("family", ["picodet", "nanodet"])
def test_distribution_boxes_are_expectations_from_the_cell_centre(family: str) -> None:
    outputs = blank(family)
    levels = len(outputs) // 2
    outputs[1][0, 1 * 4 + 2, 2] = 0.9  # stride 16, row 1, column 2: centre (40, 24)
    sides = np.full((4, 8), -50, np.float32)
    sides[[0, 1, 2, 3], [1, 0, 2, 0]] = 50
    sides[3, 1] = 50  # half at 0 and half at 1
    outputs[levels + 1][0, 6] = sides.reshape(-1)
    assert decode(family, outputs) == ([[40 - 16, 24, 40 + 32, 24 + 8]], [0.9], [2])


def test_fastestdet_boxes_are_offsets_and_fractions() -> None:
    outputs = blank("fastestdet")
    outputs[0][0, :, 2, 1] = [0.9, 0, np.arctanh(0.5), 0, np.log(1 / 3), 0, 0.6, 0]  # row 2, column 1 of 4
    xyxy, confidence, column = decode("fastestdet", outputs)
    assert xyxy == [[16 - 16, 40 - 8, 16 + 16, 40 + 8]]
    assert confidence == pytest.approx([0.9**0.6 * 0.6**0.4], abs=1e-4)
    assert column == [1]


def test_yolo_boxes_are_pixels_of_the_input() -> None:
    outputs = blank("yolo")
    outputs[0][0, :, 5] = [30, 20, 10, 4, 0.1, 0.2, 0.7]
    assert decode("yolo", outputs) == ([[25, 18, 35, 22]], [0.7], [2])


def test_yolo_end_to_end_needs_no_suppression() -> None:
    outputs: Arrays = [np.zeros((1, 300, 6), np.float32)]
    outputs[0][0, :2] = [[1, 2, 3, 4, 0.9, 7], [1, 2, 3, 4, 0.2, 7]]
    assert decode("yolo", outputs) == ([[1, 2, 3, 4]], [0.9], [7])
    assert not make_head("yolo", outputs, (64, 64), "m.onnx").needs_nms


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_detr_logits_and_unit_boxes_in_any_order(order: tuple[int, int]) -> None:
    logits, boxes = blank("detr")
    logits[0, 3, 1] = 2.0
    boxes[0, 3] = [0.5, 0.25, 0.5, 0.25]
    outputs = [(logits, boxes)[i] for i in order]
    assert decode("detr", outputs) == ([[16, 8, 48, 24]], [round(1 / (1 + np.exp(-2)), 4)], [1])


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_detr_finished_boxes_in_any_order(order: tuple[int, ...]) -> None:
    labels = np.array([[4, 5]], np.int64)
    boxes = np.array([[[1, 2, 30, 40], [0, 0, 9, 9]]], np.float32)
    scores = np.array([[0.8, 0.1]], np.float32)
    outputs = [(labels, boxes, scores)[i] for i in order]
    assert decode("detr", outputs) == ([[1, 2, 30, 40]], pytest.approx([0.8]), [4])


@pytest.mark.parametrize("family", FAMILIES)
def test_nothing_above_the_threshold_gives_no_boxes(family: str) -> None:
    assert decode(family, blank(family), min_confidence=0.4) == ([], [], [])


@pytest.mark.parametrize("family", FAMILIES)
def test_looking_at_some_classes_finds_what_looking_at_all_finds_of_them(family: str) -> None:
    rng = np.random.default_rng(5)
    outputs = [rng.uniform(0, 1, o.shape).astype(np.float32) for o in blank(family, classes=6)]
    head = make_head(family, outputs, (64, 64), "m.onnx")
    wanted = np.array([1, 4])
    every = head.candidates([o[0] for o in outputs], 0.4)
    some = head.candidates([o[0] for o in outputs], 0.4, wanted)
    rows = np.isin(every.column, wanted)
    assert rows.any()
    found = sorted(zip(map(tuple, some.xyxy.tolist()), some.confidence.tolist(), wanted[some.column], strict=True))
    expected = sorted(
        zip(map(tuple, every.xyxy[rows].tolist()), every.confidence[rows].tolist(), every.column[rows], strict=True)
    )
    assert found == expected


def test_looking_at_some_classes_of_finished_boxes() -> None:
    outputs: Arrays = [np.array([[[1, 2, 3, 4, 0.9, 7], [5, 6, 7, 8, 0.9, 2], [0, 0, 1, 1, 0.9, 3]]], np.float32)]
    xyxy, _, column = decode("yolo", outputs, columns=np.array([2, 7]))
    assert (xyxy, column) == ([[1, 2, 3, 4], [5, 6, 7, 8]], [1, 0])


@pytest.mark.parametrize("family", FAMILIES)
def test_what_is_not_a_number_is_no_object(family: str) -> None:
    outputs = [np.full_like(o, np.nan) for o in blank(family)]
    assert decode(family, outputs) == ([], [], [])


def test_a_flood_of_candidates_is_cut_to_the_best() -> None:
    scores = np.random.default_rng(0).uniform(0.1, 1, (200, 40)).astype(np.float32)
    _, _, confidence = pick(scores, 0.05, None)
    assert sorted(confidence) == sorted(scores.reshape(-1))[-MAX_CANDIDATES:]


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_is_told_by_its_outputs(family: str) -> None:
    assert guess_families(blank(family), (64, 64)) == [family]


@pytest.mark.parametrize(("said", "given"), [(a, b) for a in FAMILIES for b in FAMILIES if a != b])
def test_outputs_of_another_family_are_refused_and_named(said: str, given: str) -> None:
    with pytest.raises(
        BundleError, match=rf"m.onnx: not a {said} model: .* at 64x64, got .*looks like family '{given}'"
    ):
        make_head(said, blank(given), (64, 64), "m.onnx")


def test_outputs_of_no_family_are_refused() -> None:
    with pytest.raises(BundleError, match=r"got 1 output \(1000,\), which looks like no family that Vedette knows"):
        make_head("yolox", [np.zeros(1000, np.float32)], (64, 64), "m.onnx")


def test_a_classifier_is_no_detector_and_says_so() -> None:
    outputs: Arrays = [np.zeros((1, 1000), np.float32)]
    assert guess_families(outputs, (64, 64)) == ["classifier"]
    with pytest.raises(BundleError, match=r"not a yolox model: .* looks like family 'classifier'"):
        make_head("yolox", outputs, (64, 64), "m.onnx")
    with pytest.raises(BundleError, match=r"m.onnx: a classifier finds no boxes; use it in a `classify` step"):
        make_head("classifier", outputs, (64, 64), "m.onnx")


@pytest.mark.parametrize(
    "outputs",
    [
        [np.zeros((1, 1), np.float32)],
        [np.zeros((1, 3), np.int64)],
        [np.zeros((1, 3, 7, 7), np.float32)],
        [np.zeros((1, 3), np.float32)] * 2,
    ],
)
def test_what_is_no_classifier_is_refused(outputs: Arrays) -> None:
    with pytest.raises(BundleError, match=r"not a classifier model: one output \(1, classes\)"):
        check_outputs("classifier", outputs, (64, 64), "m.onnx")


def test_a_classifier_may_leave_the_last_pooling_s_dimensions() -> None:
    assert check_outputs("classifier", [np.zeros((1, 3, 1, 1), np.float32)], (64, 64), "m.onnx").num_classes == 3


def test_scores_are_told_by_what_they_add_up_to() -> None:
    shares = np.array([[0.2, 0.8], [0.505, 0.5]])
    assert kind_of_scores(shares) == "probabilities"
    assert kind_of_scores(np.array([[0.2, 0.8], [-1.0, 2.0]])) == "logits"
    assert kind_of_scores(np.array([[0.2, 0.8], [9.0, 2.0]])) == "logits"
    with pytest.raises(ValueError, match="lie between 0 and 1 and do not add up to 1, as where several labels hold"):
        kind_of_scores(np.array([[0.2, 0.8], [0.9, 0.9]]))


def test_probabilities_of_logits_never_overflow_and_of_probabilities_stay() -> None:
    logits = np.array([[1000.0, 0.0], [0.0, 0.0]], np.float32)
    assert probabilities(logits, "logits").tolist() == [[1, 0], [0.5, 0.5]]
    shares = np.array([[[[0.25]], [[0.75]]]], np.float32)
    assert probabilities(shares, "probabilities").tolist() == [[0.25, 0.75]]


def test_distribution_outputs_that_disagree_are_refused() -> None:
    outputs = blank("picodet")
    outputs[1] = np.zeros((1, 16, 5), np.float32)
    with pytest.raises(BundleError, match="class scores first"):
        make_head("picodet", outputs, (64, 64), "m.onnx")


def test_fastestdet_of_another_grid_is_refused() -> None:
    with pytest.raises(BundleError, match="got 1 x 1 cells"):
        make_head("fastestdet", [np.zeros((1, 85, 1, 1), np.float32)], (640, 640), "m.onnx")


def test_detr_with_strange_companions_is_refused() -> None:
    outputs = [np.zeros((1, 20, 4), np.float32), np.zeros((1, 20), np.float32)]
    with pytest.raises(BundleError, match=r"not a detr model: logits \(1, Q, classes\)"):
        make_head("detr", outputs, (64, 64), "m.onnx")


def head_of(family: str, classes: int) -> Head:
    return make_head(family, blank(family, classes), (64, 64), "m.onnx")


def test_labels_must_be_as_many_as_classes() -> None:
    assert class_columns(head_of("yolox", 3), 3, "m.onnx") is None
    with pytest.raises(BundleError, match=r"m.onnx: the model has 3 classes, but there are 80 labels"):
        class_columns(head_of("yolox", 3), 80, "m.onnx")


def test_detr_may_have_a_background_column_or_coco_category_ids() -> None:
    background = class_columns(head_of("detr", 3), 2, "m.onnx")
    assert background is not None
    assert background.tolist() == [0, 1]
    assert class_columns(head_of("detr", 91), 80, "m.onnx") is COCO_COLUMNS
    # Category ids of COCO 2017: person 1, stop sign 13, hair drier 89, toothbrush 90.
    ids = {name: int(column) for name, column in zip(COCO, COCO_COLUMNS, strict=True)}
    assert [ids[name] for name in ("person", "stop sign", "hair drier", "toothbrush")] == [1, 13, 89, 90]
