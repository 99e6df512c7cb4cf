"""Run the detector on a batch of prepared frames, of one camera or of many.

Does: model, thresholding, suppression, and boxes back into pixels of the source frame.
Absent input: a packet without `tensor` passes with `detections` None: not looked.
Costs: the model (9 ms for YOLOX-Nano at 416x416 on one core), and 0.2 to 0.3 ms a frame around it.
Example: none; `detect` brings it along: `- detect: {model: models/street}`
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from engine.boxes import batched_nms
from engine.bundle import Bundle
from engine.detections import Detections, add_detections
from engine.errors import ConfigError
from engine.heads import Candidates, class_columns, make_head
from engine.heads.head import MAX_CANDIDATES
from engine.inference import AUTO
from engine.labels import class_ids
from engine.model_runner import ModelRunner, check_model_settings
from engine.operator import BatchOperator
from engine.packet import ModelInput, Packet, PictureInput
from engine.picture import LetterboxGeometry

logger = logging.getLogger(__name__)


@dataclass
class Infer(BatchOperator):
    """Fill `detections` from `tensor`. What else is in a batch never changes a frame's boxes.

    Attributes:
        model: a bundle's folder or an ONNX file.
        classes: names of the classes to look for; empty means all.
        min_confidence: boxes below go; None is the family's own.
        iou: boxes of one class that overlap a better one by more go; None is the family's own.
        max_detections: at most so many boxes a frame, the best.
        merge: add to the `detections` of an earlier detector; see `engine.detections.add_detections`.
        backend, require, device, precision, max_batch, place, num_gpus: see `engine.model_runner.ModelSettings`.
    """

    model: str
    classes: tuple[str, ...] = ()
    min_confidence: float | None = None
    iou: float | None = None
    max_detections: int = 300
    merge: bool = False
    backend: str = AUTO
    require: str | None = None
    device: str = AUTO
    precision: str | None = None
    max_batch: int = 16
    place: str = "local"
    num_gpus: float = 0.0

    reads: ClassVar[Sequence[str]] = ("tensor",)
    writes: ClassVar[Sequence[str]] = ("detections",)

    def __post_init__(self) -> None:
        check_detector_fields(self)
        if self.merge:
            object.__setattr__(self, "reads", ("tensor", "detections"))

    def open(self) -> None:
        """Load the model and run it once: the first run is slow, and tells the shapes of the outputs.

        Raises:
            BundleError: the model cannot be used.
            ConfigError: a class that the model does not know.
        """
        bundle = Bundle.load(self.model)
        bundle.check_detector()
        self._runner = ModelRunner(bundle, self)
        manifest = bundle.manifest
        width, height = manifest.input.size_wh
        sample = self._runner.infer(np.full((1, 3, height, width), manifest.input.pad, np.uint8))
        self._head = make_head(manifest.family, sample, manifest.input.size_wh, self.model)
        self._labels = manifest.labels
        self._columns, self._class_ids = _choose(
            class_columns(self._head, len(self._labels), self.model), self.classes, self._labels
        )
        self._min_confidence = self._head.min_confidence if self.min_confidence is None else self.min_confidence
        self._iou = self._head.iou if self.iou is None else self.iou

    @property
    def batch_size(self) -> int:
        """See BatchOperator."""
        return self._runner.max_batch

    @property
    def own_device(self) -> bool:
        """See BatchOperator."""
        return self._runner.on_gpu

    def classes_given(self) -> tuple[str, ...]:
        """See Operator."""
        return self.classes or Bundle.load(self.model).manifest.labels

    def wants(self, packet: Packet) -> bool:
        """See BatchOperator: frames that the cadence skips pass by."""
        return packet.tensor is not None

    def process_batch(self, packets: list[Packet]) -> list[Packet]:
        """See BatchOperator."""
        due = [(i, packet.tensor) for i, packet in enumerate(packets) if packet.tensor is not None]
        out = list(packets)
        for (i, _), detections in zip(due, self._detect([tensor for _, tensor in due]), strict=True):
            before = packets[i].detections if self.merge else None
            out[i] = packets[i].replace(
                detections=detections if before is None else add_detections(before, detections, self._iou)
            )
        return out

    def close(self) -> None:
        """See Operator."""
        if hasattr(self, "_runner"):
            self._runner.close()

    def _detect(self, inputs: Sequence[ModelInput | PictureInput]) -> list[Detections]:
        if not inputs:
            return []
        pictures = [one.picture for one in inputs if isinstance(one, PictureInput)]
        if len(pictures) == len(inputs) and self._runner.takes_pictures:
            outputs = self._runner.infer_pictures(pictures)
        else:
            if pictures and not self._runner.takes_pictures:
                _say_on_host(self.model, self._runner.backend.name)
            batch = inputs[0].pixels[None] if len(inputs) == 1 else np.stack([one.pixels for one in inputs])
            outputs = self._runner.infer(batch)
        return [self.decode([output[i] for output in outputs], one.geometry) for i, one in enumerate(inputs)]

    def decode(self, outputs: Sequence[NDArray[Any]], geometry: LetterboxGeometry) -> Detections:
        """Turn the model's outputs for one picture into boxes of the source frame, best first."""
        found = self._head.candidates(outputs, self._min_confidence, self._columns)
        if self._head.needs_nms:
            if len(found.confidence) > MAX_CANDIDATES:
                found = _best(found, MAX_CANDIDATES)
            keep = batched_nms(found.xyxy, found.confidence, found.column, self._iou)
        else:
            keep = np.argsort(-found.confidence, kind="stable")
        xyxy = geometry.to_source(found.xyxy[keep])
        # What lies in the border alone has no area left; what is not a number fails the comparison too.
        keep_rows = np.flatnonzero(((xyxy[:, 2:] - xyxy[:, :2]) > 0).all(axis=1))[: self.max_detections]
        keep = keep[keep_rows]
        column = found.column[keep]
        class_id = column if self._class_ids is None else self._class_ids[column]
        return Detections(xyxy[keep_rows], found.confidence[keep], class_id.astype(np.int64), self._labels)


@functools.cache
def _say_on_host(model: str, backend: str) -> None:
    logger.warning("%s: %s cannot letterbox on the device, `letterbox: device` is done on the host", model, backend)


def _best(found: Candidates, limit: int) -> Candidates:
    """Order by confidence, equal ones as they came, and cut."""
    order = np.argsort(-found.confidence, kind="stable")[:limit]
    return Candidates(found.xyxy[order], found.confidence[order], found.column[order])


def _choose(
    columns: NDArray[np.intp] | None, classes: tuple[str, ...], labels: tuple[str, ...]
) -> tuple[NDArray[np.intp] | None, NDArray[np.intp] | None]:
    """Give the class columns to look at and the label index of each; None where all are looked at in order."""
    if not classes:
        return columns, None
    try:
        wanted = class_ids(classes, labels)
    except ValueError as error:
        raise ConfigError(f"detect.classes: {error}") from None
    return (wanted if columns is None else columns[wanted]), wanted


def check_detector_fields(step: Any) -> None:
    """Refuse settings of a detector that mean nothing.

    Raises:
        ValueError: says which and why.
    """
    if step.min_confidence is not None and not 0 < step.min_confidence <= 1:
        raise ValueError(f"min_confidence must be above 0 and at most 1, got {step.min_confidence:g}")
    if step.iou is not None and not 0 <= step.iou <= 1:
        raise ValueError(f"iou must be between 0 and 1, got {step.iou:g}")
    if step.max_detections < 1:
        raise ValueError(f"max_detections must be at least 1, got {step.max_detections}")
    check_model_settings(step)
