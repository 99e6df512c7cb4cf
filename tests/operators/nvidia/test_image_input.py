from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from engine.errors import DeviceMemoryError
from engine.input_spec import InputSpec
from engine.picture import Picture, PixelFormat, Pixels
from operators.nvidia import image_input
from operators.nvidia.cuda import CudaDevice
from operators.nvidia.image_input import ImageInput
from operators.nvidia.picture_upload import taps
from tests.cuda_driver import StandInDriver, cpu_kernels

IMAGENET: dict[str, Any] = {"mean": (123.675, 116.28, 103.53), "std": (58.395, 57.12, 57.375)}
DATA = Path(__file__).resolve().parents[3].parent / "shared" / "data"
DTYPES = [np.float32, np.float16, np.uint8]


@pytest.fixture
def device(cuda_driver: StandInDriver, monkeypatch: pytest.MonkeyPatch) -> Iterator[CudaDevice]:
    monkeypatch.setattr(
        image_input, "_compiled", lambda source, _, bits: cpu_kernels(source, "", {"NUMBER_BITS": bits})
    )
    device = CudaDevice()
    with device.activate():
        yield device
    device.close()
    assert cuda_driver.live() == ""


def filled(
    device: CudaDevice, spec: InputSpec, dtype: type, batch: Pixels | list[Picture], max_batch: int | None = None
) -> NDArray[Any]:
    """Give what lies in the model's input after a batch of letterboxed or of decoded pictures."""
    stream = device.stream()
    images = ImageInput(device, stream, spec, np.dtype(dtype), max_batch or len(batch))
    shape = (len(batch), 3, spec.size_wh[1], spec.size_wh[0])
    out = device.host_array(shape, dtype)
    target = device.device_array(out.nbytes)
    if isinstance(batch, list):
        images.put_pictures(batch, target)
    else:
        images.put(batch, target)
    device.download(out, target, stream)
    stream.synchronize()
    found = out.copy()
    images.close()
    target.free()
    return found


def normalised(spec: InputSpec, dtype: type, tensor: Pixels) -> NDArray[Any]:
    """The plain version, with NumPy's roundings."""
    out: NDArray[Any] = tensor.astype(dtype)
    for channel, (scale, offset) in enumerate(zip(*spec.scale_and_offset(), strict=True)):
        out[:, channel] *= scale
        out[:, channel] += offset
    return out


def noise(*shape: int, seed: int = 0) -> Pixels:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def picture(seed: int, pixel_format: PixelFormat, size_wh: tuple[int, int], full_range: bool = False) -> Picture:
    width, height = size_wh
    half_hw = (height + 1) // 2, (width + 1) // 2
    # The decoder's rows are padded.
    luma = noise(height, width + 3, seed=seed)[:, :width]
    if pixel_format == "gray":
        return Picture((luma,), "gray")
    if pixel_format == "bgr24":
        return Picture((noise(height, width, 3, seed=seed),), "bgr24")
    return Picture((luma, noise(*half_hw, seed=seed + 1), noise(*half_hw, seed=seed + 2)), "yuv420p", full_range)


@pytest.mark.parametrize("spec", [{}, IMAGENET], ids=["plain", "mean and std"])
@pytest.mark.parametrize("dtype", DTYPES[:2])
@pytest.mark.parametrize("size_wh", [(64, 64), (8, 8), (9, 11), (37, 21), (13, 8)])
def test_normalises_as_numpy_does(
    device: CudaDevice, size_wh: tuple[int, int], dtype: type, spec: dict[str, Any]
) -> None:
    input_spec = InputSpec(size_wh=size_wh, **spec)
    tensor = noise(3, 3, size_wh[1], size_wh[0])
    found = filled(device, input_spec, dtype, tensor, max_batch=4)
    assert np.array_equal(found, normalised(input_spec, dtype, tensor))


def test_models_of_grey_levels_get_them_as_they_are(device: CudaDevice) -> None:
    tensor = noise(2, 3, 9, 11)
    assert np.array_equal(filled(device, InputSpec(size_wh=(11, 9)), np.uint8, tensor), tensor)


@pytest.mark.parametrize("fit", ["letterbox", "letterbox_center", "stretch"])
@pytest.mark.parametrize("size_wh", [(64, 48), (97, 41), (48, 97)])
def test_letterboxes_as_the_picture_does_to_the_bit(device: CudaDevice, size_wh: tuple[int, int], fit: Any) -> None:
    spec = InputSpec(size_wh=size_wh, resize=fit, color="rgb", pad=77)
    sizes = [(160, 120), (7, 5), (1, 1), (33, 200), size_wh, (2 * size_wh[0], 2 * size_wh[1]), (101, 77)]
    kinds: list[tuple[PixelFormat, bool]] = [("yuv420p", False), ("yuv420p", True), ("bgr24", False), ("gray", False)]
    pictures = [picture(seed, kind, size, full) for seed, size in enumerate(sizes) for kind, full in kinds]
    found = filled(device, spec, np.uint8, pictures)
    for one, got in zip(pictures, found, strict=True):
        expected = one.letterbox(spec.letterbox)
        assert np.array_equal(got, expected), f"{one.pixel_format} {one.size_wh} full range {one.full_range}"


@pytest.mark.parametrize("seed", range(8))
def test_letterboxes_pictures_of_random_sizes_to_the_bit(device: CudaDevice, seed: int) -> None:
    rng = np.random.default_rng(seed)
    width, height, pad = (int(n) for n in (*rng.integers(8, 150, 2), rng.integers(256)))
    spec = InputSpec(size_wh=(width, height), resize=rng.choice(["letterbox", "letterbox_center", "stretch"]),
                     color=rng.choice(["bgr", "rgb"]), pad=pad)  # fmt: skip
    formats: list[PixelFormat] = ["yuv420p", "bgr24", "gray"]
    pictures = [
        picture(seed, formats[i % 3], (int(rng.integers(1, 400)), int(rng.integers(1, 400))), bool(i % 2))
        for i in range(12)
    ]
    found = filled(device, spec, np.uint8, pictures)
    assert np.array_equal(found, np.stack([one.letterbox(spec.letterbox) for one in pictures]))


@pytest.mark.data
def test_letterboxes_real_pictures_to_the_bit(device: CudaDevice) -> None:
    paths = sorted(DATA.glob("**/*.jpg"))[::40][:8]
    if not paths:
        pytest.skip(f"no pictures in {DATA}")
    spec = InputSpec(size_wh=(224, 160), resize="letterbox_center")
    pictures = [Picture.read(path) for path in paths]
    found = filled(device, spec, np.uint8, pictures)
    assert np.array_equal(found, np.stack([one.letterbox(spec.letterbox) for one in pictures]))


@pytest.mark.parametrize("dtype", DTYPES[:2])
@pytest.mark.parametrize("color", ["bgr", "rgb"])
def test_letterboxes_and_normalises_in_one_pass(device: CudaDevice, color: Any, dtype: type) -> None:
    spec = InputSpec(size_wh=(64, 48), color=color, **IMAGENET)
    pictures = [picture(5, "yuv420p", (123, 61)), picture(6, "bgr24", (30, 90))]
    expected = normalised(spec, dtype, np.stack([one.letterbox(spec.letterbox) for one in pictures]))
    assert np.array_equal(filled(device, spec, dtype, pictures), expected)


def test_larger_pictures_get_more_memory(device: CudaDevice, cuda_driver: StandInDriver) -> None:
    spec = InputSpec(size_wh=(32, 32))
    stream = device.stream()
    images = ImageInput(device, stream, spec, np.dtype(np.uint8), max_batch=2)
    out = device.host_array((2, 3, 32, 32), np.uint8)
    target = device.device_array(out.nbytes)
    for size_wh in ((40, 30), (400, 300), (40, 30)):
        pictures = [picture(1, "yuv420p", size_wh), picture(2, "yuv420p", size_wh)]
        images.put_pictures(pictures, target)
        device.download(out, target, stream)
        stream.synchronize()
        assert np.array_equal(out, np.stack([one.letterbox(spec.letterbox) for one in pictures]))
    images.close()
    images.close()


def test_where_memory_is_short_there_is_as_much_as_this_batch_needs(
    device: CudaDevice, cuda_driver: StandInDriver
) -> None:
    spec = InputSpec(size_wh=(32, 32))
    images = ImageInput(device, device.stream(), spec, np.dtype(np.uint8), max_batch=8)
    target = device.device_array(8 * 3 * 32 * 32)
    cuda_driver.show(nbytes=2**20)
    images.put_pictures([picture(1, "yuv420p", (500, 400))], target)
    with pytest.raises(DeviceMemoryError, match=r"GPU 0 \(Stand-in 0\): 2 MiB wanted"):
        images.put_pictures([picture(1, "yuv420p", (500, 400))] * 4, target)
    images.put_pictures([picture(1, "yuv420p", (500, 400))], target)
    images.close()


def test_too_little_memory_leaves_nothing_behind(device: CudaDevice, cuda_driver: StandInDriver) -> None:
    stream = device.stream()
    before = cuda_driver.live()
    cuda_driver.fail("cuMemHostAlloc", 2)
    with pytest.raises(DeviceMemoryError, match=r"the host cannot page-lock"):
        ImageInput(device, stream, InputSpec(size_wh=(32, 32)), np.dtype(np.float32), 4)
    assert cuda_driver.live() == before


@pytest.mark.parametrize("is_rows", [False, True])
def test_every_length_is_resized_as_opencv_does(is_rows: bool) -> None:
    rng = np.random.default_rng(4)
    for source, target in [
        (1, 9),
        (3, 2),
        (1080, 351),
        (719, 1280),
        (640, 640),
        (4000, 417),
        *rng.integers(1, 900, (30, 2)),
    ]:
        line = rng.integers(0, 256, int(source), dtype=np.uint8)
        found = taps(int(source), int(target), is_rows)
        first = np.clip(found["first"], 0, source - 1)
        following = np.clip(found["first"] + 1, 0, source - 1)
        if is_rows:
            blended = (found["weight"] * (line[first].astype(np.int64) * 2048 >> 4) >> 16) + (
                found["next_weight"] * (line[following].astype(np.int64) * 2048 >> 4) >> 16
            )
            expected = cv2.resize(line[:, None], (1, int(target)), interpolation=cv2.INTER_LINEAR)[:, 0]
        else:
            across = found["weight"].astype(np.int64) * line[first] + found["next_weight"] * line[following].astype(
                np.int64
            )
            blended = 2048 * (across >> 4) >> 16
            expected = cv2.resize(line[None], (int(target), 1), interpolation=cv2.INTER_LINEAR)[0]
        assert np.array_equal((blended + 2) >> 2, expected), (source, target)
