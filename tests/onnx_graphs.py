"""Writes ONNX models node by node, right or wrong."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import onnx
from onnx import TensorProto, helper


def save_model(
    path: Path,
    nodes: Sequence[onnx.NodeProto],
    *,
    image: Sequence[int | str] = ("N", 3, 64, 64),
    output: Sequence[int | str] = ("N", 3, 64, 64),
    more_inputs: Sequence[onnx.ValueInfoProto] = (),
    weights: Sequence[onnx.TensorProto] = (),
    opset: int = 13,
) -> Path:
    """Write a model from `images` to `output`, of nodes that need not be right."""
    images = helper.make_tensor_value_info("images", TensorProto.FLOAT, image)
    result = helper.make_tensor_value_info("output", TensorProto.FLOAT, output)
    graph = helper.make_graph(list(nodes), "tiny", [images, *more_inputs], [result], list(weights))
    opsets = [helper.make_opsetid("", opset), helper.make_opsetid("acme", 1)]
    onnx.save_model(helper.make_model(graph, opset_imports=opsets, ir_version=10), str(path))
    return path


RELU = helper.make_node("Relu", ["images"], ["output"])
