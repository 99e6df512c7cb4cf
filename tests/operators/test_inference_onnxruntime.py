from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper

from engine.bundle import Bundle, Manifest
from engine.errors import BackendUnavailable, BundleError, ConfigError, DeviceLost, DeviceMemoryError
from engine.inference import BackendOptions, backends, make_backend
from engine.input_spec import InputSpec
from operators.inference_onnxruntime import InferenceOnnxruntime
from tests.tiny_models import save_constant, save_yolox


def bundle_of(path: Path, size_wh: tuple[int, int] = (64, 64), **spec: Any) -> Bundle:
    from engine.file_entry import FileEntry

    manifest = Manifest(
        name="tiny", family="yolox", labels=("blue", "red"), input=InputSpec(size_wh=size_wh, **spec),
        files={"onnx": FileEntry.of(path)},
    )  # fmt: skip
    return Bundle(path.parent, manifest)


def opened(bundle: Bundle) -> InferenceOnnxruntime:
    backend = InferenceOnnxruntime()
    backend.open(bundle)
    return backend


def noise(count: int, size_wh: tuple[int, int] = (64, 64)) -> np.ndarray[Any, np.dtype[np.uint8]]:
    return np.random.default_rng(3).integers(0, 256, (count, 3, size_wh[1], size_wh[0]), dtype=np.uint8)


def save_identity(path: Path, dtype: int, shape: list[Any]) -> Path:
    """Write a model that gives back what it was fed."""
    node = helper.make_node("Identity", ["x"], ["y"])
    inputs, outputs = (helper.make_tensor_value_info(name, dtype, shape) for name in "xy")
    graph = helper.make_graph([node], "identity", [inputs], [outputs])
    onnx.save_model(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), str(path))
    return path


def test_says_what_it_runs(tmp_path: Path) -> None:
    free = opened(bundle_of(save_yolox(tmp_path / "free.onnx")))
    fixed = opened(bundle_of(save_yolox(tmp_path / "fixed.onnx", batch=1)))
    assert (free.name, free.precision, free.fixed_batch) == ("onnxruntime", "fp32", None)
    assert fixed.fixed_batch == 1


def test_inspects_a_file(tmp_path: Path) -> None:
    signature = InferenceOnnxruntime().inspect(save_yolox(tmp_path / "tiny.onnx", size_wh=(96, 64)))
    assert (signature.image.name, signature.image.shape) == ("images", (None, 3, 64, 96))
    assert [str(output) for output in signature.outputs] == ["output (?, 126, 7) tensor(float)"]


@pytest.mark.parametrize("fixed_batch", [None, 1, 2])
@pytest.mark.parametrize("count", [1, 2, 3, 8])
def test_a_batch_gives_what_each_picture_gives_alone(tmp_path: Path, fixed_batch: int | None, count: int) -> None:
    backend = opened(bundle_of(save_yolox(tmp_path / "tiny.onnx", batch=fixed_batch)))
    pictures = noise(count)
    (together,) = backend.infer(pictures)
    alone = np.concatenate([backend.infer(pictures[i : i + 1])[0] for i in range(count)])
    assert together.shape == (count, 84, 7)
    assert np.array_equal(together, alone)


def test_normalises_each_channel_in_its_order(tmp_path: Path) -> None:
    path = save_identity(tmp_path / "same.onnx", TensorProto.FLOAT, ["N", 3, 64, 64])
    spec: dict[str, Any] = {"mean": (10.0, 20.0, 30.0), "std": (2.0, 4.0, 5.0)}
    pictures = noise(2)
    (seen,) = opened(bundle_of(path, **spec)).infer(pictures)
    mean, std = (np.array(spec[key]).reshape(1, 3, 1, 1) for key in ("mean", "std"))
    np.testing.assert_allclose(seen, (pictures - mean) / std, atol=1e-5)


@pytest.mark.parametrize(
    ("dtype", "precision", "gives"),
    [
        (TensorProto.FLOAT, "fp32", np.float32),
        (TensorProto.FLOAT16, "fp16", np.float32),
        (TensorProto.UINT8, "uint8", np.uint8),
    ],
)
def test_feeds_models_of_any_input_type(tmp_path: Path, dtype: int, precision: str, gives: type) -> None:
    backend = opened(bundle_of(save_identity(tmp_path / "same.onnx", dtype, ["N", 3, 64, 64])))
    pictures = noise(2)
    (seen,) = backend.infer(pictures)
    assert backend.precision == precision
    assert seen.dtype == gives
    assert np.array_equal(seen, pictures)


def test_a_second_call_does_not_change_the_first_result(tmp_path: Path) -> None:
    backend = opened(bundle_of(save_identity(tmp_path / "same.onnx", TensorProto.FLOAT, ["N", 3, 64, 64])))
    first = noise(1)
    (seen,) = backend.infer(first)
    backend.infer(np.zeros_like(first))
    assert np.array_equal(seen, first)


def test_models_that_ask_for_sizes_are_given_the_input_s(tmp_path: Path) -> None:
    boxes = np.array([[[0.5, 0.5, 1, 1]]], np.float32)
    path = save_constant(tmp_path / "sizes.onnx", [boxes], size_wh=(96, 64), sizes_input=True)
    (scaled,) = opened(bundle_of(path, (96, 64))).infer(noise(2, (96, 64)))
    assert scaled.tolist() == [[[48, 32, 96, 64]]] * 2


def test_an_input_that_nobody_knows_is_refused(tmp_path: Path) -> None:
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 3, 64, 64]),
              helper.make_tensor_value_info("mask", TensorProto.BOOL, ["N"])]  # fmt: skip
    nodes = [helper.make_node("Identity", ["x"], ["y"]), helper.make_node("Identity", ["mask"], ["z"])]
    outputs = [helper.make_tensor_value_info("y", TensorProto.FLOAT, None),
               helper.make_tensor_value_info("z", TensorProto.BOOL, None)]  # fmt: skip
    graph = helper.make_graph(nodes, "masked", inputs, outputs)
    path = tmp_path / "masked.onnx"
    onnx.save_model(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), str(path))
    with pytest.raises(BundleError, match=r"masked.onnx: the model wants an input 'mask' beside the picture"):
        opened(bundle_of(path))


def test_a_model_without_a_picture_input_is_refused(tmp_path: Path) -> None:
    path = save_identity(tmp_path / "flat.onnx", TensorProto.FLOAT, ["N", 10])
    with pytest.raises(BundleError, match=r"expected one input \(N, 3, height, width\).*the model has x \(\?, 10\)"):
        InferenceOnnxruntime().inspect(path)


def test_a_size_that_the_model_does_not_take_is_refused(tmp_path: Path) -> None:
    path = save_yolox(tmp_path / "tiny.onnx")
    with pytest.raises(BundleError, match=r"tiny.onnx: the model takes 64x64 pictures only, not 416x416"):
        opened(bundle_of(path, (416, 416)))


def test_a_file_that_is_no_model_is_refused_in_one_sentence(tmp_path: Path) -> None:
    path = tmp_path / "notes.onnx"
    path.write_text("not a model")
    with pytest.raises(BundleError, match=r"notes.onnx: ONNX Runtime cannot load it as an ONNX model: .+") as caught:
        InferenceOnnxruntime().inspect(path)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"gone.onnx: no such model file"):
        InferenceOnnxruntime().inspect(tmp_path / "gone.onnx")


def test_a_model_that_fails_says_so(tmp_path: Path) -> None:
    backend = opened(bundle_of(save_yolox(tmp_path / "tiny.onnx")))
    with pytest.raises(BundleError, match=r"tiny.onnx: the model failed: .+"):
        backend.run(np.zeros((1, 3, 8, 8), np.float32))


def test_a_build_without_cuda_says_which_one_has_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ort, "get_available_providers", lambda: ["CPUExecutionProvider"])
    backend = InferenceOnnxruntime(BackendOptions("cuda"))
    with pytest.raises(
        BackendUnavailable, match=r"the installed ONNX Runtime .* knows no CUDA; for `device: cuda` install"
    ):
        backend.open(bundle_of(save_yolox(tmp_path / "tiny.onnx")))


@pytest.mark.skipif("CUDAExecutionProvider" in ort.get_available_providers(), reason="this ONNX Runtime knows CUDA")
@pytest.mark.filterwarnings("ignore:Specified provider 'CUDAExecutionProvider'")
def test_onnx_runtime_must_not_fall_back_to_the_cpu_in_silence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ort, "get_available_providers", lambda: ["CUDAExecutionProvider", "CPUExecutionProvider"])
    backend = InferenceOnnxruntime(BackendOptions("cuda:1"))
    with pytest.raises(
        BackendUnavailable, match=r"tiny.onnx: ONNX Runtime could not take cuda:1 and would have used the CPU"
    ):
        backend.open(bundle_of(save_yolox(tmp_path / "tiny.onnx")))


def test_what_is_asked_of_cuda(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: dict[str, Any] = {}
    real = ort.InferenceSession

    class Session:
        def __init__(self, path: str, options: Any, providers: list[Any], enable_fallback: int) -> None:
            asked.update(providers=providers, enable_fallback=enable_fallback)
            self._real = real(path, options, providers=["CPUExecutionProvider"])

        def get_providers(self) -> list[str]:
            return ["CUDAExecutionProvider", "CPUExecutionProvider"]

        def __getattr__(self, name: str) -> Any:
            return getattr(self._real, name)

    monkeypatch.setattr(ort, "get_available_providers", lambda: ["CUDAExecutionProvider", "CPUExecutionProvider"])
    monkeypatch.setattr(ort, "InferenceSession", Session)
    backend = InferenceOnnxruntime(BackendOptions("cuda:1", max_batch=4))
    backend.open(bundle_of(save_yolox(tmp_path / "tiny.onnx")))
    (provider, settings), other = asked["providers"]
    assert (provider, other, asked["enable_fallback"]) == ("CUDAExecutionProvider", "CPUExecutionProvider", 0)
    assert (settings["device_id"], settings["use_tf32"]) == ("1", "0")
    assert (backend.device.split()[0], backend.max_batch, backend.fixed_batch) == ("cuda:1", 4, None)
    assert [len(part) for part in backend.infer(noise(9))] == [9]


@pytest.mark.parametrize(
    ("text", "expected", "sentence"),
    [
        ("Failed to allocate memory for requested buffer of size 9", DeviceMemoryError, "too little memory"),
        ("CUDA failure 700: an illegal memory access was encountered", DeviceLost, "the GPU is lost"),
    ],
)
def test_a_gpu_s_errors_are_told_apart(text: str, expected: type[Exception], sentence: str, tmp_path: Path) -> None:
    backend = opened(bundle_of(save_yolox(tmp_path / "tiny.onnx")))

    def fail(*_: Any) -> None:
        raise RuntimeError(text)

    backend._session = SimpleNamespace(run=fail)
    with pytest.raises(expected, match=rf"tiny.onnx: ONNX Runtime on cpu: .*{sentence}"):
        backend.infer(noise(1))


def test_a_precision_that_the_file_does_not_have_is_refused(tmp_path: Path) -> None:
    bundle = bundle_of(save_yolox(tmp_path / "tiny.onnx"))
    InferenceOnnxruntime(BackendOptions(precision="fp32")).open(bundle)
    with pytest.raises(BackendUnavailable, match=r"computes in the precision of the model's file, fp32, not in fp16"):
        InferenceOnnxruntime(BackendOptions(precision="fp16")).open(bundle)


def test_closing_needs_no_opening() -> None:
    InferenceOnnxruntime().close()


def test_backends_are_found_by_name() -> None:
    assert "onnxruntime" in backends()
    assert isinstance(make_backend(), InferenceOnnxruntime)
    assert isinstance(make_backend("onnxruntime"), InferenceOnnxruntime)
    with pytest.raises(ConfigError, match=r"unknown backend 'onnxrt' \(did you mean 'onnxruntime'\?\)"):
        make_backend("onnxrt")
