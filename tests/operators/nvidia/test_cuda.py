"""The real PyCUDA on the stand-in driver, or on the GPU of this machine."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from engine.errors import BackendUnavailable, BundleError, DeviceLost, DeviceMemoryError
from engine.gpu import gpus
from operators.nvidia.cuda import CudaDevice
from operators.nvidia.cuda_driver import translate
from operators.nvidia.kernels import compile_kernel
from tests.cuda_driver import StandInDriver, cpu_kernels, uses_own_gpu

ROOT = Path(__file__).parents[3]
SOURCE = """
extern "C" __global__ void scale(const int *from, float *to, unsigned char n, float factor, int offset) {
    const int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) to[i] = from[i] * factor + offset;
}
extern "C" __global__ void overrun(char *to, int n) { to[n] = 0; }
"""


@pytest.fixture
def stand_in(request: pytest.FixtureRequest) -> StandInDriver | None:
    """The stand-in, or None where the tests run on a GPU."""
    if uses_own_gpu():
        return None
    driver: StandInDriver = request.getfixturevalue("cuda_driver")
    return driver


@pytest.fixture
def device(stand_in: StandInDriver | None) -> Iterator[CudaDevice]:
    device = CudaDevice()
    yield device
    device.close()
    assert stand_in is None or stand_in.live() == ""


@pytest.fixture
def image(stand_in: StandInDriver | None, tmp_path: Path) -> bytes:
    source = tmp_path / "scale.cu"
    source.write_text(SOURCE)
    return cpu_kernels(source) if stand_in else compile_kernel(source, gpus()[0].capability)


class Scale:
    """Arrays, buffers and a kernel: what goes up, is scaled and comes down."""

    def __init__(self, device: CudaDevice, image: bytes, n: int = 100) -> None:
        self.stream = device.stream()
        self.given = device.host_array(n, np.int32)
        self.made = device.host_array((n,), np.float32)
        self.source = device.device_array(self.given.nbytes)
        self.target = device.device_array(self.made.nbytes)
        self._device = device
        self._kernel = device.load_kernel(image, "scale")

    def queue(self) -> None:
        self._device.upload(self.source, self.given, self.stream)
        args = (self.source, self.target, np.uint8(len(self.given)), 0.5, 3)
        self._kernel.launch((2, 1, 1), (64, 1, 1), args, self.stream)
        self._device.download(self.made, self.target, self.stream)

    @property
    def expected(self) -> NDArray[np.float32]:
        return self.given * np.float32(0.5) + np.float32(3)


def test_an_array_goes_up_is_changed_by_a_kernel_and_comes_down(device: CudaDevice, image: bytes) -> None:
    with device.activate():
        scale = Scale(device, image)
        scale.given[:] = np.arange(100)
        scale.queue()
        scale.stream.synchronize()
        np.testing.assert_array_equal(scale.made, scale.expected)


def test_parts_of_a_buffer_are_copied_and_never_more_than_it_holds(device: CudaDevice) -> None:
    with device.activate():
        stream, buffer = device.stream(), device.device_array(8)
        low, high = np.arange(4, dtype=np.uint8), np.arange(4, 8, dtype=np.uint8)
        device.upload(buffer, low, stream)
        device.upload(buffer, high, stream, offset=4)
        # Pageable arrays may be used again at once.
        low[:] = high[:] = 99
        back = np.empty(6, np.uint8)
        device.download(back, buffer, stream, offset=2)
        stream.synchronize()
        assert back.tolist() == [2, 3, 4, 5, 6, 7]
        with pytest.raises(ValueError, match=r"bytes 5\.\.9 of a buffer of 8"):
            device.upload(buffer, low, stream, offset=5)
        with pytest.raises(ValueError, match=r"bytes 4\.\.10 of a buffer of 8"):
            device.download(back, buffer, stream, offset=4)
        with pytest.raises(ValueError, match="copies need a C-contiguous array"):
            device.upload(buffer, np.zeros((2, 3), np.uint8).T, stream)


def test_nothing_runs_before_somebody_waits(device: CudaDevice, image: bytes, cuda_driver: StandInDriver) -> None:
    with device.activate():
        scale = Scale(device, image)
        scale.given[:] = 1
        scale.made[:] = -1
        scale.queue()
        assert scale.made[0] == -1, "the stand-in would not show a missing synchronisation"
        # A page-locked array is read when the copy is done, not when it is queued.
        scale.given[:] = 2
        scale.stream.synchronize()
        assert scale.made[0] == 4


def test_a_graph_does_what_was_captured_with_what_its_memory_holds_now(device: CudaDevice, image: bytes) -> None:
    with device.activate():
        scale = Scale(device, image)
        scale.made[:] = -1
        with device.capture(scale.stream) as graph:
            scale.queue()
        scale.stream.synchronize()
        assert (scale.made == -1).all(), "capturing ran it"
        for value in (1, 2):
            scale.given[:] = value
            graph.launch(scale.stream)
            scale.stream.synchronize()
            np.testing.assert_array_equal(scale.made, scale.expected)
        graph.close()
        graph.close()


def test_a_capture_that_waits_or_allocates_is_refused_and_the_stream_still_works(
    device: CudaDevice, image: bytes
) -> None:
    with device.activate():
        scale = Scale(device, image)
        refused = pytest.raises(BundleError, match="CUDA failed: cuMemAlloc: operation not permitted when stream is")
        with refused, device.capture(scale.stream):
            device.device_array(8)
        scale.given[:] = 4
        scale.queue()
        scale.stream.synchronize()
        np.testing.assert_array_equal(scale.made, scale.expected)


def test_a_spoilt_capture_is_refused_at_its_end(device: CudaDevice, image: bytes) -> None:
    with device.activate():
        scale = Scale(device, image)
        refused = pytest.raises(
            BundleError, match="CUDA failed: cuStreamEndCapture: operation failed due to a previous"
        )
        with refused, device.capture(scale.stream), contextlib.suppress(BundleError):
            device.device_array(8)


def test_a_timer_measures_a_stream(device: CudaDevice, image: bytes) -> None:
    with device.activate():
        scale, timer = Scale(device, image), device.timer()
        timer.start(scale.stream)
        scale.queue()
        timer.stop(scale.stream)
        assert 0 < timer.elapsed_s() < 10


def test_a_device_says_what_it_is_and_what_is_free(device: CudaDevice, cuda_driver: StandInDriver) -> None:
    assert (str(device), device.capability, device.driver) == ("cuda:0 (Stand-in 0)", "8.6", "13.0")
    assert device.total_bytes == 2**30
    with device.activate():
        buffer = device.device_array(2**20)
        assert device.free_bytes() == 2**30 - 2**20
        buffer.free()
        buffer.free()
        assert device.free_bytes() == 2**30


def test_memory_that_is_not_there_is_a_sentence_and_the_rest_goes_on(device: CudaDevice) -> None:
    with device.activate():
        with pytest.raises(DeviceMemoryError, match=r"GPU 0 \(.+\): \d+ MiB wanted, \d+ of \d+ MiB free; use a sm"):
            device.device_array(device.total_bytes + 1)
        device.device_array(1024)


def test_memory_that_the_host_cannot_lock_is_a_sentence(device: CudaDevice, cuda_driver: StandInDriver) -> None:
    cuda_driver.fail("cuMemHostAlloc", 2)
    with device.activate(), pytest.raises(DeviceMemoryError, match="the host cannot page-lock 4 MiB; use a smaller"):
        device.host_array((1024, 1024), np.float32)


def test_a_host_array_is_freed_early(device: CudaDevice, cuda_driver: StandInDriver) -> None:
    with device.activate():
        array = device.host_array((2, 3), np.float32)
        assert "1 host arrays" in cuda_driver.live()
        device.free_host_array(array)
        assert "host arrays" not in cuda_driver.live()


def test_kernels_that_cannot_run_say_why(device: CudaDevice, image: bytes) -> None:
    with device.activate():
        where = r"GPU 0 \(.+, compute capability \d+\.\d, driver for CUDA \d+\.\d\) cannot run kernel 'scale'"
        with pytest.raises(BackendUnavailable, match=where + ": CUDA failed: cuModuleLoadDataEx: device kernel image"):
            device.load_kernel(b"\0" * 1024, "scale")
        with pytest.raises(BackendUnavailable, match="kernel 'shift': CUDA failed: cuModuleGetFunction: named symbol"):
            device.load_kernel(image, "shift")


def test_a_module_that_does_not_fit_is_too_little_memory(
    device: CudaDevice, image: bytes, cuda_driver: StandInDriver
) -> None:
    cuda_driver.fail("cuModuleLoadDataEx", 2)
    with device.activate(), pytest.raises(DeviceMemoryError, match="the GPU has too little memory: cuModuleLoadDataEx"):
        device.load_kernel(image, "scale")


def test_a_launch_with_wrong_arguments_is_refused(device: CudaDevice, image: bytes, cuda_driver: StandInDriver) -> None:
    with device.activate():
        kernel, stream = device.load_kernel(image, "scale"), device.stream()
        with pytest.raises(BundleError, match="CUDA failed: cuLaunchKernel: invalid argument"):
            kernel.launch((1, 1, 1), (64, 1, 1), (1, 2), stream)


def in_thread(work: Callable[[], object]) -> None:
    """Run something in another thread, to its end."""
    failed: list[BaseException] = []

    def run() -> None:
        try:
            work()
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    if failed:
        raise failed[0]


def test_a_device_made_in_one_thread_works_in_another_and_is_closed_in_a_third(
    stand_in: StandInDriver | None, device: CudaDevice, image: bytes
) -> None:
    with device.activate():
        scale = Scale(device, image)

    def work() -> None:
        with device.activate():
            scale.given[:] = 7
            scale.queue()
            scale.stream.synchronize()
            np.testing.assert_array_equal(scale.made, scale.expected)
            device.device_array(64)

    in_thread(work)
    in_thread(device.close)
    assert stand_in is None or stand_in.live() == ""


def test_two_devices_in_one_thread_keep_their_work_apart(cuda_driver: StandInDriver, image: bytes) -> None:
    cuda_driver.show(devices=2)
    first, second = CudaDevice(0), CudaDevice(1)
    with first.activate():
        one = Scale(first, image)
        with second.activate():
            two = Scale(second, image)
            two.given[:] = 2
            two.queue()
        one.given[:] = 1
        one.queue()
        one.stream.synchronize()
        with second.activate():
            two.stream.synchronize()
        assert (one.made[0], two.made[0]) == (3.5, 4)
        second.close()
        one.given[:] = 5
        one.queue()
        one.stream.synchronize()
        assert one.made[0] == 5.5
    first.close()
    assert cuda_driver.live() == ""


def test_cuda_visible_devices_decides_which_gpu_is_the_first(
    cuda_driver: StandInDriver, monkeypatch: pytest.MonkeyPatch
) -> None:
    cuda_driver.show(devices=3)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2")
    device = CudaDevice(0)
    assert device.name == "Stand-in 2"
    device.close()
    with pytest.raises(BackendUnavailable, match="there is no GPU 1: CUDA sees 1, counted from 0; `vedette doctor --g"):
        CudaDevice(1)


def test_no_gpu_is_a_sentence(cuda_driver: StandInDriver) -> None:
    cuda_driver.show(devices=0)
    with pytest.raises(BackendUnavailable, match=r"GPU|nvidia"):
        CudaDevice()


def test_an_old_driver_is_a_sentence(cuda_driver: StandInDriver) -> None:
    cuda_driver.show(version=11080)
    with pytest.raises(
        BackendUnavailable, match=r"driver runs CUDA 11\.8, CUDA 12\.0 or later is needed; update the dr"
    ):
        CudaDevice()


@pytest.mark.parametrize(
    ("code", "error", "sentence"),
    [
        (46, BackendUnavailable, r"GPU 0 \(Stand-in 0\) cannot be used: cuDevicePrimaryCtxRetain failed: CUDA-capable"),
        (2, DeviceMemoryError, r"GPU 0 \(Stand-in 0\) has no memory for a CUDA context"),
    ],
)
def test_a_gpu_that_gives_no_context_is_a_sentence(
    cuda_driver: StandInDriver, code: int, error: type[Exception], sentence: str
) -> None:
    cuda_driver.fail("cuDevicePrimaryCtxRetain", code)
    with pytest.raises(error, match=sentence):
        CudaDevice()
    assert cuda_driver.live() == ""


@pytest.mark.parametrize("code", [214, 700, 719, 999])
def test_a_lost_gpu_is_told_from_other_failures_and_closing_neither_hangs_nor_complains(
    cuda_driver: StandInDriver, tmp_path: Path, capfd: pytest.CaptureFixture[str], code: int
) -> None:
    device = CudaDevice()
    with device.activate():
        stream, buffer = device.stream(), device.device_array(64)
        device.timer()
        cuda_driver.fail("cuEventSynchronize", code, nth=2)
        stream.synchronize()
        with pytest.raises(DeviceLost, match=r"the GPU is lost: cuEventSynchronize: .+; only a new process can use it"):
            stream.synchronize()
    with pytest.raises(DeviceLost), device.activate():
        device.upload(buffer, np.zeros(64, np.uint8), stream)
    device.close()
    del stream, buffer, device
    assert capfd.readouterr() == ("", "")


def test_a_kernel_that_writes_where_it_must_not_loses_the_gpu(cuda_driver: StandInDriver, image: bytes) -> None:
    device = CudaDevice()
    with device.activate():
        stream, buffer = device.stream(), device.device_array(64)
        device.load_kernel(image, "overrun").launch((1, 1, 1), (1, 1, 1), (buffer, 64), stream)
        with pytest.raises(DeviceLost, match="an illegal memory access was encountered"):
            stream.synchronize()
    device.close()


def test_a_graph_reports_a_lost_gpu(cuda_driver: StandInDriver, image: bytes) -> None:
    device = CudaDevice()
    with device.activate():
        scale = Scale(device, image)
        with device.capture(scale.stream) as graph:
            scale.queue()
        cuda_driver.fail("cuGraphLaunch", 719)
        with pytest.raises(DeviceLost, match="the GPU is lost: cuGraphLaunch: unspecified launch failure"):
            graph.launch(scale.stream)
    device.close()


def test_closing_twice_and_inside_of_activate_is_fine(stand_in: StandInDriver | None) -> None:
    device = CudaDevice()
    with device.activate():
        device.stream()
        device.close()
    device.close()
    assert stand_in is None or stand_in.live() == ""


def test_errors_of_ours_and_of_others_pass_translation() -> None:
    lost = DeviceLost("gone")
    assert translate(lost) is lost


PROGRAM = """
from operators.nvidia.cuda import CudaDevice
device = CudaDevice()
with device.activate():
    stream, buffer, array, timer = device.stream(), device.device_array(9), device.host_array(9, "u1"), device.timer()
    device.upload(buffer, array, stream)
    {end}
"""


@pytest.mark.parametrize(("end", "code"), [("pass", 0), ("device.close()", 0), ("raise SystemExit(3)", 3)])
def test_a_process_ends_as_it_should_even_without_close(stand_in: StandInDriver | None, end: str, code: int) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(end=end)], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stdout, done.stderr) == (code, "", "")


@pytest.mark.parametrize(
    ("stop", "sentence"),
    [
        (
            "sys.modules['pycuda.driver'] = None",
            "PyCUDA is not installed: import of pycuda.driver halted; ",
        ),
        (
            "class Finder:\n"
            "    def find_spec(name, path, target=None):\n"
            "        if name == 'pycuda._driver': raise ImportError('undefined symbol: cuNew_v2')\n"
            "sys.meta_path.insert(0, Finder)",
            "PyCUDA cannot be loaded: undefined symbol: cuNew_v2; an undefined symbol means that it was built for a lat",
        ),
    ],
)
def test_a_missing_or_misbuilt_pycuda_is_a_sentence(stand_in: StandInDriver | None, stop: str, sentence: str) -> None:
    program = f"import sys\n{stop}\nfrom operators.nvidia.cuda import CudaDevice\nCudaDevice()"
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", program], cwd=ROOT, capture_output=True, text=True)
    assert f"engine.errors.BackendUnavailable: {sentence}" in done.stderr
