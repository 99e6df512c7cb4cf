from __future__ import annotations

import subprocess
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


OPEN_TWICE_AND_SIGNAL = """
import gc, signal, sys, threading
from pathlib import Path
from tests.operators.test_inference_openvino import opened
heard = []
signal.signal(signal.SIGUSR1, lambda *_: heard.append(1))
backends = [opened(Path(sys.argv[1])), opened(Path(sys.argv[1]))]
def close():
    while backends:
        backends.pop(0).close()
    gc.collect()
thread = threading.Thread(target=close)
thread.start()
thread.join()
signal.raise_signal(signal.SIGUSR1)
print(heard)
"""


def test_signals_are_heard_after_it_was_closed(tmp_path: Path) -> None:
    # OpenVINO's stack for signal handlers must not be taken away: the process would die of the next signal, silently.
    run = subprocess.run(
        [sys.executable, "-c", OPEN_TWICE_AND_SIGNAL, str(tmp_path)],
        capture_output=True, text=True, timeout=60, cwd=Path(__file__).parents[2],
    )  # fmt: skip
    assert (run.returncode, run.stdout) == (0, "[1]\n"), run.stderr


def test_layers_are_timed(tmp_path: Path) -> None:
    backend = opened(tmp_path)
    one, four = (backend.profile(noise(n), runs=5) for n in (1, 4))
    assert [kind for _, kind, _ in one] == [kind for _, kind, _ in four]
    assert "Convolution" in {kind for _, kind, _ in one}
    assert all(ms >= 0 for *_, ms in one)
    assert sum(ms for *_, ms in four) > 0


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
