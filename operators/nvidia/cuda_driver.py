"""The driver by ctypes, PyCUDA on top of it, and what goes wrong with either. The one file that knows PyCUDA."""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Callable
from typing import Any

from engine.errors import BackendUnavailable, BundleError, DeviceLost, DeviceMemoryError, VedetteError
from engine.gpu import LIBRARY

_OUT_OF_MEMORY = 2
# After any of these every further call on the context fails, see "CUDA Driver API", CUresult.
_LOST = (
    4,  # DEINITIALIZED
    46,  # DEVICE_UNAVAILABLE
    214,  # ECC_UNCORRECTABLE
    220,  # NVLINK_UNCORRECTABLE
    226,  # CONTAINED
    700,  # ILLEGAL_ADDRESS
    702,  # LAUNCH_TIMEOUT
    709,  # CONTEXT_IS_DESTROYED
    710,  # ASSERT
    714,  # HARDWARE_STACK_ERROR
    715,  # ILLEGAL_INSTRUCTION
    716,  # MISALIGNED_ADDRESS
    717,  # INVALID_ADDRESS_SPACE
    718,  # INVALID_PC
    719,  # LAUNCH_FAILED
    999,  # UNKNOWN
)


@functools.cache
def load_driver() -> ctypes.CDLL:
    """Load the driver; there must be one. Functions that take handles know their types."""
    # Global: PyCUDA is not linked with the driver where it was built without one, and looks its functions up.
    driver = ctypes.CDLL(LIBRARY, ctypes.RTLD_GLOBAL)
    handle, out = ctypes.c_void_p, ctypes.POINTER(ctypes.c_void_p)
    driver.cuStreamBeginCapture_v2.argtypes = (handle, ctypes.c_int)
    driver.cuStreamEndCapture.argtypes = (handle, out)
    driver.cuGraphInstantiateWithFlags.argtypes = (out, handle, ctypes.c_ulonglong)
    driver.cuGraphLaunch.argtypes = (handle, handle)
    driver.cuGraphExecDestroy.argtypes = (handle,)
    driver.cuGraphDestroy.argtypes = (handle,)
    return driver


@functools.cache
def load_pycuda(driver_version: str) -> Any:
    """Load `pycuda.driver`.

    Args:
        driver_version: the latest CUDA that the driver runs, for the sentence.

    Raises:
        BackendUnavailable: PyCUDA is not installed, or does not fit the driver.
    """
    load_driver()
    try:
        import pycuda.driver
    except ModuleNotFoundError as error:
        raise BackendUnavailable(
            f"PyCUDA is not installed: {error}; `pip install 'vedette[gpu]'` compiles it, see docs/gpu.md"
        ) from None
    except ImportError as error:
        raise BackendUnavailable(
            f"PyCUDA cannot be loaded: {error}; an undefined symbol means that it was built for a later CUDA than this "
            f"driver's {driver_version}: update the driver, or build PyCUDA again, see docs/gpu.md"
        ) from None
    return pycuda.driver


def call(function: Callable[..., Any], *args: Any) -> Any:
    """Call something of PyCUDA's; its errors become ours."""
    try:
        return function(*args)
    except Exception as error:
        if type(error).__module__ != "pycuda._driver":
            raise
        raise translate(error) from error


def check(code: int, name: str) -> None:
    """Raise what the driver's function `name` gave, unless it is 0."""
    if code:
        raise _error(code, name, _error_text(code))


def translate(error: Exception) -> VedetteError:
    """Put an exception of PyCUDA's into a sentence of ours: too little memory, a lost GPU, or anything else."""
    if isinstance(error, VedetteError):
        return error
    # PyCUDA gives no code, only the driver's text behind the name of the call.
    name, _, text = str(error).partition(" failed: ")
    code = next((c for c in (_OUT_OF_MEMORY, *_LOST) if text.startswith(_error_text(c))), 0)
    # An empty log of the kernel's compiler leaves a dash.
    return _error(code, name, text.removesuffix(" - "))


def _error(code: int, name: str, text: str) -> VedetteError:
    if code == _OUT_OF_MEMORY:
        return DeviceMemoryError(f"the GPU has too little memory: {name}: {text}; use a smaller batch")
    if code in _LOST:
        return DeviceLost(f"the GPU is lost: {name}: {text}; only a new process can use it again")
    return BundleError(f"CUDA failed: {name}: {text}")


def _error_text(code: int) -> str:
    text = ctypes.c_char_p()
    load_driver().cuGetErrorString(code, ctypes.byref(text))
    return (text.value or b"unknown error").decode()
