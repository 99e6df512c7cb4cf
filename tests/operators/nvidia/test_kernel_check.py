from __future__ import annotations

import numpy as np
import pytest

from engine.gpu import Gpu, why_no_gpu
from operators.nvidia import image_input, kernel_check
from tests.cuda_driver import StandInDriver, cpu_kernels


@pytest.fixture
def on_cpu(cuda_driver: StandInDriver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        image_input, "_compiled", lambda source, _, bits: cpu_kernels(source, "", {"NUMBER_BITS": bits})
    )


@pytest.mark.usefixtures("on_cpu")
def test_the_kernels_give_the_processors_numbers(capfd: pytest.CaptureFixture[str], cuda_driver: StandInDriver) -> None:
    assert kernel_check.main() == 0
    assert "normalise and letterbox, float32 and float16: the processor's numbers" in capfd.readouterr().out
    assert cuda_driver.live() == ""


@pytest.mark.usefixtures("on_cpu")
def test_other_numbers_are_found(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    right = kernel_check._normalised
    monkeypatch.setattr(
        kernel_check, "_normalised", lambda pictures, dtype: np.nextafter(right(pictures, dtype), dtype.type(9))
    )

    assert kernel_check.main() == 1
    said = capfd.readouterr().err
    assert (
        "other numbers than the processor's: normalise in float32, letterbox in float32, normalise in float16" in said
    )


def test_without_a_gpu_it_says_so(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("operators.nvidia.cuda.gpus", tuple)
    monkeypatch.setattr("operators.nvidia.cuda.why_no_gpu", lambda: "no NVIDIA driver")

    assert kernel_check.main() == 3
    assert capfd.readouterr().err == "vedette: no NVIDIA driver\n"


@pytest.mark.gpu
def test_the_kernels_on_the_gpu(gpu: Gpu) -> None:
    assert why_no_gpu() == ""
    assert kernel_check.main() == 0
