from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import openvino
import pytest

from engine.errors import BackendUnavailable, BundleError
from engine.inference import BackendOptions
from operators.inference_openvino import InferenceOpenvino
from tests.operators.backend_contract import BackendContract
from tests.operators.test_inference_onnxruntime import bundle_of, noise
from tests.tiny_models import save_yolox


class TestContract(BackendContract):
    backend = InferenceOpenvino


def opened(tmp_path: Path, **options: Any) -> InferenceOpenvino:
    backend = InferenceOpenvino(BackendOptions(**options))
    backend.open(bundle_of(save_yolox(tmp_path / "tiny.onnx")))
    return backend


def has_bf16() -> bool:
    return "BF16" in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


def test_computes_in_fp32_where_openvino_would_not(tmp_path: Path) -> None:
    compiled = opened(tmp_path)._request.get_compiled_model()
    assert compiled.get_property("INFERENCE_PRECISION_HINT") == openvino.Type.f32
    assert compiled.get_property("INFERENCE_NUM_THREADS") == 1


@pytest.mark.skipif(not has_bf16(), reason="this processor has no bf16")
def test_computes_in_bf16_on_request(tmp_path: Path) -> None:
    backend = opened(tmp_path, precision="bf16")
    assert backend.precision == "bf16"
    assert backend._request.get_compiled_model().get_property("INFERENCE_PRECISION_HINT") == openvino.Type.bf16
    (got,), (want,) = backend.infer(noise(1)), opened(tmp_path).infer(noise(1))
    assert got.dtype == np.float32
    assert 0 < np.abs(got - want).max() < 0.1


def test_bf16_is_refused_where_the_processor_has_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openvino.Core, "get_property", lambda *_: ["FP32", "INT8"])
    with pytest.raises(BackendUnavailable, match=r"this processor has no bf16, and OpenVINO would take fp32"):
        opened(tmp_path, precision="bf16")


@pytest.mark.parametrize("precision", ["fp16", "int8"])
def test_other_precisions_are_refused(precision: str, tmp_path: Path) -> None:
    with pytest.raises(BackendUnavailable, match=rf"the backend openvino computes in fp32 or bf16, not in {precision}"):
        opened(tmp_path, precision=precision)


def test_a_gpu_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BackendUnavailable, match=r"OpenVINO runs on the CPU here, not on cuda:1"):
        opened(tmp_path, device="cuda:1")


def test_says_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(
        BackendUnavailable, match=r"the backend openvino needs openvino \(.*\): pip install 'vedette\[openvino\]'"
    ):
        opened(tmp_path)


def test_a_model_that_cannot_be_compiled_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> None:
        raise RuntimeError("Exception from src/core.cpp:84:\n\nno such operation\n")

    monkeypatch.setattr(openvino.Core, "compile_model", fail)
    with pytest.raises(BundleError, match=r"tiny.onnx: OpenVINO cannot load it: no such operation$"):
        opened(tmp_path)


def test_a_model_that_fails_says_so(tmp_path: Path) -> None:
    backend = opened(tmp_path)
    backend._feed["images"] = np.zeros((1, 3, 8, 8), np.uint8)
    with pytest.raises(BundleError, match=r"tiny.onnx: the model failed: .+"):
        backend.infer(noise(1))
