from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from engine.errors import BackendUnavailable, BundleError
from operators.pytorch.module import OnnxModule
from operators.pytorch.onnx_graph import read_graph
from tests.operators.pytorch.graphs import module, noise, run_module, run_onnxruntime, save_text
from tests.tiny_models import save_yolox

DATA = Path(__file__).resolve().parents[3].parent / "shared" / "data" / "models"
STREET = Path(__file__).resolve().parents[3] / "models" / "street-nano" / "street-nano.onnx"


def assert_like_onnxruntime(path: Path, x: np.ndarray[Any, Any], tolerance: float = 1e-5) -> None:
    want, got = run_onnxruntime(path, x), run_module(path, x)
    assert [one.shape for one in got] == [one.shape for one in want]
    for ours, theirs in zip(got, want, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=tolerance * max(1.0, float(np.abs(theirs).max())))


def test_shape_arithmetic_is_done_before_a_picture_comes(tmp_path: Path) -> None:
    body = """
        s = Shape (x)
        zero = Constant <value_int = 0> ()
        two = Constant <value_int = 2> ()
        n = Gather (s, zero)
        h = Gather (s, two)
        doubled = Mul (h, two)
        axes = Constant <value_ints = [0]> ()
        n1 = Unsqueeze (n, axes)
        d1 = Unsqueeze (doubled, axes)
        rest = Constant <value_ints = [-1]> ()
        target = Concat <axis = 0> (n1, rest, d1)
        flat = Reshape (x, target)
        one = Constant <value_int = 1> ()
        places = Range (zero, doubled, one)
        f = Cast <to = 1> (places)
        shifted = Add (flat, f)
        many = Equal (n, two)
        few = Not (many)
        both = Or (many, few)
        neither = And (many, few)
        odd = Xor (both, neither)
        full = ConstantOfShape (d1)
        kept = Where (odd, f, full)
        y = Mul (shifted, kept)
    """
    path = save_text(tmp_path / "shapes.onnx", body)
    for count in (1, 2, 5):
        assert_like_onnxruntime(path, noise(count, 3, 8, 8))
    steps = module(path).program(torch.Size((2, 3, 8, 8)))._steps
    assert len(steps) == 3


def test_weights_are_shared_by_all_batch_sizes(tmp_path: Path) -> None:
    one = module(save_yolox(tmp_path / "tiny.onnx"))
    one(torch.zeros(1, 3, 64, 64))
    weights = [buffer.data_ptr() for buffer in one.buffers()]
    assert weights
    one(torch.zeros(4, 3, 64, 64))
    assert [buffer.data_ptr() for buffer in one.buffers()] == weights


def test_intermediate_values_are_given_up_as_soon_as_nobody_reads_them(tmp_path: Path) -> None:
    program = module(save_text(tmp_path / "chain.onnx", "a = Relu (x) b = Neg (a) c = Neg (b) y = Add (c, a)")).program(
        torch.Size((1, 3, 8, 8))
    )
    assert [len(step.emptied) for step in program._steps] == [1, 0, 1, 2]


def test_an_output_that_is_read_again_and_one_that_is_constant(tmp_path: Path) -> None:
    body = "y = Relu (x) z = Neg (y) k = Constant <value_floats = [1.5, 2.5]> ()"
    assert_like_onnxruntime(save_text(tmp_path / "two.onnx", body, outputs="y z k"), noise(2, 3, 8, 8))


@pytest.mark.parametrize(
    ("body", "fused"),
    [
        ("s = Sigmoid (x) y = Mul (x, s)", ["Silu"]),
        ("s = Sigmoid (x) y = Mul (s, x)", ["Silu"]),
        ("s = Sigmoid (x) m = Mul (x, s) y = Add (m, s)", ["Sigmoid", "Mul", "Add"]),
        ("s = Sigmoid (x) t = Neg (x) y = Mul (t, s)", ["Sigmoid", "Neg", "Mul"]),
        ("a = Add (x, three) c = Clip (a, zero, six) m = Mul (x, c) y = Div (m, six)", ["HardSwish"]),
        ("a = Add (three, x) c = Clip (a, zero, six) m = Mul (c, x) y = Div (m, six)", ["HardSwish"]),
        ("a = Add (x, six) c = Clip (a, zero, six) m = Mul (x, c) y = Div (m, six)", ["Add", "Clip", "Mul", "Div"]),
        ("a = Add (x, three) c = Clip (a, zero, six) m = Mul (x, c) d = Div (m, six) y = Add (d, m)",
         ["Add", "Clip", "Mul", "Div", "Add"]),
    ],
)  # fmt: skip
def test_groups_that_are_one_function_become_one(body: str, fused: list[str], tmp_path: Path) -> None:
    constants = "".join(
        f"{name} = Constant <value_float = {value}> () "
        for name, value in (("zero", 0.0), ("three", 3.0), ("six", 6.0))
    )
    path = save_text(tmp_path / "group.onnx", constants + body)
    assert [node.op for node, *_ in module(path)._nodes] == fused
    assert_like_onnxruntime(path, noise(2, 3, 8, 8) * 4)


def test_an_operator_that_is_not_known_is_named_with_its_layer(tmp_path: Path) -> None:
    path = save_text(tmp_path / "odd.onnx", "r = Relu (x) y = Hardmax (r)")
    with pytest.raises(
        BackendUnavailable,
        match=r"odd.onnx: the torch backend does not know the operator Hardmax \(layer 'y'\); use --backend onnxruntime",
    ):
        module(path)


def test_an_operator_of_another_domain_is_named_with_it(tmp_path: Path) -> None:
    node = helper.make_node("FusedConv", ["x"], ["y"], name="stem", domain="com.microsoft")
    value = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 3, 8, 8]) for name in "xy"]
    graph = helper.make_graph([node], "g", value[:1], value[1:])
    path = tmp_path / "fused.onnx"
    onnx.save_model(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), str(path))
    with pytest.raises(
        BackendUnavailable, match=r"does not know the operator com.microsoft.FusedConv \(layer 'stem'\)"
    ):
        module(path)


def test_a_shape_that_depends_on_the_picture_is_refused_at_its_layer(tmp_path: Path) -> None:
    body = """
        m = ReduceMax <keepdims = 0> (x)
        n = Cast <to = 7> (m)
        axes = Constant <value_ints = [0]> ()
        size = Unsqueeze (n, axes)
        y = Expand (m, size)
    """
    with pytest.raises(
        BackendUnavailable,
        match=r"data.onnx: the torch backend cannot run Expand \(layer 'y'\): its input 'size' depends on what is in the "
        "picture; use --backend onnxruntime",
    ):
        run_module(save_text(tmp_path / "data.onnx", body), noise(1, 3, 8, 8))


def test_a_graph_that_does_not_fit_the_picture_says_where(tmp_path: Path) -> None:
    body = "size = Constant <value_ints = [7, 7]> () y = Reshape (x, size)"
    with pytest.raises(BundleError, match=r"bad.onnx: the model failed at Reshape \(layer 'y'\): shape '\[7, 7\]' is"):
        run_module(save_text(tmp_path / "bad.onnx", body), noise(1, 3, 8, 8))


DISTRIBUTION = """
    s = Softmax <axis = 1> (c)
    bins = Constant <value = float[1, 4, 1, 1] {0.0, 1.0, 2.0, 3.0}> ()
    sides = Conv (s, bins)
    start = Constant <value_float = 2000.0> ()
    moved = Add (sides, start)
    stride = Constant <value_float = 1.5> ()
    y = Mul (moved, stride)
"""


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_spares_what_decodes_boxes(dtype: torch.dtype, tmp_path: Path) -> None:
    weights = ", ".join(f"{value:.4f}" for value in noise(12).ravel())
    head = f"w = Constant <value = float[4, 3, 1, 1] {{{weights}}}> () c = Conv (x, w) "
    path = save_text(tmp_path / "boxes.onnx", head + DISTRIBUTION)
    x = noise(2, 3, 8, 8)
    (want,), (got,) = run_module(path, x), run_module(path, x, dtype)
    assert got.dtype == np.float32
    # Coordinates are near 3000, where neighbouring numbers of fp16 are 2 pixels apart, those of bf16 16.
    assert np.abs(got - want).max() < (0.01 if dtype == torch.float16 else 0.06)


def test_half_precision_computes_layers_in_half_and_what_is_sensitive_in_full(tmp_path: Path) -> None:
    body = """
        w = Constant <value = float[3, 3, 1, 1] {1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0}> ()
        a = Conv (x, w)
        r = Relu (a)
        bias = Constant <value = float[3, 1, 1] {1.0, 2.0, 3.0}> ()
        b = Add (r, bias)
        e = Exp (b)
        y = Conv (e, w)
    """
    one = module(save_text(tmp_path / "mixed.onnx", body), torch.float16)
    seen: dict[str, torch.dtype] = {}
    spied = []
    for node, operator, function in one._nodes:

        def spy(*values: Any, name: str = node.op + node.outputs[0], run: Any = function) -> Any:
            seen[name] = values[0].dtype
            return run(*values)

        spied.append((node, operator, spy))
    one._nodes = spied
    with torch.inference_mode():
        (got,) = one(torch.zeros(1, 3, 8, 8, dtype=torch.float16))
    half, full = torch.float16, torch.float32
    assert seen == {"Conva": half, "Relur": half, "Addb": half, "Expe": full, "Convy": half}
    assert got.dtype == full


def test_files_in_half_precision_are_run_in_the_chosen_one(tmp_path: Path) -> None:
    weight = numpy_helper.from_array(np.array([1 / 3], np.float16), "w")
    nodes = [
        helper.make_node("Cast", ["x"], ["h"], to=TensorProto.FLOAT16),
        helper.make_node("Mul", ["h", "w"], ["m"]),
        helper.make_node("Cast", ["m"], ["y"], to=TensorProto.FLOAT),
    ]
    value = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 3, 8, 8]) for name in "xy"]
    graph = helper.make_graph(nodes, "g", value[:1], value[1:], [weight])
    path = tmp_path / "half.onnx"
    onnx.save_model(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), str(path))
    x = np.full((1, 3, 8, 8), 3.001, np.float32)
    (got,) = run_module(path, x)
    np.testing.assert_allclose(got, x * np.float32(np.float16(1 / 3)), rtol=1e-7)


def test_takes_bytes_where_the_file_does(tmp_path: Path) -> None:
    path = save_text(tmp_path / "bytes.onnx", "f = Cast <to = 1> (x) y = Neg (f)", shape="uint8[N,3,8,8]")
    one = module(path, torch.float16)
    assert one.image_dtype == torch.uint8
    with torch.inference_mode():
        (got,) = one(torch.full((1, 3, 8, 8), 200, dtype=torch.uint8))
    assert got.unique().tolist() == [-200]


def test_other_inputs_are_repeated_for_the_batch(tmp_path: Path) -> None:
    text = '<ir_version: 8, opset_import: ["" : 13]> g (float[N,3,8,8] x, int64[N,2] sizes) => (float[N,2] y) {'
    text += "m = ReduceMean <axes = [1, 2], keepdims = 0> (x) k = Constant <value_ints = [2]> () "
    text += "axes = Constant <value_ints = [1]> () zero = Constant <value_ints = [0]> () "
    text += "part = Slice (m, zero, k, axes) f = Cast <to = 1> (sizes) y = Add (part, f) }"
    path = tmp_path / "sizes.onnx"
    onnx.save_model(onnx.parser.parse_model(text), str(path))
    one = OnnxModule(read_graph(path), "x", torch.device("cpu"), extra={"sizes": torch.tensor([[96, 64]])})
    assert one(torch.zeros(3, 3, 8, 8))[0].tolist() == [[96, 64]] * 3


@pytest.mark.parametrize("count", [1, 3])
def test_runs_the_default_model(count: int) -> None:
    torch.set_num_threads(1)
    x = np.random.default_rng(2).integers(0, 256, (count, 3, 416, 416)).astype(np.float32)
    assert_like_onnxruntime(STREET, x, tolerance=1e-4)


@pytest.mark.data
@pytest.mark.skipif(not DATA.is_dir(), reason="no ../shared/data/models beside this checkout")
@pytest.mark.parametrize(
    "name", ["fastestdet_352", "nanodet_m_416_dyn", "picodet_s_416_dyn", "yolox_nano_416", "yolox_nano_416_dyn"]
)
def test_runs_whole_models(name: str) -> None:
    torch.set_num_threads(1)
    graph = read_graph(DATA / f"{name}.onnx")
    count, *shape = graph.inputs[0].shape
    x = np.random.default_rng(2).random((count or 2, *(n or 0 for n in shape)), np.float32)
    assert_like_onnxruntime(DATA / f"{name}.onnx", x * (255 if "yolox" in name else 1), tolerance=1e-4)
