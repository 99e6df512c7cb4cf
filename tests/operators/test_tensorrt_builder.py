from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from engine import gpu as real
from engine.errors import BackendUnavailable, BundleError, DeviceMemoryError
from engine.gpu import Gpu
from engine.trt_build import BuildRequest, BuiltEngine
from engine.trt_engine import TrtTensor
from operators import tensorrt_builder
from operators.nvidia import tensorrt_module
from operators.nvidia.tensorrt_module import TensorrtModule, load_tensorrt
from operators.tensorrt_builder import TensorrtBuilder
from tests.full_tensorrt import FullTensorrt
from tests.onnx_graphs import save_model
from tests.tiny_models import save_constant, save_yolox

if not os.environ.get("CI"):
    pytest.importorskip("tensorrt_rtx")

ROOT = Path(__file__).resolve().parents[2]
DATA = ROOT.parent / "shared" / "data"
L4 = Gpu(index=0, name="NVIDIA L4", capability="8.9", memory_bytes=24 << 30, driver="13.0", bus_id="0000:01:00.0")
NO_DRIVER = "no NVIDIA driver"


@pytest.fixture(autouse=True)
def here(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Gpu]]:
    """The GPUs of this machine: none, unless a test puts one there."""
    found: list[Gpu] = []
    for module in (tensorrt_builder, tensorrt_module):
        monkeypatch.setattr(module, "gpus", lambda: tuple(found))
        monkeypatch.setattr(module, "why_no_gpu", lambda: "" if found else NO_DRIVER)
    yield found
    # A build that was stopped must not go on in the background.
    assert [thread for thread in threading.enumerate() if thread.name.startswith("tensorrt")] == []


def build(path: Path, size_wh: tuple[int, int] = (64, 64), **wanted: Any) -> BuiltEngine:
    return TensorrtBuilder().build(BuildRequest(path, size_wh, **{"targets": ("8.9",), **wanted}))


def test_builds_for_several_gpus_at_once(tmp_path: Path) -> None:
    built = build(save_yolox(tmp_path / "tiny.onnx"), targets=("8.6", "8.9"), opt_batch=4)
    assert built.flavour == "tensorrt_rtx"
    assert built.version == load_tensorrt("tensorrt_rtx").version
    assert built.compute_capabilities == ("8.6", "8.9")
    assert (built.min_batch, built.opt_batch, built.max_batch) == (1, 4, 8)
    assert built.inputs == (TrtTensor(name="images", shape=(-1, 3, 64, 64), dtype="float32"),)
    assert built.outputs == (TrtTensor(name="output", shape=(-1, 84, 7), dtype="float32"),)
    assert len(built.data) > 100_000
    assert built.build_s > 0
    assert built.layers > 20


@pytest.mark.parametrize("capability", ["7.5", "8.0", "8.6", "8.9", "12.0", "12.1"])
def test_builds_for_each_gpu_that_the_library_knows(tmp_path: Path, capability: str) -> None:
    assert build(save_yolox(tmp_path / "tiny.onnx"), targets=(capability,)).compute_capabilities == (capability,)


def test_the_log_is_the_same_for_the_same_build(tmp_path: Path) -> None:
    path = save_yolox(tmp_path / "tiny.onnx")
    one, other = build(path), build(path)
    assert one.log == other.log
    assert "INFO: Input filename:   tiny.onnx\n" in one.log
    assert "Engine generation completed in … seconds" in one.log
    assert str(tmp_path) not in one.log


def test_nothing_comes_on_the_screen(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    build(save_yolox(tmp_path / "tiny.onnx"))
    assert capfd.readouterr() == ("", "")


def test_a_fixed_batch_is_the_whole_profile(tmp_path: Path) -> None:
    built = build(save_yolox(tmp_path / "tiny.onnx", batch=2), opt_batch=2, max_batch=2)
    assert (built.min_batch, built.opt_batch, built.max_batch) == (2, 2, 2)
    assert built.inputs[0].shape == (2, 3, 64, 64)
    assert built.outputs[0].shape == (2, 84, 7)


def test_a_free_size_is_fixed_to_the_pictures(tmp_path: Path) -> None:
    built = build(save_yolox(tmp_path / "tiny.onnx", fixed_size=False), (96, 64))
    assert built.inputs[0].shape == (-1, 3, 64, 96)
    assert built.outputs[0].shape == (-1, 96 + 24 + 6, 7)


def test_the_size_that_boxes_are_scaled_to_has_the_batch_of_the_picture(tmp_path: Path) -> None:
    outputs: list[NDArray[Any]] = [np.zeros((1, 5, 4), np.float32), np.zeros((1, 5), np.int64)]
    built = build(save_constant(tmp_path / "tiny.onnx", outputs, sizes_input=True))
    assert built.inputs[1] == TrtTensor(name="orig_target_sizes", shape=(-1, 2), dtype="int64")
    assert [(tensor.shape, tensor.dtype) for tensor in built.outputs] == [((-1, 5, 4), "float32"), ((-1, 5), "int64")]


def test_fp16_stands_in_the_graph(tmp_path: Path) -> None:
    kernel = np.ones((64, 3, 64, 64), np.float32)
    sizes = []
    for dtype, kind in ((np.float32, TensorProto.FLOAT), (np.float16, TensorProto.FLOAT16)):
        nodes = [
            helper.make_node("Cast", ["images"], ["typed"], to=kind),
            helper.make_node("Conv", ["typed", "kernel"], ["sums"]),
            helper.make_node("Cast", ["sums"], ["output"], to=TensorProto.FLOAT),
        ]
        weights = [numpy_helper.from_array(kernel.astype(dtype), "kernel")]
        path = save_model(tmp_path / f"{kind}.onnx", nodes, output=("N", 64, 1, 1), weights=weights)
        sizes.append(len(build(path).data))
    assert sizes[0] - sizes[1] > kernel.size


def test_a_type_that_a_gpu_lacks_is_named(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Cast", ["images"], ["typed"], to=TensorProto.BFLOAT16),
        helper.make_node("Cast", ["kernel"], ["typed_kernel"], to=TensorProto.BFLOAT16),
        helper.make_node("Conv", ["typed", "typed_kernel"], ["sums"]),
        helper.make_node("Cast", ["sums"], ["output"], to=TensorProto.FLOAT),
    ]
    weights = [numpy_helper.from_array(np.ones((4, 3, 64, 64), np.float32), "kernel")]
    path = save_model(tmp_path / "bf16.onnx", nodes, output=("N", 4, 1, 1), weights=weights, opset=22)
    assert build(path, targets=("8.0",)).compute_capabilities == ("8.0",)
    with pytest.raises(BundleError, match=r"cannot build it: .*sm75.*b16"):
        build(path, targets=("7.5",))


def test_int8_stands_in_the_graph(tmp_path: Path) -> None:
    def both(name: str, scale: str) -> list[onnx.NodeProto]:
        return [
            helper.make_node("QuantizeLinear", [name, scale, "zero"], [f"{name}_q"]),
            helper.make_node("DequantizeLinear", [f"{name}_q", scale, "zero"], [f"{name}_dq"]),
        ]

    nodes = [
        *both("images", "scale"),
        helper.make_node("DequantizeLinear", ["kernel", "scale", "zero"], ["kernel_dq"]),
        helper.make_node("Conv", ["images_dq", "kernel_dq"], ["output"]),
    ]
    weights = [
        numpy_helper.from_array(np.ones((64, 3, 64, 64), np.int8), "kernel"),
        numpy_helper.from_array(np.array(0.5, np.float32), "scale"),
        numpy_helper.from_array(np.array(0, np.int8), "zero"),
    ]
    path = save_model(tmp_path / "int8.onnx", nodes, output=("N", 64, 1, 1), weights=weights)
    # In one byte a weight; float32 alone would be 3.1 MB.
    assert len(build(path).data) < 64 * 3 * 64 * 64 * 2


def test_a_batch_that_is_free_at_the_input_alone_is_said(tmp_path: Path) -> None:
    # Two pictures become one: TensorRT tries the batch that shall be fastest, and five do not go into pairs.
    nodes = [helper.make_node("Reshape", ["images", "shape"], ["output"])]
    weights = [numpy_helper.from_array(np.array([-1, 6, 64, 64]), "shape")]
    path = save_model(tmp_path / "tiny.onnx", nodes, output=("M", 6, 64, 64), weights=weights)
    with pytest.raises(
        BundleError,
        match="the model does not take all batches from 1 to 5, although its input does; export it with a free batch "
        "throughout, or with a fixed one: ",
    ):
        build(path, opt_batch=5, max_batch=5)


def test_a_workspace_that_is_too_small_is_said(tmp_path: Path) -> None:
    path = save_yolox(tmp_path / "tiny.onnx", size_wh=(416, 416))
    build(path, (416, 416), workspace_mb=512)
    with pytest.raises(BundleError, match=r"cannot build it: .*workspace"):
        build(path, (416, 416), workspace_mb=1)


# What a machine and its library can do.


def test_a_gpu_that_the_library_does_not_know_is_refused_with_those_it_does(tmp_path: Path) -> None:
    with pytest.raises(
        BackendUnavailable,
        match=r"^TensorRT for RTX .* cannot build for compute capability 9.0; it can for 7.5, 8.0, 8.6, 8.9, 12.0",
    ):
        build(save_yolox(tmp_path / "tiny.onnx"), targets=("8.6", "9.0"))


def test_the_gpu_here_needs_one(tmp_path: Path) -> None:
    with pytest.raises(
        BackendUnavailable, match=r"^no GPU to build for: no NVIDIA driver; name GPUs, such as --gpu sm_86,sm_89$"
    ):
        build(save_yolox(tmp_path / "tiny.onnx"), targets=())


@pytest.mark.skipif(bool(real.gpus()), reason="the library finds a driver here")
def test_a_driver_that_the_library_does_not_like_is_said(tmp_path: Path, here: list[Gpu]) -> None:
    here.append(L4)
    with pytest.raises(BundleError, match=r"the NVIDIA driver runs CUDA up to 13.0, too old for TensorRT for RTX"):
        build(save_yolox(tmp_path / "tiny.onnx"), targets=())


@pytest.mark.gpu
def test_builds_for_the_gpu_here(tmp_path: Path, here: list[Gpu], gpu: Gpu) -> None:
    here.append(gpu)
    assert build(save_yolox(tmp_path / "tiny.onnx"), targets=()).compute_capabilities == (gpu.capability,)


def test_levels_of_compatibility_that_rtx_lacks_are_refused(tmp_path: Path) -> None:
    path = save_yolox(tmp_path / "tiny.onnx")
    with pytest.raises(BackendUnavailable, match="has no hardware compatibility 'ampere_plus'; name every GPU instead"):
        build(path, hardware_compatibility="ampere_plus")
    with pytest.raises(BackendUnavailable, match=r"builds no version-compatible engines; build again after an update$"):
        build(path, version_compatible=True)


def test_a_timing_cache_is_left_alone_by_rtx(tmp_path: Path) -> None:
    built = build(save_yolox(tmp_path / "tiny.onnx"), timing_cache=tmp_path / "cache")
    assert "INFO: timing cache cache is not used: TensorRT for RTX " in built.log
    assert not (tmp_path / "cache").exists()


def test_what_is_not_installed_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(flavour: str) -> TensorrtModule:
        raise BackendUnavailable(f"{flavour} is not installed")

    monkeypatch.setattr(tensorrt_builder, "load_tensorrt", missing)
    with pytest.raises(BackendUnavailable, match=r"^tensorrt is not installed$"):
        build(save_yolox(tmp_path / "tiny.onnx"), flavour="tensorrt")


def test_says_which_library_builds() -> None:
    assert TensorrtBuilder().library("tensorrt_rtx") == ("tensorrt_rtx", load_tensorrt("tensorrt_rtx").version)


# Progress, and stopping.


def test_tells_how_far_it_is(tmp_path: Path) -> None:
    told: list[tuple[str, int, int]] = []

    def tell(phase: str, done: int, steps: int) -> bool:
        told.append((phase, done, steps))
        return True

    build(save_yolox(tmp_path / "tiny.onnx"), on_progress=tell)
    assert all(1 <= done <= steps for _, done, steps in told)
    assert len({phase for phase, done, steps in told if done == steps}) > 3


def test_stops_when_it_is_told_to(tmp_path: Path) -> None:
    path = save_yolox(tmp_path / "tiny.onnx")
    told: list[str] = []

    def tell(phase: str, done: int, steps: int) -> bool:
        told.append(phase)
        return False

    with pytest.raises(BundleError, match=f"^{path}: the build was cancelled$"):
        build(path, on_progress=tell)
    assert len(told) == 1


def test_what_the_listener_raises_comes_out(tmp_path: Path) -> None:
    def tell(phase: str, done: int, steps: int) -> bool:
        raise OSError("the screen is gone")

    with pytest.raises(OSError, match="the screen is gone"):
        build(save_yolox(tmp_path / "tiny.onnx"), on_progress=tell)


def test_ctrl_c_stops_it_at_the_next_step(tmp_path: Path) -> None:
    never = threading.Event()
    told: list[str] = []

    def tell(phase: str, done: int, steps: int) -> bool:
        told.append(phase)
        if len(told) == 1:
            # Time for the other thread to begin to wait for this one, and then to be interrupted.
            never.wait(0.2)
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
            never.wait(2)
        return True

    with pytest.raises(KeyboardInterrupt):
        build(save_yolox(tmp_path / "tiny.onnx"), on_progress=tell)
    assert len(told) == 1


# TensorRT itself: its calls, by the library that is here.


@pytest.fixture
def full(monkeypatch: pytest.MonkeyPatch, here: list[Gpu]) -> FullTensorrt:
    rtx = load_tensorrt("tensorrt_rtx")
    trt = FullTensorrt(rtx.trt)
    module = TensorrtModule(trt, "tensorrt", trt.__version__, rtx._logger)
    load: Callable[[Any], TensorrtModule] = lambda flavour: module  # noqa: E731
    monkeypatch.setattr(tensorrt_builder, "load_tensorrt", load)
    here.append(L4)
    return trt


def test_tensorrt_builds_for_the_gpu_here(tmp_path: Path, full: FullTensorrt) -> None:
    path = save_yolox(tmp_path / "tiny.onnx")
    for targets in ((), ("8.9",)):
        built = build(path, targets=targets)
        assert (built.flavour, built.version) == ("tensorrt", "10.15.1.29")
        assert built.compute_capabilities == ("8.9",)
    assert [config.flags for config in full.configs] == [set(), set()]


def test_tensorrt_builds_for_no_other_gpu(tmp_path: Path, full: FullTensorrt) -> None:
    with pytest.raises(
        BackendUnavailable,
        match=r"^TensorRT 10.15.1.29 builds for the GPU here alone, compute capability 8.9, not for 8.6, 8.9; build on the "
        r"machine that shall run the engine, or by TensorRT for RTX$",
    ):
        build(save_yolox(tmp_path / "tiny.onnx"), targets=("8.6", "8.9"))


def test_tensorrt_needs_a_gpu(tmp_path: Path, full: FullTensorrt, here: list[Gpu]) -> None:
    here.clear()
    for targets in ((), ("8.9",)):
        with pytest.raises(
            BackendUnavailable,
            match=r"^TensorRT 10.15.1.29 builds on the GPU that shall run the engine: no NVIDIA driver; TensorRT for RTX builds",
        ):
            build(save_yolox(tmp_path / "tiny.onnx"), targets=targets)


def test_a_driver_that_is_too_old_is_said(tmp_path: Path, full: FullTensorrt) -> None:
    full.is_driver_too_old = True
    with pytest.raises(
        BackendUnavailable,
        match=r"^the NVIDIA driver runs CUDA up to 13.0, too old for TensorRT 10.15.1.29; update the",
    ):
        build(save_yolox(tmp_path / "tiny.onnx"))


def test_tensorrt_is_told_what_engines_shall_be_compatible_with(tmp_path: Path, full: FullTensorrt) -> None:
    path = save_yolox(tmp_path / "tiny.onnx")
    build(path, hardware_compatibility="same_compute_capability", version_compatible=True, optimization_level=2)
    (config,) = full.configs
    assert config.flags == {"VERSION_COMPATIBLE"}
    assert config.hardware_compatibility_level.name == "SAME_COMPUTE_CAPABILITY"
    assert config.real.builder_optimization_level == 2


def test_a_level_of_compatibility_that_came_later_is_refused(
    tmp_path: Path, full: FullTensorrt, monkeypatch: pytest.MonkeyPatch
) -> None:
    levels = SimpleNamespace(__members__={"NONE": 0, "AMPERE_PLUS": 1})
    monkeypatch.setattr(full, "HardwareCompatibilityLevel", levels, raising=False)
    with pytest.raises(
        BackendUnavailable, match="has no hardware compatibility 'same_compute_capability'; a later version may"
    ):
        build(save_yolox(tmp_path / "tiny.onnx"), hardware_compatibility="same_compute_capability")


@pytest.mark.parametrize("tf32", [False, True])
def test_tf32_is_off_unless_asked_for(tmp_path: Path, full: FullTensorrt, tf32: bool) -> None:
    build(save_yolox(tmp_path / "tiny.onnx"), tf32=tf32)
    assert full.configs[0].real.get_flag(full.BuilderFlag.TF32) == tf32


def test_tensorrt_remembers_how_fast_kernels_were(tmp_path: Path, full: FullTensorrt) -> None:
    path, cache = save_yolox(tmp_path / "tiny.onnx"), tmp_path / "cache"
    for expected in (b"+measured", b"+measured+measured"):
        build(path, timing_cache=cache)
        assert cache.read_bytes() == expected
    cache.write_bytes(b"other")
    assert "WARNING: timing cache cache is of another version or GPU" in build(path, timing_cache=cache).log
    assert cache.read_bytes() == b"+measured"


def test_a_build_that_is_cancelled_leaves_nothing(tmp_path: Path, full: FullTensorrt) -> None:
    cache = tmp_path / "cache"
    with pytest.raises(BundleError, match="cancelled"):
        build(save_yolox(tmp_path / "tiny.onnx"), timing_cache=cache, on_progress=lambda *_: False)
    assert not cache.exists()


def test_too_little_memory_is_an_error_of_its_own(tmp_path: Path, full: FullTensorrt) -> None:
    full.failure = "Error Code 1: Cuda Runtime (In allocate at /_src/a.cpp:1 (cudaError 2: out of memory))"
    with pytest.raises(
        DeviceMemoryError,
        match=r"too little memory to build it: TensorRT 10.15.1.29 ran out of memory on the GPU \(CUDA error 2\); stop what",
    ):
        build(save_yolox(tmp_path / "tiny.onnx"))


# The models at hand.


@pytest.mark.parametrize("targets", [("8.6", "8.9"), ("7.5",), ("12.0",)], ids=str)
def test_builds_the_model_that_ships(targets: tuple[str, ...]) -> None:
    built = build(ROOT / "models" / "street-nano" / "street-nano.onnx", (416, 416), targets=targets)
    assert built.outputs == (TrtTensor(name="output", shape=(-1, 3549, 11), dtype="float32"),)


@pytest.mark.data
@pytest.mark.parametrize(
    ("name", "size", "batch"),
    [
        ("yolox_nano_416_dyn", 416, 8), ("yolox_nano_416", 416, 1), ("picodet_s_416_dyn", 416, 8),
        ("nanodet_m_416_dyn", 416, 8), ("fastestdet_352", 352, 1),
    ],
)  # fmt: skip
def test_builds_each_family_at_hand(name: str, size: int, batch: int) -> None:
    path = DATA / "models" / f"{name}.onnx"
    if not path.is_file():
        pytest.skip(f"no {path}")
    built = build(path, (size, size), targets=("8.6", "8.9"), opt_batch=batch, max_batch=batch)
    assert built.max_batch == batch
    assert len(built.data) > 0.8 * path.stat().st_size
