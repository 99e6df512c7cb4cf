"""CUDA through PyCUDA: a device, its memory, streams, kernels and graphs.

PyCUDA has no CUDA graphs; those few calls go to the driver itself. The device's primary context is used, which
PyTorch and ONNX Runtime use too. What `CudaDevice` hands out is freed by its `close()`, never by the garbage collector:
once the interpreter ends, CUDA may be gone.
"""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import functools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from engine.errors import BackendUnavailable, BundleError, DeviceMemoryError
from engine.gpu import gpus, why_no_gpu
from operators.nvidia.cuda_driver import call, check, load_driver, load_pycuda, translate

# Our kernels are compiled by NVRTC 12 or later, whose code no older driver runs.
MIN_DRIVER = (12, 0)
_STREAM_NON_BLOCKING = 1
_EVENT_BLOCKING_SYNC, _EVENT_DISABLE_TIMING = 1, 2
_CAPTURE_THREAD_LOCAL = 1


class CudaDevice:
    """One GPU's primary context. Belongs to one thread at a time; each use of it stands inside `with activate():`.

    Args:
        index: as CUDA numbers those that CUDA_VISIBLE_DEVICES leaves.

    Attributes:
        index: as given.
        name: such as `NVIDIA L4`.
        capability: compute capability, such as `8.9`.
        driver: the latest CUDA that the driver runs, such as `13.0`.
        total_bytes: all of its memory, whoever uses it.

    Raises:
        BackendUnavailable: there is no such GPU, no driver, an old one, or no PyCUDA.
        DeviceMemoryError: the GPU has not even memory for a context.
    """

    def __init__(self, index: int = 0) -> None:
        found = gpus()
        if not found:
            raise BackendUnavailable(why_no_gpu())
        if index >= len(found):
            raise BackendUnavailable(
                f"there is no GPU {index}: CUDA sees {len(found)}, counted from 0; `vedette doctor --gpu` lists them"
            )
        gpu = found[index]
        if tuple(map(int, gpu.driver.split("."))) < MIN_DRIVER:
            raise BackendUnavailable(
                f"the NVIDIA driver runs CUDA {gpu.driver}, CUDA {MIN_DRIVER[0]}.{MIN_DRIVER[1]} or later is needed; "
                "update the driver"
            )
        self.index = index
        self.name = gpu.name
        self.capability = gpu.capability
        self.driver = gpu.driver
        self.total_bytes = gpu.memory_bytes
        self._cuda = load_pycuda(gpu.driver)
        self._held: dict[object, Callable[[], None]] = {}
        try:
            self._cuda.init()
            self._context: Any = self._cuda.Device(index).retain_primary_context()
        except self._cuda.Error as error:
            cause = translate(error)
            if isinstance(cause, DeviceMemoryError):
                raise DeviceMemoryError(f"GPU {index} ({self.name}) has no memory for a CUDA context") from error
            raise BackendUnavailable(f"GPU {index} ({self.name}) cannot be used: {error}") from error
        # PyCUDA's own way of letting go of a primary context is wrong in a destructor: it detaches another kind.
        atexit.register(self.close)

    def __str__(self) -> str:
        return f"cuda:{self.index} ({self.name})"

    @contextlib.contextmanager
    def activate(self) -> Iterator[CudaDevice]:
        """Make this the calling thread's device; may be nested.

        Raises:
            DeviceLost: the GPU is gone.
        """
        context = self._context
        call(context.push)
        try:
            yield self
        finally:
            # It fails only after close(), or where the GPU is lost, which the block has met before.
            with contextlib.suppress(self._cuda.Error):
                context.pop()

    def free_bytes(self) -> int:
        """Give the memory that nobody uses now."""
        return int(call(self._cuda.mem_get_info)[0])

    def stream(self) -> CudaStream:
        """Make a stream that does not wait for the default one, which other libraries may use."""
        stream = CudaStream(self)
        self._held[stream] = stream._drop
        return stream

    def device_array(self, nbytes: int) -> DeviceBuffer:
        """Allocate memory on the GPU; its content is undefined.

        Raises:
            DeviceMemoryError: there is not as much.
        """
        try:
            allocation = call(self._cuda.mem_alloc, nbytes)
        except DeviceMemoryError as error:
            raise DeviceMemoryError(
                f"GPU {self.index} ({self.name}): {_mib(nbytes)} MiB wanted, {_mib(self.free_bytes())} of "
                f"{_mib(self.total_bytes)} MiB free; use a smaller batch, or end what else runs there"
            ) from error
        buffer = DeviceBuffer(self, int(allocation), nbytes)
        self._held[buffer] = allocation.free
        return buffer

    def host_array(self, shape: int | tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]:
        """Allocate page-locked memory of the host, which copies need to be fast and asynchronous.

        Returns:
            An array of undefined content. Neither it nor a view of it may be touched after `close()`.

        Raises:
            DeviceMemoryError: the host cannot lock as much.
        """
        nbytes = int(np.prod(shape)) * np.dtype(dtype).itemsize
        try:
            array: NDArray[Any] = call(self._cuda.pagelocked_empty, shape, dtype)
        except DeviceMemoryError as error:
            raise DeviceMemoryError(f"the host cannot page-lock {_mib(nbytes)} MiB; use a smaller batch") from error
        self._held[array.ctypes.data] = array.base.free  # type: ignore[union-attr]
        return array

    def free_host_array(self, array: NDArray[Any]) -> None:
        """Free what `host_array()` gave; neither it nor a view of it may be touched from then on."""
        self._release(array.ctypes.data)

    def upload(self, buffer: DeviceBuffer, array: NDArray[Any], stream: CudaStream, offset: int = 0) -> None:
        """Copy to the GPU in the stream's order; a page-locked array must not change before the copy is done.

        Args:
            buffer: where to.
            array: C-contiguous.
            stream: which to queue it in.
            offset: bytes into the buffer.
        """
        buffer.check(array, offset)
        call(self._cuda.memcpy_htod_async, buffer.address + offset, array, stream.pycuda)

    def download(self, array: NDArray[Any], buffer: DeviceBuffer, stream: CudaStream, offset: int = 0) -> None:
        """Copy from the GPU in the stream's order; the C-contiguous array is ready once the stream is synchronised."""
        buffer.check(array, offset)
        call(self._cuda.memcpy_dtoh_async, array, buffer.address + offset, stream.pycuda)

    def load_kernel(self, image: bytes, name: str) -> Kernel:
        """Load a kernel.

        Args:
            image: a cubin or PTX.
            name: as declared `extern "C"`.

        Raises:
            BackendUnavailable: this GPU or its driver cannot run the image, or it holds no such kernel.
        """
        try:
            kernel = Kernel(call(self._cuda.module_from_buffer, image), name)
        except DeviceMemoryError:
            raise
        except BundleError as error:
            raise BackendUnavailable(
                f"GPU {self.index} ({self.name}, compute capability {self.capability}, driver for CUDA {self.driver}) "
                f"cannot run kernel '{name}': {error}"
            ) from error
        self._held[kernel] = kernel._drop
        return kernel

    @contextlib.contextmanager
    def capture(self, stream: CudaStream) -> Iterator[CudaGraph]:
        """Record what the block queues in a stream, without running it. The graph is complete after the block.

        The block may neither synchronise nor allocate, and its copies are of page-locked arrays.

        Raises:
            BundleError: the block did something that cannot be captured.
        """
        driver = load_driver()
        graph = CudaGraph(self)
        # Thread-local: PyTorch, or another device's thread, may allocate meanwhile.
        check(driver.cuStreamBeginCapture_v2(stream.handle, _CAPTURE_THREAD_LOCAL), "cuStreamBeginCapture")
        captured = ctypes.c_void_p()
        try:
            yield graph
        except BaseException:
            driver.cuStreamEndCapture(stream.handle, ctypes.byref(captured))
            driver.cuGraphDestroy(captured)
            raise
        check(driver.cuStreamEndCapture(stream.handle, ctypes.byref(captured)), "cuStreamEndCapture")
        try:
            check(
                driver.cuGraphInstantiateWithFlags(ctypes.byref(graph.handle), captured, 0),
                "cuGraphInstantiateWithFlags",
            )
        finally:
            driver.cuGraphDestroy(captured)
        self._held[graph] = graph._drop

    def timer(self) -> CudaTimer:
        """Make a stopwatch that runs on the GPU."""
        timer = CudaTimer(self)
        self._held[timer] = timer._drop
        return timer

    def close(self) -> None:
        """Wait for what is queued, free everything that this device gave, and let go of its context. May be repeated.

        The end of the process does it, too. After a loss nothing is freed.
        """
        context, self._context = self._context, None
        if context is None:
            return
        atexit.unregister(self.close)
        with contextlib.suppress(self._cuda.Error):
            context.push()
            self._cuda.Context.synchronize()
            for release in reversed(self._held.values()):
                release()
        # PyCUDA's detach() would leave a primary context on the driver's stack.
        load_driver().cuCtxPopCurrent_v2(ctypes.byref(ctypes.c_void_p()))
        context.detach()
        # PyCUDA's objects do nothing as they go, once their context is detached.
        self._held.clear()

    def _release(self, held: object) -> None:
        release = self._held.pop(held, None)
        if release is not None:
            release()


class DeviceBuffer:
    """Memory on the GPU.

    Attributes:
        address: where, as CUDA counts.
        nbytes: how much.
    """

    def __init__(self, device: CudaDevice, address: int, nbytes: int) -> None:
        self._device = device
        self.address = address
        self.nbytes = nbytes

    def check(self, array: NDArray[Any], offset: int) -> None:
        """Refuse a copy of an array that PyCUDA would get wrong without a word.

        Raises:
            ValueError: the array is not C-contiguous, or the copy would leave the buffer.
        """
        if not array.flags.c_contiguous:
            raise ValueError("copies need a C-contiguous array, see numpy.ascontiguousarray")
        if offset < 0 or offset + array.nbytes > self.nbytes:
            raise ValueError(f"bytes {offset}..{offset + array.nbytes} of a buffer of {self.nbytes}")

    def free(self) -> None:
        """Free it. May be repeated."""
        self._device._release(self)


class CudaStream:
    """A queue of work: copies, kernels and graphs, done one after another.

    Attributes:
        handle: as CUDA and TensorRT take it.
        pycuda: as PyCUDA takes it.
    """

    def __init__(self, device: CudaDevice) -> None:
        self.pycuda = call(device._cuda.Stream, _STREAM_NON_BLOCKING)
        self.handle = int(self.pycuda.handle)
        self._done = call(device._cuda.Event, _EVENT_BLOCKING_SYNC | _EVENT_DISABLE_TIMING)

    def synchronize(self) -> None:
        """Wait until everything queued so far is done. The core is free meanwhile: cameras are decoded on it.

        Raises:
            DeviceLost: the GPU is gone; what was queued may have caused it.
        """
        call(self._done.record, self.pycuda)
        call(self._done.synchronize)

    def _drop(self) -> None:
        del self.pycuda, self._done


class Kernel:
    """A function that runs on the GPU."""

    def __init__(self, module: Any, name: str) -> None:
        self._module = module
        self._function = call(module.get_function, name)

    def launch(
        self, grid: tuple[int, int, int], block: tuple[int, int, int], args: Sequence[Any], stream: CudaStream
    ) -> None:
        """Queue the kernel.

        Args:
            grid: blocks along x, y, z.
            block: threads of a block along x, y, z.
            args: as the kernel declares them: a DeviceBuffer, a NumPy scalar as it is, an int as int32, a float as
                float32.
            stream: which to queue it in.
        """
        values = [_value(argument) for argument in args]
        call(functools.partial(self._function, *values, grid=grid, block=block, stream=stream.pycuda))

    def _drop(self) -> None:
        del self._function, self._module


class CudaGraph:
    """Recorded work, launched as one."""

    def __init__(self, device: CudaDevice) -> None:
        self._device = device
        self.handle = ctypes.c_void_p()

    def launch(self, stream: CudaStream) -> None:
        """Queue everything that was recorded. It reads and writes the same memory as then."""
        check(load_driver().cuGraphLaunch(self.handle, stream.handle), "cuGraphLaunch")

    def close(self) -> None:
        """Free it. May be repeated."""
        self._device._release(self)

    def _drop(self) -> None:
        load_driver().cuGraphExecDestroy(self.handle)


class CudaTimer:
    """Two events in a stream and the time between them."""

    def __init__(self, device: CudaDevice) -> None:
        self._start = call(device._cuda.Event)
        self._stop = call(device._cuda.Event)

    def start(self, stream: CudaStream) -> None:
        """Note the time when the stream gets here."""
        call(self._start.record, stream.pycuda)

    def stop(self, stream: CudaStream) -> None:
        """Likewise."""
        call(self._stop.record, stream.pycuda)

    def elapsed_s(self) -> float:
        """Wait for the second event, and give the seconds between; CUDA resolves about half a microsecond."""
        call(self._stop.synchronize)
        return float(call(self._stop.time_since, self._start)) / 1000

    def _drop(self) -> None:
        del self._start, self._stop


def _value(argument: DeviceBuffer | np.number[Any] | int | float) -> np.number[Any]:
    match argument:
        case DeviceBuffer():
            return np.uintp(argument.address)
        case np.number():
            return argument
        case int():
            return np.int32(argument)
        case _:
            return np.float32(argument)


def _mib(nbytes: int) -> int:
    return -(-nbytes // 2**20)
