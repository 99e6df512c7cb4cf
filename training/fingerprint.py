"""Pictures that are the same, or nearly: hashes of files and of what they show."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import cast

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from engine.errors import SourceError
from engine.picture import Pixels

Looks = NDArray[np.uint64]
"""(2,): 128 bits of what a picture shows."""

NEAR_BITS = 14
"""Pictures that differ in no more bits look alike. Copies that are half as large, darker or compressed to quality 30
differ by 0 to 12 bits, cut by 2 % by 8 to 16; the nearest of 8,000 pairs of COCO photographs by 32."""

_PLAIN_BITS = 16
"""With fewer gradients than this a picture is a plain surface: its bits are noise, and say nothing."""


def file_digest(path: Path) -> str:
    """Give the SHA-256 of a file.

    Raises:
        SourceError: it cannot be read.
    """
    return _file_digest(path, stamp(path))


def looks(path: Path) -> Looks | None:
    """Hash what a picture shows: whether it gets brighter to the right and downwards, on a coarse grid (dHash).

    The picture is decoded at a quarter of its size, which JPEG does five times faster.

    Returns:
        uint64 (2,), 64 bits for each direction; None for a plain surface.

    Raises:
        SourceError: missing or not an image.
    """
    return _looks(path, stamp(path))


def stamp(path: Path) -> tuple[int, int]:
    """Give a file's time of change and size: enough to tell it from one that takes its place.

    Raises:
        SourceError: it is missing.
    """
    try:
        stat = path.stat()
    except OSError as error:
        raise SourceError(f"{path}: cannot be read: {error.strerror}") from None
    return stat.st_mtime_ns, stat.st_size


@functools.lru_cache(maxsize=100_000)
def _file_digest(path: Path, _stamp: tuple[int, int]) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@functools.lru_cache(maxsize=100_000)
def _looks(path: Path, _stamp: tuple[int, int]) -> Looks | None:
    data = np.frombuffer(path.read_bytes() or b"\0", np.uint8)
    decoded = cv2.imdecode(data, cv2.IMREAD_REDUCED_GRAYSCALE_4)
    if decoded is None:
        raise SourceError(f"{path}: not an image that can be read (JPEG, PNG, BMP, WebP and TIFF can)")
    grey = cast(Pixels, decoded)
    across = cv2.resize(grey, (9, 8), interpolation=cv2.INTER_AREA).astype(np.int16)
    down = cv2.resize(grey, (8, 9), interpolation=cv2.INTER_AREA).astype(np.int16)
    bits = np.concatenate([(np.diff(across, axis=1) > 0).ravel(), (np.diff(down, axis=0) > 0).ravel()])
    if not _PLAIN_BITS <= bits.sum() <= bits.size - _PLAIN_BITS:
        return None
    return np.packbits(bits).view(np.uint64)


def is_cut_off(path: Path) -> bool:
    """Tell whether a JPEG or PNG lacks its end, as after a download that broke off; it may decode to half a picture.

    Raises:
        SourceError: it is missing.
    """
    stamp(path)
    data = path.read_bytes()
    if data[:2] == b"\xff\xd8":
        # The Exif thumbnail at the start has an end of its own, and phones append data after the picture's.
        return data.rfind(b"\xff\xd9") < len(data) // 2
    return data[:4] == b"\x89PNG" and b"IEND" not in data[-64:]


def near_pairs(prints: Sequence[Looks | None], near_bits: int = NEAR_BITS) -> NDArray[np.intp]:
    """Find pictures that look alike: every pair is compared, 100,000 pictures in half a minute.

    Args:
        prints: from `looks`; plain surfaces look like nothing.

    Returns:
        intp (K, 2), the lower position first, in order.
    """
    kept = np.array([i for i, bits in enumerate(prints) if bits is not None], np.intp)
    table = np.array([bits for bits in prints if bits is not None], np.uint64).reshape(-1, 2)
    pairs = []
    for row in range(len(table) - 1):
        apart = np.bitwise_count(table[row + 1 :] ^ table[row]).sum(axis=1, dtype=np.uint8)
        alike = np.flatnonzero(apart <= near_bits) + row + 1
        pairs.append(np.stack([np.full(len(alike), row, np.intp), alike], axis=1))
    return kept[np.concatenate(pairs)] if pairs else np.zeros((0, 2), np.intp)


def groups(num: int, pairs: NDArray[np.intp]) -> NDArray[np.intp]:
    """Put together what pairs link.

    Args:
        num: how many there are.
        pairs: intp (K, 2), positions below `num`. K may be 0.

    Returns:
        intp (num,), the number of each one's group.
    """
    links = coo_matrix((np.ones(len(pairs), np.int8), (pairs[:, 0], pairs[:, 1])), shape=(num, num))
    return connected_components(links, directed=False)[1].astype(np.intp)
