"""CUDA kernels: our `.cu` files, compiled for the GPU at hand by NVRTC, which takes a tenth of a second.

NVRTC is called by ctypes: it comes as a wheel, with PyTorch or with the CUDA toolkit, and needs neither GPU nor driver.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import functools
import importlib.util
from collections.abc import Iterator, Mapping
from pathlib import Path

from engine.errors import BackendUnavailable

NORMALISE = Path(__file__).parent / "normalise.cu"
LETTERBOX = Path(__file__).parent / "letterbox.cu"


def compile_kernel(source: Path, capability: str, defines: Mapping[str, int] | None = None) -> bytes:
    """Compile a kernel.

    Args:
        source: the `.cu` file; what it includes lies beside it.
        capability: the GPU's, such as `8.9`.
        defines: macros and their values.

    Returns:
        A cubin, or PTX, which the driver compiles further, where this NVRTC is older than the GPU.

    Raises:
        BackendUnavailable: there is no NVRTC, or it refuses the source: its log is in the text.
    """
    nvrtc = _nvrtc()
    wanted, known = int(capability.replace(".", "")), _capabilities(nvrtc)
    if wanted < known[0]:
        raise BackendUnavailable(
            f"{source.name}: this NVRTC compiles for compute capability {_dotted(known[0])} and later, this GPU is "
            f"{capability}; install an older one: pip install 'nvidia-cuda-nvrtc-cu12'"
        )
    target = f"sm_{wanted}" if wanted in known else f"compute_{max(c for c in known if c < wanted)}"
    options = [f"--gpu-architecture={target}", f"--include-path={source.parent}", "--std=c++17"]
    options += [f"--define-macro={name}={value}" for name, value in (defines or {}).items()]
    program = ctypes.c_void_p()
    _check(nvrtc, nvrtc.nvrtcCreateProgram(
        ctypes.byref(program), source.read_bytes(), source.name.encode(), 0, None, None
    ))  # fmt: skip
    try:
        flags = (ctypes.c_char_p * len(options))(*(option.encode() for option in options))
        if nvrtc.nvrtcCompileProgram(program, len(options), flags) != 0:
            log = _read(nvrtc, program, "ProgramLog").rstrip(b"\0").decode(errors="replace").strip()
            raise BackendUnavailable(f"{source.name}: NVRTC cannot compile it for {target}: {log}")
        return _read(nvrtc, program, "CUBIN" if target.startswith("sm_") else "PTX")
    finally:
        nvrtc.nvrtcDestroyProgram(ctypes.byref(program))


@functools.cache
def _nvrtc() -> ctypes.CDLL:
    for path in _candidates():
        try:
            # NVRTC opens its second library by name alone, which is found if it is loaded already.
            for builtins in Path(path).parent.glob("libnvrtc-builtins.so.*"):
                ctypes.CDLL(str(builtins))
            return ctypes.CDLL(str(path))
        except OSError:
            continue
    raise BackendUnavailable("no NVRTC, which compiles our CUDA kernels: pip install 'vedette[gpu]'")


def _candidates() -> Iterator[Path | str]:
    """Give where NVRTC may lie: its wheel, of any CUDA release, is also what PyTorch brings; then the system."""
    spec = importlib.util.find_spec("nvidia")
    for folder in (spec.submodule_search_locations if spec else None) or ():
        yield from sorted(Path(folder).glob("*/lib/libnvrtc.so.[0-9]*"), reverse=True)
        yield from sorted(Path(folder).glob("*/bin/**/nvrtc64_*_0.dll"), reverse=True)
    found = ctypes.util.find_library("nvrtc")
    if found:
        yield found
    yield from sorted(Path("/usr/local").glob("cuda*/lib64/libnvrtc.so"), reverse=True)


def _capabilities(nvrtc: ctypes.CDLL) -> list[int]:
    count = ctypes.c_int()
    _check(nvrtc, nvrtc.nvrtcGetNumSupportedArchs(ctypes.byref(count)))
    numbers = (ctypes.c_int * count.value)()
    _check(nvrtc, nvrtc.nvrtcGetSupportedArchs(numbers))
    return sorted(numbers)


def _dotted(capability: int) -> str:
    return f"{capability // 10}.{capability % 10}"


def _read(nvrtc: ctypes.CDLL, program: ctypes.c_void_p, what: str) -> bytes:
    size = ctypes.c_size_t()
    _check(nvrtc, getattr(nvrtc, f"nvrtcGet{what}Size")(program, ctypes.byref(size)))
    text = ctypes.create_string_buffer(size.value)
    _check(nvrtc, getattr(nvrtc, f"nvrtcGet{what}")(program, text))
    return text.raw


def _check(nvrtc: ctypes.CDLL, result: int) -> None:
    if result != 0:
        nvrtc.nvrtcGetErrorString.restype = ctypes.c_char_p
        raise BackendUnavailable(f"NVRTC failed: {nvrtc.nvrtcGetErrorString(result).decode()}")
