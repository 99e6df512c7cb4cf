"""ONNX Runtime on the CPU: one single-threaded session a copy.

Does: normalises uint8 pictures into one reused buffer and runs the model; models with a fixed batch are run in pieces.
Absent input: none; it is called with at least one picture.
Costs: the model, 9 ms for YOLOX-Nano at 416x416 on one core, plus 0.1 ms (plain) to 0.25 ms (mean and std) to
normalise. Batches gain nothing on a CPU, and more threads a session only fight each other: scale by copies.
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
from engine.errors import BundleError
from engine.inference import Signature, TensorInfo
from engine.input_spec import InputSpec
from engine.picture import Pixels

_TYPES: dict[str, type[np.generic]] = {
    "tensor(float)": np.float32,
    "tensor(float16)": np.float16,
    "tensor(uint8)": np.uint8,
}
_PRECISIONS = {np.float32: "fp32", np.float16: "fp16", np.uint8: "uint8"}
# RT-DETR and D-FINE exported with their postprocessor want the size to scale boxes to.
_SIZES_INPUT = "orig_target_sizes"


class InferenceOnnxruntime:
    """See `engine.inference.InferenceBackend`."""

    name = "onnxruntime"
    precision = "fp32"
    fixed_batch: int | None = None

    def __init__(self) -> None:
        self._session: Any = None

    def inspect(self, path: Path) -> Signature:
        """See InferenceBackend."""
        return _signature(path, _session(path))

    def open(self, bundle: Bundle) -> None:
        """See InferenceBackend."""
        self._path = bundle.file("onnx")
        self._session = _session(self._path)
        signature = _signature(self._path, self._session)
        width, height = bundle.manifest.input.size_wh
        _check_size(self._path, signature.image, (width, height))
        self.fixed_batch = signature.image.shape[0]
        self._input = signature.image.name
        self._extra = _extra_inputs(self._path, self._session, signature.image.name)
        self._size_wh = np.array([[width, height]], np.int64)
        dtype = _TYPES[signature.image.dtype]
        self.precision = _PRECISIONS[dtype]
        self._buffer: NDArray[Any] = np.zeros((self.fixed_batch or 1, 3, height, width), dtype)
        self._normalise = _normaliser(bundle.manifest.input)

    def infer(self, tensor: Pixels) -> list[NDArray[Any]]:
        """See InferenceBackend."""
        step = self.fixed_batch or len(tensor)
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
            raise BundleError(f"{self._path}: the model failed: {_first_line(error)}") from error
        return [o.astype(np.float32) if o.dtype in (np.float16, np.float64) else o for o in outputs]

    def close(self) -> None:
        """See InferenceBackend."""
        self._session = None


def _session(path: Path) -> Any:
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.inter_op.allow_spinning", "0")
    # Exporters leave unused weights behind; a warning for each would fill the screen.
    options.log_severity_level = 3
    if not path.is_file():
        raise BundleError(f"{path}: no such model file")
    try:
        return ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime's own types share no base but this one
        raise BundleError(f"{path}: ONNX Runtime cannot load it as an ONNX model: {_first_line(error)}") from error


def _signature(path: Path, session: Any) -> Signature:
    inputs = [_info(node) for node in session.get_inputs()]
    images = [i for i in inputs if len(i.shape) == 4 and i.shape[1] in (3, None) and i.dtype in _TYPES]
    if len(images) != 1:
        found = "; ".join(map(str, inputs)) or "none"
        raise BundleError(f"{path}: expected one input (N, 3, height, width) of floats or uint8, the model has {found}")
    metadata = dict(session.get_modelmeta().custom_metadata_map)
    return Signature(images[0], tuple(_info(node) for node in session.get_outputs()), metadata)


def _info(node: Any) -> TensorInfo:
    return TensorInfo(node.name, tuple(n if isinstance(n, int) and n > 0 else None for n in node.shape), node.type)


def _extra_inputs(path: Path, session: Any, image: str) -> list[str]:
    names = [node.name for node in session.get_inputs() if node.name != image]
    unknown = [name for name in names if name != _SIZES_INPUT]
    if unknown:
        raise BundleError(f"{path}: the model wants an input '{unknown[0]}' beside the picture; export it without")
    return names


def _check_size(path: Path, image: TensorInfo, size_wh: tuple[int, int]) -> None:
    height, width = image.shape[2:]
    if height not in (None, size_wh[1]) or width not in (None, size_wh[0]):
        raise BundleError(
            f"{path}: the model takes {width or '?'}x{height or '?'} pictures only, not {size_wh[0]}x{size_wh[1]}"
        )


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
