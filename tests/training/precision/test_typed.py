"""The same network in another precision: what changes, what does not, and what is refused."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from engine.bundle import Bundle
from engine.errors import BundleError, UsageError
from engine.input_spec import InputSpec
from engine.trt_engine import Precision
from tests.tiny_models import save_constant, save_yolox
from tests.training.precision.nets import LAYERS, SIZE_WH, Net, save_net, soft_pictures
from training.evaluation.detections import judge_detections, predict
from training.formats import read_dataset
from training.precision.calibration import calibration_pictures, pictures_sha256
from training.precision.network import run_network
from training.precision.typed import TypedModel, rounded_model, typed_model

SPEC = InputSpec(size_wh=SIZE_WH)
PICTURES = soft_pictures(6)
DATA = Path(__file__).resolve().parents[4] / "shared" / "data"
needs_data = pytest.mark.skipif(not DATA.is_dir(), reason="../shared/data is absent")


@pytest.fixture(scope="module")
def net(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_net(tmp_path_factory.mktemp("net") / "net.onnx")


def outputs_of(path: Path) -> list[NDArray[Any]]:
    """What ONNX Runtime says about other pictures than those of the calibration."""
    per_picture = list(run_network(onnx.load(str(path)), SPEC, soft_pictures(4, seed=9)))
    return [np.concatenate(one) for one in zip(*per_picture, strict=True)]


def relative_error(net: Path, other: Path) -> float:
    """Power of the difference as a share of the output's own, the worse of both outputs."""
    pairs = zip(outputs_of(net), outputs_of(other), strict=True)
    return max(float(np.sqrt(np.square(a - b).sum() / np.square(a).sum())) for a, b in pairs)


def interface(path: Path) -> str:
    graph = onnx.load(str(path)).graph
    return str([*graph.input, *graph.output])


def node(path: Path, name: str) -> NodeProto:
    found: NodeProto = next(node for node in onnx.load(str(path)).graph.node if node.name == name)
    return found


def typed(net: Path, out: Path, precision: Precision, **options: Any) -> TypedModel:
    pictures = PICTURES if precision == "int8" else ()
    return typed_model(net, out, precision, spec=SPEC, calibration=pictures, **options)


def test_fp32_is_the_file_as_it_is(net: Path, tmp_path: Path) -> None:
    assert typed(net, tmp_path / "out.onnx", "fp32") == TypedModel(net, "fp32")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("opset", [11, 13, 18])
@pytest.mark.parametrize(("precision", "at_least", "at_most"), [("fp16", 1e-6, 2e-3), ("int8", 1e-3, 0.05)])
def test_the_same_network_in_other_numbers(
    precision: Precision, at_least: float, at_most: float, opset: int, tmp_path: Path
) -> None:
    net = save_net(tmp_path / "net.onnx", opset=opset)

    made = typed(net, tmp_path / "out.onnx", precision)

    assert made.path == tmp_path / "out.onnx"
    assert (made.precision, made.layers, made.fp32_layers) == (precision, LAYERS, ())
    assert interface(made.path) == interface(net)
    assert [e.value for e in onnx.load(str(made.path)).metadata_props] == ["{0: 'blue'}"]
    assert at_least < relative_error(net, made.path) < at_most
    assert sorted(p.name for p in tmp_path.iterdir()) == ["net.onnx", "out.onnx"]


def test_bf16_is_typed_like_fp16_and_its_cost_is_shown_by_rounding(net: Path, tmp_path: Path) -> None:
    half, brain = (typed(net, tmp_path / f"{p}.onnx", p).path for p in ("fp16", "bf16"))
    rounded = {p: rounded_model(net, tmp_path / f"rounded-{p}.onnx", p) for p in ("fp16", "bf16")}

    assert interface(brain) == interface(net)
    nodes = [[(n.op_type, n.name.replace("bf16", "fp16")) for n in onnx.load(str(p)).graph.node] for p in (half, brain)]
    assert nodes[0] == nodes[1]
    # Three binary digits less, so eight times the error.
    assert relative_error(net, rounded["bf16"]) == pytest.approx(8 * relative_error(net, rounded["fp16"]), rel=0.5)


def test_weights_are_rounded_to_the_nearest_bf16(tmp_path: Path) -> None:
    net = Net()
    exact = [1.0, 1 + 2**-8, 1 + 3 * 2**-8, 1 + 2**-8 + 2**-20, -3.14159274, 1e-30, 60000.0]
    net.add("Conv", ["images", net.constant("w", np.array(exact, np.float32).reshape(7, 1, 1, 1).repeat(3, 1))], "out")
    path = net.save(tmp_path / "net.onnx", {"out": ["N", 7, 24, 32]})

    brain = onnx.load(str(typed(path, tmp_path / "out.onnx", "bf16").path))

    (weight,) = brain.graph.initializer
    assert weight.data_type == TensorProto.BFLOAT16
    import torch

    expected = torch.tensor(exact).to(torch.bfloat16).float().numpy()
    assert np.array_equal(numpy_helper.to_array(weight).astype(np.float32)[:, 0, 0, 0], expected)


def test_only_what_leads_to_a_layer_is_halved(net: Path, tmp_path: Path) -> None:
    half = onnx.shape_inference.infer_shapes(onnx.load(str(typed(net, tmp_path / "out.onnx", "fp16").path)))
    types = {v.name: v.type.tensor_type.elem_type for v in (*half.graph.value_info, *half.graph.output)}

    assert {types[name] for name in ("scaled", "unlike", "larger", "vector", "mix")} == {TensorProto.FLOAT16}
    # The exponential after the last layer, and what leaves the model.
    assert {types[name] for name in ("scores", "head")} == {TensorProto.FLOAT}
    assert types["target"] == TensorProto.INT64


@pytest.mark.parametrize("precision", ["fp16", "bf16", "int8"])
def test_layers_that_are_asked_for_stay_in_fp32(precision: Precision, net: Path, tmp_path: Path) -> None:
    made = typed(net, tmp_path / "out.onnx", precision, keep_fp32=["depthwise", "mix"])

    assert made.layers == ("stem", "uneven", "up", "head")
    assert made.fp32_layers == ("depthwise", "mix")
    weights = {tensor.name: tensor.data_type for tensor in onnx.load(str(made.path)).graph.initializer}
    assert weights[node(made.path, "mix").input[1]] == TensorProto.FLOAT


def test_weights_that_fp16_cannot_hold_stay_in_fp32(tmp_path: Path) -> None:
    def save(largest: float) -> Path:
        net = Net()
        net.add("Conv", ["images", net.constant("w1", np.full((1, 3, 1, 1), largest, np.float32))], "large")
        net.add("Conv", ["large", net.constant("w2", np.full((1, 1, 1, 1), 1e-5, np.float32))], "small")
        return net.save(tmp_path / "net.onnx", {"small": ["N", 1, 24, 32]})

    assert typed(save(70000), tmp_path / "out.onnx", "fp16").fp32_layers == ("large",)
    assert typed(save(70000), tmp_path / "out.onnx", "bf16").fp32_layers == ()
    assert typed(save(65504), tmp_path / "out.onnx", "fp16").fp32_layers == ()


@pytest.mark.parametrize("precision", ["fp16", "bf16", "int8"])
def test_the_same_pictures_give_the_same_bytes(precision: Precision, net: Path, tmp_path: Path) -> None:
    first, second = (typed(net, tmp_path / name, precision) for name in ("a.onnx", "b.onnx"))

    assert first.path.read_bytes() == second.path.read_bytes()
    assert first.calibration == second.calibration


def test_channels_are_evened_out_in_the_layer_before_where_nobody_else_reads_it(net: Path, tmp_path: Path) -> None:
    made = onnx.load(str(typed(net, tmp_path / "out.onnx", "int8").path))

    pairs = [node.input[0] for node in made.graph.node if node.op_type == "QuantizeLinear"]
    # A ReLU passes a factor on; `up` is read by the pooling, too.
    assert pairs == ["scaled_int8_even", "stem.relu", "unlike_int8_even", "larger_int8_even", "up_int8_even",
                     "vector_int8_last_even"]  # fmt: skip
    zeros = [numpy_helper.to_array(t) for t in made.graph.initializer if t.name.endswith("_zero")]
    assert len(zeros) == 12
    assert not any(zero.any() for zero in zeros)


def test_int8_says_what_it_was_calibrated_on(net: Path, tmp_path: Path) -> None:
    calibration = typed(net, tmp_path / "out.onnx", "int8").calibration

    assert calibration is not None
    assert (calibration.method, calibration.num_images) == ("channel maxima", 6)
    assert calibration.sha256 == pictures_sha256(PICTURES)


def test_layers_are_left_in_fp32_until_the_loss_is_within_its_limit(net: Path, tmp_path: Path) -> None:
    seen: list[int] = []

    def loss(path: Path) -> float:
        """Six points for six int8 layers, one less for each that is left."""
        assert path.parent.parent == tmp_path
        seen.append(sum(name.startswith("Dequantize") for name in op_types(path)) // 2)
        return float(seen[-1])

    stages: list[tuple[str, int, int]] = []
    made = typed(net, tmp_path / "out.onnx", "int8", loss=loss, max_loss=4.0, on_progress=lambda *s: stages.append(s))

    assert len(made.fp32_layers) == 2
    assert seen[0] == 6
    assert set(made.layers) | set(made.fp32_layers) == set(LAYERS)
    assert relative_error(net, made.path) < relative_error(net, typed(net, tmp_path / "all.onnx", "int8").path)
    assert [s for s in stages if s[1] == s[2]] == [
        ("calibrate", 6, 6),
        ("find what hurts", 6, 6),
        ("choose layers", 3, 3),
    ]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["all.onnx", "out.onnx"]


def test_no_layer_is_left_where_the_loss_is_within_its_limit(net: Path, tmp_path: Path) -> None:
    made = typed(net, tmp_path / "out.onnx", "int8", loss=lambda path: 1.5, max_loss=1.5)
    assert made.layers == LAYERS


def test_a_loss_that_stays_too_large_is_refused(net: Path, tmp_path: Path) -> None:
    with pytest.raises(
        BundleError, match=r"net\.onnx: int8 loses 7\.25 points of mAP, and more than 1\.5 whatever layers stay in fp32"
    ):
        typed(net, tmp_path / "out.onnx", "int8", loss=lambda path: 7.25)
    assert not list(tmp_path.iterdir())


def op_types(path: Path) -> list[str]:
    return [node.op_type for node in onnx.load(str(path)).graph.node]


def changed(net: Path, out: Path, change: Callable[[ModelProto], None]) -> Path:
    model = onnx.load(str(net))
    change(model)
    onnx.save_model(model, str(out))
    return out


def test_int8_needs_pictures(net: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="int8 needs pictures to calibrate on"):
        typed_model(net, tmp_path / "out.onnx", "int8", spec=SPEC)


def test_a_layer_that_is_not_there_is_refused(net: Path, tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"has no layer 'depthwize' \(did you mean 'depthwise'\?\)"):
        typed(net, tmp_path / "out.onnx", "fp16", keep_fp32=["depthwize"])
    with pytest.raises(BundleError, match="has no layer '/0/1'; its first is 'stem'"):
        typed(net, tmp_path / "out.onnx", "fp16", keep_fp32=["/0/1"])


def test_no_file_and_no_model_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"none\.onnx: no such model file"):
        typed(tmp_path / "none.onnx", tmp_path / "out.onnx", "fp16")
    (tmp_path / "text.onnx").write_text("not a model")
    with pytest.raises(BundleError, match=r"text\.onnx: not an ONNX model that can be read"):
        typed(tmp_path / "text.onnx", tmp_path / "out.onnx", "fp16")


@pytest.mark.parametrize(("precision", "what"), [("int8", "is quantised already"), ("fp16", "is float16 already")])
def test_a_typed_model_is_refused(precision: Precision, what: str, net: Path, tmp_path: Path) -> None:
    once = typed(net, tmp_path / "once.onnx", precision).path

    with pytest.raises(BundleError, match=rf"once\.onnx: .*{what}.*; give the float32 model it was made of"):
        typed(once, tmp_path / "twice.onnx", "int8")


def test_a_model_without_layers_is_refused(tmp_path: Path) -> None:
    path = save_constant(tmp_path / "constant.onnx", [np.zeros((1, 3), np.float32)])
    with pytest.raises(BundleError, match="the model has neither convolutions nor matrix products"):
        typed(path, tmp_path / "out.onnx", "fp16")


def test_int8_without_constant_weights_is_refused(net: Path, tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="no layer with constant float32 weights is left to quantise; take fp16"):
        typed(net, tmp_path / "out.onnx", "int8", keep_fp32=LAYERS)


def test_a_graph_within_the_graph_is_refused(tmp_path: Path) -> None:
    net = Net()
    net.add("Conv", ["images", net.random("w", 1, 3, 1, 1)], "conv")
    value = helper.make_tensor_value_info("chosen", TensorProto.FLOAT, None)
    branch = helper.make_graph([helper.make_node("Identity", ["conv"], ["chosen"])], "branch", [], [value])
    net.add("If", [net.constant("yes", np.array(True))], "out", then_branch=branch, else_branch=branch)
    path = net.save(tmp_path / "net.onnx", {"out": ["N", 1, 24, 32]})

    with pytest.raises(BundleError, match=r"'out' \(If\) holds a graph of its own; export the model without branches"):
        typed(path, tmp_path / "out.onnx", "fp16")


def test_an_operator_that_onnx_does_not_know_is_named(net: Path, tmp_path: Path) -> None:
    def make_strange(model: ModelProto) -> None:
        gate = next(node for node in model.graph.node if node.name == "uneven.gate")
        gate.op_type, gate.domain = "Gate", "com.example"
        model.opset_import.append(helper.make_opsetid("com.example", 1))

    path = changed(net, tmp_path / "strange.onnx", make_strange)

    with pytest.raises(BundleError, match=r"strange\.onnx: 'uneven\.gate' is a Gate, whose output has no type"):
        typed(path, tmp_path / "out.onnx", "fp16")
    with pytest.raises(BundleError, match="ONNX Runtime cannot load it"):
        typed(path, tmp_path / "out.onnx", "int8")


def test_operators_that_cannot_be_raised_to_opset_13_are_refused(tmp_path: Path) -> None:
    def make_strange(model: ModelProto) -> None:
        model.graph.node[0].op_type = "Strange"

    path = changed(save_net(tmp_path / "net.onnx", opset=11), tmp_path / "old.onnx", make_strange)

    with pytest.raises(BundleError, match=r"old\.onnx: its operators are of opset 11 and cannot be brought to 13"):
        typed(path, tmp_path / "out.onnx", "fp16")


def test_numbers_that_are_none_are_named(net: Path, tmp_path: Path) -> None:
    def spoil(model: ModelProto) -> None:
        weight = next(tensor for tensor in model.graph.initializer if tensor.name == "uneven.w")
        weight.CopyFrom(numpy_helper.from_array(np.full((16, 16, 1, 1), np.nan, np.float32), "uneven.w"))

    with pytest.raises(BundleError, match="what layer 'depthwise' reads is no number on a calibration picture"):
        typed(changed(net, tmp_path / "spoilt.onnx", spoil), tmp_path / "out.onnx", "int8")


def test_weights_beside_the_graph_come_along(net: Path, tmp_path: Path) -> None:
    path = tmp_path / "outside.onnx"
    onnx.save_model(
        onnx.load(str(net)), str(path), save_as_external_data=True, location="outside.onnx.data", size_threshold=0
    )
    made = typed(path, tmp_path / "out.onnx", "fp16").path
    (tmp_path / "outside.onnx.data").unlink()

    assert relative_error(net, made) < 2e-3
    with pytest.raises(BundleError, match=r"outside\.onnx: not an ONNX model that can be read"):
        typed(path, tmp_path / "out.onnx", "fp16")


def test_a_missing_package_is_named(net: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"precision fp16 needs onnx: pip install 'vedette\[training\]'"):
        typed(net, tmp_path / "out.onnx", "fp16")


@pytest.mark.parametrize("precision", ["fp16", "int8"])
def test_a_detector_sees_the_same(precision: Precision, tmp_path: Path) -> None:
    original = save_yolox(tmp_path / "tiny.onnx")
    spec = InputSpec(size_wh=(64, 64))
    pictures = [picture[:, :16, :16].repeat(4, 1).repeat(4, 2) for picture in PICTURES]

    made = typed_model(original, tmp_path / "out.onnx", precision, spec=spec, calibration=pictures).path

    exact, other = (list(run_network(onnx.load(str(p)), spec, pictures)) for p in (original, made))
    assert max(np.abs(a[0] - b[0]).max() for a, b in zip(exact, other, strict=True)) < 0.1


@pytest.mark.parametrize("precision", ["fp16", "bf16", "int8"])
def test_tensorrt_builds_it_as_it_stands(precision: Precision, net: Path, tmp_path: Path) -> None:
    if "CI" not in os.environ:
        pytest.importorskip("tensorrt_rtx")
    import tensorrt_rtx as trt

    made = typed(net, tmp_path / "out.onnx", precision).path

    logger = trt.Logger(trt.Logger.ERROR)
    builder = trt.Builder(logger)
    network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    parser = trt.OnnxParser(network, logger)
    assert parser.parse_from_file(str(made)), [str(parser.get_error(i)) for i in range(parser.num_errors)]
    config = builder.create_builder_config()
    profile = builder.create_optimization_profile()
    profile.set_shape("images", (1, 3, 24, 32), (1, 3, 24, 32), (2, 3, 24, 32))
    config.add_optimization_profile(profile)
    config.num_compute_capabilities = 1
    config.set_compute_capability(trt.ComputeCapability.SM89, 0)
    assert builder.build_serialized_network(network, config) is not None
    assert {network.get_output(i).dtype for i in range(2)} == {trt.float32}


@needs_data
@pytest.mark.data
def test_int8_of_a_real_detector_loses_little(tmp_path: Path) -> None:
    # Of all models at hand the one that plain int8 destroys most thoroughly.
    original = DATA / "models" / "picodet_s_416_dyn.onnx"
    spec = Bundle.of_onnx(original).manifest.input
    pictures = calibration_pictures(DATA / "detection" / "coco_train128" / "images", spec, 64)
    val = read_dataset(DATA / "detection" / "coco_val64_a" / "instances.json")

    made = typed_model(original, tmp_path / "int8.onnx", "int8", spec=spec, calibration=pictures)

    assert made.fp32_layers == ()
    before, after = (100 * judge_detections(val.to_coco(), predict(p, val)).stats["ap"] for p in (original, made.path))
    assert before - after < 1.5
