"""Export is refused where ONNX Runtime does not see what PyTorch sees."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import onnx
import pytest
import torch
from onnx import helper, numpy_helper

from engine.bundle import Bundle
from engine.errors import BundleError, SourceError
from tests.training.labelled import LABELS, learned, rectangles
from training.dataset import Dataset
from training.export import export_onnx
from training.model import Detector
from training.parity import check_parity

INPUT_WH = (96, 64)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return rectangles(tmp_path_factory.mktemp("data"), 8)


@pytest.fixture(scope="module")
def detector(data: Dataset) -> Detector:
    return learned(data)


@pytest.fixture(scope="module")
def bundle(detector: Detector, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return bundle_of(detector, tmp_path_factory.mktemp("bundle"))


def bundle_of(detector: Detector, folder: Path) -> Bundle:
    export_onnx(detector, folder / "model.onnx", input_wh=INPUT_WH, labels=LABELS)
    return Bundle.of_onnx(folder / "model.onnx").write(folder / "bundle")


def changed(bundle: Bundle, folder: Path, change: Callable[[onnx.ModelProto], None]) -> Bundle:
    """Give the bundle with something done to its model."""
    model = onnx.load(str(bundle.file("onnx")))
    change(model)
    onnx.save_model(model, str(folder / "model.onnx"))
    return Bundle.of_onnx(folder / "model.onnx").write(folder / "bundle")


def test_the_same_weights_see_the_same(detector: Detector, bundle: Bundle, data: Dataset) -> None:
    parity = check_parity(detector, bundle, data)

    assert parity.num_images == 8
    assert parity.map_difference <= 0.1
    assert 0 < parity.max_box_px < 0.05
    assert 0 < parity.max_score < 1e-3


def test_other_weights_are_found_out(detector: Detector, data: Dataset, tmp_path: Path) -> None:
    torch.manual_seed(1)
    other = bundle_of(Detector(detector.spec), tmp_path)

    with pytest.raises(
        BundleError, match=r"model\.onnx: ONNX Runtime has mAP 0\.00 where PyTorch has .* on 8 pictures"
    ):
        check_parity(detector, other, data)

    lenient = check_parity(detector, other, data, max_map_difference=100)
    assert lenient.map_difference > 5
    assert lenient.max_score > 0.1
    assert lenient.max_box_px > 1


def test_numbers_that_are_none_are_found_out(detector: Detector, bundle: Bundle, data: Dataset, tmp_path: Path) -> None:
    def spoil(model: onnx.ModelProto) -> None:
        bias = next(t for t in model.graph.initializer if t.name.endswith("objectness.bias"))
        bias.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(bias) * float("nan"), bias.name))

    with pytest.raises(BundleError, match=r"says about .*000000\.png is no number; train it again"):
        check_parity(detector, changed(bundle, tmp_path, spoil), data)


def test_pictures_that_change_each_other_are_found_out(
    detector: Detector, bundle: Bundle, data: Dataset, tmp_path: Path
) -> None:
    def mix(model: onnx.ModelProto) -> None:
        # The input minus the batch's mean, plus the picture's own: nothing changes in a batch of one.
        graph = model.graph
        for node in graph.node:
            node.input[:] = ["mixed" if name == "images" else name for name in node.input]
        graph.node.insert(0, helper.make_node("Sum", ["images", "images", "minus"], ["mixed"]))
        graph.node.insert(0, helper.make_node("Neg", ["mean"], ["minus"]))
        graph.node.insert(0, helper.make_node("ReduceMean", ["images"], ["mean"], axes=[0], keepdims=1))

    with pytest.raises(BundleError, match="pictures of a batch change each other's results by up to"):
        check_parity(detector, changed(bundle, tmp_path, mix), data)


def test_pictures_are_spread_over_the_data(detector: Detector, bundle: Bundle, data: Dataset) -> None:
    assert check_parity(detector, bundle, data, max_pictures=3).num_images == 3


def test_pictures_without_a_box_say_nothing(detector: Detector, bundle: Bundle, data: Dataset) -> None:
    empty = data.relabelled(LABELS, {"blue": None, "red": None})

    with pytest.raises(SourceError, match="the ground truth holds no boxes"):
        check_parity(detector, bundle, empty)


def test_the_detector_stays_as_it_was(detector: Detector, bundle: Bundle, data: Dataset) -> None:
    detector.train()
    check_parity(detector, bundle, data, max_pictures=2)
    assert detector.training
