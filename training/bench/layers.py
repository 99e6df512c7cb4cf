"""Where the time goes: milliseconds of every layer or operator of a model, as each library's own profiler tells."""

from __future__ import annotations

import json
import tempfile
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from engine.bundle import Bundle
from engine.errors import BackendUnavailable
from engine.inference import InferenceBackend
from engine.input_spec import InputSpec
from engine.picture import Pixels

_WARM_RUNS, _RUNS = 3, 10


@dataclass(frozen=True)
class LayerTime:
    """A layer, or where the library only knows those, an operator.

    Attributes:
        name: as the library calls it.
        kind: of operator.
        ms: of one batch, median; for operators the sum over the model.
    """

    name: str
    kind: str
    ms: float


@runtime_checkable
class HasProfiler(Protocol):
    """A backend that can time its layers by itself."""

    def profile(self, tensor: Pixels, runs: int) -> list[tuple[str, str, float]]:
        """Give layers, the kind of each where it is known, and their mean milliseconds."""


def layer_times(backend: InferenceBackend, bundle: Bundle, pictures: Pixels) -> tuple[LayerTime, ...]:
    """Profile a model in an opened backend, slowest layer first.

    Args:
        backend: is used, or its model is loaded a second time with the library's profiler switched on.
        bundle: the model.
        pictures: uint8 (n, 3, h, w).

    Raises:
        BackendUnavailable: the backend has no profiler that tells.
    """
    if isinstance(backend, HasProfiler):
        found = [LayerTime(*layer) for layer in backend.profile(pictures, _RUNS)]
    elif backend.name == "onnxruntime" and backend.device == "cpu":
        found = _onnxruntime(bundle, _batch(backend, pictures))
    elif backend.name == "torch":
        found = _torch(backend, pictures)
    else:
        raise BackendUnavailable(
            f"{backend.name} on {backend.device} does not tell the time of its layers; Nsight Systems does"
        )
    return tuple(sorted(found, key=lambda layer: -layer.ms))


def nsight_command(model: str, backend: str, batch: int) -> str:
    """Give the command line that shows every kernel, copy and wait of a backend on a GPU."""
    return (
        f"nsys profile --trace=cuda,nvtx,osrt --output={backend}-{batch} "
        f"vedette bench detector {model} --backends {backend} --batch {batch} --rounds 1"
    )


def _batch(backend: InferenceBackend, pictures: Pixels) -> Pixels:
    """Make a batch of the only size that the model takes."""
    return pictures if backend.fixed_batch is None else np.resize(pictures, (backend.fixed_batch, *pictures.shape[1:]))


def _normalised(spec: InputSpec, pictures: Pixels) -> NDArray[np.float32]:
    scale, offset = spec.scale_and_offset()
    normalised: NDArray[np.float32] = pictures * scale[:, None, None] + offset[:, None, None]
    return normalised


def _onnxruntime(bundle: Bundle, pictures: Pixels) -> list[LayerTime]:
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    options.enable_profiling = True
    with tempfile.TemporaryDirectory() as folder:
        options.profile_file_prefix = f"{folder}/profile"
        session = ort.InferenceSession(str(bundle.file("onnx")), options, providers=["CPUExecutionProvider"])
        sizes = np.array([bundle.manifest.input.size_wh] * len(pictures), np.int64)
        types = {"tensor(float)": np.float32, "tensor(float16)": np.float16, "tensor(uint8)": np.uint8}
        images = _normalised(bundle.manifest.input, pictures)
        feed = {i.name: images.astype(types[i.type]) if i.type in types else sizes for i in session.get_inputs()}
        for _ in range(_WARM_RUNS + _RUNS):
            session.run(None, feed)
        events = json.loads(Path(session.end_profiling()).read_text(encoding="utf-8"))
    runs: dict[tuple[str, str], list[float]] = defaultdict(list)
    for event in events:
        if event["cat"] == "Node" and event["name"].endswith("_kernel_time"):
            runs[event["name"].removesuffix("_kernel_time"), event["args"]["op_name"]].append(event["dur"] / 1000)
    return _medians((name, kind, ms) for (name, kind), ms in runs.items())


def _medians(layers: Iterable[tuple[str, str, list[float]]]) -> list[LayerTime]:
    return [LayerTime(name, kind, float(np.median(ms[_WARM_RUNS:]))) for name, kind, ms in layers]


def _torch(backend: InferenceBackend, pictures: Pixels) -> list[LayerTime]:
    from torch.profiler import ProfilerActivity, profile

    on_gpu = backend.device.startswith("cuda")
    for _ in range(_WARM_RUNS):
        backend.infer(pictures)
    with profile(activities=[ProfilerActivity.CUDA if on_gpu else ProfilerActivity.CPU]) as profiler:
        for _ in range(_RUNS):
            backend.infer(pictures)
    return [LayerTime(event.key, "", _own_us(event, on_gpu) / 1000 / _RUNS) for event in profiler.key_averages()]


def _own_us(event: Any, on_gpu: bool) -> float:
    return float(event.self_device_time_total if on_gpu else event.self_cpu_time_total)
