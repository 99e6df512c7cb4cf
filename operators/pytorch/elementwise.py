"""Operators that work number by number: activations, arithmetic, comparisons, types."""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable
from typing import Any

import torch
from onnx import TensorProto
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 (its name everywhere)

from operators.pytorch.onnx_graph import Function, Node
from operators.pytorch.operator import Computes, Operator

_TYPES: dict[int, torch.dtype] = {
    TensorProto.FLOAT: torch.float32, TensorProto.DOUBLE: torch.float64, TensorProto.BOOL: torch.bool,
    TensorProto.INT64: torch.int64, TensorProto.INT32: torch.int32, TensorProto.INT16: torch.int16,
    TensorProto.INT8: torch.int8, TensorProto.UINT8: torch.uint8,
}  # fmt: skip
_HALF = (TensorProto.FLOAT16, TensorProto.BFLOAT16)


def _plain(function: Callable[..., Tensor]) -> Callable[[Node], Function]:
    """For operators without attributes."""
    return lambda _node: function


def _folded(function: Callable[[Any, Any], Any]) -> Callable[[Node], Function]:
    """For operators of two numbers that ONNX lets take any number of inputs."""
    return lambda _node: lambda *values: functools.reduce(function, values)


def _leaky_relu(node: Node) -> Function:
    slope = node.number("alpha", 0.01)
    return lambda x: F.leaky_relu(x, slope)


def _elu(node: Node) -> Function:
    alpha = node.number("alpha", 1.0)
    return lambda x: F.elu(x, alpha)


def _hard_sigmoid(node: Node) -> Function:
    alpha, beta = node.number("alpha", 0.2), node.number("beta", 0.5)
    if abs(alpha - 1 / 6) < 1e-6 and beta == 0.5:
        return F.hardsigmoid
    return lambda x: torch.clamp(x * alpha + beta, 0.0, 1.0)


def _gelu(node: Node) -> Function:
    node.only("approximate", "none", "tanh")
    approximate = node.text("approximate", "none")
    return lambda x: F.gelu(x, approximate=approximate)


def _prelu(_node: Node) -> Function:
    return lambda x, slope: torch.where(x < 0, x * slope, x)


def _clip(_node: Node) -> Function:
    def run(x: Tensor, least: Any = None, most: Any = None) -> Tensor:
        bounds = [bound[0] if isinstance(bound, list) else bound for bound in (least, most)]
        return x if bounds == [None, None] else torch.clamp(x, *bounds)

    return run


def _divide(a: Tensor, b: Tensor) -> Tensor:
    return torch.div(a, b) if a.is_floating_point() else torch.div(a, b, rounding_mode="trunc")


def _mod(node: Node) -> Function:
    return torch.fmod if node.integer("fmod") else torch.remainder


def _power(x: Tensor, exponent: Any) -> Tensor:
    return torch.pow(x, exponent).to(x.dtype)


def _mean(_node: Node) -> Function:
    return lambda *values: functools.reduce(operator.add, values) / len(values)


def _cast(node: Node) -> Function:
    to = node.integer("to")
    node.integer("saturate", 1)  # of float8, which is refused
    if to in _HALF:
        # Half precision is chosen for the whole model: the file's own choice only tells that these are fractions.
        return lambda x: x if x.is_floating_point() else x.float()
    if to not in _TYPES:
        raise ValueError(f"the type {TensorProto.DataType.Name(to)} is not known here")
    dtype = _TYPES[to]
    if dtype == torch.float32:
        return lambda x: x if x.dtype in (torch.float16, torch.bfloat16) else x.to(dtype)
    return lambda x: x.to(dtype)


def _dropout(node: Node) -> Function:
    if len(node.outputs) > 1:
        raise ValueError("its second output, the mask, is not known here")
    for name in ("ratio", "seed"):
        node.number(name, 0)  # of training
    return lambda x, *_: x


_FULL = Computes.FULL
OPERATORS = {
    "Abs": Operator(_plain(torch.abs)),
    "Add": Operator(_plain(torch.add)),
    "And": Operator(_plain(torch.logical_and)),
    "Cast": Operator(_cast),
    "Ceil": Operator(_plain(torch.ceil)),
    "Clip": Operator(_clip, known=(1, 2)),
    "Cos": Operator(_plain(torch.cos), computes=_FULL),
    "Div": Operator(_plain(_divide)),
    "Dropout": Operator(_dropout),
    "Elu": Operator(_elu),
    "Equal": Operator(_plain(torch.eq)),
    "Erf": Operator(_plain(torch.erf)),
    "Exp": Operator(_plain(torch.exp), computes=_FULL),
    "Floor": Operator(_plain(torch.floor)),
    "Gelu": Operator(_gelu),
    "Greater": Operator(_plain(torch.gt)),
    "GreaterOrEqual": Operator(_plain(torch.ge)),
    "HardSigmoid": Operator(_hard_sigmoid),
    "HardSwish": Operator(_plain(F.hardswish)),
    "Identity": Operator(_plain(lambda x: x)),
    "LeakyRelu": Operator(_leaky_relu),
    "Less": Operator(_plain(torch.lt)),
    "LessOrEqual": Operator(_plain(torch.le)),
    "Log": Operator(_plain(torch.log), computes=_FULL),
    "Max": Operator(_folded(torch.maximum)),
    "Mean": Operator(_mean),
    "Min": Operator(_folded(torch.minimum)),
    "Mish": Operator(_plain(F.mish)),
    "Mod": Operator(_mod),
    "Mul": Operator(_plain(torch.mul)),
    "Neg": Operator(_plain(torch.neg)),
    "Not": Operator(_plain(torch.logical_not)),
    "Or": Operator(_plain(torch.logical_or)),
    "PRelu": Operator(_prelu),
    "Pow": Operator(_plain(_power), number=(1,), computes=_FULL),
    "Reciprocal": Operator(_plain(torch.reciprocal), computes=_FULL),
    "Relu": Operator(_plain(torch.relu)),
    "Round": Operator(_plain(torch.round)),
    "Sigmoid": Operator(_plain(torch.sigmoid)),
    "Sign": Operator(_plain(torch.sign)),
    "Silu": Operator(_plain(F.silu)),  # not ONNX's, see patterns.py
    "Sin": Operator(_plain(torch.sin), computes=_FULL),
    "Softplus": Operator(_plain(F.softplus), computes=_FULL),
    "Sqrt": Operator(_plain(torch.sqrt), computes=_FULL),
    "Sub": Operator(_plain(torch.sub)),
    "Sum": Operator(_folded(torch.add)),
    "Tanh": Operator(_plain(torch.tanh)),
    "Where": Operator(_plain(torch.where)),
    "Xor": Operator(_plain(torch.logical_xor)),
}
