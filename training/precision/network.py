"""A network as an ONNX graph: read, checked, its layers found, and run on pictures."""

from __future__ import annotations

import difflib
import math
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, TensorProto, numpy_helper

from engine.bundle import Bundle, Manifest
from engine.errors import BundleError
from engine.file_entry import FileEntry
from engine.inference import make_backend
from engine.input_spec import InputSpec
from engine.picture import Pixels

Array = NDArray[Any]

LAYERS = frozenset({"Conv", "ConvTranspose", "Gemm", "MatMul"})
"""Operators that do nearly all of the arithmetic."""
_MIN_OPSET = 13
_QUANTISED = ("QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear", "QLinear", "ConvInteger", "MatMulInteger")
_NARROW = {TensorProto.FLOAT16: "float16", TensorProto.BFLOAT16: "bfloat16"}


@dataclass(frozen=True, eq=False)
class Layer:
    """A layer whose weights are known.

    Attributes:
        name: of its node.
        tensor: what it reads.
        channel_axis: of that tensor: 1 of a convolution, -1 of a matrix product.
        groups: 1 of all but grouped convolutions.
        weight: float32 (outputs, inputs of a group, positions of the kernel).
    """

    name: str
    tensor: str
    channel_axis: int
    groups: int
    weight: NDArray[np.float32]

    def by_input(self) -> NDArray[np.float32]:
        """Give the weights as (groups, outputs of a group, inputs of a group, positions), a view."""
        outputs, inputs, positions = self.weight.shape
        return self.weight.reshape(self.groups, outputs // self.groups, inputs, positions)


def read_network(path: Path) -> ModelProto:
    """Read a float32 network: constants become initialisers, and every node has a name of its own.

    Raises:
        BundleError: no ONNX model, or one that cannot be typed: quantised already, not in float32, with branches or
            loops, or without any layer.
    """
    if not path.is_file():
        raise BundleError(f"{path}: no such model file")
    try:
        model = onnx.load(str(path))
    except Exception as error:  # protobuf and onnx raise whatever they like
        raise BundleError(f"{path}: not an ONNX model that can be read: {str(error).splitlines()[0]:.160}") from None
    _check(path, model)
    model = _modern(path, model)
    graph = model.graph
    for node in [node for node in graph.node if node.op_type == "Constant"]:
        attribute = node.attribute[0]
        if attribute.name == "value":
            tensor = TensorProto()
            tensor.CopyFrom(attribute.t)
        else:
            kind = np.int64 if attribute.name.startswith("value_int") else np.float32
            tensor = numpy_helper.from_array(np.asarray(onnx.helper.get_attribute_value(attribute), kind))
        tensor.name = node.output[0]
        graph.initializer.append(tensor)
        graph.node.remove(node)
    taken = Counter(node.name for node in graph.node)
    for number, node in enumerate(graph.node):
        if not node.name or taken[node.name] > 1:
            node.name = f"{node.name or node.op_type}#{number}"
    return model


def _modern(path: Path, model: ModelProto) -> ModelProto:
    """Raise a model to opset 13, the first that knows scales by channel, and casts to bfloat16."""
    version = next(one.version for one in model.opset_import if one.domain in ("", "ai.onnx"))
    if version >= _MIN_OPSET:
        return model
    try:
        newer = onnx.version_converter.convert_version(model, _MIN_OPSET)
    except Exception as error:  # the converter's own types are not public
        raise BundleError(
            f"{path}: its operators are of opset {version} and cannot be brought to {_MIN_OPSET} "
            f"({str(error).splitlines()[0]:.160}); export it with opset {_MIN_OPSET} or later"
        ) from None
    newer.metadata_props.extend(model.metadata_props[len(newer.metadata_props) :])
    return newer


def _check(path: Path, model: ModelProto) -> None:
    for node in model.graph.node:
        if node.op_type.startswith(_QUANTISED):
            raise BundleError(
                f"{path}: is quantised already ('{node.name}' is a {node.op_type}); give the float32 model it was "
                f"made of, or build it as it is with precision fp32"
            )
        if any(attribute.type in (attribute.GRAPH, attribute.GRAPHS) for attribute in node.attribute):
            raise BundleError(
                f"{path}: '{node.name}' ({node.op_type}) holds a graph of its own; export the model without branches "
                f"and loops, or build it as it is with precision fp32"
            )
    values = [(one.name, one.data_type) for one in model.graph.initializer]
    values += [(one.name, one.type.tensor_type.elem_type) for one in (*model.graph.input, *model.graph.output)]
    for name, kind in values:
        if kind in _NARROW:
            raise BundleError(
                f"{path}: '{name}' is {_NARROW[kind]} already; give the float32 model it was made of, or build it as "
                f"it is with precision fp32"
            )
    if not any(node.op_type in LAYERS for node in model.graph.node):
        raise BundleError(f"{path}: the model has neither convolutions nor matrix products; only fp32 makes sense")


def constants(model: ModelProto) -> dict[str, TensorProto]:
    """Give the initialisers by name."""
    return {tensor.name: tensor for tensor in model.graph.initializer}


def attribute(node: NodeProto, name: str, default: int) -> int:
    """Give an integer attribute of a node."""
    return next((int(one.i) for one in node.attribute if one.name == name), default)


def layer_names(model: ModelProto) -> list[str]:
    """Give the names of all layers, in the order of the graph."""
    return [node.name for node in model.graph.node if node.op_type in LAYERS]


def find_layers(model: ModelProto) -> list[Layer]:
    """Find convolutions and matrix products whose weights are constants, in the order of the graph.

    Left out is what decodes boxes: an expectation over a softmax looks like a layer, but has nothing to learn.
    """
    known = constants(model)
    made_by = {name: node for node in model.graph.node for name in node.output}
    found = []
    for node in model.graph.node:
        if node.op_type not in LAYERS - {"ConvTranspose"} or node.input[1] not in known:
            continue
        weight = numpy_helper.to_array(known[node.input[1]])
        if weight.dtype != np.float32 or (node.op_type != "Conv" and weight.ndim != 2):
            continue
        source = made_by.get(node.input[0])
        while source is not None and source.op_type in ("Reshape", "Transpose"):
            source = made_by.get(source.input[0])
        if (source is not None and source.op_type == "Softmax") or attribute(node, "transA", 0):
            continue
        is_conv = node.op_type == "Conv"
        shaped = weight if outputs_first(node) else weight.T
        found.append(
            Layer(
                name=node.name,
                tensor=node.input[0],
                channel_axis=1 if is_conv else -1,
                groups=attribute(node, "group", 1),
                weight=shaped.reshape(shaped.shape[0], shaped.shape[1], math.prod(shaped.shape[2:])),
            )
        )
    return found


def outputs_first(node: NodeProto) -> bool:
    """Say whether the first axis of a layer's weights counts its outputs, and not its inputs."""
    return node.op_type == "Conv" or (node.op_type == "Gemm" and attribute(node, "transB", 0) == 1)


def check_names(path: Path, model: ModelProto, names: Iterable[str]) -> frozenset[str]:
    """Give names of nodes as a set.

    Raises:
        BundleError: the model has no such node.
    """
    known = {node.name for node in model.graph.node}
    for name in names:
        if name not in known:
            raise BundleError(f"{path}: has no layer '{name}'{_near(name, layer_names(model))}")
    return frozenset(names)


def _near(name: str, names: Sequence[str]) -> str:
    # A list of a hundred names helps nobody.
    near = difflib.get_close_matches(name, names, n=1)
    return f" (did you mean '{near[0]}'?)" if near else f"; its first is '{names[0]}'"


def write_network(model: ModelProto, path: Path) -> None:
    """Write a model with its weights inside, without constants that nobody reads; it appears whole or not at all."""
    used = {name for node in model.graph.node for name in node.input} | {one.name for one in model.graph.output}
    kept = [tensor for tensor in model.graph.initializer if tensor.name in used]
    del model.graph.initializer[:]
    model.graph.initializer.extend(kept)
    part = path.with_name(f".{path.name}.part")
    try:
        onnx.save_model(model, str(part))
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def run_network(model: ModelProto, spec: InputSpec, pictures: Sequence[Pixels]) -> Iterator[list[Array]]:
    """Give the outputs of a model in ONNX Runtime, picture by picture, each (1, …) and in the model's order.

    Args:
        model: types that ONNX Runtime has on a CPU.
        spec: how it wants its pictures.
        pictures: uint8 (3, h, w) each.

    Raises:
        BundleError: it cannot be loaded, or fails.
    """
    backend = make_backend("onnxruntime")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "network.onnx"
        onnx.save_model(model, str(path))
        manifest = Manifest(
            name="network", family="yolox", labels=("?",), input=spec, files={"onnx": FileEntry.of(path)}
        )
        try:
            backend.open(Bundle(path.parent, manifest))
            for picture in pictures:
                yield backend.infer(picture[None])
        finally:
            backend.close()
