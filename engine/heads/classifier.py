"""Classifiers: one picture of an object in, one score a class out. They find no boxes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from engine.input_spec import InputSpec

Scores = Literal["logits", "probabilities"]

# Half precision and quantisation leave sums of a thousand classes this far from 1.
_SUM_TOLERANCE = 0.02


class Classifier:
    """One output (N, classes), or (N, classes, 1, 1), of logits or of probabilities.

    Args:
        outputs: what the model gave, with the batch dimension: only shapes are looked at.
        input_wh: the model's input size.

    Attributes:
        num_classes: class columns of the output.

    Class attributes:
        family, layout, defaults: see Head. The preprocessing is ImageNet's.

    Raises:
        ValueError: these are not outputs of a classifier.
    """

    family: ClassVar[str] = "classifier"
    layout: ClassVar[str] = "one output (1, classes)"
    defaults: ClassVar[InputSpec] = InputSpec(
        size_wh=(224, 224), color="rgb", resize="stretch", mean=(123.675, 116.28, 103.53), std=(58.395, 57.12, 57.375)
    )

    def __init__(self, outputs: Sequence[NDArray[Any]], input_wh: tuple[int, int]) -> None:
        shape = outputs[0].shape if len(outputs) == 1 else ()
        if len(shape) < 2 or shape[1] < 2 or shape[2:] not in ((), (1, 1)) or outputs[0].dtype.kind != "f":
            raise ValueError("one output (1, classes) of scores for two classes or more is expected")
        self.num_classes = int(shape[1])


def kind_of_scores(output: NDArray[Any]) -> Scores:
    """Say what a classifier's scores of several pictures are.

    Args:
        output: (N, classes), or (N, classes, 1, 1).

    Raises:
        ValueError: each class has a probability of its own; such a model gives many labels a picture.
    """
    scores = output.reshape(len(output), -1).astype(np.float64)
    if (scores < 0).any() or (scores > 1 + _SUM_TOLERANCE).any():
        return "logits"
    if (np.abs(scores.sum(axis=1) - 1) <= _SUM_TOLERANCE).all():
        return "probabilities"
    raise ValueError(
        "its scores lie between 0 and 1 and do not add up to 1, as where several labels hold at once; a classifier "
        "gives logits, or probabilities that add up to 1"
    )


def probabilities(output: NDArray[Any], scores: Scores) -> NDArray[np.float32]:
    """Give float32 (N, classes) probabilities; each row depends on its own picture only.

    Args:
        output: (N, classes), or (N, classes, 1, 1).
        scores: what they are.
    """
    raw = output.reshape(len(output), -1).astype(np.float32, copy=False)
    if scores == "probabilities":
        return raw
    powers = np.exp(raw - raw.max(axis=1, keepdims=True))
    shares: NDArray[np.float32] = powers / powers.sum(axis=1, keepdims=True)
    return shares
