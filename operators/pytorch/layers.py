"""Operators with weights, and pooling: what a network's time goes into."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 (its name everywhere)

from operators.pytorch.onnx_graph import Function, Node
from operators.pytorch.operator import Computes, Operator

_CONV = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}
_CONV_TRANSPOSE = {1: F.conv_transpose1d, 2: F.conv_transpose2d, 3: F.conv_transpose3d}
_MAX_POOL = {1: F.max_pool1d, 2: F.max_pool2d, 3: F.max_pool3d}
_AVERAGE_POOL = {1: F.avg_pool1d, 2: F.avg_pool2d, 3: F.avg_pool3d}

Pads = Callable[[Tensor, list[int]], tuple[list[int], list[int]]]
"""A picture and how far a window reaches, to how much to add before and after, by axis."""


def _padding(node: Node, strides: list[int]) -> Pads:
    automatic, given = node.text("auto_pad", "NOTSET"), node.integers("pads")
    if automatic not in ("NOTSET", "VALID", "SAME_UPPER", "SAME_LOWER"):
        raise ValueError(f"auto_pad = {automatic!r} is not known here")

    def pads(x: Tensor, reach: list[int]) -> tuple[list[int], list[int]]:
        if automatic == "VALID" or (automatic == "NOTSET" and given is None):
            return [0] * len(reach), [0] * len(reach)
        if automatic == "NOTSET":
            assert given is not None
            return given[: len(reach)], given[len(reach) :]
        begin, end = [], []
        for size, stride, window in zip(x.shape[2:], strides, reach, strict=True):
            total = max((math.ceil(size / stride) - 1) * stride + window - size, 0)
            less, more = total // 2, total - total // 2
            begin.append(less if automatic == "SAME_UPPER" else more)
            end.append(more if automatic == "SAME_UPPER" else less)
        return begin, end

    return pads


def _pad(x: Tensor, begin: list[int], end: list[int], value: float = 0.0) -> Tensor:
    amounts = [n for pair in reversed(list(zip(begin, end, strict=True))) for n in pair]
    return F.pad(x, amounts, value=value)


def _reach(kernel: list[int], dilations: list[int]) -> list[int]:
    return [(size - 1) * dilation + 1 for size, dilation in zip(kernel, dilations, strict=True)]


def _window(node: Node) -> tuple[list[int], list[int], list[int]]:
    """Give a pool's kernel, strides and dilations."""
    kernel = node.integers("kernel_shape")
    if kernel is None or len(kernel) not in _CONV:
        raise ValueError(f"kernel_shape = {kernel} is not known here; expected 1 to 3 numbers")
    ones = [1] * len(kernel)
    return kernel, node.integers("strides") or ones, node.integers("dilations") or ones


def _conv(node: Node) -> Function:
    strides, dilations, group = node.integers("strides"), node.integers("dilations"), node.integer("group", 1)
    node.integers("kernel_shape")  # the weight's own
    pads = _padding(node, strides or [1, 1, 1])

    def run(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        kernel = list(weight.shape[2:])
        ones = [1] * len(kernel)
        begin, end = pads(x, _reach(kernel, dilations or ones))
        if begin != end:
            x, begin = _pad(x, begin, end), [0] * len(kernel)
        return _CONV[len(kernel)](x, weight, bias, strides or ones, begin, dilations or ones, group)

    return run


def _conv_transpose(node: Node) -> Function:
    node.only("auto_pad", "NOTSET")
    node.integers("kernel_shape")  # the weight's own
    strides, dilations, group = node.integers("strides"), node.integers("dilations"), node.integer("group", 1)
    given, extra = node.integers("pads"), node.integers("output_padding")

    def run(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        rank = weight.dim() - 2
        pads = given or [0] * (2 * rank)
        begin, end = pads[:rank], pads[rank:]
        # PyTorch takes as much from both ends: what is taken from the front too much is given back at the end.
        more = [b - e + o for b, e, o in zip(begin, end, extra or [0] * rank, strict=True)]
        added = [max(n, 0) for n in more]
        ones = [1] * rank
        y = _CONV_TRANSPOSE[rank](x, weight, bias, strides or ones, begin, added, group, dilations or ones)
        return _pad(y, [0] * rank, [min(n, 0) for n in more]) if min(more) < 0 else y

    return run


def _max_pool(node: Node) -> Function:
    kernel, strides, dilations = _window(node)
    if len(node.outputs) > 1:
        raise ValueError("its second output, the indices, is not known here")
    node.integer("storage_order")  # of the indices
    pads, ceil = _padding(node, strides), bool(node.integer("ceil_mode"))

    def run(x: Tensor) -> Tensor:
        begin, end = pads(x, _reach(kernel, dilations))
        if begin != end or any(2 * n > size for n, size in zip(begin, kernel, strict=True)):
            x, begin = _pad(x, begin, end, -math.inf), [0] * len(kernel)
        y: Tensor = _MAX_POOL[len(kernel)](x, kernel, strides, begin, dilations, ceil)
        return y

    return run


def _average_pool(node: Node) -> Function:
    kernel, strides, dilations = _window(node)
    if any(n != 1 for n in dilations):
        raise ValueError(f"dilations = {dilations} is not known here")
    pads, ceil = _padding(node, strides), bool(node.integer("ceil_mode"))
    with_pads = bool(node.integer("count_include_pad"))
    pool = _AVERAGE_POOL[len(kernel)]

    def run(x: Tensor) -> Tensor:
        begin, end = pads(x, kernel)
        if begin == end and all(2 * n <= size for n, size in zip(begin, kernel, strict=True)):
            return pool(x, kernel, strides, begin, ceil, with_pads)
        total = pool(_pad(x, begin, end), kernel, strides, 0, ceil)
        if with_pads:
            return total
        return total / pool(_pad(torch.ones_like(x), begin, end), kernel, strides, 0, ceil)

    return run


def _global_pool(reduce: Callable[[Tensor, list[int]], Tensor]) -> Callable[[Node], Function]:
    return lambda _node: lambda x: reduce(x, list(range(2, x.dim())))


def _batch_normalization(node: Node) -> Function:
    node.only("training_mode", 0)
    node.number("momentum", 0.9)  # of training
    epsilon = node.number("epsilon", 1e-5)
    return lambda x, weight, bias, mean, var: F.batch_norm(x, mean, var, weight, bias, False, 0.0, epsilon)


def _instance_normalization(node: Node) -> Function:
    epsilon = node.number("epsilon", 1e-5)
    return lambda x, weight, bias: F.instance_norm(x, None, None, weight, bias, True, 0.0, epsilon)


def _layer_normalization(node: Node) -> Function:
    axis, epsilon = node.integer("axis", -1), node.number("epsilon", 1e-5)
    node.only("stash_type", 1)
    if len(node.outputs) > 1:
        raise ValueError("its second output, the mean, is not known here")

    def run(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        return F.layer_norm(x, x.shape[axis:], weight, bias, epsilon)

    return run


def _gemm(node: Node) -> Function:
    alpha, beta = node.number("alpha", 1.0), node.number("beta", 1.0)
    transposed_a, transposed_b = node.integer("transA"), node.integer("transB")

    def run(a: Tensor, b: Tensor, c: Tensor | None = None) -> Tensor:
        a, b = a.t() if transposed_a else a, b.t() if transposed_b else b
        if c is None:
            return torch.mm(a, b) * alpha if alpha != 1 else torch.mm(a, b)
        return torch.addmm(c, a, b, beta=beta, alpha=alpha)

    return run


def _matmul(_node: Node) -> Function:
    return torch.matmul


def _einsum(node: Node) -> Function:
    equation = node.text("equation")
    return lambda *operands: torch.einsum(equation, *operands)


_H, _F = Computes.HALF, Computes.FULL
OPERATORS = {
    "AveragePool": Operator(_average_pool),
    "BatchNormalization": Operator(_batch_normalization, computes=_F),
    "Conv": Operator(_conv, computes=_H),
    "ConvTranspose": Operator(_conv_transpose, computes=_H),
    "Einsum": Operator(_einsum, computes=_H),
    "Gemm": Operator(_gemm, computes=_H),
    "GlobalAveragePool": Operator(_global_pool(lambda x, axes: x.mean(axes, keepdim=True))),
    "GlobalMaxPool": Operator(_global_pool(lambda x, axes: x.amax(axes, keepdim=True))),
    "InstanceNormalization": Operator(_instance_normalization, computes=_F),
    "LayerNormalization": Operator(_layer_normalization, computes=_F),
    "MatMul": Operator(_matmul, computes=_H),
    "MaxPool": Operator(_max_pool),
}
