"""Pictures that look different from one another, as files, for tests."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from engine.picture import Pixels
from training.dataset import Sample


def patches(seed: int, size_wh: tuple[int, int] = (64, 48)) -> Pixels:
    """Soft patches of chance, another picture for each seed."""
    coarse = np.random.default_rng(seed).integers(0, 256, (7, 9, 3), np.uint8)
    return np.asarray(cv2.resize(coarse, size_wh, interpolation=cv2.INTER_LINEAR), np.uint8)


def write_photo(path: Path, seed: int = 0, size_wh: tuple[int, int] = (64, 48)) -> Path:
    """Write one; folders are made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), patches(seed, size_wh))
    return path


def make_sample(
    path: Path,
    *boxes: tuple[float, float, float, float],
    camera: str = "",
    time_s: float | None = None,
    size_wh: tuple[int, int] = (64, 48),
    class_id: int = 0,
    ignore: bool = False,
    tags: dict[str, str] | None = None,
) -> Sample:
    """A sample of a picture, which need not be there."""
    return Sample(
        path=path,
        size_wh=size_wh,
        xyxy=np.array(boxes, np.float32).reshape(-1, 4),
        class_id=np.full(len(boxes), class_id, np.intp),
        ignore=np.full(len(boxes), ignore, np.bool_),
        camera=camera,
        time_s=time_s,
        tags=tags or {},
    )


def rows(sample: Sample) -> list[tuple[int, list[float], bool]]:
    """A sample's boxes as plain values: class, corners to a hundredth, ignored or not."""
    corners = np.round(sample.xyxy.astype(float), 2).tolist()
    return list(zip(sample.class_id.tolist(), corners, sample.ignore.tolist(), strict=True))
