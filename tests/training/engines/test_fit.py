"""Whether an engine runs here is said before anything is loaded."""

from __future__ import annotations

import pytest

from engine.errors import BackendUnavailable
from engine.gpu import Gpu
from engine.trt_build import BuildRequest, BuiltEngine
from engine.trt_engine import Flavour, this_platform
from tests.engine_rows import ONNX, trt_engine
from training.engines import fit
from training.engines.fit import find_gpu

OLD = Gpu(0, "NVIDIA Old", "7.5", 1 << 30, "13.0", "0000:01:00.0")
NEW = Gpu(1, "NVIDIA New", "8.9", 1 << 30, "13.0", "0000:01:00.0")


class Library:
    def __init__(self, version: str | None = "10.15.1.29") -> None:
        self._version = version

    def library(self, flavour: Flavour | None = None) -> tuple[Flavour, str]:
        if self._version is None:
            raise BackendUnavailable("TensorRT is not installed")
        return flavour or "tensorrt", self._version

    def build(self, request: BuildRequest) -> BuiltEngine:
        raise AssertionError(request)


def here(monkeypatch: pytest.MonkeyPatch, *gpus: Gpu) -> None:
    monkeypatch.setattr(fit, "gpus", lambda: gpus)
    monkeypatch.setattr(fit, "why_no_gpu", lambda: "no NVIDIA driver")


ENGINE = trt_engine(platform=this_platform())


def test_the_first_gpu_that_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    here(monkeypatch, OLD, NEW)
    assert find_gpu(ENGINE, ONNX, Library()) == (NEW, "")


@pytest.mark.parametrize(
    ("gpus", "version", "reason"),
    [
        ((), "10.15.1.29", "no NVIDIA driver"),
        ((NEW,), None, "TensorRT is not installed"),
        ((NEW,), "10.9.0", "was built by TensorRT 10.15.1.29, here is 10.9.0"),
        ((OLD,), "10.15.1.29", "was built for compute capability 8.9, this GPU is 7.5"),
    ],
)
def test_why_none_does(
    monkeypatch: pytest.MonkeyPatch, gpus: tuple[Gpu, ...], version: str | None, reason: str
) -> None:
    here(monkeypatch, *gpus)
    assert find_gpu(ENGINE, ONNX, Library(version)) == (None, reason)
