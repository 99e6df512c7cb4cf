"""Every operator against ONNX Runtime, in the versions of ONNX in which its meaning or its form differs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from operators.pytorch.table import OPERATORS
from tests.operators.pytorch.graphs import Array, noise, run_module, run_onnxruntime, save_node

IMAGE = (2, 4, 9, 11)
POSITIVE = "positive"


def ints(*values: int) -> Array:
    return np.array(values, np.int64)


def floats(*values: float) -> Array:
    return np.array(values, np.float32)


class Case:
    """One node on random input."""

    def __init__(
        self, op: str, *inputs: Any, shape: tuple[int, ...] = IMAGE, opset: int = 13, outputs: int = 1,
        values: str = "", **attributes: Any,
    ) -> None:  # fmt: skip
        self.op, self.inputs, self.shape, self.opset, self.outputs = op, inputs or ("x",), shape, opset, outputs
        self.values, self.attributes = values, attributes

    @property
    def id(self) -> str:
        settings = "-".join(f"{k}={v}" for k, v in self.attributes.items())
        return f"{self.op}-{self.opset}-{settings}".replace(" ", "")


LAYERS = [
    Case("Conv", "x", noise(6, 4, 3, 3), noise(6), pads=[1, 1, 1, 1]),
    Case("Conv", "x", noise(6, 4, 3, 3), strides=[2, 2], pads=[0, 1, 2, 3], dilations=[2, 1]),
    Case("Conv", "x", noise(8, 1, 3, 3), noise(8), group=4, pads=[1, 1, 1, 1], kernel_shape=[3, 3]),
    *(Case("Conv", "x", noise(6, 4, 3, 4), strides=[2, 2], auto_pad=how) for how in ("SAME_UPPER", "SAME_LOWER", "VALID")),
    Case("Conv", "x", noise(6, 4, 3), noise(6), shape=(2, 4, 9), pads=[1, 1]),
    Case("Conv", "x", noise(6, 4, 1, 3, 3), shape=(1, 4, 3, 5, 6)),
    Case("ConvTranspose", "x", noise(4, 3, 2, 2), noise(3), strides=[2, 2]),
    Case("ConvTranspose", "x", noise(4, 3, 3, 3), strides=[2, 2], pads=[1, 1, 1, 1], output_padding=[1, 1]),
    Case("ConvTranspose", "x", noise(4, 3, 3, 3), strides=[2, 2], pads=[0, 1, 1, 1], output_padding=[1, 0]),
    Case("ConvTranspose", "x", noise(4, 3, 3, 3), strides=[2, 2], pads=[1, 0, 0, 0]),
    Case("ConvTranspose", "x", noise(4, 2, 3, 3), group=2, dilations=[2, 2]),
    Case("BatchNormalization", "x", noise(4), noise(4), noise(4), np.abs(noise(4)) + 0.5, epsilon=1e-3),
    Case("InstanceNormalization", "x", noise(4), noise(4)),
    Case("LayerNormalization", "x", noise(11), noise(11), opset=17),
    Case("LayerNormalization", "x", noise(9, 11), opset=17, axis=2, epsilon=1e-3),
    Case("MaxPool", kernel_shape=[5, 5], pads=[2, 2, 2, 2]),
    Case("MaxPool", kernel_shape=[3, 3], strides=[2, 2], pads=[0, 0, 1, 1]),
    Case("MaxPool", kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1], ceil_mode=1),
    Case("MaxPool", kernel_shape=[2, 2], strides=[2, 2], ceil_mode=1),
    Case("MaxPool", kernel_shape=[2, 3], dilations=[2, 1], pads=[1, 1, 1, 1]),
    Case("MaxPool", kernel_shape=[2, 3], auto_pad="SAME_UPPER"),
    Case("MaxPool", shape=(2, 4, 9), kernel_shape=[3]),
    Case("AveragePool", kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1]),
    Case("AveragePool", kernel_shape=[3, 3], pads=[1, 1, 1, 1], count_include_pad=1),
    Case("AveragePool", kernel_shape=[3, 3], strides=[2, 2], pads=[0, 1, 1, 1]),
    Case("AveragePool", kernel_shape=[3, 3], pads=[0, 1, 1, 1], count_include_pad=1),
    Case("AveragePool", kernel_shape=[2, 2], strides=[2, 2], ceil_mode=1, opset=19),
    Case("GlobalAveragePool"),
    Case("GlobalMaxPool"),
    Case("Gemm", "x", noise(7, 5), noise(5), shape=(3, 7)),
    Case("Gemm", "x", noise(3, 5), noise(7, 5), shape=(3, 7), transA=1, alpha=0.5, beta=2.0),
    Case("Gemm", "x", noise(5, 7), shape=(3, 7), transB=1, alpha=0.5),
    Case("MatMul", "x", noise(11, 5)),
    Case("MatMul", "x", noise(4, 11, 5)),
    Case("Einsum", "x", noise(11, 5), equation="nchw,wk->nkch"),
]  # fmt: skip

ELEMENTWISE = [
    *(Case(op) for op in ("Abs", "Ceil", "Cos", "Erf", "Exp", "Floor", "Identity", "Neg", "Relu", "Round", "Sigmoid", "Sign",
                          "Sin", "Softplus", "Tanh")),
    *(Case(op, values=POSITIVE) for op in ("Log", "Reciprocal", "Sqrt")),
    *(Case(op, "x", noise(11)) for op in ("Add", "Sub", "Mul", "Div", "Max", "Min", "PRelu")),
    *(Case(op, "x", noise(4, 1, 1)) for op in ("Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual")),
    Case("Add", noise(4, 1, 1), "x"),
    Case("Max", "x", noise(11), noise(9, 1)),
    Case("Sum", "x", noise(11), noise(9, 1)),
    Case("Mean", "x", noise(11), noise(9, 1)),
    Case("Pow", "x", np.array(2, np.float32)),
    Case("Pow", "x", np.array(2, np.int64)),
    Case("Pow", "x", np.abs(noise(11)), values=POSITIVE),
    Case("Mod", "x", noise(11), fmod=1),
    Case("Clip", "x", np.array(-0.5, np.float32), np.array(0.5, np.float32)),
    Case("Clip", "x", None, np.array(0.5, np.float32)),
    Case("Clip", "x"),
    Case("Where", np.array([True, False] * 5 + [True]), "x", noise(11)),
    Case("LeakyRelu", alpha=0.1),
    Case("LeakyRelu"),
    Case("Elu", alpha=0.7),
    Case("HardSigmoid"),
    Case("HardSigmoid", alpha=1 / 6),
    Case("HardSwish", opset=14),
    Case("Mish", opset=18),
    Case("Gelu", opset=20),
    Case("Gelu", opset=20, approximate="tanh"),
    *(Case("Cast", to=to) for to in (1, 6, 7, 9, 11)),
    Case("Dropout"),
]  # fmt: skip

REDUCTIONS = [
    *(Case(op, axes=[1, -1], keepdims=keep) for op in ("ReduceMean", "ReduceMax", "ReduceMin", "ReduceL1", "ReduceL2", "ReduceProd")
      for keep in (0, 1)),
    Case("ReduceMean"),
    Case("ReduceMean", "x", ints(2, 3), opset=18, keepdims=0),
    Case("ReduceMax", "x", ints(1), opset=18),
    Case("ReduceSum", axes=[1], keepdims=0, opset=11),
    Case("ReduceSum", "x", ints(1)),
    Case("ReduceSum", "x", noop_with_empty_axes=1),
    Case("Softmax"), Case("Softmax", axis=1), Case("Softmax", opset=11), Case("Softmax", opset=11, axis=2),
    Case("LogSoftmax", axis=1),
    Case("ArgMax", axis=1), Case("ArgMax", axis=-1, keepdims=0), Case("ArgMin", axis=1),
    Case("TopK", "x", ints(3), outputs=2), Case("TopK", "x", ints(2), outputs=2, axis=1, largest=0),
    Case("TopK", "x", ints(5), outputs=2, values="few"),
    Case("CumSum", "x", np.array(1, np.int64)),
]  # fmt: skip

GRID = np.random.default_rng(5).uniform(-1.3, 1.3, (2, 5, 6, 2)).astype(np.float32)
SHAPES = [
    Case("Concat", "x", noise(2, 3, 9, 11), axis=1),
    Case("Concat", "x", "x", axis=-1),
    Case("Split", outputs=2, axis=1),
    Case("Split", "x", ints(1, 3), outputs=2, axis=1),
    Case("Split", outputs=2, axis=1, split=[1, 3], opset=11),
    Case("Split", outputs=3, axis=3, num_outputs=3, opset=18),
    Case("Slice", "x", ints(1), ints(7), ints(2)),
    Case("Slice", "x", ints(0, -5), ints(9999, -1), ints(2, 3), ints(2, 2)),
    Case("Slice", "x", ints(0, 1), ints(1, 3)),
    Case("Slice", "x", ints(-1), ints(-9999), ints(3), ints(-1)),
    Case("Slice", "x", ints(8), ints(1), ints(2), ints(-3)),
    Case("Slice", "x", ints(1), ints(8), ints(2), ints(-1)),
    Case("Reshape", "x", ints(0, -1, 11)),
    Case("Reshape", "x", ints(0, 0), opset=14, allowzero=1, shape=(0, 0)),
    Case("Transpose", perm=[0, 2, 3, 1]), Case("Transpose"),
    Case("Flatten"), Case("Flatten", axis=0), Case("Flatten", axis=-1),
    Case("Squeeze", shape=(2, 1, 3, 1)), Case("Squeeze", "x", ints(1), shape=(2, 1, 3, 1)),
    Case("Squeeze", axes=[-1], opset=11, shape=(2, 1, 3, 1)),
    Case("Unsqueeze", "x", ints(0, -1)), Case("Unsqueeze", "x", np.array(2, np.int64)), Case("Unsqueeze", axes=[1, 3], opset=11),
    Case("Expand", "x", ints(2, 1, 5), shape=(2, 3, 1)), Case("Expand", "x", ints(5, 2, 3, 4), shape=(3, 1)),
    Case("Tile", "x", ints(1, 2, 1, 3)),
    Case("Shape"), Case("Shape", opset=15, start=1, end=-1), Case("Size"),
    Case("Gather", "x", np.array(1, np.int64), axis=1), Case("Gather", "x", np.array(-1, np.int64), axis=2),
    Case("Gather", "x", ints(0, -1, 2), axis=1), Case("Gather", "x", np.array([[0, 1], [2, -2]], np.int64), axis=-1),
    Case("GatherElements", "x", np.array([[2, -1], [0, 1]], np.int64), shape=(2, 4), axis=1),
    Case("GatherND", "x", np.array([[0, 1], [-1, 2]], np.int64)),
    Case("ScatterElements", "x", np.array([[2, -1]], np.int64), floats(7, 8)[None], shape=(2, 4), axis=1),
    Case("ScatterND", "x", np.array([[0, 1], [1, -1]], np.int64), noise(2, 9, 11)),
    Case("Pad", "x", ints(0, 0, 1, 2, 0, 1, 0, 3), np.array(0.5, np.float32)),
    Case("Pad", "x", ints(0, 0, -1, 0, 0, 0, 0, -2)),
    Case("Pad", "x", ints(1, 2), None, ints(-1), opset=18),
    *(Case("Pad", "x", ints(0, 1, 2, 3, 0, 1, 1, 2), mode=mode) for mode in ("edge", "reflect")),
    Case("DepthToSpace", blocksize=2), Case("DepthToSpace", blocksize=2, mode="CRD"),
    Case("SpaceToDepth", blocksize=2, shape=(2, 3, 8, 6)),
    *(Case("GridSample", "x", GRID, opset=16, mode=mode, padding_mode=padding, align_corners=align)
      for mode in ("bilinear", "nearest") for padding in ("zeros", "border", "reflection") for align in (0, 1)),
    Case("GridSample", "x", GRID, opset=20, mode="linear"),
    Case("Trilu", shape=(2, 5, 5), opset=14), Case("Trilu", "x", np.array(1, np.int64), shape=(2, 5, 5), opset=14, upper=0),
]  # fmt: skip


def scaled(*scales: float, **attributes: Any) -> Case:
    return Case("Resize", "x", None, floats(*scales), **attributes)


def sized(*sizes: int, **attributes: Any) -> Case:
    return Case("Resize", "x", None, None, ints(*sizes), **attributes)


PLACES = ("half_pixel", "pytorch_half_pixel", "align_corners", "asymmetric")
RESIZES = [
    *(scaled(1, 1, 2, 2, mode=mode, coordinate_transformation_mode=places) for mode in ("nearest", "linear") for places in PLACES),
    *(sized(2, 4, 14, 7, mode="linear", coordinate_transformation_mode=places) for places in PLACES),
    *(sized(2, 4, 20, 6, mode="nearest", coordinate_transformation_mode=places, nearest_mode=rounding) for places in PLACES
      for rounding in ("round_prefer_floor", "round_prefer_ceil", "floor", "ceil")),
    scaled(1, 1, 2, 2, mode="nearest", coordinate_transformation_mode="asymmetric", nearest_mode="floor"),
    scaled(1, 1, 1.7, 0.6, mode="linear"),
    scaled(1, 1, 1.7, 0.6, mode="nearest"),
    sized(2, 4, 1, 1, mode="linear", coordinate_transformation_mode="pytorch_half_pixel"),
    sized(2, 4, 1, 1, mode="linear", coordinate_transformation_mode="align_corners"),
    scaled(1, 1, 1.7, 0.6, mode="linear", coordinate_transformation_mode="half_pixel_symmetric", opset=19),
    sized(18, 22, axes=[2, 3], opset=18),
    scaled(1, 1, 1, 1, mode="linear"),
]  # fmt: skip


@pytest.mark.parametrize("case", [*LAYERS, *ELEMENTWISE, *REDUCTIONS, *SHAPES, *RESIZES], ids=lambda case: case.id)
def test_gives_what_onnx_runtime_gives(case: Case, tmp_path: Path) -> None:
    path = save_node(
        tmp_path / "one.onnx", case.op, case.inputs, case.attributes, opset=case.opset, outputs=case.outputs
    )
    x = noise(*case.shape, seed=1)
    if case.values:
        x = np.abs(x) + 0.1 if case.values == POSITIVE else np.round(x)
    want, got = run_onnxruntime(path, x), run_module(path, x)
    assert [one.shape for one in got] == [one.shape for one in want]
    for ours, theirs in zip(got, want, strict=True):
        assert ours.dtype == (np.float32 if theirs.dtype.kind == "f" else theirs.dtype)
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5)


REFUSED = [
    (Case("Resize", "x", None, floats(1, 1, 2, 2), mode="cubic"), "mode = 'cubic' is not known here, only 'nearest' or 'linear'"),
    (Case("MaxPool", outputs=2, kernel_shape=[2, 2]), "its second output, the indices"),
    (Case("MaxPool", kernel_shape=[2, 2, 2, 2]), "kernel_shape = .2, 2, 2, 2. is not known here; expected 1 to 3 numbers"),
    (Case("AveragePool", kernel_shape=[2, 2], dilations=[2, 2], opset=19), "dilations = .2, 2. is not known here"),
    (Case("Conv", "x", noise(6, 4, 3, 3), auto_pad="SAME"), "auto_pad = 'SAME' is not known here"),
    (Case("LayerNormalization", "x", noise(11), opset=17, outputs=2), "its second output, the mean"),
    (Case("Dropout", outputs=2), "its second output, the mask"),
    (Case("Cast", to=12), "the type UINT32 is not known here"),
    (Case("Relu", slope=2.0), "attribute 'slope' is not known here"),
]  # fmt: skip


@pytest.mark.parametrize(("case", "reason"), REFUSED, ids=lambda value: getattr(value, "id", None))
def test_refuses_what_it_does_not_know(case: Case, reason: str, tmp_path: Path) -> None:
    from engine.errors import BackendUnavailable

    path = save_node(
        tmp_path / "one.onnx", case.op, case.inputs, case.attributes, opset=case.opset, outputs=case.outputs
    )
    with pytest.raises(
        BackendUnavailable, match=rf"one.onnx: the torch backend cannot run {case.op} \(layer 'y0'\): {reason}"
    ):
        run_module(path, noise(*case.shape))


def test_every_operator_is_tried() -> None:
    tried = {case.op for case in (*LAYERS, *ELEMENTWISE, *REDUCTIONS, *SHAPES, *RESIZES)}
    # Those that need several nodes are in test_module.py, and SiLU is not ONNX's.
    assert set(OPERATORS) - tried == {"And", "Or", "Xor", "Not", "ConstantOfShape", "Range", "Silu"}
