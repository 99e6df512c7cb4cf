"""Operators along an axis: sums and means, _softmax, the largest."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 (its name everywhere)

from operators.pytorch.onnx_graph import Function, Node
from operators.pytorch.operator import Computes, Operator

Reduction = Callable[[Tensor, list[int], bool], Tensor]


def _reduce(function: Reduction) -> Callable[[Node], Function]:
    """For operators that take the axes as an attribute or, in later versions, as an input."""

    def make(node: Node) -> Function:
        given, keep = node.integers("axes"), bool(node.integer("keepdims", 1))
        nothing = bool(node.integer("noop_with_empty_axes"))

        def run(x: Tensor, axes: list[int] | None = None) -> Tensor:
            chosen = axes or given
            if not chosen and nothing:
                return x
            return function(x, chosen or list(range(x.dim())), keep)

        return run

    return make


def _product(x: Tensor, axes: list[int], keep: bool) -> Tensor:
    for axis in sorted((axis % x.dim() for axis in axes), reverse=True):
        x = x.prod(axis, keepdim=keep)
    return x


def _softmax(function: Callable[[Tensor, int], Tensor]) -> Callable[[Node], Function]:
    def make(node: Node) -> Function:
        axis = node.integer("axis", -1 if node.opset >= 13 else 1)
        if node.opset >= 13:
            return lambda x: function(x, axis)

        def run(x: Tensor) -> Tensor:
            # Before opset 13, all axes from this one on are one.
            rows = math.prod(x.shape[: axis % x.dim()])
            return function(x.reshape(rows, -1), 1).reshape(x.shape)

        return run

    return make


def _arg(function: Callable[[Tensor, int, bool], Tensor]) -> Callable[[Node], Function]:
    def make(node: Node) -> Function:
        axis, keep = node.integer("axis"), bool(node.integer("keepdims", 1))
        node.only("select_last_index", 0)
        return lambda x: function(x, axis, keep)

    return make


def _top_k(node: Node) -> Function:
    axis, largest = node.integer("axis", -1), bool(node.integer("largest", 1))
    node.integer("sorted", 1)  # sorted is one of the orders that an unsorted answer may have

    def run(x: Tensor, k: Sequence[int]) -> tuple[Tensor, Tensor]:
        # Not torch.topk: of equal values ONNX wants the first, and half precision makes many equal.
        values, indices = torch.sort(x, dim=axis, descending=largest, stable=True)
        return values.narrow(axis, 0, k[0]), indices.narrow(axis, 0, k[0])

    return run


def _cumulative_sum(node: Node) -> Function:
    node.only("exclusive", 0)
    node.only("reverse", 0)
    return lambda x, axis: torch.cumsum(x, axis if isinstance(axis, int) else axis[0])


_FULL = Computes.FULL
OPERATORS = {
    "ArgMax": Operator(_arg(lambda x, axis, keep: torch.argmax(x, axis, keep))),
    "ArgMin": Operator(_arg(lambda x, axis, keep: torch.argmin(x, axis, keep))),
    "CumSum": Operator(_cumulative_sum, known=(1,), computes=_FULL),
    "LogSoftmax": Operator(_softmax(lambda x, axis: F.log_softmax(x, axis)), computes=_FULL),
    "ReduceL1": Operator(_reduce(lambda x, axes, keep: x.abs().sum(axes, keep)), known=(1,), computes=_FULL),
    "ReduceL2": Operator(_reduce(lambda x, axes, keep: x.square().sum(axes, keep).sqrt()), known=(1,), computes=_FULL),
    "ReduceMax": Operator(_reduce(lambda x, axes, keep: x.amax(axes, keep)), known=(1,)),
    "ReduceMean": Operator(_reduce(lambda x, axes, keep: x.mean(axes, keep)), known=(1,), computes=_FULL),
    "ReduceMin": Operator(_reduce(lambda x, axes, keep: x.amin(axes, keep)), known=(1,)),
    "ReduceProd": Operator(_reduce(_product), known=(1,), computes=_FULL),
    "ReduceSum": Operator(_reduce(lambda x, axes, keep: x.sum(axes, keep, dtype=x.dtype)), known=(1,), computes=_FULL),
    "Softmax": Operator(_softmax(lambda x, axis: F.softmax(x, axis)), computes=_FULL),
    "TopK": Operator(_top_k, known=(1,)),
}
