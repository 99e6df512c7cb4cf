"""An ONNX file as plain data: nodes in order, constants as tensors, attributes as Python values."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor

from engine.errors import BackendUnavailable, BundleError
from engine.inference import TensorInfo

OPSETS = range(11, 24)
"""Versions of ONNX's operators: 21 to 23 only add types to those that are known here."""
_HALF = (TensorProto.FLOAT16, TensorProto.BFLOAT16)

Function = Callable[..., Tensor | Sequence[Tensor]]
"""What a node does: its inputs, None where one is left out, to its outputs."""


@dataclass
class Node:
    """One node of a graph. Attributes are read once, by type, so that those nobody has read can be told.

    Attributes:
        op: such as `Conv`.
        name: as the exporter called it, or its first output.
        inputs: names of values; empty where one is left out.
        outputs: likewise.
        opset: the version of ONNX's operators that the file is written in.
    """

    op: str
    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    opset: int
    attributes: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._unread = set(self.attributes)

    def __str__(self) -> str:
        return f"{self.op} (layer '{self.name}')"

    def _read(self, name: str, default: Any) -> Any:
        self._unread.discard(name)
        return self.attributes.get(name, default)

    def integer(self, name: str, default: int = 0) -> int:
        """Read a whole number."""
        return int(self._read(name, default))

    def integers(self, name: str) -> list[int] | None:
        """Read whole numbers."""
        values = self._read(name, None)
        return None if values is None else [int(value) for value in values]

    def number(self, name: str, default: float) -> float:
        """Read a number."""
        return float(self._read(name, default))

    def text(self, name: str, default: str = "") -> str:
        """Read a word."""
        value = self._read(name, default)
        return value.decode() if isinstance(value, bytes) else str(value)

    def value(self, name: str) -> Any:
        """Read an attribute of any type; None where it is not there."""
        return self._read(name, None)

    def only(self, name: str, *allowed: Any) -> None:
        """Refuse an attribute that has another value than these; the first is ONNX's default.

        Raises:
            ValueError: says which.
        """
        value = self._read(name, allowed[0])
        value = value.decode() if isinstance(value, bytes) else value
        if value not in allowed:
            raise ValueError(f"{name} = {value!r} is not known here, only {' or '.join(map(repr, allowed))}")

    def check_all_read(self) -> None:
        """Refuse attributes that nobody has read: they would silently mean nothing.

        Raises:
            ValueError: says which.
        """
        if self._unread:
            raise ValueError(f"attribute '{min(self._unread)}' is not known here")


@dataclass
class Graph:
    """What is in a file.

    Attributes:
        path: the file.
        inputs, outputs: without the weights that old files list as inputs.
        constants: weights and constants by name, on the CPU; half-precision ones are float32.
        nodes: each after those whose outputs it reads; without those that give a constant.
        metadata: what the exporter wrote beside the graph.
    """

    path: Path
    inputs: tuple[TensorInfo, ...]
    outputs: tuple[TensorInfo, ...]
    constants: dict[str, Tensor]
    nodes: list[Node]
    metadata: dict[str, str]


def read_graph(path: Path) -> Graph:
    """Read an ONNX file.

    Raises:
        BundleError: missing, no ONNX model, or of a version that is not known here.
    """
    if not path.is_file():
        raise BundleError(f"{path}: no such model file")
    try:
        model = onnx.load(str(path))
    except Exception as error:  # protobuf and ONNX have several types for a file that cannot be read
        raise BundleError(f"{path}: cannot be read as an ONNX model: {str(error).partition(chr(10))[0]}") from error
    opset = next((entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")), 0)
    if opset not in OPSETS:
        raise BundleError(
            f"{path}: the torch backend reads ONNX opsets {OPSETS.start} to {OPSETS.stop - 1}, "
            f"this model has {opset or 'none'}; export it with another"
        )
    weights = {tensor.name: to_tensor(tensor) for tensor in model.graph.initializer}
    constants = {p.output[0]: _constant(path, p) for p in model.graph.node if p.op_type == "Constant"}
    return Graph(
        path=path,
        inputs=tuple(_info(value) for value in model.graph.input if value.name not in weights),
        outputs=tuple(_info(value) for value in model.graph.output),
        constants=weights | constants,
        nodes=[_node(proto, opset) for proto in model.graph.node if proto.op_type != "Constant"],
        metadata={entry.key: entry.value for entry in model.metadata_props},
    )


def to_tensor(proto: onnx.TensorProto) -> Tensor:
    """Give a stored tensor; half-precision ones become float32, which holds them exactly."""
    array = numpy_helper.to_array(proto)
    if proto.data_type in _HALF:
        array = array.astype(np.float32)
    # A copy, since ONNX's arrays are views of the file's read-only bytes.
    return torch.from_numpy(np.array(array))


def _constant(path: Path, proto: onnx.NodeProto) -> Tensor:
    """Give the value of a Constant node."""
    (attribute,) = proto.attribute
    value = helper.get_attribute_value(attribute)
    if attribute.name == "value":
        return to_tensor(value)
    if attribute.name in ("value_float", "value_floats", "value_int", "value_ints"):
        return torch.from_numpy(np.array(value, np.float32 if "float" in attribute.name else np.int64))
    raise BackendUnavailable(
        f"{path}: the torch backend knows no constants that are {attribute.name.removeprefix('value_')}, "
        f"as in layer '{proto.name or proto.output[0]}'; use --backend onnxruntime"
    )


def _node(proto: onnx.NodeProto, opset: int) -> Node:
    op = proto.op_type if proto.domain in ("", "ai.onnx") else f"{proto.domain}.{proto.op_type}"
    attributes = {attribute.name: helper.get_attribute_value(attribute) for attribute in proto.attribute}
    outputs = tuple(proto.output)
    return Node(op, proto.name or outputs[0], tuple(proto.input), outputs, opset, attributes)


def _info(value: onnx.ValueInfoProto) -> TensorInfo:
    kind = value.type.tensor_type
    shape = tuple(size.dim_value if size.dim_value > 0 else None for size in kind.shape.dim)
    # In ONNX Runtime's words: `tensor(float)`.
    return TensorInfo(value.name, shape, f"tensor({TensorProto.DataType.Name(kind.elem_type).lower()})")
