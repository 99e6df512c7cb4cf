"""Pictures: the decoder's own planes, converted only to what a reader asks for, at the size it asks for.

The one place that knows OpenCV's colour conversion and resizing, and so the one letterbox that training and live
code share. Nothing here knows a decoder: sources hand over plain arrays.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

import cv2
import numpy as np
from numpy.typing import NDArray

from engine.errors import SourceError

Pixels = NDArray[np.uint8]
PixelFormat = Literal["yuv420p", "bgr24", "gray"]
Fit = Literal["letterbox", "letterbox_center", "stretch"]
ColorOrder = Literal["bgr", "rgb"]

# OpenCV uses every core for a 0.2 ms resize unless told otherwise; the host divides cores among cameras instead.
cv2.setNumThreads(1)


@dataclass(frozen=True)
class Letterbox:
    """How a picture becomes a model's input.

    Attributes:
        size_wh: the model's input size.
        fit: `letterbox` keeps the ratio and puts the picture top left, `letterbox_center` in the middle, `stretch`
            fills the input.
        color: order of the three channels.
        pad: grey level of the border.
    """

    size_wh: tuple[int, int]
    fit: Fit = "letterbox"
    color: ColorOrder = "bgr"
    pad: int = 114

    def geometry(self, source_wh: tuple[int, int]) -> LetterboxGeometry:
        """Say where a picture of `source_wh` comes to lie in the model's input."""
        width, height = self.size_wh
        if self.fit == "stretch":
            inner = (width, height)
        else:
            ratio = min(width / source_wh[0], height / source_wh[1])
            inner = _even(source_wh[0] * ratio, width), _even(source_wh[1] * ratio, height)
        left, top = ((width - inner[0]) // 2, (height - inner[1]) // 2) if self.fit == "letterbox_center" else (0, 0)
        return LetterboxGeometry(source_wh=source_wh, inner_wh=inner, offset_xy=(left, top))


def _even(length: float, at_most: int) -> int:
    # Chroma planes have half the size: an even inner picture keeps luma and chroma aligned. The geometry holds the
    # exact scale of each axis, so boxes do not suffer from the rounding.
    return min(max(2, 2 * round(length / 2)), at_most)


@dataclass(frozen=True)
class LetterboxGeometry:
    """Where the source picture lies in a model's input; undoes it for boxes."""

    source_wh: tuple[int, int]
    inner_wh: tuple[int, int]
    offset_xy: tuple[int, int]

    def to_source(self, xyxy_letterbox: NDArray[np.floating[Any]]) -> NDArray[np.float32]:
        """Move boxes from the model's input back to the source frame, clipped to it.

        Args:
            xyxy_letterbox: (N, 4), pixels of the model's input. N may be 0.

        Returns:
            float32 (N, 4), pixels of the source frame, in the order given.
        """
        scale_x, scale_y = self.source_wh[0] / self.inner_wh[0], self.source_wh[1] / self.inner_wh[1]
        scale = np.array([scale_x, scale_y, scale_x, scale_y], np.float32)
        offset = np.array(self.offset_xy * 2, np.float32)
        limit = np.array(self.source_wh * 2, np.float32)
        xyxy: NDArray[np.float32] = (xyxy_letterbox.astype(np.float32) - offset) * scale
        return np.clip(xyxy, np.float32(0), limit, out=xyxy)


class Picture:
    """One decoded picture, held as the decoder left it.

    Args:
        planes: uint8 arrays: `(Y, U, V)` for `yuv420p` (chroma rounded up), one `(h, w, 3)` array for `bgr24`, one
            `(h, w)` array for `gray`. They are read, never written.
        pixel_format: what the planes hold.
        full_range: True when luma uses 0..255 (JPEG range) instead of 16..235. Ignored for `bgr24` and `gray`.

    Colour is converted with the BT.601 matrix whatever the stream says, as detectors' training loaders do.
    """

    __slots__ = ("__dict__", "full_range", "pixel_format", "planes", "size_wh")

    def __init__(self, planes: tuple[Pixels, ...], pixel_format: PixelFormat, full_range: bool = False) -> None:
        height, width = planes[0].shape[:2]
        if pixel_format == "yuv420p" and planes[1].shape != ((height + 1) // 2, (width + 1) // 2):
            raise ValueError(
                f"yuv420p chroma of a {width}x{height} picture must be {(width + 1) // 2}x{(height + 1) // 2}, "
                f"got {planes[1].shape[1]}x{planes[1].shape[0]}"
            )
        self.planes = planes
        self.pixel_format = pixel_format
        self.full_range = full_range
        self.size_wh = (width, height)

    @classmethod
    def from_bgr(cls, bgr: Pixels) -> Picture:
        """Wrap a `(h, w, 3)` BGR array."""
        return cls((bgr,), "bgr24")

    @classmethod
    def read(cls, path: Path) -> Picture:
        """Read an image file.

        Raises:
            SourceError: the file is missing or is no image.
        """
        if not path.is_file():
            raise SourceError(f"{path}: no such image file")
        pixels = cv2.imdecode(np.frombuffer(path.read_bytes() or b"\0", np.uint8), cv2.IMREAD_COLOR)
        if pixels is None:
            raise SourceError(f"{path}: not an image that can be read (JPEG, PNG, BMP, WebP and TIFF can)")
        return cls.from_bgr(cast(Pixels, pixels))

    def __reduce__(self) -> tuple[type[Picture], tuple[tuple[Pixels, ...], PixelFormat, bool]]:
        # Planes may be views into the decoder's padded buffers: what travels is compact and carries no cache.
        return Picture, (tuple(np.ascontiguousarray(p) for p in self.planes), self.pixel_format, self.full_range)

    @property
    def nbytes(self) -> int:
        """Bytes of pixels held, caches not counted."""
        return sum(plane.nbytes for plane in self.planes)

    def bgr(self, size_wh: tuple[int, int] | None = None) -> Pixels:
        """Give `(h, w, 3)` BGR pixels at a size; do not write into them, they are shared and cached."""
        return self._bgr(size_wh or self.size_wh)

    def rgb(self, size_wh: tuple[int, int] | None = None) -> Pixels:
        """Give `(h, w, 3)` RGB pixels at a size, a view of the BGR ones."""
        return self.bgr(size_wh)[..., ::-1]

    def gray(self, size_wh: tuple[int, int] | None = None) -> Pixels:
        """Give `(h, w)` grey levels at a size; the luma plane itself where that is what the decoder left."""
        return self._gray(size_wh or self.size_wh)

    def letterbox(self, spec: Letterbox) -> Pixels:
        """Give the model's input as a fresh `(3, h, w)` uint8 array; `spec.geometry(self.size_wh)` undoes it."""
        geometry = spec.geometry(self.size_wh)
        inner = self.bgr(geometry.inner_wh)
        width, height = spec.size_wh
        left, top = geometry.offset_xy
        out = np.empty((3, height, width), np.uint8)
        if geometry.inner_wh != spec.size_wh:
            out.fill(spec.pad)
        targets = [plane[top : top + inner.shape[0], left : left + inner.shape[1]] for plane in out]
        # OpenCV writes the channels where they belong: a third of the cost of splitting and copying.
        cv2.split(inner, targets if spec.color == "bgr" else targets[::-1])
        return out

    def crop(self, xyxy: Sequence[float]) -> Picture:
        """Give a part as a picture of its own, a view of the planes.

        Args:
            xyxy: in pixels; made larger by a pixel where chroma planes, which have half the size, demand it, and cut
                to the picture. At least a pixel of it must lie in the picture.
        """
        width, height = self.size_wh
        step = 2 if self.pixel_format == "yuv420p" else 1
        left, top = (max(0, math.floor(v / step) * step) for v in xyxy[:2])
        right, bottom = (
            min(math.ceil(v / step) * step, side) for v, side in zip(xyxy[2:], (width, height), strict=True)
        )
        luma = self.planes[0][top:bottom, left:right]
        chroma = (plane[top // 2 : (bottom + 1) // 2, left // 2 : (right + 1) // 2] for plane in self.planes[1:])
        return Picture((luma, *chroma), self.pixel_format, self.full_range)

    def jpeg(self, length: int, quality: int) -> bytes:
        """Encode the picture as a JPEG whose longer side is `length` pixels at most; quality goes from 1 to 100."""
        ratio = min(1.0, length / max(self.size_wh))
        width, height = (max(1, round(side * ratio)) for side in self.size_wh)
        bgr = self._convert_bgr((width, height))
        return cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes()

    @functools.cached_property
    def _cache(self) -> dict[tuple[str, int, int], Pixels]:
        return {}

    def _bgr(self, size_wh: tuple[int, int]) -> Pixels:
        key = ("bgr", *size_wh)
        if key not in self._cache:
            self._cache[key] = self._convert_bgr(size_wh)
        return self._cache[key]

    def _convert_bgr(self, size_wh: tuple[int, int]) -> Pixels:
        if self.pixel_format == "bgr24":
            return _resize(self.planes[0], size_wh)
        if self.pixel_format == "gray":
            return cast(Pixels, cv2.cvtColor(_resize(self.planes[0], size_wh), cv2.COLOR_GRAY2BGR))
        width, height = size_wh
        even_wh = (width + width % 2, height + height % 2)
        half_wh = (even_wh[0] // 2, even_wh[1] // 2)
        # Three small resizes and one small conversion: half the cost of converting at full size first.
        luma, *chroma = (_resize(p, s) for p, s in zip(self.planes, (even_wh, half_wh, half_wh), strict=True))
        if self.full_range:
            luma, chroma = (
                cast(Pixels, cv2.LUT(luma, _LUMA_TO_TV)),
                [cast(Pixels, cv2.LUT(plane, _CHROMA_TO_TV)) for plane in chroma],
            )
        i420 = np.concatenate([luma.reshape(-1), *(plane.reshape(-1) for plane in chroma)])
        bgr = cv2.cvtColor(i420.reshape(even_wh[1] * 3 // 2, even_wh[0]), cv2.COLOR_YUV2BGR_I420)
        return _resize(cast(Pixels, bgr), size_wh)

    def _gray(self, size_wh: tuple[int, int]) -> Pixels:
        key = ("gray", *size_wh)
        if key not in self._cache:
            if self.pixel_format == "bgr24":
                pixels = cast(Pixels, cv2.cvtColor(self._bgr(size_wh), cv2.COLOR_BGR2GRAY))
            else:
                pixels = _resize(self.planes[0], size_wh)
            self._cache[key] = pixels
        return self._cache[key]


def _resize(pixels: Pixels, size_wh: tuple[int, int]) -> Pixels:
    if (pixels.shape[1], pixels.shape[0]) == size_wh:
        return pixels
    return cast(Pixels, cv2.resize(pixels, size_wh, interpolation=cv2.INTER_LINEAR))


_LEVELS = np.arange(256, dtype=np.float64)
_LUMA_TO_TV = np.round(16 + _LEVELS * 219 / 255).astype(np.uint8)
_CHROMA_TO_TV = np.clip(np.round(128 + (_LEVELS - 128) * 224 / 255), 0, 255).astype(np.uint8)
