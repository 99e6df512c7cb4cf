"""What is measured of a frame's boxes: the same for a model's training pictures and for live cameras.

Everything is relative to the picture, so that cameras of different resolution compare.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from engine.detections import Detections

VERSION = 1
"""Goes up when a statistic changes its meaning: references made before it no longer compare."""

DETECTION_STATISTICS = ("confidence", "size", "aspect", "cx", "cy", "foot")
"""What `measure_detections` gives, in this order."""


def measure_detections(detections: Detections, size_wh: tuple[int, int]) -> dict[str, NDArray[np.float32]]:
    """Measure every box of a frame.

    Args:
        detections: N boxes; N may be 0.
        size_wh: of the picture, in pixels.

    Returns:
        float32 (N,) columns, in the order of the boxes:
        `confidence` (0..1); `size`, the square root of the share of the picture that the box covers (0..1);
        `aspect`, the natural logarithm of width over height; `cx` and `cy`, the centre, and `foot`, the lower edge,
        where 0 is left or top and 1 is right or bottom.
    """
    x1, y1, x2, y2 = (detections.xyxy / np.array(size_wh * 2, np.float32)).T
    # A box of no extent would have an infinite aspect; a hundredth of a pixel is nobody's object.
    least_w, least_h = np.float32(0.01 / size_wh[0]), np.float32(0.01 / size_wh[1])
    width, height = np.maximum(x2 - x1, least_w), np.maximum(y2 - y1, least_h)
    return {
        "confidence": detections.confidence,
        "size": np.sqrt(width * height),
        "aspect": np.log(width * np.float32(size_wh[0]) / (height * np.float32(size_wh[1]))),
        "cx": (x1 + x2) / 2,
        "cy": (y1 + y2) / 2,
        "foot": y2,
    }
