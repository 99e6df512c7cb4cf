"""Decoded pictures in memory that all worker processes share."""

from __future__ import annotations

import mmap
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from engine.picture import Picture, Pixels
from training.dataset import Example, Sample

LIMIT_BYTES = 1 << 30


class PictureCache:
    """Decoded pictures, no larger than any input needs.

    Decoding a photograph costs as much as all of its augmentation, and a mosaic reads four. Make it before the workers
    are forked: they inherit its memory.

    Args:
        samples: the data set's.
        largest_wh: no input shows more than a picture fitted into this.
        limit_bytes: pictures that do not fit any more are decoded each time.
    """

    def __init__(self, samples: Sequence[Sample], largest_wh: tuple[int, int], limit_bytes: int = LIMIT_BYTES) -> None:
        self._samples = samples
        self._sizes = [_shrunk(sample.size_wh, largest_wh) for sample in samples]
        # Behind one flag a sample come the pixels; a picture that is repeated in the data set has one place.
        places: dict[Path, tuple[int, int]] = {}
        used = len(samples)
        for flag, (sample, (width, height)) in enumerate(zip(samples, self._sizes, strict=True)):
            if sample.path not in places and used + width * height * 3 <= limit_bytes:
                places[sample.path] = (flag, used)
                used += width * height * 3
        self._places = [places.get(sample.path) for sample in samples]
        # Anonymous memory: unlike shared memory with a name, containers do not limit it to 64 MB.
        self._memory = np.frombuffer(mmap.mmap(-1, max(used, 1)), np.uint8)

    def read(self, index: int) -> Example:
        """Give a picture, shrunk where it is larger than needed; do not write into it.

        Raises:
            SourceError: it cannot be read.
        """
        sample, (width, height) = self._samples[index], self._sizes[index]
        scale = np.array([width / sample.size_wh[0], height / sample.size_wh[1]] * 2, np.float32)
        return Example(self._pixels(index), sample.xyxy * scale, sample.class_id, sample.ignore)

    def _pixels(self, index: int) -> Pixels:
        place, (width, height) = self._places[index], self._sizes[index]
        if place is None:
            return self._decode(index)
        flag, start = place
        kept = self._memory[start : start + width * height * 3].reshape(height, width, 3)
        if not self._memory[flag]:
            # Two workers may do this at once: they write the same bytes, and the flag comes last.
            kept[:] = self._decode(index)
            self._memory[flag] = 1
        return kept

    def _decode(self, index: int) -> Pixels:
        # Shrunk as a live picture is, with its aliasing: the model must know it.
        return Picture.from_bgr(self._samples[index].read().bgr).bgr(self._sizes[index])


def _shrunk(size_wh: tuple[int, int], largest_wh: tuple[int, int]) -> tuple[int, int]:
    ratio = min(largest_wh[0] / size_wh[0], largest_wh[1] / size_wh[1])
    return size_wh if ratio >= 1 else (max(1, round(size_wh[0] * ratio)), max(1, round(size_wh[1] * ratio)))
