"""Fills a model's input on the GPU: from letterboxed pictures, or from decoded ones that it letterboxes there."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from engine.errors import DeviceMemoryError
from engine.input_spec import InputSpec
from engine.picture import Picture, Pixels
from operators.nvidia.cuda import CudaDevice, CudaStream, DeviceBuffer, Kernel
from operators.nvidia.kernels import LETTERBOX, NORMALISE, compile_kernel
from operators.nvidia.picture_upload import PictureUpload

_THREADS = 256
_TILE_WH = (32, 8)


class ImageInput:
    """Page-locked memory, its counterpart on the GPU, and the kernels. Use it, and close it, with the device active.

    Args:
        device: where.
        stream: which everything is queued in; it must be synchronised before the next batch.
        spec: how a picture becomes the model's input.
        dtype: what the model reads: float32, float16, or uint8, which is not normalised.
        max_batch: pictures at once, at most.

    Raises:
        DeviceMemoryError: there is not as much memory; nothing is kept.
        BackendUnavailable: the kernels cannot be compiled or run here.
    """

    def __init__(
        self, device: CudaDevice, stream: CudaStream, spec: InputSpec, dtype: np.dtype[Any], max_batch: int
    ) -> None:
        self._device = device
        self._stream = stream
        self._spec = spec
        self._dtype = dtype
        self._max_batch = max_batch
        self._kernels: dict[Path, Kernel] = {}
        scale, offset = spec.scale_and_offset()
        self._normalisation = [*scale, *offset]
        width, height = spec.size_wh
        self._letterboxed = _Staging(device, max_batch * 3 * height * width)
        self._decoded: _Staging | None = None
        if dtype != np.uint8:
            self._kernel(NORMALISE)

    def put(self, tensor: Pixels, target: DeviceBuffer) -> None:
        """Queue letterboxed pictures.

        Args:
            tensor: uint8 (n, 3, h, w), n at most `max_batch`. It may change as soon as this returns.
            target: the model's input.
        """
        pinned = self._letterboxed.host[: tensor.nbytes].reshape(tensor.shape)
        np.copyto(pinned, tensor)
        if self._dtype == np.uint8:
            self._device.upload(target, pinned, self._stream)
            return
        self._device.upload(self._letterboxed.buffer, pinned, self._stream)
        blocks = -(-tensor.size * self._dtype.itemsize // (16 * _THREADS))
        plane = tensor.shape[2] * tensor.shape[3]
        self._kernel(NORMALISE).launch(
            (blocks, 1, 1),
            (_THREADS, 1, 1),
            [self._letterboxed.buffer, target, np.uint64(tensor.size), np.uint64(plane), *self._normalisation],
            self._stream,
        )

    def put_pictures(self, pictures: Sequence[Picture], target: DeviceBuffer) -> None:
        """Queue decoded pictures of any sizes; they become what `put` makes of `Picture.letterbox`, to the bit.

        Raises:
            DeviceMemoryError: there is too little memory for pictures of this size.
            BackendUnavailable: the kernel cannot be compiled or run here.
        """
        upload = PictureUpload(pictures, self._spec.letterbox)
        staging = self._room_for(upload.nbytes, len(pictures))
        upload.write(staging.host)
        self._device.upload(staging.buffer, staging.host[: upload.nbytes], self._stream)
        (width, height), (tile_width, tile_height) = self._spec.size_wh, _TILE_WH
        self._kernel(LETTERBOX).launch(
            (-(-width // tile_width), -(-height // tile_height), len(pictures)),
            (tile_width, tile_height, 1),
            [
                staging.buffer,
                target,
                width,
                height,
                self._spec.pad,
                int(self._spec.color == "rgb"),
                *self._normalisation,
            ],
            self._stream,
        )

    def close(self) -> None:
        """Free the memory. May be repeated."""
        self._letterboxed.close()
        if self._decoded is not None:
            self._decoded.close()

    def _room_for(self, nbytes: int, count: int) -> _Staging:
        if self._decoded is None or len(self._decoded.host) < nbytes:
            if self._decoded is not None:
                self._decoded.close()
                self._decoded = None
            try:
                # Pictures of a size mostly come again, and then as many as there may be.
                self._decoded = _Staging(self._device, -(-nbytes // count) * self._max_batch)
            except DeviceMemoryError:
                self._decoded = _Staging(self._device, nbytes)
        return self._decoded

    def _kernel(self, source: Path) -> Kernel:
        if source not in self._kernels:
            image = _compiled(source, self._device.capability, 8 * self._dtype.itemsize)
            self._kernels[source] = self._device.load_kernel(image, source.stem)
        return self._kernels[source]


class _Staging:
    """The same number of bytes on both sides."""

    def __init__(self, device: CudaDevice, nbytes: int) -> None:
        self._device = device
        self.buffer = device.device_array(nbytes)
        try:
            self.host: Pixels = device.host_array(nbytes, np.uint8)
        except BaseException:
            self.buffer.free()
            raise

    def close(self) -> None:
        self.buffer.free()
        self._device.free_host_array(self.host)


@functools.cache
def _compiled(source: Path, capability: str, bits: int) -> bytes:
    return compile_kernel(source, capability, {"NUMBER_BITS": bits})
