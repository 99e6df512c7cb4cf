"""The inputs of a model's file: the picture, and the one other that models at large ask for."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path

from engine.errors import BundleError
from engine.inference import TensorInfo

SIZES_INPUT = "orig_target_sizes"
"""RT-DETR and D-FINE exported with their postprocessor want the size, width first, to scale boxes to: int64 (n, 2)."""
PICTURE_TYPES = ("tensor(float)", "tensor(float16)", "tensor(uint8)")


def picture_input(path: Path, inputs: Sequence[TensorInfo]) -> TensorInfo:
    """Find the input that takes pictures.

    Raises:
        BundleError: there is none, or more than one.
    """
    images = [i for i in inputs if len(i.shape) == 4 and i.shape[1] in (3, None) and i.dtype in PICTURE_TYPES]
    if len(images) != 1:
        found = "; ".join(map(str, inputs)) or "none"
        raise BundleError(f"{path}: expected one input (N, 3, height, width) of floats or uint8, the model has {found}")
    return images[0]


def extra_inputs(path: Path, names: Collection[str], image: str) -> list[str]:
    """Give the names of the inputs beside the picture.

    Raises:
        BundleError: one that nobody can fill.
    """
    others = [name for name in names if name != image]
    unknown = [name for name in others if name != SIZES_INPUT]
    if unknown:
        raise BundleError(f"{path}: the model wants an input '{unknown[0]}' beside the picture; export it without")
    return others


def check_size(path: Path, image: TensorInfo, size_wh: tuple[int, int]) -> None:
    """Refuse a size that the model does not take.

    Raises:
        BundleError: says which it takes.
    """
    height, width = image.shape[2:]
    if height not in (None, size_wh[1]) or width not in (None, size_wh[0]):
        raise BundleError(
            f"{path}: the model takes {width or '?'}x{height or '?'} pictures only, not {size_wh[0]}x{size_wh[1]}"
        )
