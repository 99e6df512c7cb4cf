"""Operators that move numbers without changing them, and those that compute shapes."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 (its name everywhere)

from operators.pytorch.onnx_graph import Function, Node, to_tensor
from operators.pytorch.operator import Operator


def _constant_of_shape(node: Node) -> Function:
    proto = node.value("value")
    value = torch.zeros(1) if proto is None else to_tensor(proto)
    return lambda sizes: value.expand(sizes).clone()


def _shape(node: Node) -> Function:
    start, end = node.integer("start"), node.value("end")
    return lambda x: torch.tensor(list(x.shape)[start:end], dtype=torch.int64)


def _size(_node: Node) -> Function:
    return lambda x: torch.tensor(math.prod(x.shape), dtype=torch.int64)


def _arange(_node: Node) -> Function:
    def run(start: float, limit: float, delta: float) -> Tensor:
        return torch.arange(start, limit, delta, dtype=torch.int64 if isinstance(start, int) else torch.float32)

    return run


def _reshape(node: Node) -> Function:
    zero_is_zero = bool(node.integer("allowzero"))

    def run(x: Tensor, sizes: list[int]) -> Tensor:
        if not zero_is_zero:
            sizes = [x.shape[i] if n == 0 else n for i, n in enumerate(sizes)]
        return x.reshape(sizes)

    return run


def _flatten(node: Node) -> Function:
    axis = node.integer("axis", 1)
    return lambda x: x.reshape(math.prod(x.shape[:axis]), math.prod(x.shape[axis:]))


def _transpose(node: Node) -> Function:
    order = node.integers("perm")
    return lambda x: x.permute(order or list(reversed(range(x.dim()))))


def _squeeze(node: Node) -> Function:
    given = node.integers("axes")

    def run(x: Tensor, axes: list[int] | None = None) -> Tensor:
        chosen = axes if axes is not None else given
        return x.squeeze() if chosen is None else x.squeeze(tuple(chosen))

    return run


def _unsqueeze(node: Node) -> Function:
    given = node.integers("axes")

    def run(x: Tensor, axes: list[int] | int | None = None) -> Tensor:
        chosen = [axes] if isinstance(axes, int) else axes or given or []
        rank = x.dim() + len(chosen)
        for axis in sorted(axis % rank for axis in chosen):
            x = x.unsqueeze(axis)
        return x

    return run


def _expand(_node: Node) -> Function:
    return lambda x, sizes: x.expand(torch.broadcast_shapes(x.shape, tuple(sizes)))  # type: ignore[no-untyped-call]


def _tile(_node: Node) -> Function:
    return lambda x, repeats: x.repeat(repeats)


def _concat(node: Node) -> Function:
    axis = node.integer("axis")
    return lambda *parts: torch.cat(parts, axis)


def _split(node: Node) -> Function:
    axis, given, count = node.integer("axis"), node.integers("split"), len(node.outputs)
    node.integer("num_outputs")

    def run(x: Tensor, sizes: list[int] | None = None) -> Sequence[Tensor]:
        # The last part is smaller where the parts do not come out even.
        chosen: Any = sizes or given or math.ceil(x.shape[axis] / count)
        return torch.split(x, chosen, axis)

    return run


def _slice(_node: Node) -> Function:
    def run(
        x: Tensor, starts: list[int], ends: list[int], axes: list[int] | None = None, steps: list[int] | None = None
    ) -> Tensor:
        chosen: list[slice] = [slice(None)] * x.dim()
        backwards = []
        rows = zip(starts, ends, axes or range(len(starts)), steps or [1] * len(starts), strict=True)
        for start, end, axis, step in rows:
            length = x.shape[axis]
            start, end = (start + length if start < 0 else start), (end + length if end < 0 else end)
            if step > 0:
                chosen[axis] = slice(min(max(start, 0), length), min(max(end, 0), length), step)
                continue
            # PyTorch knows no negative steps: take the same elements forwards, then turn them round.
            start, end = min(max(start, -1), length - 1), min(max(end, -1), length - 1)
            count = max(math.ceil((start - end) / -step), 0)
            first = start + (count - 1) * step
            chosen[axis] = slice(first, start + 1, -step) if count else slice(0, 0)
            backwards.append(axis)
        part = x[tuple(chosen)]
        return part.flip(backwards) if backwards else part

    return run


def _pad(node: Node) -> Function:
    modes = {"constant": "constant", "reflect": "reflect", "edge": "replicate"}
    node.only("mode", *modes)
    mode, given, number = modes[node.text("mode", "constant")], node.integers("pads"), node.number("value", 0.0)

    def run(x: Tensor, pads: list[int] | None = None, value: Any = None, axes: list[int] | None = None) -> Tensor:
        amounts = pads or given or []
        chosen = axes or list(range(x.dim()))
        both = {axis % x.dim(): (amounts[i], amounts[len(chosen) + i]) for i, axis in enumerate(chosen)}
        if mode == "constant":
            value = number if value is None else value[0] if isinstance(value, list) else value
            return F.pad(x, [n for axis in reversed(range(x.dim())) for n in both.get(axis, (0, 0))], value=value)
        for axis, (before, after) in both.items():
            if before or after:
                # Axis by axis, since PyTorch pads only the last ones this way.
                moved = F.pad(x.movedim(axis, -1).reshape(1, -1, x.shape[axis]), (before, after), mode=mode)
                rest = [n for i, n in enumerate(x.shape) if i != axis]
                x = moved.reshape(*rest, -1).movedim(-1, axis)
        return x

    return run


def _depth_to_space(node: Node) -> Function:
    block = node.integer("blocksize")
    node.only("mode", "DCR", "CRD")
    columns_first = node.text("mode", "DCR") == "CRD"

    def run(x: Tensor) -> Tensor:
        if columns_first:
            return F.pixel_shuffle(x, block)
        n, c, h, w = x.shape
        parts = x.reshape(n, block, block, c // block**2, h, w).permute(0, 3, 4, 1, 5, 2)
        return parts.reshape(n, c // block**2, h * block, w * block)

    return run


def _space_to_depth(node: Node) -> Function:
    block = node.integer("blocksize")

    def run(x: Tensor) -> Tensor:
        n, c, h, w = x.shape
        parts = x.reshape(n, c, h // block, block, w // block, block).permute(0, 3, 5, 1, 2, 4)
        return parts.reshape(n, c * block**2, h // block, w // block)

    return run


def _gather(node: Node) -> Function:
    axis = node.integer("axis")

    def run(x: Tensor, indices: Tensor | int) -> Tensor:
        if isinstance(indices, int):
            return x.select(axis, indices)
        at = axis % x.dim()
        found = x.index_select(at, indices.reshape(-1).remainder(x.shape[at]))
        return found.reshape(*x.shape[:at], *indices.shape, *x.shape[at + 1 :])

    return run


def _gather_elements(node: Node) -> Function:
    axis = node.integer("axis")
    return lambda x, indices: torch.gather(x, axis, indices.remainder(x.shape[axis]))


def _gather_nd(node: Node) -> Function:
    node.only("batch_dims", 0)
    return lambda x, indices: x[indices.unbind(-1)]


def _scatter_elements(node: Node) -> Function:
    axis = node.integer("axis")
    node.only("reduction", "none")

    def run(x: Tensor, indices: Tensor, updates: Tensor) -> Tensor:
        return x.scatter(axis, indices.remainder(x.shape[axis]), updates.to(x.dtype))

    return run


def _scatter_nd(node: Node) -> Function:
    node.only("reduction", "none")
    return lambda x, indices, updates: x.index_put(indices.unbind(-1), updates.to(x.dtype))


def _grid_sample(node: Node) -> Function:
    modes = {"bilinear": "bilinear", "linear": "bilinear", "nearest": "nearest"}
    node.only("mode", *modes)
    node.only("padding_mode", "zeros", "border", "reflection")
    mode, padding = modes[node.text("mode", "bilinear")], node.text("padding_mode", "zeros")
    align = bool(node.integer("align_corners"))

    def run(x: Tensor, grid: Tensor) -> Tensor:
        # Places keep their precision: half a number in a thousand is a whole cell of a large map.
        wide = torch.promote_types(x.dtype, grid.dtype)
        return F.grid_sample(x.to(wide), grid.to(wide), mode, padding, align)

    return run


def _trilu(node: Node) -> Function:
    cut: Callable[[Tensor, int], Tensor] = torch.triu if node.integer("upper", 1) else torch.tril
    return lambda x, k=0: cut(x, k if isinstance(k, int) else k[0])


OPERATORS = {
    "Concat": Operator(_concat),
    "ConstantOfShape": Operator(_constant_of_shape, known=(0,)),
    "DepthToSpace": Operator(_depth_to_space),
    "Expand": Operator(_expand, known=(1,)),
    "Flatten": Operator(_flatten),
    "Gather": Operator(_gather, number=(1,)),
    "GatherElements": Operator(_gather_elements),
    "GatherND": Operator(_gather_nd),
    "GridSample": Operator(_grid_sample),
    "Pad": Operator(_pad, known=(1, 2, 3)),
    "Range": Operator(_arange, known=(0, 1, 2)),
    "Reshape": Operator(_reshape, known=(1,)),
    "ScatterElements": Operator(_scatter_elements),
    "ScatterND": Operator(_scatter_nd),
    "Shape": Operator(_shape, of_shape=True),
    "Size": Operator(_size, of_shape=True),
    "Slice": Operator(_slice, known=(1, 2, 3, 4)),
    "SpaceToDepth": Operator(_space_to_depth),
    "Split": Operator(_split, known=(1,)),
    "Squeeze": Operator(_squeeze, known=(1,)),
    "Tile": Operator(_tile, known=(1,)),
    "Transpose": Operator(_transpose),
    "Trilu": Operator(_trilu, known=(1,)),
    "Unsqueeze": Operator(_unsqueeze, known=(1,)),
}
