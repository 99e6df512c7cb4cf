"""fp16 and bf16: the part of a network that does the work, in numbers of half the size.

That part is the layers and whatever lies between them. What follows the last layers stays in fp32: it is cheap, and
it turns distances into pixels, of which fp16 knows only every second one above 2048, and bf16 above 256.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Literal

import numpy as np
import onnx
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from engine.errors import BundleError
from training.precision.network import LAYERS, constants

Half = Literal["fp16", "bf16"]

_MAX_FP16 = 65504.0
# Sums, powers and exponentials leave the range of fp16 on the way to a small result; coordinates need its digits.
_STAY_FP32 = frozenset(
    "Exp Pow Softplus ReduceSum ReduceSumSquare ReduceL2 ReduceLogSumExp LayerNormalization InstanceNormalization "
    "GroupNormalization CumSum Range ConstantOfShape EyeLike TopK GridSample RoiAlign NonMaxSuppression".split()
)
# These inputs are float32 by definition of the operator.
_FLOAT32_INPUTS = {"Resize": (1, 2)}
# These read any type and pass no number on.
_ANY_TYPE = frozenset({"Shape", "Size"})


def to_half(
    path: Path, model: ModelProto, precision: Half, keep_fp32: Collection[str] = (), *, emulate: bool = False
) -> tuple[ModelProto, frozenset[str]]:
    """Type the working part of a network; inputs and outputs stay as they are.

    Args:
        path: what the model was read from, for messages.
        model: of `read_network`; it is not changed.
        precision: of the working part.
        keep_fp32: nodes that stay in fp32.
        emulate: all numbers stay float32, but are rounded where the typed network rounds them.

    Returns:
        The model, and the nodes that are typed. Nodes with constants beyond 65504, which fp16 cannot hold, are not.

    Raises:
        BundleError: an operator whose output's type is not known.
    """
    types = _types(path, model)
    beyond = {name for name, tensor in constants(model).items() if precision == "fp16" and _overflows(tensor)}
    stay = {
        node.name
        for node in model.graph.node
        if node.op_type in _STAY_FP32 or node.name in keep_fp32 or not beyond.isdisjoint(node.input)
    }
    working = _working_part(model, types) - stay
    rewriter = _Rewriter(model, types, precision, emulate)
    for node in model.graph.node:
        rewriter.add(node, node.name in working)
    typed = ModelProto()
    typed.CopyFrom(model)
    # Types inferred before are wrong now.
    for field in ("node", "value_info"):
        typed.graph.ClearField(field)
    typed.graph.node.extend(rewriter.nodes)
    typed.graph.initializer.extend(rewriter.weights)
    return typed, frozenset(working)


class _Rewriter:
    """Writes nodes one after another, with a cast wherever a value is read in another type than it was made in."""

    def __init__(self, model: ModelProto, types: Mapping[str, int], precision: Half, emulate: bool) -> None:
        self.nodes: list[NodeProto] = []
        self.weights: list[TensorProto] = []
        self._types, self._precision, self._emulate = types, precision, emulate
        self._half = TensorProto.FLOAT16 if precision == "fp16" else TensorProto.BFLOAT16
        self._constants = constants(model)
        self._outputs = {output.name for output in model.graph.output}
        # What a value is called in the half type (True) and in float32 (False).
        self._names: dict[tuple[str, bool], str] = {}

    def add(self, original: NodeProto, is_half: bool) -> None:
        """Write a node that computes in the half type, or as it did."""
        node = NodeProto()
        node.CopyFrom(original)
        for position, name in enumerate(node.input):
            if node.op_type in _ANY_TYPE:
                node.input[position] = self._names.get((name, True), name)
            elif self._types.get(name) == TensorProto.FLOAT:
                wants_half = is_half and position not in _FLOAT32_INPUTS.get(node.op_type, ())
                node.input[position] = self._read(name, wants_half)
        if is_half and node.op_type == "Cast" and not self._emulate:
            next(one for one in node.attribute if one.name == "to").i = self._half
        made = [name for name in node.output if is_half and self._types.get(name) == TensorProto.FLOAT]
        if self._emulate:
            node.output[:] = [f"{name}_exact" if name in made else name for name in node.output]
        else:
            node.output[:] = [self._name(name) if name in made else name for name in node.output]
        self.nodes.append(node)
        for name in made:
            if self._emulate:
                self._round(f"{name}_exact", name)
            elif name in self._outputs:
                self._cast(self._name(name), name, TensorProto.FLOAT)
            self._names[name, True] = name if self._emulate else self._name(name)
            if self._emulate or name in self._outputs:
                self._names[name, False] = name

    def _name(self, name: str) -> str:
        # An output of the model keeps its name for the float32 numbers that leave it.
        return f"{name}_{self._precision}" if name in self._outputs else name

    def _read(self, name: str, wants_half: bool) -> str:
        if not wants_half and (name, True) not in self._names:
            return name
        if (name, wants_half) not in self._names:
            self._names[name, wants_half] = fresh = f"{name}_{self._precision if wants_half else 'fp32'}"
            if name in self._constants:
                self.weights.append(self._narrow(self._constants[name], fresh))
            elif not wants_half:
                self._cast(self._names[name, True], fresh, TensorProto.FLOAT)
            elif self._emulate:
                self._round(name, fresh)
            else:
                self._cast(name, fresh, self._half)
        return self._names[name, wants_half]

    def _cast(self, source: str, target: str, kind: int) -> None:
        self.nodes.append(helper.make_node("Cast", [source], [target], name=f"{target}_cast", to=kind))

    def _round(self, source: str, target: str) -> None:
        self._cast(source, f"{target}_rounded", self._half)
        self._cast(f"{target}_rounded", target, TensorProto.FLOAT)

    def _narrow(self, tensor: TensorProto, name: str) -> TensorProto:
        values = numpy_helper.to_array(tensor)
        if self._precision == "fp16":
            half = values.astype(np.float16)
            return numpy_helper.from_array(half.astype(np.float32) if self._emulate else half, name)
        # bfloat16 is the upper half of a float32; rounded to nearest, ties to even.
        bits = np.ascontiguousarray(values).view(np.uint32)
        upper = ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16)
        if self._emulate:
            return numpy_helper.from_array((upper.astype(np.uint32) << 16).view(np.float32), name)
        return TensorProto(name=name, data_type=TensorProto.BFLOAT16, dims=values.shape, raw_data=upper.tobytes())


def _types(path: Path, model: ModelProto) -> dict[str, int]:
    """Give the type of every value by name."""
    graph = onnx.shape_inference.infer_shapes(model).graph
    types = {tensor.name: tensor.data_type for tensor in graph.initializer}
    for value in (*graph.input, *graph.value_info, *graph.output):
        types[value.name] = value.type.tensor_type.elem_type
    for node in graph.node:
        for name in node.output:
            if name and not types.get(name):
                raise BundleError(
                    f"{path}: '{node.name}' is a {node.op_type}, whose output has no type that ONNX knows; export the "
                    f"model without it, or build it with precision fp32"
                )
    return types


def _working_part(model: ModelProto, types: Mapping[str, int]) -> set[str]:
    """Give the names of the layers and of every node whose float32 output reaches one."""
    part: set[str] = set()
    read: set[str] = set()
    # Nodes are in the order in which they run, so that readers come before what they read.
    for node in reversed(model.graph.node):
        if node.op_type in LAYERS or not read.isdisjoint(node.output):
            part.add(node.name)
            full = _FLOAT32_INPUTS.get(node.op_type, ())
            read.update(
                name for i, name in enumerate(node.input) if types.get(name) == TensorProto.FLOAT and i not in full
            )
    return part


def _overflows(tensor: TensorProto) -> bool:
    if tensor.data_type != TensorProto.FLOAT:
        return False
    values = numpy_helper.to_array(tensor)
    return bool((np.abs(values[np.isfinite(values)]) > _MAX_FP16).any())
