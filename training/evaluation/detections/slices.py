"""Parts of the data to judge on their own: by camera, tag, crowding, and what is measured in the pictures."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from training.evaluation.detections.judge import Rows

if TYPE_CHECKING:
    from engine.picture import Pixels

# Objects in a picture: from how many on, and what it is called.
CROWDING = ((0, "0 objects"), (1, "1–4 objects"), (5, "5–14 objects"), (15, "15 objects and more"))
MEASURED = ("brightness", "sharpness")
THIRDS = ("lowest third", "middle third", "highest third")


@dataclass(frozen=True, eq=False)
class Slice:
    """Pictures with something in common.

    Attributes:
        axis: what they are told apart by: `camera`, `crowding`, a tag's name.
        value: what these have in common.
        images: intp positions.
    """

    axis: str
    value: str
    images: Rows


def measure(read: Callable[[int], Pixels], num_images: int) -> dict[str, NDArray[np.float64]]:
    """Measure light and blur in every picture, as the drift monitor measures them live.

    Args:
        read: gives a picture's BGR pixels by its position.
        num_images: pictures.

    Returns:
        By the statistic's name, float64 (pictures,).
    """
    from engine.frame_statistics import measure_frame
    from engine.picture import Picture

    facts = [measure_frame(Picture.from_bgr(read(i))) for i in range(num_images)]
    return {name: np.array([fact[name] for fact in facts], np.float64) for name in MEASURED}


def slices_of(
    images: Sequence[Mapping[str, Any]], num_objects: NDArray[np.intp], measured: Mapping[str, NDArray[np.float64]]
) -> tuple[Slice, ...]:
    """Divide pictures along every axis that tells any apart.

    Args:
        images: COCO's, with `camera` and `tags` where they are known.
        num_objects: judged objects in each picture.
        measured: by name, a number for each picture; pictures are divided into thirds of it.
    """
    axes: dict[str, list[str]] = {"camera": [str(image.get("camera") or "") for image in images]}
    for name in sorted({name for image in images for name in image.get("tags", {})}):
        axes[name] = [str(image.get("tags", {}).get(name, "")) for image in images]
    starts = [start for start, _ in CROWDING]
    axes["crowding"] = [CROWDING[i][1] for i in np.searchsorted(starts, num_objects, side="right") - 1]
    order = {name: [value for _, value in CROWDING] for name in ("crowding",)}
    for name, numbers in measured.items():
        axes[name], order[name] = _thirds(numbers)
    found = []
    for axis, values in axes.items():
        known = [value for value in order.get(axis, sorted(set(values))) if value in values]
        if len(known) > 1:
            column = np.array(values)
            found += [Slice(axis, value or "not stated", np.flatnonzero(column == value)) for value in known]
    return tuple(found)


def _thirds(numbers: NDArray[np.float64]) -> tuple[list[str], list[str]]:
    """Name the third that each number lies in, and the three names in order."""
    low, high = np.percentile(numbers, (100 / 3, 200 / 3))
    bounds = (numbers.min(), low, high, numbers.max())
    names = [f"{third} ({a:.4g} to {b:.4g})" for third, a, b in zip(THIRDS, bounds[:-1], bounds[1:], strict=True)]
    return [names[int(n > low) + int(n > high)] for n in numbers], names
