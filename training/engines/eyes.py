"""From the raw outputs of any backend to boxes with classes, by the code that does it live."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.bundle import Bundle
from engine.detections import Detections
from engine.heads import FAMILIES
from engine.heads.classifier import probabilities
from engine.load import load_class
from engine.picture import LetterboxGeometry

WEAKEST = 0.01
"""Confidence of the weakest boxes that are compared: what is cut off adds nothing to average precision."""
# As `classify` has it.
_SURE_OF_A_CLASS = 0.5

Decode = Callable[[Sequence[NDArray[Any]], LetterboxGeometry], Detections]


def sure_from(bundle: Bundle) -> float:
    """Give the confidence from which on a bundle's model is believed, unless a pipeline says otherwise."""
    head = FAMILIES.get(bundle.manifest.family)
    return _SURE_OF_A_CLASS if head is None else head.min_confidence


@contextmanager
def open_eyes(bundle: Bundle) -> Iterator[Decode]:
    """Give what turns the outputs for one picture into boxes of the source frame, best first, from WEAKEST on.

    What a classifier says becomes a box around the whole picture for each class.

    Raises:
        BundleError: the model cannot be used.
    """
    if bundle.manifest.family not in FAMILIES:
        yield lambda outputs, geometry: _classes(bundle, outputs, geometry)
        return
    infer = load_class("infer")(model=str(bundle.root), min_confidence=WEAKEST, require="onnxruntime", device="cpu")
    try:
        infer.open()
        yield infer.decode
    finally:
        infer.close()


def _classes(bundle: Bundle, outputs: Sequence[NDArray[Any]], geometry: LetterboxGeometry) -> Detections:
    manifest = bundle.manifest
    # A manifest says it of every classifier.
    assert manifest.scores is not None
    confidence = probabilities(outputs[0][None], manifest.scores)[0]
    class_id = np.argsort(-confidence, kind="stable")
    class_id = class_id[confidence[class_id] >= WEAKEST].astype(np.int64)
    whole = np.array([[0, 0, *geometry.source_wh]], np.float32).repeat(len(class_id), axis=0)
    return Detections(whole, confidence[class_id], class_id, manifest.labels)
