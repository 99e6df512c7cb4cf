"""A teacher of a few kilobytes that sees coloured blocks of 8x8, and footage of such blocks."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from engine.onnx_import import ImportOptions, describe_onnx
from tests.tiny_models import save_yolox, squares

Block = tuple[int, int, str]
BLOCK_PX = 8


def write_teacher(folder: Path) -> Path:
    """Write the bundle of a model that sees `blue` and `red` blocks in pictures of 64x64; give its folder."""
    model = save_yolox(folder / "tiny.onnx")
    bundle = describe_onnx(model, ImportOptions(name="tiny", labels=("blue", "red"), licence="Apache-2.0"))
    return bundle.write(folder / "teacher").root


def paint(*blocks: Block) -> NDArray[np.uint8]:
    """Paint a black picture of 64x64 with blocks by column, row and colour."""
    return squares(*blocks, cell=BLOCK_PX)


def write_frames(folder: Path, frames: Sequence[Sequence[Block]]) -> Path:
    """Write consecutive pictures."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, blocks in enumerate(frames):
        cv2.imwrite(str(folder / f"{number:04}.png"), paint(*blocks))
    return folder
