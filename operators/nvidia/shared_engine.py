"""Deserialised TensorRT engines, one for all backends of a process that run the same file on the same GPU.

An engine holds the weights: two copies of a detector need them once, and have contexts of their own.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Iterable
from typing import Any

from engine.bundle import Bundle
from engine.errors import BundleError, DeviceMemoryError
from engine.trt_engine import TrtEngine, TrtTensor
from operators.nvidia.tensorrt_module import TensorrtLog, TensorrtModule, dtype_name

_OUT_OF_MEMORY = re.compile("out ?of ?memory", re.IGNORECASE)


class SharedEngine:
    """An engine in a GPU's memory. `acquire` and `release` it with the GPU's context current.

    Attributes:
        library: what it runs in.
        engine: trt.ICudaEngine.
        label: names it in sentences.
    """

    def __init__(self, library: TensorrtModule, data: bytes, label: str) -> None:
        self.library = library
        self.label = label
        self._num_users = 0
        self._runtime_cache: Any = None
        with library.listen() as log:
            # The engine refers to the runtime that it came from.
            self._runtime = library.runtime(log)
            self.engine = self._runtime.deserialize_cuda_engine(data)
            if self.engine is None:
                raise self.failure("the engine cannot be loaded", log)

    @classmethod
    def acquire(cls, library: TensorrtModule, bundle: Bundle, entry: TrtEngine, device_index: int) -> SharedEngine:
        """Load a bundle's engine, or give the one that is loaded.

        Raises:
            BundleError: the file is not what the manifest says, or cannot be loaded.
            BackendUnavailable: the library finds no GPU.
            DeviceMemoryError: the weights do not fit.
        """
        key = (entry.file.sha256, device_index)
        with _lock:
            if key not in _loaded:
                shared = cls(library, bundle.read_engine(entry), str(bundle.root / entry.file.path))
                shared._check_tensors(entry, bundle)
                _loaded[key] = shared
            _loaded[key]._num_users += 1
            return _loaded[key]

    def release(self) -> None:
        """Say that one user is done, and has dropped its contexts; the last one frees the engine."""
        with _lock:
            self._num_users -= 1
            if self._num_users == 0:
                del _loaded[next(key for key, shared in _loaded.items() if shared is self)]
                self._runtime_cache = self.engine = self._runtime = None

    def create_context(self, capture: bool) -> Any:
        """Make a trt.IExecutionContext that is to be given its memory.

        Args:
            capture: let TensorRT for RTX make CUDA graphs. It compiles better kernels while it runs, so that only it
                knows when a graph is worth making.

        Raises:
            DeviceMemoryError: there is too little for it.
            BundleError: the library cannot make one.
        """
        trt = self.library.trt
        how: Any = trt.ExecutionContextAllocationStrategy.USER_MANAGED
        with _lock, self.library.listen() as log:
            if self.library.flavour == "tensorrt_rtx":
                config = self.engine.create_runtime_config()
                config.set_execution_context_allocation_strategy(how)
                config.cuda_graph_strategy = getattr(
                    trt.CudaGraphStrategy, "WHOLE_GRAPH_CAPTURE" if capture else "DISABLED"
                )
                # What one context has compiled, the others need not compile again.
                self._runtime_cache = self._runtime_cache or config.create_runtime_cache()
                config.set_runtime_cache(self._runtime_cache)
                how = config
            context = self.engine.create_execution_context(how)
            if context is None:
                raise self.failure("the engine cannot be prepared to run", log)
            return context

    def failure(self, what: str, log: TensorrtLog) -> BundleError:
        """Make the error to raise: what happened, and what the library said last."""
        no_memory = any(_OUT_OF_MEMORY.search(text) for _, text in log.lines)
        kind = DeviceMemoryError if no_memory else BundleError
        return kind(f"{self.label}: {what}: {self.library.explain(log)}")

    def _check_tensors(self, entry: TrtEngine, bundle: Bundle) -> None:
        """Refuse an engine whose inputs and outputs are not what the manifest says."""
        modes = self.library.trt.TensorIOMode
        names = [self.engine.get_tensor_name(i) for i in range(self.engine.num_io_tensors)]
        for mode, what, stated in ((modes.INPUT, "inputs", entry.inputs), (modes.OUTPUT, "outputs", entry.outputs)):
            found = [self._tensor(name) for name in names if self.engine.get_tensor_mode(name) == mode]
            if {tensor.name: tensor for tensor in found} != {tensor.name: tensor for tensor in stated}:
                raise BundleError(
                    f"{self.label}: the {what} are {_words(found)}, the manifest says {_words(stated)}; build it again "
                    f"with `vedette engine build {bundle.root}`"
                )

    def _tensor(self, name: str) -> TrtTensor:
        shape = tuple(self.engine.get_tensor_shape(name))
        return TrtTensor(name=name, shape=shape, dtype=dtype_name(self.engine.get_tensor_dtype(name)))


_lock = threading.Lock()
_loaded: dict[tuple[str, int], SharedEngine] = {}


def _words(tensors: Iterable[TrtTensor]) -> str:
    return "; ".join(f"{one.name} ({', '.join(map(str, one.shape))}) {one.dtype}" for one in tensors)
