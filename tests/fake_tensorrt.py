"""A stand-in for the Python modules `tensorrt` and `tensorrt_rtx`, for machines without a GPU.

Its engines name an ONNX model, which ONNX Runtime runs on the memory of the stand-in driver (`tests/cuda_driver`), in the
order of the CUDA stream and inside CUDA graphs, too. It insists on what the real one leaves undefined: memory that is
large enough, batches inside the profile, a plain run before a graph is made, and contexts that are left alone afterwards.
"""

from __future__ import annotations

import ctypes
import enum
import json
import weakref
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnxruntime

MAGIC = b"fake engine\n"
_NAMES = {
    "tensor(float)": ("FLOAT", np.float32), "tensor(float16)": ("HALF", np.float16), "tensor(uint8)": ("UINT8", np.uint8),
    "tensor(int64)": ("INT64", np.int64),
}  # fmt: skip
_HOST_FUNCTION = ctypes.CFUNCTYPE(None, ctypes.c_void_p)


def fake_engine(onnx: Path, batches: tuple[int, int] = (1, 8), bytes_per_picture: int = 1000, name: str = "") -> bytes:
    """Give the bytes of an engine that runs a model, with a profile of these smallest and largest batches."""
    about = {"onnx": str(onnx), "batches": batches, "bytes_per_picture": bytes_per_picture, "name": name}
    return MAGIC + json.dumps(about).encode()


class FakeTensorrt:
    """The module.

    Attributes:
        num_loads: engines deserialised so far.
        engines, contexts: those that are alive.
        is_capturable: what contexts say when they are asked.
        error, context_error: make every run, or every new context, fail with this line in the log.
        strategies: what TensorRT for RTX was asked to do about CUDA graphs, for each context.
    """

    def __init__(self, version: str, is_rtx: bool = False) -> None:
        self.__version__ = version
        self.num_loads = 0
        self.engines: weakref.WeakSet[_Engine] = weakref.WeakSet()
        self.contexts: weakref.WeakSet[_Context] = weakref.WeakSet()
        self.is_capturable = True
        self.error: str | None = None
        self.context_error: str | None = None
        self.strategies: list[str] = []
        self.driver = ctypes.CDLL("libcuda.so.1")
        if is_rtx:
            self.CudaGraphStrategy = SimpleNamespace(WHOLE_GRAPH_CAPTURE="WHOLE_GRAPH_CAPTURE", DISABLED="DISABLED")

    class Severity(enum.Enum):
        INTERNAL_ERROR = 0
        ERROR = 1
        WARNING = 2
        INFO = 3
        VERBOSE = 4

    class TensorIOMode(enum.Enum):
        INPUT = 1
        OUTPUT = 2

    class ExecutionContextAllocationStrategy(enum.Enum):
        STATIC = 0
        USER_MANAGED = 2

    class ILogger:
        pass

    class IProfiler:
        pass

    class Builder:
        pass

    def Runtime(self, logger: Any) -> _Runtime:  # noqa: N802
        return _Runtime(self, logger)


class _Runtime:
    def __init__(self, trt: FakeTensorrt, logger: Any) -> None:
        self.trt = trt
        self.logger = logger

    def deserialize_cuda_engine(self, data: bytes) -> _Engine | None:
        self.trt.num_loads += 1
        if not data.startswith(MAGIC):
            self.fail("IRuntime::deserializeCudaEngine: Error Code 1: Serialization (Magic tag does not match. )")
            return None
        engine = _Engine(self, json.loads(data[len(MAGIC) :]))
        self.trt.engines.add(engine)
        return engine

    def fail(self, text: str) -> None:
        self.logger.log(FakeTensorrt.Severity.ERROR, text)


class _Engine:
    def __init__(self, runtime: _Runtime, about: dict[str, Any]) -> None:
        self.runtime = runtime
        self.batches = about["batches"]
        self.bytes_per_picture = about["bytes_per_picture"]
        self.session = onnxruntime.InferenceSession(about["onnx"], providers=["CPUExecutionProvider"])
        self.inputs = {node.name: node for node in self.session.get_inputs()}
        self.nodes = {node.name: node for node in [*self.session.get_inputs(), *self.session.get_outputs()]}
        self.num_io_tensors = len(self.nodes)

    def get_tensor_name(self, index: int) -> str:
        # The real one does not keep the model's order either.
        return str(sorted(self.nodes)[index])

    def get_tensor_mode(self, name: str) -> FakeTensorrt.TensorIOMode:
        return FakeTensorrt.TensorIOMode.INPUT if name in self.inputs else FakeTensorrt.TensorIOMode.OUTPUT

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        return tuple(n if isinstance(n, int) else -1 for n in self.nodes[name].shape)

    def get_tensor_dtype(self, name: str) -> Any:
        return SimpleNamespace(name=_NAMES[self.nodes[name].type][0])

    def create_runtime_config(self) -> Any:
        return _Config()

    def create_execution_context(self, how: Any) -> _Context | None:
        trt = self.runtime.trt
        if trt.context_error is not None:
            self.runtime.fail(trt.context_error)
            return None
        if isinstance(how, _Config):
            trt.strategies.append(how.cuda_graph_strategy)
            how = how.strategy
        assert how == FakeTensorrt.ExecutionContextAllocationStrategy.USER_MANAGED
        context = _Context(self)
        trt.contexts.add(context)
        return context


class _Config:
    cuda_graph_strategy = ""
    strategy: Any = None

    def set_execution_context_allocation_strategy(self, strategy: Any) -> None:
        self.strategy = strategy

    def create_runtime_cache(self) -> object:
        return object()

    def set_runtime_cache(self, cache: object) -> bool:
        return True


class _Context:
    def __init__(self, engine: _Engine) -> None:
        self.engine = engine
        self.shapes: dict[str, tuple[int, ...]] = {}
        self.addresses: dict[str, int] = {}
        self.memory_bytes = 0
        self.profiler: Any = None
        self._has_run = self._is_captured = False
        # Without a cycle: as with the real one, who lets go of a context has freed it.
        run = weakref.WeakMethod(self._run)
        self._run_once = _HOST_FUNCTION(lambda _: run()())  # type: ignore[misc]

    def set_input_shape(self, name: str, shape: tuple[int, ...]) -> bool:
        assert not self._is_captured
        low, high = self.engine.batches
        assert low <= shape[0] <= high
        self.shapes[name] = shape
        return True

    def set_tensor_address(self, name: str, address: int) -> bool:
        assert not self._is_captured
        self.addresses[name] = address
        return True

    def update_device_memory_size_for_shapes(self) -> int:
        assert self.shapes.keys() == self.engine.inputs.keys()
        batch: int = next(iter(self.shapes.values()))[0]
        return batch * int(self.engine.bytes_per_picture)

    def set_device_memory(self, memory: int, size: int) -> None:
        assert not self._is_captured
        assert memory % 256 == 0
        self.memory_bytes = size

    def is_stream_capturable(self, stream: int) -> bool:
        return self.engine.runtime.trt.is_capturable

    def execute_async_v3(self, stream: int) -> bool:
        trt = self.engine.runtime.trt
        if trt.error is not None:
            self.engine.runtime.fail(trt.error)
            return False
        assert self.memory_bytes >= self.update_device_memory_size_for_shapes()
        assert self.addresses.keys() == self.engine.nodes.keys()
        self._is_captured = self._is_capturing(stream)
        assert self._has_run or not self._is_captured
        self._has_run = True
        assert trt.driver.cuLaunchHostFunc(ctypes.c_void_p(stream), self._run_once, None) == 0
        if self.profiler is not None:
            for layer, ms in (("conv", 0.25), ("head", 0.5)):
                self.profiler.report_layer_time(layer, ms)
        return True

    def _is_capturing(self, stream: int) -> bool:
        status = ctypes.c_int()
        assert self.engine.runtime.trt.driver.cuStreamIsCapturing(ctypes.c_void_p(stream), ctypes.byref(status)) == 0
        return status.value == 1

    def _run(self) -> None:
        feed = {}
        for name, node in self.engine.inputs.items():
            array = np.empty(self.shapes[name], _NAMES[node.type][1])
            ctypes.memmove(array.ctypes.data, self.addresses[name], array.nbytes)
            feed[name] = array
        names = [node.name for node in self.engine.session.get_outputs()]
        for name, output in zip(names, self.engine.session.run(names, feed), strict=True):
            array = np.ascontiguousarray(output)
            ctypes.memmove(self.addresses[name], array.ctypes.data, array.nbytes)
