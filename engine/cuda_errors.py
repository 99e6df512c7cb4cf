"""What libraries say when CUDA fails, by their words: they share neither types nor codes."""

from __future__ import annotations

from engine.errors import DeviceLost, DeviceMemoryError, VedetteError

# ONNX Runtime: "Failed to allocate memory for requested buffer of size 1024"; cuBLAS, cuDNN: "…_STATUS_ALLOC_FAILED".
_MEMORY = ("out of memory", "failed to allocate memory", "alloc_failed")
# Errors after which every further call on the context fails, see "CUDA Runtime API", cudaError_t.
_LOST = (
    "device-side assert", "illegal memory access", "unspecified launch failure", "uncorrectable", "misaligned address",
    "illegal instruction", "invalid program counter", "hardware stack error", "non-supported address space",
    "launch timed out", "context is destroyed", "driver shutting down", "busy or unavailable",
    "cuda error: unknown error", "cuda failure 999",
)  # fmt: skip


def translate(error: BaseException, where: str) -> VedetteError | None:
    """Put an error of a library on a GPU into a sentence of ours; None where it is about something else.

    Args:
        error: the exception; those it came from are looked at, too, since cleaning up hides the cause.
        where: what begins the sentence, such as `models/person: torch on cuda:0`.
    """
    found: BaseException | None = error
    while found is not None:
        text = str(found).strip().partition("\n")[0]
        words = text.lower()
        if any(part in words for part in _MEMORY):
            return DeviceMemoryError(f"{where}: the GPU has too little memory: {text}; use a smaller max_batch")
        if any(part in words for part in _LOST):
            return DeviceLost(f"{where}: the GPU is lost: {text}; only a new process can use it again")
        found = found.__cause__ or found.__context__
    return None
