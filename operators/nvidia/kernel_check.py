"""`python -m operators.nvidia.kernel_check`: our CUDA kernels on this GPU against the processor, on random pictures.

Exit codes: 0 all bits are the same, 1 they differ, 3 it cannot be tried here. `vedette doctor --gpu` runs it.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.errors import VedetteError
from engine.input_spec import InputSpec
from engine.picture import Picture, Pixels
from operators.nvidia.cuda import CudaDevice
from operators.nvidia.image_input import ImageInput

_SPEC = InputSpec(size_wh=(416, 320), mean=(103.53, 116.28, 123.675), std=(57.375, 57.12, 58.395))
_DTYPES = ("float32", "float16")
# A camera's, one that is enlarged, and odd ones.
_SIZES_WH = ((1920, 1080), (320, 240), (641, 479))


def main() -> int:
    """Run both kernels in both precisions; give the exit code."""
    try:
        device = CudaDevice()
        try:
            with device.activate():
                wrong = [name for dtype in _DTYPES for name in _check(device, np.dtype(dtype))]
        finally:
            device.close()
    except VedetteError as error:
        print(f"vedette: {error}", file=sys.stderr)
        return error.exit_code
    if wrong:
        print(f"vedette: {device}: other numbers than the processor's: {', '.join(wrong)}", file=sys.stderr)
        return 1
    print(f"{device}: normalise and letterbox, {' and '.join(_DTYPES)}: the processor's numbers, bit by bit")
    return 0


def _check(device: CudaDevice, dtype: np.dtype[Any]) -> list[str]:
    """Name the kernels that give other numbers."""
    pictures = _pictures()
    letterboxed = np.stack([picture.letterbox(_SPEC.letterbox) for picture in pictures])
    expected = _normalised(letterboxed, dtype)
    stream = device.stream()
    target = device.device_array(expected.nbytes)
    images = ImageInput(device, stream, _SPEC, dtype, len(pictures))
    kernels: dict[str, Callable[[], None]] = {
        "normalise": lambda: images.put(letterboxed, target),
        "letterbox": lambda: images.put_pictures(pictures, target),
    }
    wrong = []
    for name, put in kernels.items():
        # What the other kernel has left there must not pass for the result.
        found = np.zeros_like(expected)
        device.upload(target, found, stream)
        put()
        device.download(found, target, stream)
        stream.synchronize()
        if not np.array_equal(found, expected):
            wrong.append(f"{name} in {dtype}")
    images.close()
    return wrong


def _pictures() -> list[Picture]:
    """Give pictures of noise, as decoders give them: planes, and packed pixels."""
    rng = np.random.default_rng(1)
    found = []
    for width, height in _SIZES_WH:
        half = ((height + 1) // 2, (width + 1) // 2)
        planes = tuple(rng.integers(0, 256, shape, np.uint8) for shape in ((height, width), half, half))
        found += [Picture(planes, "yuv420p", full_range) for full_range in (False, True)]
        found.append(Picture.from_bgr(rng.integers(0, 256, (height, width, 3), np.uint8)))
    return found


def _normalised(pictures: Pixels, dtype: np.dtype[Any]) -> NDArray[Any]:
    scale, offset = (column[:, None, None] for column in _SPEC.scale_and_offset())
    scaled = (pictures * scale).astype(dtype).astype(np.float32)
    return (scaled + offset).astype(dtype)


if __name__ == "__main__":
    sys.exit(main())
