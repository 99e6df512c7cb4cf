from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from numpy.typing import NDArray

from engine import choice
from engine.bundle import Bundle
from engine.choice import candidates, open_backend
from engine.errors import BackendUnavailable, BundleError, ConfigError, DeviceLost, DeviceMemoryError
from engine.gpu import Gpu
from engine.inference import BackendOptions
from engine.picture import Pixels
from tests.engine_rows import add_engine, tiny_bundle

CARD = Gpu(index=0, name="NVIDIA L4", capability="8.9", memory_bytes=24 << 30, driver="13.0", bus_id="0000:01:00.0")


class FakeBackend:
    """Opens and runs, or says why not."""

    fixed_batch = None
    max_batch = 8

    def __init__(self, name: str, options: BackendOptions, error: Exception | None) -> None:
        self.name, self.options, self._error = name, options, error
        self.device = "cpu" if options.device in ("cpu", "auto") else f"{options.device} (NVIDIA L4)"
        self.precision = options.precision or "fp32"
        self.closed = False
        self.run_error: Exception | None = None
        self.shapes: list[tuple[int, ...]] = []

    def open(self, bundle: Bundle) -> None:
        if self._error is not None:
            raise self._error

    def infer(self, tensor: Pixels) -> list[NDArray[Any]]:
        self.shapes.append(tensor.shape)
        if self.run_error is not None:
            raise self.run_error
        return []

    def close(self) -> None:
        self.closed = True


class Machine:
    """Which backends there are, and what is wrong with them, by `name device`."""

    def __init__(self) -> None:
        self.faults: dict[str, Exception] = {}
        self.run_faults: dict[str, Exception] = {}
        self.made: list[FakeBackend] = []

    def make(self, name: str, options: BackendOptions) -> FakeBackend:
        fault = self.faults.get(f"{name} {options.device}") or self.faults.get(name)
        if isinstance(fault, ConfigError):
            raise fault
        self.made.append(FakeBackend(name, options, fault))
        self.made[-1].run_error = self.run_faults.get(name)
        return self.made[-1]


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Iterator[Machine]:
    found = Machine()
    monkeypatch.setattr(choice, "make_backend", found.make)
    monkeypatch.setattr(choice, "gpus", lambda: (CARD,))
    choice._say.cache_clear()
    yield found
    choice._say.cache_clear()


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    return tiny_bundle(tmp_path / "model")


def names(tries: list[Any]) -> list[str]:
    return [f"{name} {options.device} {options.precision or '-'}" for name, options in tries]


def test_a_gpu_comes_first_and_the_processor_last(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choice, "gpus", lambda: (CARD,))
    assert names(candidates("auto", BackendOptions())) == [
        "tensorrt cuda -", "onnxruntime cuda -", "torch cuda -", "onnxruntime cpu -"
    ]  # fmt: skip


def test_without_a_gpu_only_the_processor_is_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choice, "gpus", lambda: ())
    assert names(candidates("auto", BackendOptions())) == ["onnxruntime cpu -"]
    assert names(candidates("onnxruntime", BackendOptions())) == ["onnxruntime auto -"]
    assert names(candidates("tensorrt", BackendOptions())) == ["tensorrt auto -", "onnxruntime cpu -"]
    assert names(candidates("openvino", BackendOptions())) == ["openvino auto -", "onnxruntime cpu -"]


def test_a_device_that_is_named_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choice, "gpus", lambda: (CARD,))
    assert names(candidates("auto", BackendOptions("cpu"))) == ["onnxruntime cpu -"]
    assert names(candidates("auto", BackendOptions("cuda:1"))) == [
        "tensorrt cuda:1 -", "onnxruntime cuda:1 -", "torch cuda:1 -"
    ]  # fmt: skip
    assert names(candidates("torch", BackendOptions("cuda:1")))[:2] == ["torch cuda:1 -", "tensorrt cuda:1 -"]


def test_a_precision_is_a_wish(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choice, "gpus", lambda: ())
    assert names(candidates("auto", BackendOptions(precision="fp16"))) == ["onnxruntime cpu fp16", "onnxruntime cpu -"]


def test_the_first_that_opens_is_taken(machine: Machine, bundle: Bundle, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        backend = open_backend(bundle)
        open_backend(bundle)
    assert backend.name == "tensorrt"
    assert [r.getMessage() for r in caplog.records] == [
        f"{bundle.root}: runs on tensorrt, cuda (NVIDIA L4), in fp32"
    ], "said once, however many copies there are"


def test_what_does_not_fit_is_said_with_what_was_taken_instead(
    machine: Machine, bundle: Bundle, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    machine.faults = {
        "tensorrt": BackendUnavailable("a.engine was built for compute capability 8.6, this GPU is 8.9"),
        "onnxruntime cuda": BackendUnavailable("no CUDA in it"),
        "torch": ConfigError("kind 'inference_torch' needs the package 'torch'"),
    }
    backend = open_backend(add_engine(bundle, tmp_path))
    assert (backend.name, backend.device) == ("onnxruntime", "cpu")
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert record.getMessage() == (
        f"{bundle.root}: runs on onnxruntime, cpu, in fp32, because of tensorrt (cuda): a.engine was built for compute "
        "capability 8.6, this GPU is 8.9; onnxruntime (cuda): no CUDA in it; torch (cuda): kind 'inference_torch' needs "
        "the package 'torch'"
    )
    assert [made.closed for made in machine.made] == [True, True, False]


def test_what_opens_and_cannot_run_is_passed_over(
    machine: Machine, bundle: Bundle, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    machine.run_faults["tensorrt"] = BundleError("a.engine: TensorRT cannot run batches of 1: bad kernel")
    backend = open_backend(add_engine(bundle, tmp_path))
    assert backend.name == "onnxruntime"
    assert "because of tensorrt (cuda): a.engine: TensorRT cannot run batches of 1: bad kernel" in caplog.text
    assert [(made.shapes, made.closed) for made in machine.made] == [
        ([(1, 3, 64, 64)], True),
        ([(1, 3, 64, 64)], False),
    ]
    with pytest.raises(BundleError, match=r"^a.engine: TensorRT cannot run batches of 1: bad kernel$"):
        open_backend(bundle, require="tensorrt")
    assert machine.made[-1].closed


def test_a_gpu_that_is_lost_meanwhile_ends_the_search(machine: Machine, bundle: Bundle) -> None:
    machine.run_faults["tensorrt"] = DeviceLost("GPU 0 has failed: CUDA error 719")
    with pytest.raises(DeviceLost, match="GPU 0 has failed"):
        open_backend(bundle)
    assert [made.closed for made in machine.made] == [True]


def test_a_model_without_engines_falls_back_quietly(
    machine: Machine, bundle: Bundle, caplog: pytest.LogCaptureFixture
) -> None:
    machine.faults = {"tensorrt": BackendUnavailable("the bundle has no engine")}
    with caplog.at_level(logging.INFO):
        assert open_backend(bundle).name == "onnxruntime"
    assert [record.levelno for record in caplog.records] == [logging.INFO]


def test_a_gpu_that_stays_idle_is_said_aloud(
    machine: Machine, bundle: Bundle, caplog: pytest.LogCaptureFixture
) -> None:
    machine.faults = {name: BackendUnavailable(f"no {name}") for name in ("tensorrt", "torch", "onnxruntime cuda")}
    assert open_backend(bundle).device == "cpu"
    assert [record.levelno for record in caplog.records] == [logging.WARNING]


def test_without_any_gpu_a_device_that_is_named_has_one_reason(
    machine: Machine, bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(choice, "gpus", lambda: ())
    monkeypatch.setattr(choice, "why_no_gpu", lambda: "no NVIDIA driver")
    machine.faults = {name: BackendUnavailable(f"no {name}") for name in ("tensorrt", "torch", "onnxruntime")}
    with pytest.raises(BackendUnavailable, match=r"model: cannot run on device cuda: no NVIDIA driver$"):
        open_backend(bundle, options=BackendOptions("cuda"))


def test_altered_engines_and_full_gpus_lead_to_the_next_backend(machine: Machine, bundle: Bundle) -> None:
    machine.faults = {"tensorrt": BundleError("altered"), "onnxruntime cuda": DeviceMemoryError("full")}
    assert open_backend(bundle).name == "torch"


def test_a_named_backend_comes_first_and_is_missed_aloud(
    machine: Machine, bundle: Bundle, caplog: pytest.LogCaptureFixture
) -> None:
    machine.faults = {"openvino": ConfigError("not installed")}
    assert open_backend(bundle, "openvino").name == "tensorrt"
    assert "because of openvino: not installed" in caplog.text


def test_what_is_required_stops(machine: Machine, bundle: Bundle) -> None:
    machine.faults = {"tensorrt": BackendUnavailable("no driver")}
    with pytest.raises(BackendUnavailable, match=r"^no driver$"):
        open_backend(bundle, require="tensorrt")
    assert [made.name for made in machine.made] == ["tensorrt"]
    assert machine.made[0].closed
    machine.faults = {"torch": ConfigError("needs the package 'torch'")}
    with pytest.raises(ConfigError, match="needs the package 'torch'"):
        open_backend(bundle, require="torch")


def test_a_precision_that_cannot_be_had_is_given_up_last_and_aloud(
    machine: Machine, bundle: Bundle, caplog: pytest.LogCaptureFixture
) -> None:
    machine.faults = {name: BackendUnavailable(f"no {name}") for name in ("tensorrt", "torch", "onnxruntime cuda")}
    open_backend(bundle, options=BackendOptions(precision="fp16"))
    assert machine.made[-1].options == BackendOptions("cpu", "fp16")
    machine.faults["onnxruntime cpu"] = BackendUnavailable("float32 only")
    with pytest.raises(
        BackendUnavailable, match=r"no backend can run this model here: tensorrt \(cuda, fp16\): no tensorrt;"
    ):
        open_backend(bundle, options=BackendOptions(precision="fp16"))
    assert "in fp16" in caplog.text


def test_no_gpu_at_all_when_one_is_asked_for(machine: Machine, bundle: Bundle) -> None:
    machine.faults = {name: BackendUnavailable(f"no {name}") for name in ("tensorrt", "torch", "onnxruntime")}
    with pytest.raises(BackendUnavailable, match=r"model: no backend can run this model here: tensorrt \(cuda:1\): no"):
        open_backend(bundle, options=BackendOptions("cuda:1"))


def test_an_error_of_the_only_candidate_is_its_own(
    machine: Machine, bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(choice, "gpus", lambda: ())
    machine.faults = {"onnxruntime": BundleError("broken model")}
    with pytest.raises(BundleError, match=r"^broken model$"):
        open_backend(bundle)


@pytest.mark.parametrize(
    ("fields", "match"),
    [
        ({"device": "gpu"}, "device must be auto, cpu, cuda or cuda:N, got 'gpu'"),
        ({"precision": "fp8"}, "precision must be one of fp32, fp16, bf16, int8, got 'fp8'"),
        ({"max_batch": 0}, "max_batch must be at least 1, got 0"),
    ],
)
def test_options_that_mean_nothing_are_refused(fields: dict[str, Any], match: str) -> None:
    with pytest.raises(ValueError, match=match):
        BackendOptions(**fields)
