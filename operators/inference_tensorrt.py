"""TensorRT engines on an NVIDIA GPU, of a bundle that `vedette engine build` has put them into.

Does: copies uint8 pictures to the GPU through page-locked memory, normalises them there, runs the engine and brings its
outputs back, with one wait at the end; or letterboxes decoded pictures there, too. Both libraries do: TensorRT and
TensorRT for RTX.
Absent input: none; it is called with at least one picture.
Costs: see `vedette bench detector`. Letterboxing on the GPU spares a core 2 ms a picture of 1920x1080 to 640x640, and
uploads the decoded picture, which is larger than the model's input.
Example: `- detect: {model: models/street, backend: tensorrt}`
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.bundle import Bundle
from engine.errors import BackendUnavailable, BundleError, DeviceLost, DeviceMemoryError
from engine.inference import BackendOptions, Signature
from engine.input_spec import InputSpec
from engine.picture import Picture, Pixels
from engine.trt_engine import TrtEngine, TrtMachine, TrtTensor, choose_engine, this_platform
from operators.nvidia.cuda import CudaDevice, DeviceBuffer
from operators.nvidia.engine_runner import EngineRunner
from operators.nvidia.image_input import ImageInput
from operators.nvidia.shared_engine import SharedEngine
from operators.nvidia.tensorrt_module import TensorrtModule, load_tensorrt
from operators.nvidia.trt_network import SIZES_INPUT

logger = logging.getLogger(__name__)


class InferenceTensorrt:
    """See `engine.inference.InferenceBackend`.

    Attributes:
        device_bytes: memory of the GPU that `open()` took; little where another backend has loaded the engine already.
    """

    name = "tensorrt"
    precision = ""
    device = "cuda"
    fixed_batch: int | None = None
    max_batch = 1
    device_bytes = 0

    def __init__(self, options: BackendOptions | None = None) -> None:
        self._options = options or BackendOptions()
        self._cuda: CudaDevice | None = None
        self._shared: SharedEngine | None = None
        self._runner: EngineRunner | None = None
        self._input: ImageInput | None = None

    def inspect(self, path: Path) -> Signature:
        """See InferenceBackend."""
        raise BundleError(f"{path}: the backend tensorrt runs engines and reads no models; onnxruntime does")

    def open(self, bundle: Bundle) -> None:
        """See InferenceBackend."""
        if self._options.device == "cpu":
            raise BackendUnavailable("TensorRT runs on GPUs only, not on device cpu")
        if not bundle.manifest.engines:
            raise BackendUnavailable(f"{bundle.root}: the bundle has no TensorRT engine; {_build(bundle)}")
        self._cuda = CudaDevice(int(self._options.device.partition(":")[2] or 0))
        with self._cuda.activate():
            entry, library = _choose(bundle, self._cuda.capability, self._options.precision)
            free_bytes = self._cuda.free_bytes()
            self._shared = SharedEngine.acquire(library, bundle, entry, self._cuda.index)
            self._allocate(self._cuda, self._shared, entry, bundle.manifest.input)
            self.device_bytes = max(0, free_bytes - self._cuda.free_bytes())
        self.device = str(self._cuda)
        self.precision = entry.precision
        self.fixed_batch = entry.max_batch if entry.min_batch == entry.max_batch else None

    def infer(self, tensor: Pixels) -> list[NDArray[Any]]:
        """See InferenceBackend."""
        return self._in_pieces(ImageInput.put, tensor)

    def infer_pictures(self, pictures: Sequence[Picture]) -> list[NDArray[Any]]:
        """Run the model on decoded pictures of any sizes, which are letterboxed on the GPU.

        Args:
            pictures: at least one.

        Returns:
            What `infer` gives for `Picture.letterbox` of each.

        Raises:
            See `infer`.
        """
        return self._in_pieces(ImageInput.put_pictures, pictures)

    def profile(self, tensor: Pixels, runs: int) -> list[tuple[str, str, float]]:
        """Time the engine's layers.

        Args:
            tensor: as for `infer`, at most `max_batch` pictures.
            runs: how often.

        Returns:
            Layers in the order they run, an empty kind, since TensorRT does not tell it, and mean milliseconds.
        """
        cuda, runner, images = self._opened()
        with cuda.activate():
            images.put(tensor, runner.inputs[self._image])
            return [(name, "", ms) for name, ms in runner.profile(max(len(tensor), self._min_batch), runs)]

    def close(self) -> None:
        """See InferenceBackend."""
        if self._cuda is None:
            return
        # After a loss nothing can be freed.
        with contextlib.suppress(DeviceLost), self._cuda.activate():
            for part in (self._input, self._runner):
                if part is not None:
                    part.close()
            if self._shared is not None:
                self._shared.release()
        self._cuda.close()
        self._cuda = self._shared = self._runner = self._input = None

    def _in_pieces(self, put: Callable[[ImageInput, Any, DeviceBuffer], None], batch: Any) -> list[NDArray[Any]]:
        cuda, runner, images = self._opened()
        pieces = []
        with cuda.activate():
            for start in range(0, len(batch), self.max_batch):
                piece = batch[start : start + self.max_batch]
                put(images, piece, runner.inputs[self._image])
                # An engine may want more pictures than there are: what lies behind them is run, too.
                outputs = runner.run(max(len(piece), self._min_batch))
                pieces.append([output[: len(piece)] for output in outputs])
        return pieces[0] if len(pieces) == 1 else [np.concatenate(outputs) for outputs in zip(*pieces, strict=True)]

    def _opened(self) -> tuple[CudaDevice, EngineRunner, ImageInput]:
        assert self._cuda is not None
        assert self._runner is not None
        assert self._input is not None
        return self._cuda, self._runner, self._input

    def _allocate(self, cuda: CudaDevice, shared: SharedEngine, entry: TrtEngine, spec: InputSpec) -> None:
        """Make memory for the largest batch that fits."""
        image = _image(entry)
        dtype = np.dtype(image.dtype)
        if dtype == np.uint8 and not spec.is_plain:
            raise BundleError(
                f"{shared.label}: the model reads uint8, which cannot be normalised; take `mean` and `std` out of the "
                "manifest's `input`"
            )
        self._image, self._min_batch = image.name, entry.min_batch
        stream = cuda.stream()
        wanted = max(min(self._options.max_batch, entry.max_batch), entry.min_batch)
        self.max_batch = wanted
        while True:
            try:
                self._runner = EngineRunner(shared, entry, cuda, stream, self.max_batch)
                self._input = ImageInput(cuda, stream, spec, dtype, self.max_batch)
                break
            except DeviceMemoryError as error:
                if self._runner is not None:
                    self._runner.close()
                if self.max_batch == entry.min_batch:
                    raise DeviceMemoryError(
                        f"{shared.label}: no memory for a batch of {self.max_batch}: {error}"
                    ) from error
                self.max_batch = max(self.max_batch // 2, entry.min_batch)
        if self.max_batch < wanted:
            logger.warning("%s: %s has memory for batches of %d, not %d", shared.label, cuda, self.max_batch, wanted)
        if SIZES_INPUT in self._runner.inputs:
            rows = np.tile(np.array(spec.size_wh, _dtype_of(entry, SIZES_INPUT)), (self.max_batch, 1))
            cuda.upload(self._runner.inputs[SIZES_INPUT], rows, stream)
            stream.synchronize()


def _choose(bundle: Bundle, capability: str, precision: str | None) -> tuple[TrtEngine, TensorrtModule]:
    """Choose an engine, and load the library that runs it; the engine that was added last is the first to be tried."""
    width, height = bundle.manifest.input.size_wh
    engines = [entry for entry in bundle.manifest.engines if _image(entry).shape[1:] == (3, height, width)]
    onnx_sha256 = bundle.manifest.files["onnx"].sha256
    # A model of free size may have been given another one since.
    reasons = [
        f"{entry.file.path} takes {_words(_image(entry))} pictures, the manifest says {width}x{height}"
        for entry in reversed(bundle.manifest.engines)
        if entry not in engines
    ]
    for flavour in dict.fromkeys(entry.flavour for entry in reversed(engines)):
        try:
            library = load_tensorrt(flavour)
        except BackendUnavailable as error:
            reasons.append(str(error))
            continue
        machine = TrtMachine(flavour, library.version, capability, this_platform())
        entry, misfits = choose_engine(
            [entry for entry in engines if entry.flavour == flavour], machine, onnx_sha256, precision
        )
        if entry is not None:
            return entry, library
        reasons += misfits
    raise BackendUnavailable(
        f"{bundle.root}: no TensorRT engine of the bundle fits: {'; '.join(reasons)}; {_build(bundle)}"
    )


def _build(bundle: Bundle) -> str:
    return f"build one: `vedette engine build {bundle.root}`"


def _image(entry: TrtEngine) -> TrtTensor:
    return next(tensor for tensor in entry.inputs if tensor.name != SIZES_INPUT)


def _words(image: TrtTensor) -> str:
    return "x".join(str(size) for size in reversed(image.shape[2:]))


def _dtype_of(entry: TrtEngine, name: str) -> str:
    return next(tensor.dtype for tensor in entry.inputs if tensor.name == name)
