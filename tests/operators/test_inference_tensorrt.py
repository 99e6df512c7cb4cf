from __future__ import annotations

import dataclasses
import logging
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper

from engine.bundle import Bundle, Manifest, write_bundle
from engine.errors import BackendUnavailable, BundleError, DeviceLost, DeviceMemoryError
from engine.file_entry import FileEntry
from engine.gpu import gpus, why_no_gpu
from engine.inference import BackendOptions
from engine.input_spec import InputSpec
from engine.operator import BatchOperator
from engine.packet import Packet
from engine.picture import Picture, Pixels
from engine.trt_build import BuildRequest, make_builder
from engine.trt_engine import TrtEngine, TrtTensor, this_platform
from operators.detect import Detect
from operators.inference_onnxruntime import InferenceOnnxruntime
from operators.inference_tensorrt import InferenceTensorrt
from operators.nvidia import image_input, shared_engine
from tests.cuda_driver import StandInDriver, cpu_kernels
from tests.fake_tensorrt import FakeTensorrt, fake_engine
from tests.frames import make_frame
from tests.tiny_models import save_constant, save_yolox, squares

VERSION = "10.15.1.29"
OUT_OF_MEMORY, ILLEGAL_ADDRESS = 2, 700
IMAGENET: dict[str, Any] = {"mean": (123.675, 116.28, 103.53), "std": (58.395, 57.12, 57.375)}

MakeBundle = Callable[..., Bundle]


@pytest.fixture
def trt(cuda_driver: StandInDriver, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeTensorrt]:
    """TensorRT's stand-in on the driver's; at the end of a test nothing may be left in either."""
    fake = FakeTensorrt(VERSION)
    monkeypatch.setitem(sys.modules, "tensorrt", fake)
    monkeypatch.setattr(shared_engine, "_loaded", {})
    monkeypatch.setattr(
        image_input, "_compiled", lambda source, _, bits: cpu_kernels(source, "", {"NUMBER_BITS": bits})
    )
    yield fake
    assert (cuda_driver.live(), len(fake.engines), len(fake.contexts), shared_engine._loaded) == ("", 0, 0, {})


def tiny_bundle(folder: Path, onnx_path: Path, **spec: Any) -> Bundle:
    manifest = Manifest(
        name="tiny", family="yolox", labels=("blue", "red"), input=InputSpec(**{"size_wh": (64, 64), **spec}), files={}
    )
    return write_bundle(folder / "tiny", manifest, {"onnx": onnx_path})


def tensors(path: Path) -> tuple[tuple[TrtTensor, ...], tuple[TrtTensor, ...]]:
    names = {
        TensorProto.FLOAT: "float32",
        TensorProto.FLOAT16: "float16",
        TensorProto.UINT8: "uint8",
        TensorProto.INT64: "int64",
    }
    graph = onnx.load(str(path)).graph

    def described(info: Any) -> TrtTensor:
        kind = info.type.tensor_type
        shape = tuple(d.dim_value or -1 for d in kind.shape.dim)
        return TrtTensor(name=info.name, shape=shape, dtype=names[kind.elem_type])

    return tuple(map(described, graph.input)), tuple(map(described, graph.output))


def add_fake_engine(
    bundle: Bundle, name: str = "a", batches: tuple[int, int] = (1, 8), data: bytes | None = None, **changes: Any
) -> Bundle:
    """Put a stand-in's engine of the bundle's model into it."""
    path = bundle.file("onnx")
    inputs, outputs = tensors(path)
    file, log = bundle.root.parent / f"{name}.engine", bundle.root.parent / f"{name}.log"
    file.write_bytes(data if data is not None else fake_engine(path, batches, name=name))
    log.write_text("built\n", encoding="utf-8")
    row = {
        "file": FileEntry.of(file, f"engines/{file.name}"), "log": FileEntry.of(log, f"engines/{log.name}"),
        "flavour": "tensorrt", "version": VERSION, "platform": this_platform(), "compute_capabilities": ("8.6",),
        "precision": "fp16", "min_batch": batches[0], "opt_batch": batches[1], "max_batch": batches[1],
        "inputs": inputs, "outputs": outputs, "onnx_sha256": bundle.manifest.files["onnx"].sha256, **changes,
    }  # fmt: skip
    return bundle.add_engine(TrtEngine(**row), {row["file"].path: file, row["log"].path: log})


def save_identity(path: Path, dtype: int, size_wh: tuple[int, int] = (64, 64), batch: Any = "N") -> Path:
    """Write a model that gives back what it was fed."""
    node = helper.make_node("Identity", ["x"], ["y"])
    inputs, outputs = (helper.make_tensor_value_info(name, dtype, [batch, 3, *size_wh[::-1]]) for name in "xy")
    graph = helper.make_graph([node], "identity", [inputs], [outputs])
    onnx.save_model(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), str(path))
    return path


def noise(count: int, size_wh: tuple[int, int] = (64, 64), seed: int = 3) -> Pixels:
    return np.random.default_rng(seed).integers(0, 256, (count, 3, size_wh[1], size_wh[0]), dtype=np.uint8)


def pictures(count: int) -> list[Picture]:
    rng = np.random.default_rng(7)
    sizes = rng.integers(5, 200, (count, 2))
    return [Picture.from_bgr(rng.integers(0, 256, (h, w, 3), dtype=np.uint8)) for w, h in sizes]


def opened(bundle: Bundle, **options: Any) -> InferenceTensorrt:
    backend = InferenceTensorrt(BackendOptions(**options))
    try:
        backend.open(bundle)
    except BundleError:
        backend.close()
        raise
    return backend


def expected(bundle: Bundle, batch: Pixels) -> list[NDArray[Any]]:
    backend = InferenceOnnxruntime()
    backend.open(bundle)
    return backend.infer(batch)


@dataclass
class Ground:
    """What engines run on: the stand-ins, or this machine's GPU and TensorRT."""

    bundle: MakeBundle
    max_error: float


@pytest.fixture(params=["stand-in", pytest.param("gpu", marks=pytest.mark.gpu)])
def ground(request: pytest.FixtureRequest, tmp_path: Path) -> Ground:
    if request.param == "stand-in":
        request.getfixturevalue("trt")

        def fake_bundle(onnx_path: Path, batches: tuple[int, int] = (1, 4), **spec: Any) -> Bundle:
            return add_fake_engine(tiny_bundle(tmp_path, onnx_path, **spec), batches=batches)

        return Ground(fake_bundle, 0.0)
    gpu = request.getfixturevalue("gpu")

    def real_bundle(onnx_path: Path, batches: tuple[int, int] = (1, 4), **spec: Any) -> Bundle:
        bundle = tiny_bundle(tmp_path, onnx_path, **spec)
        request_ = BuildRequest(bundle.file("onnx"), bundle.manifest.input.size_wh, batches[0], batches[1], batches[1])
        built = make_builder().build(request_)
        return add_fake_engine(
            bundle, batches=(built.min_batch, built.max_batch), data=built.data, flavour=built.flavour,
            version=built.version, compute_capabilities=built.compute_capabilities or (gpu.capability,),
            precision="fp32", inputs=built.inputs, outputs=built.outputs,
        )  # fmt: skip

    return Ground(real_bundle, 1e-3)


def assert_near(found: list[NDArray[Any]], wanted: list[NDArray[Any]], max_error: float) -> None:
    assert [(one.shape, one.dtype) for one in found] == [(one.shape, one.dtype) for one in wanted]
    for one, other in zip(found, wanted, strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=max_error)


@pytest.mark.parametrize("count", range(1, 10))
def test_gives_what_onnx_runtime_gives(ground: Ground, tmp_path: Path, count: int) -> None:
    """Batches of more than 4 are run in pieces; the third run of a size is the second one of its CUDA graph."""
    bundle = ground.bundle(save_yolox(tmp_path / "model.onnx"), **IMAGENET)
    backend = opened(bundle)
    for seed in range(3):
        batch = noise(count, seed=seed)
        assert_near(backend.infer(batch), expected(bundle, batch), ground.max_error)
    backend.close()


def test_batch_sizes_take_turns(ground: Ground, tmp_path: Path) -> None:
    bundle = ground.bundle(save_yolox(tmp_path / "model.onnx"))
    backend = opened(bundle)
    for seed, count in enumerate((4, 1, 4, 3, 1, 4, 3, 1)):
        batch = noise(count, seed=seed)
        assert_near(backend.infer(batch), expected(bundle, batch), ground.max_error)
    backend.close()


@pytest.mark.parametrize("spec", [{}, {"color": "rgb", "resize": "letterbox_center", **IMAGENET}])
def test_letterboxes_pictures_on_the_gpu(ground: Ground, tmp_path: Path, spec: dict[str, Any]) -> None:
    bundle = ground.bundle(save_identity(tmp_path / "model.onnx", TensorProto.FLOAT), **spec)
    backend = opened(bundle)
    batch = pictures(6)
    letterboxed = np.stack([one.letterbox(bundle.manifest.input.letterbox) for one in batch])
    assert_near(backend.infer_pictures(batch), backend.infer(letterboxed), 0.0)
    assert_near(backend.infer_pictures(batch[:1]), expected(bundle, letterboxed[:1]), ground.max_error)
    backend.close()


@pytest.mark.parametrize("batches", [(1, 1), (2, 2), (2, 4)])
def test_engines_that_want_more_pictures_than_there_are_get_them(
    ground: Ground, tmp_path: Path, batches: tuple[int, int]
) -> None:
    fixed = batches[0] == batches[1]
    bundle = ground.bundle(save_yolox(tmp_path / "model.onnx", batch=batches[0] if fixed else None), batches)
    backend = opened(bundle)
    assert backend.fixed_batch == (batches[0] if fixed else None)
    assert backend.max_batch == batches[1]
    for count in (1, 2, 5):
        batch = noise(count)
        assert_near(backend.infer(batch), expected(bundle, batch), ground.max_error)
    backend.close()


def test_models_that_ask_for_sizes_are_given_the_input_s(ground: Ground, tmp_path: Path) -> None:
    boxes, scores = np.array([[[0.5, 0.5, 1, 1]]], np.float32), np.array([[7]], np.int64)
    path = save_constant(tmp_path / "model.onnx", [boxes, scores], size_wh=(96, 64), sizes_input=True)
    backend = opened(ground.bundle(path, size_wh=(96, 64)))
    for _ in range(2):
        scaled, classes = backend.infer(noise(3, (96, 64)))
        assert scaled.tolist() == [[[48, 32, 96, 64]]] * 3
        assert classes.tolist() == [[7]] * 3
        assert classes.dtype == np.int64
    backend.close()


def test_a_second_call_does_not_change_the_first_result(ground: Ground, tmp_path: Path) -> None:
    backend = opened(ground.bundle(save_identity(tmp_path / "model.onnx", TensorProto.FLOAT)))
    first = noise(1)
    (seen,) = backend.infer(first)
    backend.infer(np.zeros_like(first))
    assert np.array_equal(seen, first)
    backend.close()


def test_copies_in_two_threads_share_the_engine(ground: Ground, tmp_path: Path) -> None:
    bundle = ground.bundle(save_yolox(tmp_path / "model.onnx"))
    copies = [opened(bundle) for _ in range(2)]
    batches = [[noise(1 + (i + k) % 4, seed=10 * k + i) for i in range(12)] for k in range(2)]
    found: list[list[list[NDArray[Any]]]] = [[], []]

    def work(k: int) -> None:
        found[k] += [copies[k].infer(batch) for batch in batches[k]]

    threads = [threading.Thread(target=work, args=(k,)) for k in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    # Not in their threads: freeing memory waits for the GPU with Python's lock held, which the stand-in needs to run.
    for copy in copies:
        copy.close()
    for k in range(2):
        for batch, outputs in zip(batches[k], found[k], strict=True):
            assert_near(outputs, expected(bundle, batch), ground.max_error)


def test_layers_are_timed(ground: Ground, tmp_path: Path) -> None:
    backend = opened(ground.bundle(save_yolox(tmp_path / "model.onnx")))
    layers = backend.profile(noise(2), runs=3)
    assert layers
    assert all(isinstance(layer, str) and ms >= 0 for layer, _, ms in layers)
    backend.close()


def test_a_detector_gives_the_same_boxes_wherever_it_letterboxes(trt: FakeTensorrt, tmp_path: Path) -> None:
    bundle = add_fake_engine(tiny_bundle(tmp_path, save_yolox(tmp_path / "model.onnx")))
    found = []
    where: tuple[Literal["host", "device"], ...] = ("host", "device")
    for letterbox in where:
        prepare, infer = Detect(str(bundle.root), require="tensorrt", letterbox=letterbox).expand()
        assert isinstance(infer, BatchOperator)
        prepare.open()
        infer.open()
        pixels = squares((2, 3, "blue"), (6, 4, "red"), size_wh=(128, 96), cell=16)
        frame = dataclasses.replace(make_frame(0), picture=Picture.from_bgr(pixels))
        (packet,) = infer.process_batch([prepare.process(Packet(frame))])
        assert packet.detections is not None
        found.append((packet.detections.xyxy.tolist(), packet.detections.class_id.tolist()))
        infer.close()
    assert found[0] == found[1]
    assert found[0][0]


def test_says_what_it_runs_where(trt: FakeTensorrt, tmp_path: Path) -> None:
    bundle = add_fake_engine(tiny_bundle(tmp_path, save_yolox(tmp_path / "model.onnx")))
    backend = opened(bundle, device="cuda:0", max_batch=3)
    assert (backend.name, backend.precision, backend.device) == ("tensorrt", "fp16", "cuda:0 (Stand-in 0)")
    assert (backend.fixed_batch, backend.max_batch) == (None, 3)
    assert backend.device_bytes >= 3 * (2 * 3 * 64 * 64 + 1000)
    assert backend.profile(noise(2), runs=3) == [("conv", "", 0.25), ("head", "", 0.5)]
    backend.close()
    backend.close()


@pytest.mark.parametrize(
    ("dtype", "precision"), [(TensorProto.FLOAT16, np.float16), (TensorProto.UINT8, np.uint8)], ids=["half", "uint8"]
)
def test_feeds_engines_of_any_input_type(trt: FakeTensorrt, tmp_path: Path, dtype: int, precision: type) -> None:
    spec = {} if dtype == TensorProto.UINT8 else IMAGENET
    bundle = add_fake_engine(tiny_bundle(tmp_path, save_identity(tmp_path / "model.onnx", dtype), **spec))
    backend = opened(bundle)
    assert_near(backend.infer(noise(3)), expected(bundle, noise(3)), 0.0)
    batch = pictures(3)
    letterboxed = np.stack([one.letterbox(bundle.manifest.input.letterbox) for one in batch])
    assert_near(backend.infer_pictures(batch), expected(bundle, letterboxed), 0.0)
    backend.close()


def test_a_model_of_grey_levels_cannot_be_normalised(trt: FakeTensorrt, tmp_path: Path) -> None:
    path = save_identity(tmp_path / "model.onnx", TensorProto.UINT8)
    bundle = add_fake_engine(tiny_bundle(tmp_path, path, **IMAGENET))
    with pytest.raises(BundleError, match=r"a.engine: the model reads uint8, which cannot be normalised; take `mean`"):
        opened(bundle)


def test_a_graph_is_made_after_the_first_run_of_a_batch_size(
    trt: FakeTensorrt, tmp_path: Path, cuda_driver: StandInDriver
) -> None:
    bundle = add_fake_engine(tiny_bundle(tmp_path, save_yolox(tmp_path / "model.onnx")))
    backend = opened(bundle)
    graphs = []
    for count in (2, 2, 3, 2, 3):
        backend.infer(noise(count))
        graphs.append(cuda_driver.live().rpartition(", ")[2])
    assert graphs == ["1 executable graphs", "1 executable graphs", *["2 executable graphs"] * 3]
    # One for the largest batch, made when the engine was opened, and one for each size.
    assert len(trt.contexts) == 3
    backend.close()


def test_engines_that_cannot_be_captured_run_without_a_graph(
    trt: FakeTensorrt, tmp_path: Path, cuda_driver: StandInDriver
) -> None:
    trt.is_capturable = False
    bundle = add_fake_engine(tiny_bundle(tmp_path, save_yolox(tmp_path / "model.onnx")))
    backend = opened(bundle)
    for seed in range(3):
        batch = noise(2, seed=seed)
        assert_near(backend.infer(batch), expected(bundle, batch), 0.0)
    assert "graph" not in cuda_driver.live()
    backend.close()


def test_a_capture_that_fails_costs_the_graph_alone(
    trt: FakeTensorrt, tmp_path: Path, cuda_driver: StandInDriver, caplog: pytest.LogCaptureFixture
) -> None:
    bundle = add_fake_engine(tiny_bundle(tmp_path, save_yolox(tmp_path / "model.onnx")))
    backend = opened(bundle)
    cuda_driver.fail("cuGraphInstantiateWithFlags", 801)
    with caplog.at_level(logging.INFO):
        for seed in range(3):
            batch = noise(2, seed=seed)
            assert_near(backend.infer(batch), expected(bundle, batch), 0.0)
    (line,) = [record.getMessage() for record in caplog.records]
    assert "a.engine: batches of 2 run without a CUDA graph: CUDA failed: cuGraphInstantiateWithFlags" in line
    backend.close()


def test_tensorrt_for_rtx_makes_graphs_by_itself(
    trt: FakeTensorrt, tmp_path: Path, cuda_driver: StandInDriver, monkeypatch: pytest.MonkeyPatch
) -> None:
    rtx = FakeTensorrt("1.7.1.116", is_rtx=True)
    monkeypatch.setitem(sys.modules, "tensorrt_rtx", rtx)
    bundle = add_fake_engine(
        tiny_bundle(tmp_path, save_yolox(tmp_path / "model.onnx")), flavour="tensorrt_rtx", version="1.7.1.116"
    )
    backend = opened(bundle)
    for seed in range(3):
        assert_near(backend.infer(noise(2, seed=seed)), expected(bundle, noise(2, seed=seed)), 0.0)
    backend.profile(noise(2), runs=1)
    assert "graph" not in cuda_driver.live()
    assert rtx.strategies == ["WHOLE_GRAPH_CAPTURE", "WHOLE_GRAPH_CAPTURE", "DISABLED"]
    backend.close()
    assert len(rtx.engines) == len(rtx.contexts) == 0


def test_an_engine_is_loaded_once_and_freed_by_its_last_user(trt: FakeTensorrt, tmp_path: Path) -> None:
    bundle = add_fake_engine(tiny_bundle(tmp_path, save_yolox(tmp_path / "model.onnx")))
    first, second = opened(bundle), opened(bundle)
    assert (trt.num_loads, len(trt.engines)) == (1, 1)
    first.close()
    assert_near(second.infer(noise(2)), expected(bundle, noise(2)), 0.0)
    assert len(trt.engines) == 1
    second.close()
    assert len(trt.engines) == 0
    opened(bundle).close()
    assert trt.num_loads == 2


def test_the_engine_that_was_added_last_runs(trt: FakeTensorrt, tmp_path: Path) -> None:
    bundle = tiny_bundle(tmp_path, save_yolox(tmp_path / "model.onnx"))
    for name, precision in (("a", "fp16"), ("b", "int8")):
        bundle = add_fake_engine(bundle, name, precision=precision)
    newest, wanted = opened(bundle), opened(bundle, precision="fp16")
    assert (newest.precision, wanted.precision) == ("int8", "fp16")
    newest.close()
    wanted.close()


def test_too_little_memory_halves_the_batch(
    trt: FakeTensorrt, tmp_path: Path, cuda_driver: StandInDriver, caplog: pytest.LogCaptureFixture
) -> None:
    path = save_yolox(tmp_path / "model.onnx")
    bundle = tiny_bundle(tmp_path, path)
    bundle = add_fake_engine(bundle, data=fake_engine(bundle.file("onnx"), (1, 8), bytes_per_picture=2**20))
    cuda_driver.show(nbytes=3 * 2**20)
    backend = opened(bundle)
    assert backend.max_batch == 2
    (line,) = [record.getMessage() for record in caplog.records]
    assert line.endswith("a.engine: cuda:0 (Stand-in 0) has memory for batches of 2, not 8")
    assert_near(backend.infer(noise(5)), expected(bundle, noise(5)), 0.0)
    backend.close()


def test_no_memory_for_one_picture_is_a_sentence(trt: FakeTensorrt, tmp_path: Path, cuda_driver: StandInDriver) -> None:
    bundle = tiny_bundle(tmp_path, save_yolox(tmp_path / "model.onnx"))
    bundle = add_fake_engine(bundle, data=fake_engine(bundle.file("onnx"), (1, 8), bytes_per_picture=2**30))
    cuda_driver.show(nbytes=2**20)
    with pytest.raises(DeviceMemoryError, match=r"a.engine: no memory for a batch of 1: GPU 0 .*1024 MiB wanted"):
        opened(bundle)


def test_memory_that_runs_out_later_loses_nothing_else(
    trt: FakeTensorrt, tmp_path: Path, cuda_driver: StandInDriver
) -> None:
    bundle = add_fake_engine(tiny_bundle(tmp_path, save_yolox(tmp_path / "model.onnx")))
    backend = opened(bundle)
    trt.context_error = "Error Code 2: OutOfMemory (Requested size was 1000 bytes.)"
    with pytest.raises(
        DeviceMemoryError, match=r"a.engine: the engine cannot be prepared to run: .*Requested size was"
    ):
        backend.infer(noise(3))
    trt.context_error = None
    assert_near(backend.infer(noise(3)), expected(bundle, noise(3)), 0.0)
    backend.close()


def test_a_lost_gpu_says_so(trt: FakeTensorrt, tmp_path: Path, cuda_driver: StandInDriver) -> None:
    bundle = add_fake_engine(tiny_bundle(tmp_path, save_yolox(tmp_path / "model.onnx")))
    backend = opened(bundle)
    cuda_driver.fail("cuMemcpyHtoDAsync", ILLEGAL_ADDRESS)
    with pytest.raises(DeviceLost, match=r"the GPU is lost: .*illegal memory access"):
        backend.infer(noise(2))
    with pytest.raises(DeviceLost):
        backend.infer(noise(2))
    backend.close()
    cuda_driver.reset()


def test_an_engine_that_fails_says_why(trt: FakeTensorrt, tmp_path: Path) -> None:
    bundle = add_fake_engine(tiny_bundle(tmp_path, save_yolox(tmp_path / "model.onnx")))
    backend = opened(bundle)
    trt.error = "IExecutionContext::enqueueV3: Error Code 1: Myelin (No kernel for it)"
    with pytest.raises(BundleError, match=r"a.engine: the engine failed: No kernel for it"):
        backend.infer(noise(2))
    trt.error = None
    assert_near(backend.infer(noise(2)), expected(bundle, noise(2)), 0.0)
    backend.close()


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"version": "10.3.0"}, "was built by TensorRT 10.3.0, here is 10.15.1.29"),
        ({"compute_capabilities": ("8.9", "9.0")}, "was built for compute capability 8.9, 9.0, this GPU is 8.6"),
        ({"platform": "Windows AMD64"}, "was built for Windows AMD64, this is "),
        ({"onnx_sha256": "a" * 64}, "was built of another model"),
        ({"precision": "int8"}, "computes in int8, wanted is fp16"),
        ({"flavour": "tensorrt_rtx"}, "TensorRT for RTX is not installed"),
        (
            {"inputs": (TrtTensor(name="images", shape=(-1, 3, 96, 128), dtype="float32"),)},
            "a.engine takes 128x96 pictures, the manifest says 64x64",
        ),
    ],
)
def test_an_engine_that_does_not_fit_says_why_and_what_to_do(
    trt: FakeTensorrt, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any], reason: str
) -> None:
    for name in ("tensorrt_rtx", "tensorrt_rtx_bindings"):
        monkeypatch.setitem(sys.modules, name, None)
    bundle = add_fake_engine(tiny_bundle(tmp_path, save_yolox(tmp_path / "model.onnx")), **changes)
    expected_text = (
        rf"tiny: no TensorRT engine of the bundle fits: .*{reason}.*; build one: `vedette engine build .*tiny`"
    )
    with pytest.raises(BackendUnavailable, match=expected_text):
        opened(bundle, precision="fp16")


def test_a_model_of_free_size_that_was_given_another_one_needs_another_engine(
    trt: FakeTensorrt, tmp_path: Path
) -> None:
    fixed = save_yolox(tmp_path / "model.onnx")
    bundle = add_fake_engine(tiny_bundle(tmp_path, fixed))
    smaller = bundle.manifest.model_copy(update={"input": InputSpec(size_wh=(32, 32))})
    with pytest.raises(
        BackendUnavailable, match=r"engines/a\.engine takes 64x64 pictures, the manifest says 32x32; bui"
    ):
        opened(Bundle(bundle.root, smaller))


def test_a_bundle_without_engines_says_how_to_build_one(tmp_path: Path) -> None:
    bundle = tiny_bundle(tmp_path, save_yolox(tmp_path / "model.onnx"))
    with pytest.raises(
        BackendUnavailable, match=r"tiny: the bundle has no TensorRT engine; build one: `vedette engine"
    ):
        opened(bundle)


def test_an_engine_of_altered_bytes_is_never_loaded(trt: FakeTensorrt, tmp_path: Path) -> None:
    bundle = add_fake_engine(tiny_bundle(tmp_path, save_yolox(tmp_path / "model.onnx")))
    path = bundle.root / "engines/a.engine"
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(
        BundleError, match=r"a.engine: damaged or replaced: .*build it again with `vedette engine build"
    ):
        opened(bundle)
    assert trt.num_loads == 0


def test_an_engine_that_cannot_be_loaded_shows_the_library_s_reason(trt: FakeTensorrt, tmp_path: Path) -> None:
    bundle = add_fake_engine(tiny_bundle(tmp_path, save_yolox(tmp_path / "model.onnx")), data=b"something else")
    with pytest.raises(BundleError, match=r"a.engine: the engine cannot be loaded: .*Magic tag does not match"):
        opened(bundle)


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"inputs": (TrtTensor(name="picture", shape=(-1, 3, 64, 64), dtype="float32"),)},
         r"the inputs are images \(-1, 3, 64, 64\) float32, the manifest says picture \(-1, 3, 64, 64\) float32"),
        ({"outputs": (TrtTensor(name="boxes", shape=(-1, 84, 7), dtype="float32"),)},
         r"the outputs are output \(-1, 84, 7\) float32, the manifest says boxes"),
        ({"outputs": (TrtTensor(name="output", shape=(-1, 84, 7), dtype="float16"),)}, r"the outputs are .*float32, the manifest says .*float16"),
    ],
)  # fmt: skip
def test_an_engine_that_is_not_what_the_manifest_says_is_refused(
    trt: FakeTensorrt, tmp_path: Path, changes: dict[str, Any], text: str
) -> None:
    bundle = add_fake_engine(tiny_bundle(tmp_path, save_yolox(tmp_path / "model.onnx")), **changes)
    with pytest.raises(BundleError, match=rf"a.engine: {text}.*build it again with `vedette engine build .*tiny`"):
        opened(bundle)


def test_without_a_gpu_there_is_no_tensorrt(tmp_path: Path) -> None:
    if gpus():
        pytest.skip("this machine has one")
    bundle = add_fake_engine(tiny_bundle(tmp_path, save_yolox(tmp_path / "model.onnx")))
    with pytest.raises(BackendUnavailable) as caught:
        opened(bundle)
    assert str(caught.value) == why_no_gpu()
    with pytest.raises(BackendUnavailable, match="TensorRT runs on GPUs only, not on device cpu"):
        opened(bundle, device="cpu")


def test_closing_needs_no_opening() -> None:
    InferenceTensorrt().close()


def test_models_are_read_by_others(tmp_path: Path) -> None:
    with pytest.raises(
        BundleError, match=r"a.onnx: the backend tensorrt runs engines and reads no models; onnxruntime"
    ):
        InferenceTensorrt().inspect(tmp_path / "a.onnx")
