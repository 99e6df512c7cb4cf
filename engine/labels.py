"""Class names that many models share."""

from __future__ import annotations

import difflib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from engine.errors import UsageError

COCO: tuple[str, ...] = (
    "person", "bicycle", "car", "motorcycle", "airplane", "bus", "train", "truck", "boat", "traffic light",
    "fire hydrant", "stop sign", "parking meter", "bench", "bird", "cat", "dog", "horse", "sheep", "cow",
    "elephant", "bear", "zebra", "giraffe", "backpack", "umbrella", "handbag", "tie", "suitcase", "frisbee",
    "skis", "snowboard", "sports ball", "kite", "baseball bat", "baseball glove", "skateboard", "surfboard",
    "tennis racket", "bottle", "wine glass", "cup", "fork", "knife", "spoon", "bowl", "banana", "apple",
    "sandwich", "orange", "broccoli", "carrot", "hot dog", "pizza", "donut", "cake", "chair", "couch",
    "potted plant", "bed", "dining table", "toilet", "tv", "laptop", "mouse", "remote", "keyboard", "cell phone",
    "microwave", "oven", "toaster", "sink", "refrigerator", "book", "clock", "vase", "scissors", "teddy bear",
    "hair drier", "toothbrush",
)  # fmt: skip
"""The 80 classes of COCO 2017 in their usual order."""

_UNUSED_COCO_IDS = (0, 12, 26, 29, 30, 45, 66, 68, 69, 71, 83)
COCO_COLUMNS: NDArray[np.intp] = np.setdiff1d(np.arange(91), _UNUSED_COCO_IDS).astype(np.intp)
"""Where the 80 classes stand in models with one column for each of COCO's category ids 0..90."""


def read_labels(text: str) -> tuple[str, ...]:
    """Give the class names that `--labels` asks for: `coco`, or a text file with one name a line.

    Raises:
        UsageError: no such file, or no names in it.
    """
    if text == "coco":
        return COCO
    try:
        lines = Path(text).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        raise UsageError(f"--labels {text}: expected coco or a text file with one name a line") from None
    names = tuple(line.strip() for line in lines if line.strip())
    if not names:
        raise UsageError(f"--labels {text}: the file holds no names")
    return names


def plain_name(name: str) -> str:
    """Give a class's name as names are compared: `traffic_light` means `Traffic light`."""
    return name.replace("_", " ").strip().lower()


def class_ids(wanted: tuple[str, ...], labels: tuple[str, ...]) -> NDArray[np.intp]:
    """Give the indices of classes by name, in the order of `labels`; `traffic_light` means `traffic light`.

    Raises:
        ValueError: a class that the model does not know.
    """
    plain = [plain_name(label) for label in labels]
    found = []
    for name in wanted:
        key = plain_name(name)
        if key not in plain:
            near = difflib.get_close_matches(key, plain, n=3)
            names = [labels[plain.index(word)] for word in near] or [*labels[:6], *(["…"] if len(labels) > 6 else [])]
            hint = f"did you mean {' or '.join(map(repr, names))}?" if near else f"it knows {', '.join(names)}"
            raise ValueError(f"the model has no class '{name}'; {hint}")
        found.append(plain.index(key))
    return np.unique(np.array(found, np.intp))
