from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from engine.bundle import Bundle
from engine.errors import BackendUnavailable, BundleError, DeviceLost, DeviceMemoryError
from engine.gpu import Gpu
from engine.inference import BackendOptions
from operators.inference_onnxruntime import InferenceOnnxruntime
from operators.inference_torch import InferenceTorch
from operators.pytorch.runner import Runner
from tests.operators.backend_contract import STREET, BackendContract
from tests.operators.pytorch.graphs import save_text
from tests.operators.test_inference_onnxruntime import bundle_of, noise
from tests.tiny_models import save_yolox


@pytest.fixture(autouse=True)
def one_thread(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


class TestContract(BackendContract):
    backend = InferenceTorch

    def opened(self, bundle: Bundle, **options: Any) -> Any:
        return super().opened(bundle, **{"device": "cpu", **options})


def opened(path: Path, **options: Any) -> InferenceTorch:
    backend = InferenceTorch(BackendOptions(**{"device": "cpu", **options}))
    backend.open(bundle_of(path))
    return backend


def test_takes_one_thread_unless_it_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = save_yolox(tmp_path / "tiny.onnx")
    torch.set_num_threads(2)
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    opened(path)
    assert torch.get_num_threads() == 2
    monkeypatch.delenv("OMP_NUM_THREADS")
    opened(path)
    assert torch.get_num_threads() == 1


def test_computes_in_bf16_on_request(tmp_path: Path) -> None:
    path = save_yolox(tmp_path / "tiny.onnx")
    backend = opened(path, precision="bf16")
    (got,), (want,) = backend.infer(noise(1)), opened(path).infer(noise(1))
    assert backend.precision == "bf16"
    assert got.dtype == np.float32
    assert 0 < np.abs(got - want).max() < 0.1


def test_int8_and_half_precision_on_a_cpu_are_refused(tmp_path: Path) -> None:
    path = save_yolox(tmp_path / "tiny.onnx")
    with pytest.raises(
        BackendUnavailable, match=r"the backend torch computes in fp32, fp16 or bf16, not int8; tensorrt does"
    ):
        opened(path, precision="int8")
    with pytest.raises(
        BackendUnavailable, match=r"PyTorch's fp16 is slower than fp32 on a CPU; use fp32 or bf16 there"
    ):
        opened(path, precision="fp16")


@pytest.mark.parametrize("package", ["torch", "onnx"])
def test_says_how_to_get_it(package: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = save_yolox(tmp_path / "tiny.onnx")
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(
        BackendUnavailable, match=rf"the backend torch needs {package} \(.*\): pip install 'vedette\[torch\]'"
    ):
        opened(path)


def test_a_library_of_pytorch_s_that_is_missing_is_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(name: str) -> None:
        raise OSError("libcudart.so.13: cannot open shared object file")

    path = save_yolox(tmp_path / "tiny.onnx")
    monkeypatch.setattr("importlib.import_module", fail)
    with pytest.raises(BackendUnavailable, match=r"needs onnx \(libcudart.so.13: cannot open shared object file\)"):
        InferenceTorch().inspect(path)


def test_a_pytorch_without_cuda_is_told_apart_from_a_machine_without_gpu(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = save_yolox(tmp_path / "tiny.onnx")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.version, "cuda", None)
    with pytest.raises(
        BackendUnavailable, match=r"the installed PyTorch .* knows no CUDA; for `device: cuda` install the build"
    ):
        opened(path, device="cuda")
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    with pytest.raises(BackendUnavailable, match=r"PyTorch .* \(CUDA 13.0\) finds no GPU: .+"):
        opened(path, device="cuda")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    with pytest.raises(BackendUnavailable, match=r"there is no cuda:2; PyTorch sees 2 GPU\(s\), from 0 on"):
        opened(path, device="cuda:2")


def test_half_precision_is_the_usual_one_on_a_gpu_and_bf16_needs_one_that_has_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from operators.inference_torch import _precision

    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda **_: False)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _: "Tesla T4")
    gpu = torch.device("cuda", 0)
    assert [_precision(gpu, wanted) for wanted in (None, "fp32", "fp16")] == ["fp16", "fp32", "fp16"]
    with pytest.raises(BackendUnavailable, match=r"Tesla T4 has no bf16; use fp16 or fp32"):
        _precision(gpu, "bf16")


def test_an_operator_that_is_not_known_is_named(tmp_path: Path) -> None:
    path = save_text(tmp_path / "odd.onnx", "y = Hardmax (x)", shape="float[N,3,64,64]")
    with pytest.raises(BackendUnavailable, match=r"does not know the operator Hardmax \(layer 'y'\)"):
        opened(path)


def failing(text: str) -> Any:
    def fail(*_: Any) -> None:
        raise RuntimeError(text)

    return fail


def test_errors_while_it_runs_are_told_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    backend = opened(save_yolox(tmp_path / "tiny.onnx"))
    for text, expected, sentence in (
        (
            "CUDA out of memory. Tried to allocate 1 GiB",
            DeviceMemoryError,
            "torch on cpu: the GPU has too little memory",
        ),
        (
            "CUDA error: device-side assert triggered",
            DeviceLost,
            "torch on cpu: the GPU is lost: CUDA error: device-side",
        ),
        ("no such thing\nmore", BundleError, "the model failed on cpu: no such thing$"),
    ):
        monkeypatch.setattr(Runner, "__call__", failing(text))
        with pytest.raises(expected, match=f"tiny.onnx: {sentence}"):
            backend.infer(noise(1))


@pytest.mark.parametrize(("room", "tries"), [(3, [16, 8, 4, 2]), (16, [16])])
def test_too_little_memory_at_the_start_halves_the_batch(
    room: int, tries: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    backend, tried = in_room_for(room, tmp_path, monkeypatch)
    backend.open(bundle_of(tmp_path / "tiny.onnx"))
    assert (backend.max_batch, tried) == (tries[-1], tries)
    said = [f"no memory on cuda:0 (NVIDIA L4) for batches of {size}, trying half" for size in tries[:-1]]
    assert [record.getMessage().partition(": ")[2] for record in caplog.records] == said


def test_too_little_memory_for_a_single_picture_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    backend, _ = in_room_for(0, tmp_path, monkeypatch)
    with pytest.raises(
        DeviceMemoryError, match=r"tiny.onnx: torch on cuda:0 \(NVIDIA L4\): the GPU has too little memory"
    ):
        backend.open(bundle_of(tmp_path / "tiny.onnx"))


def in_room_for(room: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[InferenceTorch, list[int]]:
    """Pretend a GPU with memory for batches of so many pictures."""
    tried: list[int] = []

    def runner_for(_: InferenceTorch, max_batch: int, *__: Any) -> Any:
        tried.append(max_batch)
        if max_batch > room:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 9 GiB")
        return SimpleNamespace(max_batch=max_batch)

    save_yolox(tmp_path / "tiny.onnx")
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _: "NVIDIA L4")
    monkeypatch.setattr(InferenceTorch, "_runner_for", runner_for)
    return InferenceTorch(BackendOptions("cuda", max_batch=16)), tried


@pytest.mark.gpu
@pytest.mark.parametrize(("precision", "tolerance"), [("fp32", 1e-3), ("fp16", 0.2), ("bf16", 1.0)])
def test_a_gpu_gives_what_a_cpu_gives(gpu: Gpu, precision: str, tolerance: float) -> None:
    bundle = Bundle.load(STREET)
    reference, backend = InferenceOnnxruntime(), InferenceTorch(BackendOptions("cuda", precision, 8))
    reference.open(bundle)
    backend.open(bundle)
    assert (backend.device, backend.precision) == (f"cuda:0 ({gpu.name})", precision)
    pictures = noise(11, (416, 416))
    (got,), (want,) = backend.infer(pictures), reference.infer(pictures)
    assert got.shape == want.shape
    assert got.dtype == np.float32
    assert np.abs(got - want).max() < tolerance
    backend.close()


@pytest.mark.gpu
def test_results_on_a_gpu_stay_what_they_were(gpu: Gpu) -> None:
    backend = InferenceTorch(BackendOptions("cuda", "fp16", 4))
    backend.open(Bundle.load(STREET))
    first = noise(3, (416, 416))
    (seen,) = backend.infer(first)
    kept = seen.copy()
    for _ in range(5):
        backend.infer(np.zeros((4, *first.shape[1:]), np.uint8))
    assert np.array_equal(seen, kept)
    # Whatever else is in the memory that a batch is filled up with.
    assert np.array_equal(backend.infer(first)[0], kept)
    backend.close()
