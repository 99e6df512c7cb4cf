"""The NVIDIA GPUs that CUDA would see here, asked of the driver alone, and why there are none.

A process that has begun with CUDA cannot be forked any more, and a broken driver can end it: another one asks.
"""

from __future__ import annotations

import ctypes
import functools
import json
import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

LIBRARY = "libcuda.so.1"
# A machine of eight GPUs without the persistence daemon takes half a minute to wake up.
_TIMEOUT_S = 120
_ATTRIBUTE_MAJOR, _ATTRIBUTE_MINOR = 75, 76
_NO_DEVICE = 100


@dataclass(frozen=True)
class Gpu:
    """A GPU.

    Attributes:
        index: as CUDA numbers those that CUDA_VISIBLE_DEVICES leaves.
        name: such as `NVIDIA L4`.
        capability: compute capability, such as `8.9`.
        memory_bytes: all of its memory, whoever uses it.
        driver: the latest CUDA that its driver runs, such as `13.0`.
        bus_id: where it sits, such as `0000:65:00.0`: the one name that other tools share.
    """

    index: int
    name: str
    capability: str
    memory_bytes: int
    driver: str
    bus_id: str


def gpus() -> tuple[Gpu, ...]:
    """Find the GPUs that this process may use, in CUDA's order; none where CUDA does not work. Asks once a process."""
    return _look(os.environ.get("CUDA_VISIBLE_DEVICES"))[0]


def free_bytes(gpu: Gpu) -> int | None:
    """Give the memory of a GPU that nobody uses now; None where the driver does not tell, as on Jetson."""
    memory, device = _NvmlMemory(), ctypes.c_void_p()
    try:
        nvml = ctypes.CDLL("libnvidia-ml.so.1")
    except OSError:
        return None
    if nvml.nvmlInit_v2():
        return None
    failed = nvml.nvmlDeviceGetHandleByPciBusId_v2(
        gpu.bus_id.encode(), ctypes.byref(device)
    ) or nvml.nvmlDeviceGetMemoryInfo(device, ctypes.byref(memory))
    nvml.nvmlShutdown()
    return None if failed else int(memory.free)


class _NvmlMemory(ctypes.Structure):
    _fields_ = (("total", ctypes.c_ulonglong), ("free", ctypes.c_ulonglong), ("used", ctypes.c_ulonglong))


def why_no_gpu() -> str:
    """Say, in a sentence without a full stop, why `gpus()` finds none; empty where it finds one."""
    return _look(os.environ.get("CUDA_VISIBLE_DEVICES"))[1]


@functools.cache
def _look(visible: str | None) -> tuple[tuple[Gpu, ...], str]:
    try:
        # Without cuInit this begins nothing, and it is all there is to ask on most machines.
        ctypes.CDLL(LIBRARY)
    except OSError as error:
        return (), _no_library(error)
    try:
        # -I: this file's folder has modules that are called as some of Python's own.
        command = [sys.executable, "-I", "-S", __file__]
        done = subprocess.run(command, capture_output=True, text=True, timeout=_TIMEOUT_S, check=True)
        answer = json.loads(done.stdout)
    except subprocess.TimeoutExpired:
        return (), f"the NVIDIA driver gave no answer within {_TIMEOUT_S} s; `nvidia-smi` and `dmesg` may say why"
    except subprocess.CalledProcessError as error:
        code = error.returncode
        how = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        return (), f"asking the NVIDIA driver ended a process with {how}; `nvidia-smi` and `dmesg` may say why"
    if answer["gpus"]:
        return tuple(Gpu(**gpu) for gpu in answer["gpus"]), ""
    return (), _refused(answer["call"], answer["error"], visible)


def _no_library(error: OSError) -> str:
    kernel_driver = Path("/proc/driver/nvidia/version")
    if kernel_driver.exists():
        return (
            f"the kernel has an NVIDIA driver, but {LIBRARY} is not here; start a container with `--gpus all` and the "
            "NVIDIA Container Toolkit"
        )
    if "cannot open shared object file" in str(error):
        return f"no NVIDIA driver: there is no {LIBRARY}"
    return f"no NVIDIA driver that can be loaded: {error}"


def _refused(call: str, code: int, visible: str | None) -> str:
    """Put a CUDA error into a sentence; 0 stands for a driver that works and counts no device."""
    if code in (0, _NO_DEVICE):
        if visible is not None:
            return f"CUDA_VISIBLE_DEVICES={visible!r} leaves none of this machine's GPUs"
        if not Path("/dev/nvidiactl").exists() and not Path("/dev/dxg").exists():
            return f"{LIBRARY} is here, but no /dev/nvidia*; start a container with `--gpus all`, or load the driver"
        return "the NVIDIA driver works and finds no GPU; `nvidia-smi` lists what it sees"
    return f"the NVIDIA driver failed: {call}: {_ERRORS.get(code, 'see `nvidia-smi` and `dmesg`')} (CUDA error {code})"


_MISMATCH = "driver and library are of different versions; restart the machine, or the container after a driver update"
_ERRORS = {
    34: f"{LIBRARY} is the toolkit's stub and no driver; take its folder out of LD_LIBRARY_PATH",
    101: "CUDA_VISIBLE_DEVICES names a GPU that is not there",
    802: "the system is not ready; start the Fabric Manager (`systemctl start nvidia-fabricmanager`)",
    803: _MISMATCH,
    804: f"this GPU does not take the forward-compatible {LIBRARY} (cuda-compat); update the driver or remove it",
    999: f"unknown; most often {_MISMATCH}",
}


def _ask_driver() -> dict[str, Any]:
    """Ask; the calls make no context and take no memory of any GPU."""
    version, count = ctypes.c_int(), ctypes.c_int()
    try:
        _call("cuInit", 0)
        _call("cuDriverGetVersion", ctypes.byref(version))
        _call("cuDeviceGetCount", ctypes.byref(count))
        driver = f"{version.value // 1000}.{version.value % 1000 // 10}"
        return {
            "gpus": [{**_describe(index), "driver": driver} for index in range(count.value)],
            "call": "",
            "error": 0,
        }
    except _CudaError as error:
        call, code = error.args
        return {"gpus": [], "call": call, "error": code}


def _describe(index: int) -> dict[str, Any]:
    device, memory, major, minor = ctypes.c_int(), ctypes.c_size_t(), ctypes.c_int(), ctypes.c_int()
    name, bus_id = ctypes.create_string_buffer(256), ctypes.create_string_buffer(32)
    _call("cuDeviceGet", ctypes.byref(device), index)
    _call("cuDeviceGetName", name, len(name), device)
    _call("cuDeviceGetAttribute", ctypes.byref(major), _ATTRIBUTE_MAJOR, device)
    _call("cuDeviceGetAttribute", ctypes.byref(minor), _ATTRIBUTE_MINOR, device)
    _call("cuDeviceTotalMem_v2", ctypes.byref(memory), device)
    _call("cuDeviceGetPCIBusId", bus_id, len(bus_id), device)
    return {
        "index": index,
        "name": name.value.decode(errors="replace"),
        "capability": f"{major.value}.{minor.value}",
        "memory_bytes": memory.value,
        "bus_id": bus_id.value.decode(),
    }


class _CudaError(Exception):
    """A call and the code that it gave."""


def _call(name: str, *arguments: Any) -> None:
    if code := getattr(ctypes.CDLL(LIBRARY), name)(*arguments):
        raise _CudaError(name, code)


if __name__ == "__main__":
    print(json.dumps(_ask_driver()))
