from __future__ import annotations

import logging
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from engine.errors import BackendUnavailable
from engine.gpu import Gpu
from operators.nvidia import tensorrt_module
from operators.nvidia.tensorrt_module import TensorrtModule, dtype_name, load_tensorrt

if not os.environ.get("CI"):
    pytest.importorskip("tensorrt_rtx")

NAMES = ("tensorrt", "tensorrt_bindings", "tensorrt_rtx", "tensorrt_rtx_bindings")
L4 = Gpu(index=0, name="NVIDIA L4", capability="8.9", memory_bytes=24 << 30, driver="12.4", bus_id="0000:01:00.0")
# A module that this seam can use, without a library behind it.
WORKING = """
__version__ = "{version}"
class ILogger: pass
class Builder: pass
"""

Install = Callable[[str, str], None]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Gives a machine without TensorRT; makes Python modules of this name and text on it."""
    monkeypatch.syspath_prepend(tmp_path)
    for name in NAMES:
        monkeypatch.setitem(sys.modules, name, None)

    def make(name: str, text: str) -> None:
        monkeypatch.delitem(sys.modules, name)
        (tmp_path / f"{name}.py").write_text(text)

    return make


@pytest.fixture
def rtx(monkeypatch: pytest.MonkeyPatch) -> TensorrtModule:
    monkeypatch.setattr(tensorrt_module, "gpus", tuple)
    monkeypatch.setattr(tensorrt_module, "why_no_gpu", lambda: "no NVIDIA driver")
    return load_tensorrt("tensorrt_rtx")


def test_loads_the_real_one() -> None:
    module = load_tensorrt("tensorrt_rtx")
    assert (module.flavour, module.version) == ("tensorrt_rtx", module.trt.__version__)
    assert str(module) == f"TensorRT for RTX {module.version}"


def test_prefers_tensorrt(install: Install) -> None:
    install("tensorrt", WORKING.format(version="10.15.1.29"))
    install("tensorrt_rtx", WORKING.format(version="1.7.1.116"))
    assert str(load_tensorrt()) == "TensorRT 10.15.1.29"
    assert str(load_tensorrt("tensorrt_rtx")) == "TensorRT for RTX 1.7.1.116"


def test_takes_tensorrt_for_rtx_where_that_is_all_there_is(install: Install, caplog: pytest.LogCaptureFixture) -> None:
    install("tensorrt_rtx", WORKING.format(version="1.7.1.116"))
    assert load_tensorrt().flavour == "tensorrt_rtx"
    assert caplog.records == []


def test_finds_bindings_without_the_package_around_them(install: Install) -> None:
    install("tensorrt_bindings", WORKING.format(version="10.15.1.29"))
    assert load_tensorrt().trt.__name__ == "tensorrt_bindings"


def test_a_folder_of_that_name_is_no_library(install: Install, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "tensorrt")
    (tmp_path / "tensorrt").mkdir()
    with pytest.raises(BackendUnavailable, match=r"^TensorRT is not installed: pip install 'vedette\[tensorrt\]'$"):
        load_tensorrt("tensorrt")


@pytest.mark.usefixtures("install")
def test_says_what_to_install() -> None:
    with pytest.raises(
        BackendUnavailable,
        match=r"^TensorRT is not installed: pip install 'vedette\[tensorrt\]', or on GeForce and RTX pip install "
        r"'vedette\[tensorrt-rtx\]'$",
    ):
        load_tensorrt()
    with pytest.raises(
        BackendUnavailable, match=r"^TensorRT for RTX is not installed: pip install 'vedette\[tensorrt-rtx\]'$"
    ):
        load_tensorrt("tensorrt_rtx")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "raise ImportError('libnvonnxparser.so.11: cannot open shared object file: No such file or directory')",
            r"^TensorRT is installed without its library libnvonnxparser.so.11: pip install 'vedette\[tensorrt\]', or put "
            r"its folder into LD_LIBRARY_PATH$",
        ),
        (
            "raise FileNotFoundError('Could not find: nvinfer.dll. Is it on your PATH?\\nNote: Paths searched were:')",
            "^TensorRT is installed without its library nvinfer.dll: pip install",
        ),
        ("import tensorrt_bindings", r"^TensorRT is installed without the Python module 'tensorrt_bindings': pip install"),
        (
            "raise ImportError('libnvinfer.so.10: undefined symbol: cuModuleLoad\\nmore')",
            "^TensorRT is installed and cannot be loaded: libnvinfer.so.10: undefined symbol: cuModuleLoad$",
        ),
        (WORKING.format(version="8.6.1"), r"^TensorRT 8.6.1 is too old, 10 or later is needed: pip install"),
    ],
)  # fmt: skip
def test_says_what_is_wrong_with_an_installation(install: Install, text: str, message: str) -> None:
    install("tensorrt", text)
    with pytest.raises(BackendUnavailable, match=message):
        load_tensorrt()


def test_an_installation_that_is_broken_is_named_when_the_other_is_used(
    install: Install, caplog: pytest.LogCaptureFixture
) -> None:
    install("tensorrt", "raise ImportError('libnvinfer.so.10: cannot open shared object file: No such file')")
    install("tensorrt_rtx", WORKING.format(version="1.7.1.116"))
    assert load_tensorrt().flavour == "tensorrt_rtx"
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert "without its library libnvinfer.so.10" in record.message
    assert record.message.endswith("; TensorRT for RTX 1.7.1.116 is used instead")


def test_a_log_hears_what_is_said_while_it_is_open(rtx: TensorrtModule) -> None:
    with rtx.listen() as log, rtx.listen() as other:
        # One parser for each network: a second one ends the process when they are freed (1.7.1).
        rtx.parser(rtx.builder(log).create_network(0)).parse_from_file("missing.onnx")
    rtx.parser(rtx.builder(log).create_network(0)).parse_from_file("missing.onnx")
    assert log.lines == other.lines
    assert [severity for severity, _ in log.lines] == ["ERROR"]
    assert "missing.onnx" in log.lines[0][1]


def test_a_log_is_the_same_for_the_same_build(rtx: TensorrtModule) -> None:
    log = rtx.listen()
    log.add("VERBOSE", "thousands of these")
    log.add("INFO", "Engine generation completed in 0.590654 seconds.")
    log.add("INFO", "[BlockAssignment] Algorithm ShiftNTopDown took 0.008853ms to assign 1 blocks to 1 nodes.")
    log.add("INFO", "[MemUsageChange] Init CUDA: CPU +21, GPU +0, now: CPU 2675, GPU 0 (MiB)")
    log.add("WARNING", "Make sure output 2s has Int64 binding.")
    assert log.text() == (
        "INFO: Engine generation completed in … seconds.\n"
        "INFO: [BlockAssignment] Algorithm ShiftNTopDown took … ms to assign 1 blocks to 1 nodes.\n"
        "WARNING: Make sure output … s has Int64 binding.\n"
    )


@pytest.mark.parametrize(
    ("lines", "sentence"),
    [
        ([], "TensorRT for RTX .* gave no reason"),
        (
            [("ERROR", "IBuilder::buildSerializedNetwork: Error Code 4: API Usage Error (Network must have at least one "
                       "output. In validate at /_src/optimizer/api/network.cpp:3810)")],
            "Network must have at least one output",
        ),
        ([("ERROR", "one"), ("ERROR", "two"), ("INFO", "no"), ("INTERNAL_ERROR", "three"), ("WARNING", "no")], "two; three"),
        ([("WARNING", "CUDA initialization failure with error: 35. Please check")],
         "TensorRT for RTX .* needs a GPU: no NVIDIA driver"),
        ([("ERROR", "IRuntime::deserializeCudaEngine: Error Code 1: Cuda Runtime (In ScopedCudaStream at /_src/a.cpp:25 "
                    "(cudaError 35: CUDA driver version is insufficient for CUDA runtime version))")],
         "TensorRT for RTX .* needs a GPU: no NVIDIA driver"),
        ([("ERROR", "Node conv: no"),
          ("ERROR", "[checkMacros.cpp::catchCudaError::250] Error Code 1: Cuda Runtime (In catchCudaError at /_src/a.cpp:250 "
                    "(cudaError 35: CUDA driver version is insufficient for CUDA runtime version))")],
         "Node conv: no"),
    ],
)  # fmt: skip
def test_explains_what_went_wrong(rtx: TensorrtModule, lines: list[tuple[str, str]], sentence: str) -> None:
    log = rtx.listen()
    for severity, text in lines:
        log.add(severity, text)
    assert re.fullmatch(sentence, rtx.explain(log))


@pytest.mark.parametrize(
    ("code", "sentence"),
    [
        (35, "the NVIDIA driver runs CUDA up to 12.4, too old for {module}; update the driver"),
        (2, "{module} ran out of memory on the GPU (CUDA error 2)"),
        (999, "{module} could not use the GPU: CUDA error 999; `nvidia-smi` shows whether it is well"),
    ],
)
def test_explains_errors_of_a_driver_that_is_there(
    rtx: TensorrtModule, monkeypatch: pytest.MonkeyPatch, code: int, sentence: str
) -> None:
    monkeypatch.setattr(tensorrt_module, "gpus", lambda: (L4,))
    log = rtx.listen()
    log.add("ERROR", f"Error Code 1: Cuda Runtime (cudaError {code}: words)")
    assert rtx.explain(log) == sentence.format(module=rtx)


def test_a_builder_that_python_is_not_given_becomes_a_sentence(
    install: Install, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tensorrt_module, "gpus", tuple)
    monkeypatch.setattr(tensorrt_module, "why_no_gpu", lambda: "no NVIDIA driver")
    install(
        "tensorrt",
        """
import types
__version__ = "10.15.1.29"
class ILogger: pass
class Builder:
    def __init__(self, logger):
        logger.log(types.SimpleNamespace(name="WARNING"), "CUDA initialization failure with error: 35. Please check")
        raise TypeError("pybind11::init(): factory function returned nullptr")
Runtime = Builder
""",
    )
    module = load_tensorrt()
    with module.listen() as log:
        with pytest.raises(BackendUnavailable, match=r"^TensorRT 10.15.1.29 needs a GPU: no NVIDIA driver$"):
            module.builder(log)
        with pytest.raises(BackendUnavailable, match=r"^TensorRT 10.15.1.29 needs a GPU: no NVIDIA driver$"):
            module.runtime(log)


def test_types_have_numpy_names(rtx: TensorrtModule) -> None:
    types = rtx.trt.DataType
    names = [dtype_name(one) for one in (types.FLOAT, types.HALF, types.BF16, types.INT64, types.UINT8)]
    assert names == ["float32", "float16", "bfloat16", "int64", "uint8"]
