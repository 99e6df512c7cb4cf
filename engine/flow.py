"""Dense optical flow as data: files, scale, and what it says about boxes.

A flow is float32 (h, w, 2), dx then dy, in its own pixels, from one picture to the next.
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.errors import SourceError

Flow = NDArray[np.float32]

_MAGIC = b"PIEH"
_UNKNOWN = 1e9
"""Middlebury marks pixels without known flow with values beyond this."""

# Share of a box, in the middle of it, that is looked at; the rest is mostly background.
_INNER = 0.6
_GRID = (np.arange(8) + 0.5) / 8 - 0.5

# Standard error of a box's flow in pixels of the flow picture, and what disagreement inside the box adds to its
# variance: chosen on vtest for detections in every 2nd to 8th frame (MOTA 64.6 instead of 61.8 without the second).
_ERROR = 0.11
_DISAGREEMENT = 3.0


def read_flo(path: Path) -> Flow:
    """Read a Middlebury .flo file; unknown pixels are NaN.

    Raises:
        SourceError: the file is missing, is of another kind, or is cut short.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise SourceError(f"{path}: cannot be read as optical flow: {error.strerror}") from None
    if len(data) < 12 or data[:4] != _MAGIC:
        raise SourceError(f"{path}: is not a Middlebury .flo file (it must start with {_MAGIC.decode()})")
    width, height = struct.unpack("<ii", data[4:12])
    if width < 1 or height < 1 or len(data) - 12 < width * height * 8:
        raise SourceError(
            f"{path}: its header says {width}x{height}, which takes {width * height * 8} bytes of flow; "
            f"it holds {len(data) - 12}"
        )
    flow = np.frombuffer(data, "<f4", width * height * 2, offset=12).reshape(height, width, 2).astype(np.float32)
    flow[(np.abs(flow) > _UNKNOWN).any(axis=2)] = np.nan
    return flow


def write_flo(path: Path, flow: Flow) -> None:
    """Write a Middlebury .flo file; NaN becomes its mark for unknown.

    Raises:
        SourceError: the file cannot be written.
    """
    height, width = flow.shape[:2]
    known = np.where(np.isnan(flow), np.float32(1.5 * _UNKNOWN), flow).astype("<f4")
    try:
        path.write_bytes(_MAGIC + struct.pack("<ii", width, height) + known.tobytes())
    except OSError as error:
        raise SourceError(f"{path}: cannot be written: {error.strerror}") from None


def resize_flow(flow: Flow, size_wh: tuple[int, int]) -> Flow:
    """Bring a flow to another size, its vectors in pixels of that size; bilinear between pixel centres."""
    height, width = flow.shape[:2]
    if (width, height) == size_wh:
        return flow
    scale = np.array([size_wh[0] / width, size_wh[1] / height], np.float32)
    left, right, share_x = _between(size_wh[0], width)
    upper, lower, share_y = _between(size_wh[1], height)
    rows = flow[upper] * (1 - share_y)[:, None, None] + flow[lower] * share_y[:, None, None]
    resized = (rows[:, left] * (1 - share_x)[:, None] + rows[:, right] * share_x[:, None]) * scale
    return resized.astype(np.float32)


def _between(count: int, of: int) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.float32]]:
    """Say between which two of `of` pixels each of `count` pixels lies, and how far on."""
    at = np.clip((np.arange(count) + 0.5) * of / count - 0.5, 0, of - 1)
    low = np.floor(at).astype(np.intp)
    return low, np.minimum(low + 1, of - 1), (at - low).astype(np.float32)


def end_point_error(flow: Flow, truth: Flow) -> float:
    """Give the mean distance between vectors in pixels, over the pixels that the truth knows.

    Raises:
        ValueError: the sizes differ, or the truth knows no pixel.
    """
    if flow.shape != truth.shape:
        raise ValueError(
            f"is {flow.shape[1]}x{flow.shape[0]} where the truth is {truth.shape[1]}x{truth.shape[0]}; sizes must agree"
        )
    known = np.isfinite(truth).all(axis=2)
    if not known.any():
        raise ValueError("cannot be judged: the truth knows the flow of no pixel")
    difference = flow[known].astype(np.float64) - truth[known]
    return float(np.hypot(difference[:, 0], difference[:, 1]).mean())


def box_flow(
    flow: Flow, xyxy: NDArray[np.floating[Any]], frame_wh: tuple[int, int]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Give the median flow inside each box, and how far it can be trusted.

    Args:
        flow: (h, w, 2), at any size.
        xyxy: (N, 4), pixels of the source frame, where the boxes were in the earlier picture. N may be 0.
        frame_wh: size of the source frame.

    Returns:
        moved: float64 (N, 2), pixels of the source frame: how far each box moved. NaN for a box whose middle part
            lies outside of the picture.
        variance: float64 (N, 2), its variance. Large where the samples disagree: somebody else is in the box.
    """
    height, width = flow.shape[:2]
    scale = np.array([frame_wh[0] / width, frame_wh[1] / height])
    boxes = xyxy.astype(np.float64)
    centre = (boxes[:, :2] + boxes[:, 2:]) / 2 / scale
    extent = (boxes[:, 2:] - boxes[:, :2]) * _INNER / scale
    columns = np.floor(centre[:, 0, None] + extent[:, 0, None] * _GRID)[:, None, :]
    rows = np.floor(centre[:, 1, None] + extent[:, 1, None] * _GRID)[:, :, None]
    inside = (columns >= 0) & (columns < width) & (rows >= 0) & (rows < height)
    samples = flow[np.clip(rows, 0, height - 1).astype(np.intp), np.clip(columns, 0, width - 1).astype(np.intp)]
    samples, inside = samples.reshape(len(boxes), _GRID.size**2, 2), inside.reshape(len(boxes), _GRID.size**2)
    moved = _median(samples, inside)
    spread = _median(np.abs(samples - moved[:, None]), inside)
    return moved * scale, ((_ERROR**2) + _DISAGREEMENT * spread**2) * scale**2


def _median(samples: NDArray[Any], known: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Give the medians over axis 1 of (N, K, 2) of the samples that are known, NaN where none is."""
    if known.all():
        return np.asarray(np.median(samples, axis=1), np.float64)
    out = np.full((len(samples), 2), np.nan)
    for row in np.flatnonzero(known.any(axis=1)):
        out[row] = np.median(samples[row, known[row]], axis=0)
    return out
