"""Builders of ONNX models of a few kilobytes whose boxes are known, for tests in a plain clone."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

_TYPES = {np.dtype(np.float32): TensorProto.FLOAT, np.dtype(np.int64): TensorProto.INT64}


def save_yolox(
    path: Path,
    *,
    size_wh: tuple[int, int] = (64, 64),
    batch: int | None = None,
    box_cells: float = 1.0,
    fixed_size: bool = True,
) -> Path:
    """Write a model of family yolox that sees squares: class 0 is `blue`, class 1 is `red`, of BGR pictures.

    A cell of stride 8, 16 or 32 that is filled with one colour is an object. Its box is the cell, times `box_cells`.
    Half-filled cells have low scores: objectness is the logistic of (mean of blue and red - 90) / 10.
    """
    width, height = size_wh
    nodes, weights, levels = [], [], []

    def constant(name: str, value: NDArray[Any]) -> str:
        weights.append(numpy_helper.from_array(value, name))
        return name

    box_bias = np.array([0.5, 0.5, np.log(box_cells), np.log(box_cells)], np.float32)
    score_weight = np.array([[0.05, 0, 0.05], [0.1, 0, -0.1], [-0.1, 0, 0.1]], np.float32)
    constant("box_w", np.zeros((4, 3, 1, 1), np.float32))
    constant("box_b", box_bias)
    constant("score_w", score_weight.reshape(3, 3, 1, 1))
    constant("score_b", np.array([-9, 0, 0], np.float32))
    constant("flat", np.array([0, 7, -1], np.int64))
    for s in (8, 16, 32):
        nodes += [
            helper.make_node("AveragePool", ["images"], [f"mean{s}"], kernel_shape=[s, s], strides=[s, s]),
            helper.make_node("Conv", [f"mean{s}", "box_w", "box_b"], [f"box{s}"]),
            helper.make_node("Conv", [f"mean{s}", "score_w", "score_b"], [f"logit{s}"]),
            helper.make_node("Sigmoid", [f"logit{s}"], [f"score{s}"]),
            helper.make_node("Concat", [f"box{s}", f"score{s}"], [f"cells{s}"], axis=1),
            helper.make_node("Reshape", [f"cells{s}", "flat"], [f"flat{s}"]),
            helper.make_node("Transpose", [f"flat{s}"], [f"level{s}"], perm=[0, 2, 1]),
        ]
        levels.append(f"level{s}")
    nodes.append(helper.make_node("Concat", levels, ["output"], axis=1))
    anchors = sum((width // s) * (height // s) for s in (8, 16, 32))
    shape = [batch or "N", 3, height, width] if fixed_size else [batch or "N", 3, "H", "W"]
    images = helper.make_tensor_value_info("images", TensorProto.FLOAT, shape)
    output = helper.make_tensor_value_info(
        "output", TensorProto.FLOAT, [batch or "N", anchors if fixed_size else "A", 7]
    )
    return _save(path, helper.make_graph(nodes, "tiny", [images], [output], weights))


COLORS = ("red", "green", "blue", "dark", "light")


def save_colors(
    path: Path,
    *,
    size_wh: tuple[int, int] = (32, 32),
    ending: Literal["Softmax", "Sigmoid"] | None = None,
    batch: int | None = None,
) -> Path:
    """Write a classifier of the colour in the middle of an RGB picture with values 0..1: COLORS are its classes.

    Red, green and blue have logits of 12 times what the channel is above the mean m of all three; dark has
    12 (0.3 - m), light 12 (m - 0.7). Plain grey is nothing. `ending` comes behind the logits.
    """
    width, height = size_wh
    weight = np.array([[8, -4, -4, -4, 4], [-4, 8, -4, -4, 4], [-4, -4, 8, -4, 4]], np.float32)
    constants: dict[str, NDArray[Any]] = {
        "starts": np.array([height // 4, width // 4], np.int64),
        "stops": np.array([height - height // 4, width - width // 4], np.int64),
        "axes": np.array([2, 3], np.int64),
        "weight": weight,
        "bias": np.array([0, 0, 0, 3.6, -8.4], np.float32),
    }
    last = "logits" if ending else "output"
    nodes = [
        helper.make_node("Slice", ["images", "starts", "stops", "axes"], ["middle"]),
        helper.make_node("GlobalAveragePool", ["middle"], ["mean"]),
        helper.make_node("Flatten", ["mean"], ["color"]),
        helper.make_node("Gemm", ["color", "weight", "bias"], [last]),
    ]
    if ending:
        nodes.append(helper.make_node(ending, [last], ["output"]))
    images = helper.make_tensor_value_info("images", TensorProto.FLOAT, [batch or "N", 3, height, width])
    output = helper.make_tensor_value_info("output", TensorProto.FLOAT, [batch or "N", len(COLORS)])
    weights = [numpy_helper.from_array(value, name) for name, value in constants.items()]
    return _save(path, helper.make_graph(nodes, "colors", [images], [output], weights))


def save_constant(
    path: Path,
    outputs: Sequence[NDArray[Any]],
    *,
    size_wh: tuple[int, int] = (64, 64),
    sizes_input: bool = False,
    metadata: dict[str, str] | None = None,
) -> Path:
    """Write a model that gives these outputs, one picture's with the batch dimension, whatever it sees.

    Args:
        path: the file.
        outputs: float32 or int64 arrays (1, …).
        size_wh: its fixed input size.
        sizes_input: add an input `orig_target_sizes` (N, 2) whose first row multiplies boxes, as RT-DETR does.
        metadata: what the exporter wrote beside the graph.
    """
    width, height = size_wh
    nodes = [helper.make_node("ReduceMean", ["images"], ["mean"], axes=[1, 2, 3], keepdims=0)]
    nodes.append(helper.make_node("Mul", ["mean", "nought"], ["noughts"]))
    weights = [numpy_helper.from_array(np.zeros(1, np.float32), "nought")]
    infos = []
    inputs = [helper.make_tensor_value_info("images", TensorProto.FLOAT, ["N", 3, height, width])]
    if sizes_input:
        inputs.append(helper.make_tensor_value_info("orig_target_sizes", TensorProto.INT64, ["N", 2]))
        nodes.append(helper.make_node("Cast", ["orig_target_sizes"], ["sizes"], to=TensorProto.FLOAT))
        nodes.append(helper.make_node("Concat", ["sizes", "sizes"], ["sizes4"], axis=1))
        nodes.append(helper.make_node("Unsqueeze", ["sizes4", "one"], ["scale"]))
        weights.append(numpy_helper.from_array(np.array([1], np.int64), "one"))
    for i, value in enumerate(outputs):
        kind = _TYPES[value.dtype]
        weights.append(numpy_helper.from_array(value, f"value{i}"))
        weights.append(numpy_helper.from_array(np.array([-1, *[1] * (value.ndim - 1)], np.int64), f"dims{i}"))
        nodes.append(helper.make_node("Reshape", ["noughts", f"dims{i}"], [f"zero{i}"]))
        nodes.append(helper.make_node("Cast", [f"zero{i}"], [f"typed{i}"], to=kind))
        scaled = sizes_input and value.ndim == 3
        nodes.append(helper.make_node("Add", [f"value{i}", f"typed{i}"], [f"plain{i}" if scaled else f"out{i}"]))
        if scaled:
            nodes.append(helper.make_node("Mul", [f"plain{i}", "scale"], [f"out{i}"]))
        infos.append(helper.make_tensor_value_info(f"out{i}", kind, ["N", *value.shape[1:]]))
    return _save(path, helper.make_graph(nodes, "constant", inputs, infos, weights), metadata)


def _save(path: Path, graph: onnx.GraphProto, metadata: dict[str, str] | None = None) -> Path:
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    helper.set_model_props(model, metadata or {})
    onnx.checker.check_model(model)
    onnx.save_model(model, str(path))
    return path


def squares(*cells: tuple[int, int, str], size_wh: tuple[int, int] = (64, 64), cell: int = 8) -> NDArray[np.uint8]:
    """Paint a black BGR picture with coloured cells (column, row, `blue` or `red`)."""
    picture = np.zeros((size_wh[1], size_wh[0], 3), np.uint8)
    for x, y, color in cells:
        picture[y * cell : (y + 1) * cell, x * cell : (x + 1) * cell, 0 if color == "blue" else 2] = 255
    return picture
