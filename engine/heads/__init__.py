"""From a model's raw outputs to boxes or classes: one file a family, thresholding first, plain numpy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.errors import BundleError
from engine.heads.classifier import Classifier
from engine.heads.detr import Detr
from engine.heads.distribution import Nanodet, Picodet
from engine.heads.fastestdet import Fastestdet
from engine.heads.head import Candidates, Head
from engine.heads.yolo import Yolo
from engine.heads.yolox import Yolox
from engine.labels import COCO_COLUMNS

__all__ = [
    "ALL_FAMILIES", "FAMILIES", "Candidates", "Classifier", "Head",
    "check_outputs", "class_columns", "guess_families", "make_head",
]  # fmt: skip

FAMILIES: dict[str, type[Head]] = {head.family: head for head in (Yolox, Picodet, Nanodet, Fastestdet, Yolo, Detr)}
"""The families of detectors."""
ALL_FAMILIES: dict[str, type[Head] | type[Classifier]] = {**FAMILIES, Classifier.family: Classifier}


def make_head(family: str, outputs: Sequence[NDArray[Any]], input_wh: tuple[int, int], where: str) -> Head:
    """Make the decoder of a detector's family for a model whose outputs for one picture are at hand.

    Args:
        family: a key of ALL_FAMILIES.
        outputs: see Head.
        input_wh: the model's input size.
        where: the model's file, for messages.

    Raises:
        BundleError: the outputs are not of this family; says what they look like. Or the model is no detector.
    """
    head = check_outputs(family, outputs, input_wh, where)
    if isinstance(head, Classifier):
        raise BundleError(f"{where}: a classifier finds no boxes; use it in a `classify` step, behind a detector")
    return head


def check_outputs(
    family: str, outputs: Sequence[NDArray[Any]], input_wh: tuple[int, int], where: str
) -> Head | Classifier:
    """Compare a model's outputs for one picture with its family. See `make_head`.

    Raises:
        BundleError: the outputs are not of this family; says what they look like.
    """
    try:
        return ALL_FAMILIES[family](outputs, input_wh)
    except ValueError as error:
        others = guess_families(outputs, input_wh)
        looks = f"family '{others[0]}'" if others else "no family that Vedette knows"
        raise BundleError(
            f"{where}: not a {family} model: {error} at {input_wh[0]}x{input_wh[1]}, "
            f"got {describe_shapes(outputs)}, which looks like {looks}"
        ) from None


def guess_families(outputs: Sequence[NDArray[Any]], input_wh: tuple[int, int]) -> list[str]:
    """Give the families whose outputs could look like this."""
    fitting = []
    for family, head in ALL_FAMILIES.items():
        try:
            head(outputs, input_wh)
        except ValueError:
            continue
        fitting.append(family)
    return fitting


def describe_shapes(outputs: Sequence[NDArray[Any]]) -> str:
    """Write the outputs' shapes for a person."""
    return f"{len(outputs)} output{'s' * (len(outputs) != 1)} " + ", ".join(str(o.shape) for o in outputs)


def class_columns(head: Head | Classifier, num_labels: int, where: str) -> NDArray[np.intp] | None:
    """Say which class column belongs to each label; None where they are the same, or the model gives class numbers.

    A `detr` model may have one column more than labels: the last one is background (RF-DETR). One with 91 columns
    and 80 labels has a column for each COCO category id.

    Raises:
        BundleError: columns and labels cannot belong together.
    """
    if head.num_classes is None or head.num_classes == num_labels:
        return None
    if head.family == "detr" and head.num_classes == num_labels + 1:
        return np.arange(num_labels)
    if head.family == "detr" and (head.num_classes, num_labels) == (91, len(COCO_COLUMNS)):
        return COCO_COLUMNS
    raise BundleError(f"{where}: the model has {head.num_classes} classes, but there are {num_labels} labels")
