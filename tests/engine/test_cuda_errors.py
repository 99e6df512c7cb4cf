from __future__ import annotations

import pytest

from engine.cuda_errors import translate
from engine.errors import DeviceLost, DeviceMemoryError


@pytest.mark.parametrize(
    "text",
    [
        "CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 15.77 GiB",
        "CUDA error: out of memory",
        "[ONNXRuntimeError] : 6 : RUNTIME_EXCEPTION : bfc_arena.cc:376 Failed to allocate memory for requested buffer of size 1024",
        "CUDNN failure 2: CUDNN_STATUS_ALLOC_FAILED ; GPU=0",
        "CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`",
    ],
)
def test_too_little_memory_is_told_with_what_to_do(text: str) -> None:
    error = translate(RuntimeError(text), "models/x: torch on cuda:0")
    assert isinstance(error, DeviceMemoryError)
    assert str(error) == f"models/x: torch on cuda:0: the GPU has too little memory: {text}; use a smaller max_batch"


@pytest.mark.parametrize(
    "text",
    [
        "CUDA error: device-side assert triggered",
        "CUDA error: an illegal memory access was encountered",
        "CUDA failure 719: unspecified launch failure ; GPU=0 ; hostname=a",
        "CUDA error: uncorrectable ECC error encountered",
        "CUDA error: misaligned address",
        "CUDA error: CUDA-capable device(s) is/are busy or unavailable",
        "CUDA error: unknown error",
    ],
)
def test_a_gpu_that_is_lost_is_told_apart(text: str) -> None:
    error = translate(RuntimeError(f"{text}\nCUDA kernel errors might be asynchronously reported"), "here")
    assert isinstance(error, DeviceLost)
    assert str(error) == f"here: the GPU is lost: {text}; only a new process can use it again"


def test_what_cleaning_up_hides_is_found() -> None:
    def capture() -> None:
        try:
            raise RuntimeError("CUDA out of memory. Tried to allocate 2 GiB")
        finally:
            raise RuntimeError("CUDA error: operation failed due to a previous error during capture")

    with pytest.raises(RuntimeError, match="during capture") as caught:
        capture()
    assert isinstance(translate(caught.value, "here"), DeviceMemoryError)


def test_anything_else_is_none() -> None:
    assert translate(RuntimeError("shapes do not fit"), "here") is None
