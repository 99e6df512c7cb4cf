"""ONNX Runtime: on the CPU one single-threaded session a copy, on a GPU its CUDA provider.

Does: normalises uint8 pictures into one reused buffer and runs the model in the precision that its file has; models
with a fixed batch are run in pieces.
Absent input: none; it is called with at least one picture.
Costs: the model, 9 ms for YOLOX-Nano at 416x416 on one core, plus 0.1 ms (plain) to 0.25 ms (mean and std) to
normalise. Batches gain nothing on a CPU, and more threads a session only fight each other: scale by copies.
`device: cuda` needs the package onnxruntime-gpu in place of onnxruntime.
Example: `- detect: {model: models/street, backend: onnxruntime}`
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from engine.bundle import Bundle
from engine.cuda_errors import translate
from engine.errors import BackendUnavailable, BundleError
from engine.gpu import gpus
from engine.inference import BackendOptions, Signature, TensorInfo
from engine.input_spec import InputSpec
from engine.model_inputs import check_size, extra_inputs, picture_input
from engine.picture import Pixels

_TYPES: dict[str, type[np.generic]] = {
    "tensor(float)": np.float32,
    "tensor(float16)": np.float16,
    "tensor(uint8)": np.uint8,
}
_PRECISIONS = {np.float32: "fp32", np.float16: "fp16", np.uint8: "uint8"}
_CUDA = "CUDAExecutionProvider"
# The sums of fp32 stay fp32: with TF32, ONNX Runtime's default, boxes would differ from those on a CPU.
# Heuristic: a batch size that was not seen before must not stop cameras for seconds, as an exhaustive search does.
_CUDA_OPTIONS = {
    "use_tf32": "0",
    "cudnn_conv_algo_search": "HEURISTIC",
    "arena_extend_strategy": "kSameAsRequested",
}


class InferenceOnnxruntime:
    """See `engine.inference.InferenceBackend`."""

    name = "onnxruntime"
    precision = "fp32"
    device = "cpu"
    fixed_batch: int | None = None
    max_batch = 1

    def __init__(self, options: BackendOptions | None = None) -> None:
        self._options = options or BackendOptions()
        self._session: Any = None

    def inspect(self, path: Path) -> Signature:
        """See InferenceBackend."""
        return _signature(path, _session(path))

    def open(self, bundle: Bundle) -> None:
        """See InferenceBackend."""
        self._path = bundle.file("onnx")
        on_gpu = self._options.device.startswith("cuda")
        index = int(self._options.device.partition(":")[2] or 0) if on_gpu else None
        self._session = _session(self._path, index)
        self.device = "cpu" if index is None else _gpu_name(index)
        signature = _signature(self._path, self._session)
        width, height = bundle.manifest.input.size_wh
        check_size(self._path, signature.image, (width, height))
        self.fixed_batch = signature.image.shape[0]
        self.max_batch = self.fixed_batch or (self._options.max_batch if on_gpu else 1)
        self._input = signature.image.name
        names = [node.name for node in self._session.get_inputs()]
        self._extra = extra_inputs(self._path, names, signature.image.name)
        self._size_wh = np.array([[width, height]], np.int64)
        dtype = _TYPES[signature.image.dtype]
        self.precision = _PRECISIONS[dtype]
        if self._options.precision not in (None, self.precision):
            raise BackendUnavailable(
                f"{self._path}: ONNX Runtime computes in the precision of the model's file, {self.precision}, "
                f"not in {self._options.precision}"
            )
        self._step = self.max_batch if on_gpu else self.fixed_batch
        self._buffer: NDArray[Any] = np.zeros((self.fixed_batch or 1, 3, height, width), dtype)
        self._normalise = _normaliser(bundle.manifest.input)

    def infer(self, tensor: Pixels) -> list[NDArray[Any]]:
        """See InferenceBackend."""
        step = self._step or len(tensor)
        parts = [self.run(self.normalise(tensor[i : i + step])) for i in range(0, len(tensor), step)]
        if len(parts) == 1:
            return [output[: len(tensor)] for output in parts[0]]
        return [np.concatenate(outputs)[: len(tensor)] for outputs in zip(*parts, strict=True)]

    def normalise(self, tensor: Pixels) -> NDArray[Any]:
        """Turn pictures into the model's numbers, in a buffer that the next call overwrites."""
        if len(self._buffer) < len(tensor):
            self._buffer = np.zeros((len(tensor), *self._buffer.shape[1:]), self._buffer.dtype)
        self._normalise(tensor, self._buffer[: len(tensor)])
        return self._buffer[: self.fixed_batch or len(tensor)]

    def run(self, images: NDArray[Any]) -> list[NDArray[Any]]:
        """Run the model on normalised pictures."""
        feed = {self._input: images}
        for name in self._extra:
            feed[name] = np.repeat(self._size_wh, len(images), axis=0)
        try:
            outputs = self._session.run(None, feed)
        except Exception as error:  # ONNX Runtime's own types share no base but this one
            raise (
                translate(error, f"{self._path}: ONNX Runtime on {self.device}")
                or BundleError(f"{self._path}: the model failed: {_first_line(error)}")
            ) from error
        return [o.astype(np.float32) if o.dtype in (np.float16, np.float64) else o for o in outputs]

    def close(self) -> None:
        """See InferenceBackend."""
        self._session = None


def _session(path: Path, gpu: int | None = None) -> Any:
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.inter_op.allow_spinning", "0")
    # Exporters leave unused weights behind; a warning for each would fill the screen.
    options.log_severity_level = 3
    if not path.is_file():
        raise BundleError(f"{path}: no such model file")
    providers: list[Any] = ["CPUExecutionProvider"]
    if gpu is not None:
        _check_has_cuda()
        providers.insert(0, (_CUDA, {"device_id": str(gpu), **_CUDA_OPTIONS}))
    try:
        # Without `enable_fallback=0` a GPU that fails is left for the CPU, here and at any later moment.
        session = ort.InferenceSession(str(path), options, providers=providers, enable_fallback=0)
    except Exception as error:  # ONNX Runtime's own types share no base but this one
        raise (
            (translate(error, f"{path}: ONNX Runtime on cuda:{gpu}") if gpu is not None else None)
            or BundleError(f"{path}: ONNX Runtime cannot load it as an ONNX model: {_first_line(error)}")
        ) from error
    if gpu is not None and session.get_providers()[0] != _CUDA:
        # A library of CUDA or cuDNN that is missing is only logged.
        raise BackendUnavailable(
            f"{path}: ONNX Runtime could not take cuda:{gpu} and would have used the CPU; the CUDA and cuDNN that "
            f"onnxruntime-gpu {ort.__version__} needs are not all here: see onnxruntime.ai, CUDA Execution Provider"
        )
    return session


def _check_has_cuda() -> None:
    if _CUDA not in ort.get_available_providers():
        raise BackendUnavailable(
            f"the installed ONNX Runtime {ort.__version__} knows no CUDA; for `device: cuda` install its other build: "
            f"pip uninstall onnxruntime; pip install onnxruntime-gpu"
        )


def _gpu_name(index: int) -> str:
    names = {gpu.index: gpu.name for gpu in gpus()}
    return f"cuda:{index} ({names[index]})" if index in names else f"cuda:{index}"


def _signature(path: Path, session: Any) -> Signature:
    image = picture_input(path, [_info(node) for node in session.get_inputs()])
    metadata = dict(session.get_modelmeta().custom_metadata_map)
    return Signature(image, tuple(_info(node) for node in session.get_outputs()), metadata)


def _info(node: Any) -> TensorInfo:
    return TensorInfo(node.name, tuple(n if isinstance(n, int) and n > 0 else None for n in node.shape), node.type)


def _normaliser(spec: InputSpec) -> Callable[[Pixels, NDArray[Any]], None]:
    if spec.is_plain:
        return lambda tensor, out: np.copyto(out, tensor)
    scale, offset = spec.scale_and_offset()

    def normalise(tensor: Pixels, out: NDArray[Any]) -> None:
        # Channel by channel: the second and third pass find their 0.7 MB in the core's own cache.
        for pictures, targets in zip(tensor, out, strict=False):
            for channel in range(3):
                target = targets[channel]
                np.copyto(target, pictures[channel])
                target *= scale[channel]
                target += offset[channel]

    return normalise


def _first_line(error: Exception) -> str:
    text = str(error).strip().partition("\n")[0]
    return text.rpartition(" : ")[2] or type(error).__name__
