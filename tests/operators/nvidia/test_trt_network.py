from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from engine.errors import BundleError
from engine.trt_build import BuildRequest
from engine.trt_engine import TrtTensor
from operators.nvidia.tensorrt_module import load_tensorrt
from operators.nvidia.trt_network import TrtNetwork, parse_onnx
from tests.onnx_graphs import RELU, save_model
from tests.tiny_models import save_yolox

if not os.environ.get("CI"):
    pytest.importorskip("tensorrt_rtx")


def parse(path: Path, size_wh: tuple[int, int] = (64, 64), **wanted: Any) -> TrtNetwork:
    module = load_tensorrt("tensorrt_rtx")
    with module.listen() as log:
        return parse_onnx(module, module.builder(log), BuildRequest(path, size_wh, **wanted))


def test_every_input_has_a_shape_for_each_batch_of_the_profile(tmp_path: Path) -> None:
    parsed = parse(save_yolox(tmp_path / "tiny.onnx", fixed_size=False), (96, 64), opt_batch=4)
    assert parsed.batches == (1, 4, 8)
    assert parsed.inputs == (TrtTensor(name="images", shape=(-1, 3, 64, 96), dtype="float32"),)
    assert parsed.outputs == (TrtTensor(name="output", shape=(-1, 96 + 24 + 6, 7), dtype="float32"),)
    assert parsed.shape_ranges() == [("images", [(1, 3, 64, 96), (4, 3, 64, 96), (8, 3, 64, 96)])]


def test_a_fixed_batch_needs_no_profile(tmp_path: Path) -> None:
    parsed = parse(save_yolox(tmp_path / "tiny.onnx", batch=2), opt_batch=2, max_batch=2)
    assert parsed.batches == (2, 2, 2)
    assert parsed.shape_ranges() == []


def test_a_fixed_batch_must_be_the_largest(tmp_path: Path) -> None:
    path = save_yolox(tmp_path / "tiny.onnx", batch=2)
    with pytest.raises(
        BundleError, match=f"^{path}: the model takes batches of 2 only, not up to 8; build with --max-batch 2, or"
    ):
        parse(path)


def test_another_size_is_refused(tmp_path: Path) -> None:
    path = save_yolox(tmp_path / "tiny.onnx", size_wh=(96, 64))
    with pytest.raises(BundleError, match=f"^{path}: the model takes 96x64 pictures only, not 64x64$"):
        parse(path)


@pytest.mark.parametrize("data", [b"", b"no model, but a text of some length\n" * 9, bytes(5000), b"\x08\x07\x12\xff"])
def test_what_is_no_onnx_is_said(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "broken.onnx"
    path.write_bytes(data)
    with pytest.raises(BundleError, match=f"^{path}: no ONNX model, or a damaged one; export it again$"):
        parse(path)


def test_half_a_model_is_said(tmp_path: Path) -> None:
    path = save_yolox(tmp_path / "tiny.onnx")
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(BundleError, match=f"^{path}: no ONNX model, or a damaged one; export it again$"):
        parse(path)


def test_a_missing_file_is_said(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"nothing.onnx: no such model file$"):
        parse(tmp_path / "nothing.onnx")


def test_missing_weights_are_said(tmp_path: Path) -> None:
    path = save_yolox(tmp_path / "tiny.onnx")
    onnx.save_model(
        onnx.load(path), str(path), save_as_external_data=True, location="weights", size_threshold=0
    )  # fmt: skip
    parse(path)
    (tmp_path / "weights").unlink()
    with pytest.raises(
        BundleError, match="the weights 'box_w' cannot be read: the file that the model keeps them in is"
    ):
        parse(path)


def test_operators_that_the_library_lacks_are_named_with_their_nodes(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Mystery", ["images"], ["a"], name="neck.mystery", domain="acme"),
        helper.make_node("Riddle", ["a"], ["output"], domain="acme"),
    ]
    path = save_model(tmp_path / "tiny.onnx", nodes)
    with pytest.raises(
        BundleError,
        match=f"^{path}: TensorRT for RTX .* has no operator 'Mystery' \\(node 'neck.mystery'\\), 'Riddle' \\(node number "
        "1, which has no name\\); export the model without, or run it by another backend$",
    ):
        parse(path)


def test_an_operator_of_onnx_that_the_library_lacks_is_named(tmp_path: Path) -> None:
    path = save_model(
        tmp_path / "tiny.onnx", [helper.make_node("Det", ["images"], ["output"], name="head.det")], output=("N", 3)
    )
    with pytest.raises(BundleError, match=r"has no operator 'Det' \(node 'head.det'\)"):
        parse(path)


def test_a_node_that_does_not_fit_is_named(tmp_path: Path) -> None:
    weights = [numpy_helper.from_array(np.zeros((4, 5, 3, 3), np.float32), "kernel")]
    nodes = [helper.make_node("Conv", ["images", "kernel"], ["output"], name="stem.conv")]
    path = save_model(tmp_path / "tiny.onnx", nodes, output=("N", 4, 62, 62), weights=weights)
    with pytest.raises(
        BundleError,
        match=r"does not take operator 'Conv' \(node 'stem.conv'\): Kernel weight dimension failed to broadcast to input$",
    ):
        parse(path)


def test_text_is_no_type_for_it(tmp_path: Path) -> None:
    words = helper.make_tensor_value_info("words", TensorProto.STRING, [1])
    path = save_model(tmp_path / "tiny.onnx", [RELU], more_inputs=[words])
    with pytest.raises(BundleError, match=r"TensorRT for RTX .* cannot read the model: Failed to convert ONNX"):
        parse(path)


def test_a_model_of_something_else_is_refused(tmp_path: Path) -> None:
    path = save_model(tmp_path / "tiny.onnx", [RELU], image=("N", 7), output=("N", 7))
    with pytest.raises(
        BundleError,
        match=r"expected one input \(N, 3, height, width\) of floats or uint8, the model has 'images' \(\?, 7\) float32$",
    ):
        parse(path)


def test_another_input_is_refused(tmp_path: Path) -> None:
    more = helper.make_tensor_value_info("mask", TensorProto.FLOAT, ["N", 64])
    path = save_model(tmp_path / "tiny.onnx", [RELU], more_inputs=[more])
    with pytest.raises(BundleError, match="the model wants an input 'mask' beside the picture; export it without"):
        parse(path)


def test_sizes_of_one_picture_do_not_go_with_many(tmp_path: Path) -> None:
    sizes = helper.make_tensor_value_info("orig_target_sizes", TensorProto.INT64, [1, 2])
    path = save_model(tmp_path / "tiny.onnx", [RELU], more_inputs=[sizes])
    with pytest.raises(
        BundleError, match=r"'orig_target_sizes' \(1, 2\) int64 does not go with batches of \? pictures"
    ):
        parse(path)


def test_an_output_without_the_batch_is_refused(tmp_path: Path) -> None:
    nodes = [helper.make_node("ReduceMean", ["images"], ["output"], axes=[0], keepdims=0)]
    path = save_model(tmp_path / "tiny.onnx", nodes, output=(3, 64, 64))
    with pytest.raises(
        BundleError, match=r"output 'output' \(3, 64, 64\) float32 does not begin with the batch \(\?\)"
    ):
        parse(path)


def test_an_output_as_long_as_what_is_seen_is_refused(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Reshape", ["images", "boxes_shape"], ["boxes"]),
        helper.make_node("ReduceMax", ["boxes"], ["best"], axes=[2], keepdims=0),
        helper.make_node("Unsqueeze", ["best", "one"], ["scores"]),
        helper.make_node("NonMaxSuppression", ["boxes", "scores", "ten", "half", "half"], ["kept"]),
        helper.make_node("Cast", ["kept"], ["rows"], to=TensorProto.FLOAT),
        helper.make_node("Unsqueeze", ["rows", "nought"], ["output"]),
    ]
    weights = [
        numpy_helper.from_array(np.array([1, -1, 4]), "boxes_shape"),
        numpy_helper.from_array(np.array([1]), "one"),
        numpy_helper.from_array(np.array([0]), "nought"),
        numpy_helper.from_array(np.array([10]), "ten"),
        numpy_helper.from_array(np.array([0.5], np.float32), "half"),
    ]
    path = save_model(tmp_path / "tiny.onnx", nodes, image=(1, 3, 64, 64), output=(1, "K", 3), weights=weights)
    with pytest.raises(
        BundleError, match=r"size of the output 'output' \(1, \?, 3\) float32 depends on the picture; export"
    ):
        parse(path, opt_batch=1, max_batch=1)
