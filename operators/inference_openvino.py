"""OpenVINO on the CPU: one single-threaded model a copy, for Intel's processors.

Does: normalises uint8 pictures inside the model, and runs it one picture at a time, or in the model's fixed batch.
Absent input: none; it is called with at least one picture.
Costs: see `tests/benchmarks/bench_backends.py`: on some models less than ONNX Runtime, on others more.
Example: `- detect: {model: models/street, backend: openvino}`

It computes in fp32 unless it is told `precision: bf16`. OpenVINO alone would take bf16 wherever the processor has it,
and the same model would give other boxes on other machines.
"""

from __future__ import annotations

import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from engine.bundle import Bundle
from engine.errors import BackendUnavailable, BundleError
from engine.inference import BackendOptions, Signature, TensorInfo
from engine.input_spec import InputSpec
from engine.model_inputs import check_size, extra_inputs, picture_input
from engine.picture import Pixels

if TYPE_CHECKING:
    import openvino

_PRECISIONS = {"fp32": "f32", "bf16": "bf16"}
# In ONNX Runtime's words, which all backends use.
_TYPES = {
    "f32": "float", "f16": "float16", "f64": "double", "u8": "uint8", "i32": "int32", "i64": "int64",
    "boolean": "bool",
}  # fmt: skip


class InferenceOpenvino:
    """See `engine.inference.InferenceBackend`."""

    name = "openvino"
    precision = "fp32"
    device = "cpu"
    fixed_batch: int | None = None
    max_batch = 1

    def __init__(self, options: BackendOptions | None = None) -> None:
        self._options = options or BackendOptions()
        self._request: Any = None

    def inspect(self, path: Path) -> Signature:
        """See InferenceBackend."""
        model = _read(path, _core())
        outputs = tuple(_info(port) for port in model.outputs)
        # ONNX's metadata is not among what OpenVINO keeps.
        return Signature(picture_input(path, [_info(port) for port in model.inputs]), outputs)

    def open(self, bundle: Bundle) -> None:
        """See InferenceBackend."""
        self._path = bundle.file("onnx")
        if self._options.device.startswith("cuda"):
            raise BackendUnavailable(f"OpenVINO runs on the CPU here, not on {self._options.device}")
        core = _core()
        self.precision = _precision(core, self._options.precision)
        model = _read(self._path, core)
        image = picture_input(self._path, [_info(port) for port in model.inputs])
        self._image, self._spec = image.name, bundle.manifest.input
        size_wh = self._spec.size_wh
        check_size(self._path, image, size_wh)
        names = [port.get_any_name() for port in model.inputs]
        extra = extra_inputs(self._path, names, image.name)
        self.fixed_batch = image.shape[0]
        self.max_batch = self._batch = self.fixed_batch or 1
        self._pictures = np.zeros((self._batch, 3, size_wh[1], size_wh[0]), np.uint8)
        self._feed = {image.name: self._pictures} | {
            name: np.array([size_wh] * self._batch, np.int64) for name in extra
        }
        self._request = self._compile(model)
        self._outputs = list(self._request.get_compiled_model().outputs)

    def infer(self, tensor: Pixels) -> list[NDArray[Any]]:
        """See InferenceBackend."""
        results: list[NDArray[Any]] = []
        for start in range(0, len(tensor), self._batch):
            piece = tensor[start : start + self._batch]
            self._run(self._request, piece)
            arrays = [self._request.get_tensor(port).data for port in self._outputs]
            if not results:
                results = [np.empty((len(tensor), *a.shape[1:]), _widened(a.dtype)) for a in arrays]
            for result, array in zip(results, arrays, strict=True):
                result[start : start + len(piece)] = array[: len(piece)]
        return results

    def profile(self, tensor: Pixels, runs: int) -> list[tuple[str, str, float]]:
        """Time the model's layers.

        Args:
            tensor: as for `infer`.
            runs: how often.

        Returns:
            Layers in the order they run, the kind of each, and mean milliseconds for all the pictures.
        """
        request = self._compile(_read(self._path, _core()), PERF_COUNT=True)
        total_s: dict[tuple[str, str], float] = {}
        # The first run does more than later ones.
        for counts in [False] + [True] * runs:
            for start in range(0, len(tensor), self._batch):
                self._run(request, tensor[start : start + self._batch])
                for layer in request.profiling_info if counts else ():
                    key = layer.node_name, layer.node_type
                    total_s[key] = total_s.get(key, 0.0) + layer.real_time.total_seconds()
        return [(name, kind, seconds * 1000 / runs) for (name, kind), seconds in total_s.items()]

    def close(self) -> None:
        """See InferenceBackend."""
        self._request = None

    def _compile(self, model: openvino.Model, **more: Any) -> Any:
        try:
            # Shapes that are known run a quarter faster than free ones.
            model.reshape({name: list(array.shape) for name, array in self._feed.items()})
            ready = _with_pictures(model, self._image, self._spec)
            return _core().compile_model(ready, "CPU", _settings(self.precision) | more).create_infer_request()
        except RuntimeError as error:
            raise BundleError(f"{self._path}: OpenVINO cannot load it: {_reason(error)}") from error

    def _run(self, request: Any, pictures: Pixels) -> None:
        self._pictures[: len(pictures)] = pictures
        try:
            request.infer(self._feed, share_inputs=True)
        except RuntimeError as error:
            raise BundleError(f"{self._path}: the model failed: {_reason(error)}") from error


_lock = threading.Lock()
_cores: list[openvino.Core] = []


def _core() -> openvino.Core:
    """Give the one Core of this process.

    Its CPU plugin brings the thread that loads it a stack for signal handlers, and unmaps it when the Core goes, from
    whichever thread: with a second Core, or in a second thread, the next signal would then end the process.
    """
    try:
        import openvino
    except ImportError as error:
        raise BackendUnavailable(
            f"the backend openvino needs openvino ({error}): pip install 'vedette[openvino]'"
        ) from None
    with _lock:
        if not _cores:
            _cores.append(openvino.Core())
        return _cores[0]


def _precision(core: openvino.Core, wanted: str | None) -> str:
    precision = wanted or "fp32"
    if precision not in _PRECISIONS:
        raise BackendUnavailable(f"the backend openvino computes in {' or '.join(_PRECISIONS)}, not in {precision}")
    if precision == "bf16" and "BF16" not in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        raise BackendUnavailable("this processor has no bf16, and OpenVINO would take fp32; use precision fp32")
    return precision


def _settings(precision: str) -> dict[str, Any]:
    return {
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_NUM_THREADS": 1,
        "NUM_STREAMS": 1,
        "INFERENCE_PRECISION_HINT": _PRECISIONS[precision],
        # Copies in several processes would all be pinned to the same core.
        "ENABLE_CPU_PINNING": False,
    }


def _read(path: Path, core: openvino.Core) -> openvino.Model:
    if not path.is_file():
        raise BundleError(f"{path}: no such model file")
    try:
        # Not `convert_model`, which reports its use to Intel.
        return core.read_model(str(path))
    except RuntimeError as error:
        raise BundleError(f"{path}: OpenVINO cannot read it as an ONNX model: {_reason(error)}") from error


def _with_pictures(model: openvino.Model, image: str, spec: InputSpec) -> openvino.Model:
    """Let a model take uint8 pictures, and normalise them first."""
    import openvino
    from openvino.preprocess import PrePostProcessor

    processor = PrePostProcessor(model)
    picture = processor.input(image)
    picture.tensor().set_element_type(openvino.Type.u8).set_layout(openvino.Layout("NCHW"))
    picture.model().set_layout(openvino.Layout("NCHW"))
    if not spec.is_plain:
        steps = picture.preprocess().convert_element_type(openvino.Type.f32)
        steps.mean(list(spec.mean)).scale(list(spec.std))
    return processor.build()


def _info(port: Any) -> TensorInfo:
    shape = tuple(size.get_length() if size.is_static else None for size in port.get_partial_shape())
    kind = port.get_element_type().to_string()
    return TensorInfo(port.get_any_name(), shape, f"tensor({_TYPES.get(kind, kind)})")


def _widened(dtype: np.dtype[Any]) -> np.dtype[Any]:
    return np.dtype(np.float32) if dtype.kind == "f" else dtype


def _reason(error: RuntimeError) -> str:
    """Give the last line: those before it are places in OpenVINO's source."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else "no reason given"
