"""int8: layers read eight-bit numbers, scaled so that every channel has its share of them.

Networks of depthwise convolutions have channels of very different reach in one tensor, which has one scale: what is
small gets lost. So each channel is divided by a factor before it is rounded, and the weights that read it are
multiplied by it (SmoothQuant, arXiv 2211.10438): in exact numbers nothing changes. Where the layer that makes the
tensor can take the factor into its own weights, it does; elsewhere a multiplication is put in.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from training.precision.network import Layer, constants, outputs_first

Peaks = NDArray[np.float32]

# How much of the difference between channels the weights take over, where layers mix channels: 0 is none, 1 is all.
# Measured on five models and 128 pictures: 0.8 loses at most 1.0 point of mAP, 0.5 2.5, 0.65 2.7 and 0.9 3.0.
_TAKEN_OVER = 0.8
# Channels that are nearly always silent must not be blown up.
_LEAST = 1e-3
_LEVELS = 127


@dataclass(frozen=True, eq=False)
class Operand:
    """A tensor that layers read; they share its factors and its scale.

    Attributes:
        tensor: its name.
        channel_axis: see Layer.
        layers: those that read it as their input, in the order of the graph.
    """

    tensor: str
    channel_axis: int
    layers: tuple[Layer, ...]


def quantise(model: ModelProto, operands: Sequence[Operand], peaks: Sequence[Peaks]) -> ModelProto:
    """Put Q/DQ pairs before layers: symmetric, weights by output channel, everything between layers in float32.

    Args:
        model: of `read_network`; it is not changed.
        operands: what becomes int8.
        peaks: of `measure_peaks`, of the same operands.
    """
    writer = _Writer(model)
    for operand, peak in zip(operands, peaks, strict=True):
        writer.quantise(operand, peak)
    return writer.finish()


class _Writer:
    """Changes a copy of a model, one operand after another."""

    def __init__(self, model: ModelProto) -> None:
        self._model = ModelProto()
        self._model.CopyFrom(model)
        self._nodes = {node.name: node for node in self._model.graph.node}
        self._made_by = {name: node for node in self._model.graph.node for name in node.output}
        self._num_readers: dict[str, int] = {output.name: 1 for output in model.graph.output}
        for node in model.graph.node:
            for name in node.input:
                self._num_readers[name] = self._num_readers.get(name, 0) + 1
        self._values = {name: numpy_helper.to_array(t) for name, t in constants(model).items()}
        self._before: dict[str, list[NodeProto]] = {}
        # Weights by layer, as they have become; quantised only when all factors are in them.
        self._weights: dict[str, NDArray[np.float32]] = {}
        self._quantised: set[str] = set()
        self._added: list[TensorProto] = []

    def quantise(self, operand: Operand, peak: Peaks) -> None:
        """Put a Q/DQ pair between a tensor and its layers."""
        factor = _factors(operand, peak)
        # A tensor that is nought on all pictures has no scale of its own.
        scale = float((peak / factor).max()) / _LEVELS or 1.0
        first, source = self._nodes[operand.layers[0].name], operand.tensor
        before = self._before.setdefault(first.name, [])
        name = f"{operand.tensor}_int8" if operand.channel_axis == 1 else f"{operand.tensor}_int8_last"
        if not self._fold(operand, factor):
            rank = self._values[first.input[1]].ndim if operand.channel_axis == 1 else 1
            inverse = self._constant(
                f"{name}_factor", _along(np.asarray(1 / factor, np.float32), rank, min(rank - 1, 1))
            )
            before.append(helper.make_node("Mul", [source, inverse], [f"{name}_even"], name=f"{name}_Mul"))
            source = f"{name}_even"
        pair = [self._constant(f"{name}_scale", np.float32(scale)), self._constant(f"{name}_zero", np.int8(0))]
        before.append(helper.make_node("QuantizeLinear", [source, *pair], [f"{name}_q"], name=f"{name}_Q"))
        before.append(helper.make_node("DequantizeLinear", [f"{name}_q", *pair], [f"{name}_dq"], name=f"{name}_DQ"))
        for layer in operand.layers:
            node = self._nodes[layer.name]
            weight = self._weight(node)
            by_input = weight.reshape(layer.by_input().shape) * factor.reshape(layer.groups, 1, -1, 1)
            self._weights[layer.name] = by_input.reshape(weight.shape)
            self._quantised.add(layer.name)
            node.input[0] = f"{name}_dq"

    def _weight(self, node: NodeProto) -> NDArray[np.float32]:
        """Give the weights of a layer as they are now, outputs first."""
        if node.name not in self._weights:
            weight = self._values[node.input[1]]
            self._weights[node.name] = weight if outputs_first(node) else weight.T
        return self._weights[node.name]

    def _fold(self, operand: Operand, factor: Peaks) -> bool:
        """Divide what a convolution puts out by the factors, where nobody else reads it."""
        name = operand.tensor
        if self._num_readers[name] != len(operand.layers) or operand.channel_axis != 1:
            return False
        node = self._made_by.get(name)
        # A positive factor passes these unchanged.
        while node is not None and node.op_type in ("Relu", "LeakyRelu", "MaxPool"):
            name = node.input[0]
            node = self._made_by.get(name) if self._num_readers[name] == 1 else None
        if node is None or node.op_type != "Conv" or any(one not in self._values for one in node.input[1:]):
            return False
        weight = self._weight(node)
        self._weights[node.name] = weight / _along(factor, weight.ndim, 0)
        if len(node.input) > 2:
            node.input[2] = self._constant(f"{node.name}_bias", self._values[node.input[2]] / factor)
        return True

    def finish(self) -> ModelProto:
        """Give the model."""
        graph = self._model.graph
        nodes: list[NodeProto] = []
        for node in graph.node:
            nodes += self._before.get(node.name, [])
            if node.name in self._weights:
                nodes += self._write_weight(node)
            nodes.append(node)
        copies = [_copied(node) for node in nodes]
        del graph.node[:]
        graph.node.extend(copies)
        graph.initializer.extend(self._added)
        return self._model

    def _write_weight(self, node: NodeProto) -> list[NodeProto]:
        weight, name = self._weights[node.name], f"{node.name}_weight"
        axis = 0 if outputs_first(node) else 1
        if node.name not in self._quantised:
            node.input[1] = self._constant(name, weight if axis == 0 else weight.T)
            return []
        peak = np.abs(weight).reshape(len(weight), -1).max(axis=1)
        scale = np.asarray(np.where(peak > 0, peak / _LEVELS, 1.0), np.float32)
        levels = np.rint(weight / _along(scale, weight.ndim, 0)).astype(np.int8)
        node.input[1] = f"{name}_dq"
        inputs = [
            self._constant(f"{name}_q", levels if axis == 0 else levels.T),
            self._constant(f"{name}_scale", scale),
            self._constant(f"{name}_zero", np.zeros(len(scale), np.int8)),
        ]
        return [helper.make_node("DequantizeLinear", inputs, [f"{name}_dq"], name=f"{name}_DQ", axis=axis)]

    def _constant(self, name: str, value: NDArray[np.generic] | np.generic) -> str:
        array = np.asarray(value)
        kept = array if array.dtype == np.int8 else array.astype(np.float32)
        self._added.append(numpy_helper.from_array(np.ascontiguousarray(kept).reshape(array.shape), name))
        return name


def _factors(operand: Operand, peak: Peaks) -> Peaks:
    """Give what each channel is divided by, float32 (channels,), the largest of them 1."""
    if not peak.max() > 0:
        return np.ones_like(peak)
    reach = np.maximum(peak, _LEAST * peak.max())
    # A layer that does not mix channels has a scale for the weights of each: they can take everything.
    if all(layer.by_input().shape[1:3] == (1, 1) for layer in operand.layers):
        factor = reach
    else:
        weight = np.max([np.abs(layer.by_input()).max(axis=(1, 3)).reshape(-1) for layer in operand.layers], axis=0)
        factor = reach**_TAKEN_OVER / np.maximum(weight, _LEAST * weight.max() + 1e-30) ** (1 - _TAKEN_OVER)
    return np.asarray(factor / factor.max(), np.float32)


def _along(values: Peaks, rank: int, axis: int) -> Peaks:
    shape = [1] * rank
    shape[axis] = -1
    return values.reshape(shape)


def _copied(node: NodeProto) -> NodeProto:
    copy = NodeProto()
    copy.CopyFrom(node)
    return copy
