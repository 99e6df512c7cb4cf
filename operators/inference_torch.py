"""PyTorch: for NVIDIA GPUs where TensorRT is not installed, from the same bundle.

Does: turns the bundle's ONNX graph into a PyTorch module, uploads uint8 pictures, normalises them on the device and
runs the module; on a GPU in half precision, channels last, as one CUDA graph for each batch size.
Absent input: none; it is called with at least one picture.
Costs: see `vedette bench detector`. On a CPU about twice what ONNX Runtime takes: it is for trying there.
Example: `- detect: {model: models/street, backend: torch}`

On a CPU it sets PyTorch's threads to one, since copies scale better. That is the whole process's setting,
`torch.set_num_threads` knows no other; OMP_NUM_THREADS stands where it is set.
"""

from __future__ import annotations

import importlib
import logging
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from engine.bundle import Bundle
from engine.cuda_errors import translate
from engine.errors import BackendUnavailable, BundleError, DeviceMemoryError, VedetteError
from engine.gpu import why_no_gpu
from engine.inference import BackendOptions, Signature
from engine.model_inputs import check_size, extra_inputs, picture_input
from engine.picture import Pixels

if TYPE_CHECKING:
    import torch

    from operators.pytorch.onnx_graph import Graph
    from operators.pytorch.runner import Runner

logger = logging.getLogger(__name__)


class InferenceTorch:
    """See `engine.inference.InferenceBackend`."""

    name = "torch"
    precision = "fp32"
    device = "cpu"
    fixed_batch: int | None = None
    max_batch = 1

    def __init__(self, options: BackendOptions | None = None) -> None:
        self._options = options or BackendOptions()
        self._runner: Runner | None = None

    def inspect(self, path: Path) -> Signature:
        """See InferenceBackend."""
        return _signature(_read(path))

    def open(self, bundle: Bundle) -> None:
        """See InferenceBackend."""
        self._path = bundle.file("onnx")
        graph = _read(self._path)
        import torch

        device = _device(self._options.device)
        on_gpu = device.type == "cuda"
        self.device = f"{device} ({torch.cuda.get_device_name(device)})" if on_gpu else "cpu"
        self.precision = _precision(device, self._options.precision)
        image = _signature(graph).image
        check_size(self._path, image, bundle.manifest.input.size_wh)
        self.fixed_batch = image.shape[0]
        if not on_gpu and "OMP_NUM_THREADS" not in os.environ:
            torch.set_num_threads(1)
        self._runner = self._largest(device, graph, image.name, bundle)
        self.max_batch = self._runner.max_batch

    def _largest(self, device: torch.device, graph: Graph, image: str, bundle: Bundle) -> Runner:
        """Make a runner for the largest batch that there is memory for."""
        max_batch = self.fixed_batch or (self._options.max_batch if device.type == "cuda" else 1)
        while True:
            try:
                return self._runner_for(max_batch, device, graph, image, bundle)
            except RuntimeError as error:
                failure = self._translated(error)
                if not isinstance(failure, DeviceMemoryError) or max_batch == 1 or self.fixed_batch:
                    raise failure from error
            logger.warning("%s: no memory on %s for batches of %d, trying half", self._path, self.device, max_batch)
            max_batch //= 2

    def _runner_for(self, max_batch: int, device: torch.device, graph: Graph, image: str, bundle: Bundle) -> Runner:
        import torch

        from operators.pytorch.cuda_graphs import CudaGraphs
        from operators.pytorch.module import OnnxModule
        from operators.pytorch.runner import Eager, Runner

        spec = bundle.manifest.input
        names = extra_inputs(self._path, [value.name for value in graph.inputs], image)
        extra = {name: torch.tensor([spec.size_wh]) for name in names}
        dtype = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}[self.precision]
        module = OnnxModule(graph, image, device, dtype, extra)
        runner = Runner(module, spec, CudaGraphs(device) if device.type == "cuda" else Eager())
        runner.prepare(max_batch, self.fixed_batch)
        return runner

    def infer(self, tensor: Pixels) -> list[NDArray[Any]]:
        """See InferenceBackend."""
        assert self._runner is not None, "infer before open"
        try:
            return self._runner(tensor)
        except RuntimeError as error:
            raise self._translated(error) from error

    def close(self) -> None:
        """See InferenceBackend."""
        if self._runner is not None:
            self._runner.free()
            self._runner = None

    def _translated(self, error: RuntimeError) -> VedetteError:
        first_line = str(error).strip().partition("\n")[0]
        return translate(error, f"{self._path}: torch on {self.device}") or BundleError(
            f"{self._path}: the model failed on {self.device}: {first_line}"
        )


def _read(path: Path) -> Graph:
    for package in ("onnx", "torch"):
        try:
            importlib.import_module(package)
        except (ImportError, OSError) as error:
            raise BackendUnavailable(
                f"the backend torch needs {package} ({error}): pip install 'vedette[torch]'"
            ) from None
    from operators.pytorch.onnx_graph import read_graph

    return read_graph(path)


def _signature(graph: Graph) -> Signature:
    return Signature(picture_input(graph.path, graph.inputs), graph.outputs, graph.metadata)


def _device(wanted: str) -> torch.device:
    """Find the device; `auto` is the first GPU if PyTorch sees one."""
    import torch

    if wanted == "cpu" or (wanted == "auto" and not torch.cuda.is_available()):
        return torch.device("cpu")
    index = int(wanted.partition(":")[2] or 0)
    if torch.version.cuda is None:
        raise BackendUnavailable(
            f"the installed PyTorch {torch.__version__} knows no CUDA; for `device: {wanted}` install the build for "
            "your driver: see pytorch.org, Get Started"
        )
    if not torch.cuda.is_available():
        reason = why_no_gpu() or "the driver is older than the CUDA that it was built for"
        raise BackendUnavailable(f"PyTorch {torch.__version__} (CUDA {torch.version.cuda}) finds no GPU: {reason}")
    if index >= torch.cuda.device_count():
        raise BackendUnavailable(
            f"there is no cuda:{index}; PyTorch sees {torch.cuda.device_count()} GPU(s), from 0 on"
        )
    return torch.device("cuda", index)


def _precision(device: torch.device, wanted: str | None) -> str:
    import torch

    on_gpu = device.type == "cuda"
    precision = wanted or ("fp16" if on_gpu else "fp32")
    if precision == "int8":
        raise BackendUnavailable("the backend torch computes in fp32, fp16 or bf16, not int8; tensorrt does")
    if precision == "fp16" and not on_gpu:
        raise BackendUnavailable("PyTorch's fp16 is slower than fp32 on a CPU; use fp32 or bf16 there")
    if precision == "bf16" and on_gpu and not torch.cuda.is_bf16_supported(including_emulation=False):
        raise BackendUnavailable(f"{torch.cuda.get_device_name(device)} has no bf16; use fp16 or fp32")
    return precision
