"""A stand-in for NVIDIA's driver: a `libcuda.so.1` by g++ whose GPUs are this machine's CPU.

The real PyCUDA runs on it, so what we do with CUDA is tested without a GPU: order, capture, ownership, too little memory,
a lost GPU. A process has one driver for good, so between tests the stand-in shows no GPU. Where this machine has a GPU,
its own driver is used and tests that need the stand-in are skipped, unless CUDA_STAND_IN=1.
"""

from __future__ import annotations

import ctypes
import functools
import hashlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

import engine.gpu

HERE = Path(__file__).parent
CACHE = HERE.parents[1] / ".pytest_cache" / "cuda_driver"


class StandInDriver:
    """The stand-in, as a test sees it. What it says of its GPUs also holds in processes that the test starts.

    Attributes:
        path: the library; its folder is first in LD_LIBRARY_PATH.
    """

    def __init__(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.path = path
        self._monkeypatch = monkeypatch
        self._library = ctypes.CDLL(str(path), ctypes.RTLD_GLOBAL)
        self._library.stand_in_live.restype = ctypes.c_char_p

    def show(self, devices: int = 1, nbytes: int = 2**30, version: int = 13000) -> None:
        """Show GPUs of compute capability 8.6 and so much memory each, by a driver of a CUDA version such as 12040."""
        self._monkeypatch.setenv("CUDA_STAND_IN_DEVICES", str(devices))
        self._monkeypatch.setenv("CUDA_STAND_IN_BYTES", str(nbytes))
        self._monkeypatch.setenv("CUDA_STAND_IN_VERSION", str(version))
        # What gpus() has found stays true for the tests that follow.
        self._monkeypatch.setattr(engine.gpu, "_look", functools.cache(engine.gpu._look.__wrapped__))

    def fail(self, call: str, code: int, nth: int = 1) -> None:
        """Let the n-th call from now give an error; a fatal one is what its context gives ever after."""
        self._library.stand_in_fail(call.encode(), nth, code)

    def live(self) -> str:
        """What is allocated, such as `2 buffers, 1 streams`; empty where nothing is."""
        text: bytes = self._library.stand_in_live()
        return text.decode()

    def reset(self) -> None:
        """Forget everything."""
        self._library.stand_in_reset()


@functools.cache
def uses_own_gpu() -> bool:
    """Whether the tests of this process run on a GPU. First asked before the stand-in shows any."""
    return bool(engine.gpu.gpus()) and os.environ.get("CUDA_STAND_IN") != "1"


@pytest.fixture
def cuda_driver(monkeypatch: pytest.MonkeyPatch) -> Iterator[StandInDriver]:
    """The stand-in driver, showing one GPU."""
    if uses_own_gpu():
        pytest.skip("this machine's own driver is in use; CUDA_STAND_IN=1 takes the stand-in")
    path = build_driver()
    paths = [str(path.parent), *filter(None, [os.environ.get("LD_LIBRARY_PATH")])]
    monkeypatch.setenv("LD_LIBRARY_PATH", os.pathsep.join(paths))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    driver = StandInDriver(path, monkeypatch)
    driver.show()
    yield driver
    driver.reset()


def build_driver() -> Path:
    """Compile the stand-in, unless it has been."""
    code = sorted(HERE.glob("*.cpp"))
    flags = ["-fvisibility=hidden", "-Wl,-soname,libcuda.so.1", *map(str, code), "-ldl", "-pthread"]
    return _compile("libcuda.so.1", flags, [*code, HERE / "state.hpp", HERE / "cpu_kernel.h"])


def cpu_kernels(source: Path, capability: str = "", defines: Mapping[str, int] | None = None) -> bytes:
    """Compile a `.cu` file for the stand-in: takes and gives what `operators.nvidia.kernels.compile_kernel` does."""
    names = re.findall(r'extern "C" __global__ void (\w+)\(', source.read_text())
    code = f'#include "cpu_kernel.h"\n#include "{source.name}"\n' + "".join(f"CPU_KERNEL({name})\n" for name in names)
    code = "".join(f"#define {name} {value}\n" for name, value in (defines or {}).items()) + code
    # Without contraction: a fused multiply-add has one rounding, the kernels say where they want two.
    flags = ["-ffp-contract=off", f"-I{HERE}", f"-I{source.parent}", "-x", "c++", "-"]
    sources = [*sorted(source.parent.glob("*.cu*")), HERE / "cpu_kernel.h"]
    return _compile("kernels.so", flags, sources, code).read_bytes()


def _compile(name: str, flags: list[str], sources: list[Path], code: str = "") -> Path:
    """Compile, with `code` as standard input, unless the cache has what this code and these sources give."""
    digest = hashlib.sha256("".join([code, *(path.read_text() for path in sources)]).encode()).hexdigest()
    made = CACHE / digest[:16] / name
    if made.exists():
        return made
    if sys.platform != "linux" or shutil.which("g++") is None:
        complain = pytest.fail if os.environ.get("CI") else pytest.skip
        complain("the stand-in for the CUDA driver needs Linux and g++: apt install g++")
    made.parent.mkdir(parents=True, exist_ok=True)
    partial = made.with_name(f"{name}.{os.getpid()}")
    command = ["g++", "-std=c++17", "-O1", "-shared", "-fPIC", "-o", str(partial), *flags]
    subprocess.run(command, input=code, text=True, check=True)
    return partial.rename(made)
