"""Runs batches that lie on the GPU through a TensorRT engine: memory made once, a CUDA graph for each batch size."""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.errors import BundleError, DeviceMemoryError
from engine.trt_engine import TrtEngine, TrtTensor
from operators.nvidia.cuda import CudaDevice, CudaGraph, CudaStream, DeviceBuffer
from operators.nvidia.shared_engine import SharedEngine

logger = logging.getLogger(__name__)


@dataclass
class _Prepared:
    """What runs one batch size.

    A graph is only good while nobody touches the context it was made with: each batch size has a context of its own.
    """

    context: Any
    graph: CudaGraph | None = None
    tried: bool = False


class EngineRunner:
    """An engine with memory and contexts of its own. Use it, and close it, with the device active.

    Args:
        shared: the engine.
        entry: what the manifest says about it.
        device: where.
        stream: which everything is queued in.
        max_batch: memory is made for as many pictures.

    Attributes:
        inputs: memory of each input, by name: to be filled in the stream's order before `run`.

    Raises:
        DeviceMemoryError: there is not as much memory; nothing is kept.
    """

    def __init__(
        self, shared: SharedEngine, entry: TrtEngine, device: CudaDevice, stream: CudaStream, max_batch: int
    ) -> None:
        self._shared = shared
        self._entry = entry
        self._device = device
        self._stream = stream
        self._buffers: list[DeviceBuffer] = []
        self._hosts: list[NDArray[Any]] = []
        self._prepared: dict[int, _Prepared] = {}
        self._memory: DeviceBuffer | None = None
        try:
            self.inputs = {tensor.name: self._allocate(tensor_bytes(tensor, max_batch)) for tensor in entry.inputs}
            self._outputs = [self._allocate(tensor_bytes(tensor, max_batch)) for tensor in entry.outputs]
            for tensor in entry.outputs:
                self._hosts.append(device.host_array((max_batch, *tensor.shape[1:]), tensor.dtype))
            # The largest first: smaller ones fit into its memory.
            self._prepared[max_batch] = _Prepared(self._context(max_batch, capture=True))
        except DeviceMemoryError:
            self.close()
            raise

    def run(self, batch: int) -> list[NDArray[Any]]:
        """Run what lies in `inputs`, and wait for it.

        Args:
            batch: how many pictures, a number that the engine's profile takes.

        Returns:
            Copies of the outputs in the model's order, each (batch, …), float32 where they are of a floating type.

        Raises:
            BundleError: the engine failed.
            DeviceMemoryError: there is no memory to prepare this batch size.
            DeviceLost: the GPU is gone.
        """
        if batch not in self._prepared:
            self._prepared[batch] = _Prepared(self._context(batch, capture=True))
        prepared = self._prepared[batch]
        if prepared.graph is not None:
            prepared.graph.launch(self._stream)
        else:
            self._enqueue(prepared.context, batch)
        self._stream.synchronize()
        if not prepared.tried:
            # Only now: the first run of a shape does what cannot be captured.
            prepared.tried = True
            prepared.graph = self._capture(prepared.context, batch)
        return [_copy(host[:batch]) for host in self._hosts]

    def profile(self, batch: int, runs: int) -> list[tuple[str, float]]:
        """Give the mean milliseconds of each layer, in the order they run; what lies in `inputs` is run."""
        context = self._context(batch, capture=False)
        context.profiler = profiler = _make_profiler(self._shared.library.trt)
        # The first run does more than later ones.
        self._enqueue(context, batch)
        self._stream.synchronize()
        profiler.total_ms.clear()
        for _ in range(runs):
            self._enqueue(context, batch)
            self._stream.synchronize()
        return [(layer, total / runs) for layer, total in profiler.total_ms.items()]

    def close(self) -> None:
        """Free everything. May be repeated."""
        self._prepared.clear()
        for buffer in self._buffers:
            buffer.free()
        for host in self._hosts:
            self._device.free_host_array(host)
        self._buffers, self._hosts, self._memory = [], [], None

    def _context(self, batch: int, capture: bool) -> Any:
        context = self._shared.create_context(capture)
        for tensor in self._entry.inputs:
            context.set_input_shape(tensor.name, (batch, *tensor.shape[1:]))
            context.set_tensor_address(tensor.name, self.inputs[tensor.name].address)
        for tensor, buffer in zip(self._entry.outputs, self._outputs, strict=True):
            context.set_tensor_address(tensor.name, buffer.address)
        nbytes = context.update_device_memory_size_for_shapes()
        # All contexts share it: one stream runs them one after another.
        if nbytes and (self._memory is None or self._memory.nbytes < nbytes):
            self._memory = self._allocate(nbytes)
        if self._memory is not None:
            context.set_device_memory(self._memory.address, self._memory.nbytes)
        return context

    def _enqueue(self, context: Any, batch: int) -> None:
        with self._shared.library.listen() as log:
            if not context.execute_async_v3(self._stream.handle):
                # A lost GPU is the better reason.
                self._stream.synchronize()
                raise self._shared.failure("the engine failed", log)
        for host, buffer in zip(self._hosts, self._outputs, strict=True):
            self._device.download(host[:batch], buffer, self._stream)

    def _capture(self, context: Any, batch: int) -> CudaGraph | None:
        # TensorRT for RTX makes graphs by itself, and older releases of TensorRT cannot be asked.
        may_capture = getattr(context, "is_stream_capturable", lambda stream: True)
        if self._shared.library.flavour == "tensorrt_rtx" or not may_capture(self._stream.handle):
            return None
        try:
            with self._device.capture(self._stream) as graph:
                self._enqueue(context, batch)
        except BundleError as error:
            logger.info("%s: batches of %d run without a CUDA graph: %s", self._shared.label, batch, str(error))
            return None
        return graph

    def _allocate(self, nbytes: int) -> DeviceBuffer:
        buffer = self._device.device_array(nbytes)
        self._buffers.append(buffer)
        return buffer


def tensor_bytes(tensor: TrtTensor, batch: int) -> int:
    """Give the memory that a batch of an input or output takes."""
    return batch * math.prod(tensor.shape[1:]) * np.dtype(tensor.dtype).itemsize


def _copy(output: NDArray[Any]) -> NDArray[Any]:
    return output.astype(np.float32 if np.issubdtype(output.dtype, np.floating) else output.dtype)


def _make_profiler(trt: Any) -> Any:
    class Profiler(trt.IProfiler):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.IProfiler.__init__(self)
            self.total_ms: dict[str, float] = {}

        def report_layer_time(self, layer_name: str, ms: float) -> None:
            self.total_ms[layer_name] = self.total_ms.get(layer_name, 0.0) + ms

    return Profiler()
