"""Builders of small ONNX graphs, run by the torch backend's module and by ONNX Runtime."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper, parser

from operators.pytorch.module import OnnxModule
from operators.pytorch.onnx_graph import read_graph

Array = NDArray[Any]


def save_text(path: Path, body: str, *, opset: int = 13, shape: str = "float[N,3,8,8]", outputs: str = "y") -> Path:
    """Write a model in ONNX's own text syntax; its input is `x`."""
    header = f'<ir_version: 8, opset_import: ["" : {opset}]>'
    results = ", ".join(f"float[] {name}" for name in outputs.split())
    model = parser.parse_model(f"{header} g ({shape} x) => ({results}) {{ {body} }}")
    for value in model.graph.output:
        # ONNX Runtime finds the types and shapes itself.
        value.ClearField("type")
    onnx.save_model(model, str(path))
    return path


def save_node(
    path: Path, op: str, inputs: Sequence[str | Array | None], attributes: dict[str, Any], *, opset: int, outputs: int
) -> Path:
    """Write a model of one node; `x` is its input, arrays are weights, None is left out."""
    names = [one if isinstance(one, str) else "" if one is None else f"w{i}" for i, one in enumerate(inputs)]
    weights = [numpy_helper.from_array(one, f"w{i}") for i, one in enumerate(inputs) if isinstance(one, np.ndarray)]
    results = [f"y{i}" for i in range(outputs)]
    graph = helper.make_graph(
        [helper.make_node(op, names, results, **attributes)],
        op,
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, None)],
        [onnx.ValueInfoProto(name=name) for name in results],
        weights,
    )
    onnx.save_model(helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8), str(path))
    return path


def run_onnxruntime(path: Path, x: Array) -> list[Array]:
    """Give what ONNX Runtime gives."""
    options = ort.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 3
    session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    outputs: list[Array] = session.run(None, {session.get_inputs()[0].name: x})
    return outputs


def module(path: Path, dtype: torch.dtype = torch.float32) -> OnnxModule:
    """Read a model for the CPU."""
    graph = read_graph(path)
    return OnnxModule(graph, graph.inputs[0].name, torch.device("cpu"), dtype)


def run_module(path: Path, x: Array, dtype: torch.dtype = torch.float32) -> list[Array]:
    """Give what the torch backend's module gives."""
    with torch.inference_mode():
        return [output.numpy() for output in module(path, dtype)(torch.from_numpy(x).to(dtype))]


def noise(*shape: int, seed: int = 0) -> Array:
    """Numbers around 0."""
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)
