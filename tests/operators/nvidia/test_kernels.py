from __future__ import annotations

import ctypes
import ctypes.util
import importlib.util
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.errors import BackendUnavailable
from operators.nvidia import kernels
from operators.nvidia.kernels import LETTERBOX, NORMALISE, compile_kernel


@pytest.fixture(autouse=True)
def nvrtc_is_looked_for_anew() -> Iterator[None]:
    yield
    kernels._nvrtc.cache_clear()


@pytest.mark.parametrize("bits", [32, 16, 8])
@pytest.mark.parametrize("source", [NORMALISE, LETTERBOX], ids=lambda path: path.stem)
@pytest.mark.parametrize("capability", ["7.5", "8.0", "8.6", "8.7", "8.9", "9.0", "10.0", "12.0", "12.1"])
def test_every_kernel_compiles_for_every_gpu(source: Path, capability: str, bits: int) -> None:
    cubin = compile_kernel(source, capability, {"NUMBER_BITS": bits})
    assert cubin.startswith(b"\x7fELF")
    assert source.stem.encode() in cubin


def test_a_gpu_that_is_newer_than_the_compiler_gets_ptx() -> None:
    ptx = compile_kernel(NORMALISE, "19.9", {"NUMBER_BITS": 32})
    assert b".target sm_" in ptx
    assert b".entry normalise" in ptx


def test_a_gpu_that_the_compiler_has_forgotten_is_named() -> None:
    expected = r"normalise.cu: this NVRTC compiles for compute capability 7.5 and later, this GPU is 6.1; .*pip install"
    with pytest.raises(BackendUnavailable, match=expected):
        compile_kernel(NORMALISE, "6.1", {"NUMBER_BITS": 32})


def test_a_kernel_that_does_not_compile_shows_the_compiler_s_log(tmp_path: Path) -> None:
    source = tmp_path / "wrong.cu"
    source.write_text('extern "C" __global__ void wrong(int *out) { *out = nowhere; }')
    expected = r'(?s)wrong.cu: NVRTC cannot compile it for sm_89: .*identifier "nowhere" is undefined'
    with pytest.raises(BackendUnavailable, match=expected):
        compile_kernel(source, "8.9")


def test_without_nvrtc_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    kernels._nvrtc.cache_clear()
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(ctypes.util, "find_library", lambda name: None)
    monkeypatch.setattr(Path, "glob", lambda self, pattern: iter(()))
    with pytest.raises(BackendUnavailable, match=r"no NVRTC, .*pip install 'vedette\[gpu\]'"):
        compile_kernel(NORMALISE, "8.9")


def test_a_library_that_cannot_be_loaded_is_passed_over(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    broken = tmp_path / "libnvrtc.so.13"
    broken.write_text("no library")
    found = list(kernels._candidates())
    kernels._nvrtc.cache_clear()
    monkeypatch.setattr(kernels, "_candidates", lambda: iter([broken, *found]))
    assert compile_kernel(NORMALISE, "8.9", {"NUMBER_BITS": 32}).startswith(b"\x7fELF")


def test_the_sources_are_part_of_the_package() -> None:
    for name in ("normalise.cu", "letterbox.cu", "numbers.cuh"):
        assert (Path(kernels.__file__).parent / name).is_file()
