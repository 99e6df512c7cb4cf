"""The teacher: a bundle that looks at every picture twice, the second time in a mirror."""

from __future__ import annotations

from dataclasses import replace
from types import TracebackType
from typing import Any, Self

import numpy as np

from engine.association import assign, forbid_other_classes, unmatched
from engine.boxes import batched_nms, iou_matrix
from engine.bundle import Bundle
from engine.detections import Detections
from engine.frame import Frame
from engine.load import load_class
from engine.packet import Packet
from engine.picture import Picture

WEAKEST = 0.2
"""Weaker detections help no track: with PicoDet-S at 0.1 they cost labels 0.03 of AP50."""

_IOU = 0.5


class Teacher:
    """Detects with a bundle, through the steps that run live.

    Args:
        model: a bundle's folder or an ONNX file.
        classes: names of the classes to look for; empty means all that it knows.
        mirror: look a second time at the mirrored picture, and believe what both looks share.

    Raises:
        BundleError: the model cannot be used.
        ConfigError: a class that it does not know.
    """

    def __init__(self, model: str, classes: tuple[str, ...] = (), mirror: bool = True) -> None:
        self.bundle = Bundle.load(model)
        # A box that only one look has seen counts half.
        step = load_class("detect")(model=model, classes=classes, min_confidence=WEAKEST / 2, iou=_IOU)
        self._operators: list[Any] = step.expand()
        self._mirror = mirror

    @property
    def labels(self) -> tuple[str, ...]:
        """Its classes in order."""
        return self.bundle.manifest.labels

    def __enter__(self) -> Self:
        for operator in self._operators:
            operator.open()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        for operator in self._operators:
            operator.close()

    def look(self, frame: Frame) -> Detections:
        """Detect objects, weak ones too: from a confidence of `WEAKEST` on."""
        found = self._detect(frame)
        if self._mirror:
            mirrored = Picture.from_bgr(np.ascontiguousarray(frame.picture.bgr()[:, ::-1]))
            found = merge(found, turned(self._detect(replace(frame, picture=mirrored)), frame.size_wh[0]))
        return found[found.confidence >= WEAKEST]

    def _detect(self, frame: Frame) -> Detections:
        packet = Packet(frame)
        for operator in self._operators:
            packet = operator.process(packet)
        assert packet.detections is not None
        return packet.detections


def turned(detections: Detections, width: int) -> Detections:
    """Mirror boxes left to right in a picture of some width."""
    x1, y1, x2, y2 = detections.xyxy.T
    return replace(detections, xyxy=np.stack([width - x2, y1, width - x1, y2], axis=1))


def merge(a: Detections, b: Detections) -> Detections:
    """Put two looks at the same picture together.

    Boxes of one class that overlap become one: the mean weighted by confidence, with the mean confidence. A box that
    the other look has not seen keeps half of its confidence.
    """
    iou = forbid_other_classes(iou_matrix(a.xyxy, b.xyxy), a.class_id, b.class_id)
    rows, columns = assign(iou, iou >= _IOU)
    weight_a, weight_b = a.confidence[rows, None], b.confidence[columns, None]
    both = (a.xyxy[rows] * weight_a + b.xyxy[columns] * weight_b) / (weight_a + weight_b)
    only_a, only_b = a[unmatched(len(a), rows)], b[unmatched(len(b), columns)]
    xyxy = np.concatenate([both, only_a.xyxy, only_b.xyxy])
    sums = np.concatenate([a.confidence[rows] + b.confidence[columns], only_a.confidence, only_b.confidence])
    class_id = np.concatenate([a.class_id[rows], only_a.class_id, only_b.class_id])
    keep = batched_nms(xyxy, sums, class_id, _IOU)
    return Detections(xyxy[keep], (sums / 2)[keep].astype(np.float32), class_id[keep], a.labels)
