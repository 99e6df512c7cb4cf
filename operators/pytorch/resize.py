"""Resize, in every way ONNX places the new pixels between the old ones.

PyTorch's own kernels are used where they mean the same. Elsewhere an axis is resized by an index or a matrix of
weights, which is exact for any rule and only slower.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 (its name everywhere)

from operators.pytorch.onnx_graph import Function, Node
from operators.pytorch.operator import Operator

_PLACES = ("half_pixel", "pytorch_half_pixel", "align_corners", "asymmetric", "half_pixel_symmetric")
_ROUNDINGS = ("round_prefer_floor", "round_prefer_ceil", "floor", "ceil")

Targets = dict[int, tuple[int, float]]
"""New length and scale, by axis."""


def _resize(node: Node) -> Function:
    node.only("coordinate_transformation_mode", *_PLACES)
    node.only("mode", "nearest", "linear")
    node.only("nearest_mode", *_ROUNDINGS)
    node.only("antialias", 0)
    node.only("keep_aspect_ratio_policy", "stretch")
    for other in ("cubic_coeff_a", "extrapolation_value", "exclude_outside"):
        node.value(other)  # of other modes
    places = node.text("coordinate_transformation_mode", "half_pixel")
    mode, rounding = node.text("mode", "nearest"), node.text("nearest_mode", "round_prefer_floor")
    axes = node.integers("axes")
    # Found once for each shape: under a CUDA graph nothing may be copied to the device any more.
    ready: dict[tuple[object, ...], Callable[[Tensor], Tensor]] = {}

    def run(x: Tensor, roi: object, scales: list[float] | None = None, sizes: list[int] | None = None) -> Tensor:
        del roi  # of a mode that is refused
        key = (x.shape, x.dtype, x.device)
        if key not in ready:
            targets = _targets(x, axes or list(range(x.dim())), scales, sizes)
            ready[key] = _nearest(x, targets, places, rounding) if mode == "nearest" else _linear(x, targets, places)
        return ready[key](x)

    return run


def _targets(x: Tensor, axes: list[int], scales: list[float] | None, sizes: list[int] | None) -> Targets:
    if sizes:
        found = {axis % x.dim(): (n, n / x.shape[axis]) for axis, n in zip(axes, sizes, strict=True)}
    else:
        pairs = zip(axes, scales or [], strict=True)
        found = {axis % x.dim(): (math.floor(x.shape[axis] * scale), scale) for axis, scale in pairs}
    return {axis: target for axis, target in found.items() if target != (x.shape[axis], 1.0)}


def _picture_size(x: Tensor, targets: Targets) -> list[int] | None:
    """Give the new height and width where PyTorch's picture kernels may do."""
    if x.dim() != 4 or not set(targets) <= {2, 3}:
        return None
    return [targets[axis][0] if axis in targets else x.shape[axis] for axis in (2, 3)]


def _nearest(x: Tensor, targets: Targets, places: str, rounding: str) -> Callable[[Tensor], Tensor]:
    rows = {axis: nearest_rows(x.shape[axis], *target, places, rounding) for axis, target in targets.items()}
    size = _picture_size(x, targets)
    # What PyTorch's own does: floor(i * old / new).
    if size and all(np.array_equal(row, np.arange(len(row)) * x.shape[a] // len(row)) for a, row in rows.items()):
        return lambda x: F.interpolate(x, size=size, mode="nearest")
    indices = {axis: torch.from_numpy(row).to(x.device) for axis, row in rows.items()}
    return lambda x: functools.reduce(lambda y, axis: y.index_select(axis, indices[axis]), indices, x)


def _linear(x: Tensor, targets: Targets, places: str) -> Callable[[Tensor], Tensor]:
    size = _picture_size(x, targets)
    even = all(x.shape[axis] * scale == length for axis, (length, scale) in targets.items())
    if size and even and places in ("half_pixel", "align_corners"):
        return lambda x: F.interpolate(x, size=size, mode="bilinear", align_corners=places == "align_corners")
    matrices = {
        axis: torch.from_numpy(linear_weights(x.shape[axis], *target, places)).to(x.device, x.dtype)
        for axis, target in targets.items()
    }
    return lambda x: functools.reduce(lambda y, a: (y.movedim(a, -1) @ matrices[a]).movedim(-1, a), matrices, x)


def _sources(old: int, new: int, scale: float, places: str) -> NDArray[np.float64]:
    """Say where each new pixel lies among the old ones."""
    at = np.arange(new, dtype=np.float64)
    if places == "align_corners":
        return at * ((old - 1) / (new - 1)) if new > 1 else at
    if places == "asymmetric":
        return at / scale
    if places == "pytorch_half_pixel" and new == 1:
        return at
    if places == "half_pixel_symmetric":
        # The centre stays the centre where the new length was rounded.
        return old / 2 * (1 - new / (old * scale)) + (at + 0.5) / scale - 0.5
    return (at + 0.5) / scale - 0.5


def nearest_rows(old: int, new: int, scale: float, places: str, rounding: str) -> NDArray[np.int64]:
    """Say which old pixel each new one is."""
    at = _sources(old, new, scale, places)
    ways = {
        "round_prefer_floor": lambda: np.ceil(at - 0.5),
        "round_prefer_ceil": lambda: np.floor(at + 0.5),
        "floor": lambda: np.floor(at),
        "ceil": lambda: np.ceil(at),
    }
    return np.clip(ways[rounding](), 0, old - 1).astype(np.int64)


def linear_weights(old: int, new: int, scale: float, places: str) -> NDArray[np.float64]:
    """Give the weights (old, new) that the old pixels have in the new ones."""
    at = np.clip(_sources(old, new, scale, places), 0, old - 1)
    left = np.floor(at).astype(np.int64)
    weights, columns = np.zeros((old, new)), np.arange(new)
    np.add.at(weights, (left, columns), 1 - (at - left))
    np.add.at(weights, (np.minimum(left + 1, old - 1), columns), at - left)
    return weights


OPERATORS = {"Resize": Operator(_resize, known=(1, 2, 3))}
