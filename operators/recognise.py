"""Run a classifier on crops of tracks, of one camera or of many.

Does: takes the crops of many packets together, runs them in batches, and keeps the labels it is sure enough of.
Absent input: a packet without `crops` passes with `recognitions` None.
Costs: the model; about 0.01 ms a crop around it.
Example: none; `classify` brings it along: `- classify: {model: models/color, on: person, every_s: 1}`
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from engine.bundle import Bundle
from engine.crops import Crops, Recognition
from engine.errors import ConfigError
from engine.heads import check_outputs, class_columns
from engine.heads.classifier import probabilities
from engine.inference import AUTO
from engine.labels import class_ids
from engine.model_runner import ModelRunner, check_model_settings
from engine.operator import BatchOperator
from engine.packet import Packet


@dataclass
class Recognise(BatchOperator):
    """Fill `recognitions` from `crops`. What else is in a batch never changes what is said of a crop.

    Attributes:
        model: a classifier's bundle, or its ONNX file.
        labels: names of the classes that may be given; empty means all.
        min_confidence: a look that is less sure says nothing.
        backend, require, device, precision, max_batch, place, num_gpus: see `engine.model_runner.ModelSettings`.
    """

    model: str
    labels: tuple[str, ...] = ()
    min_confidence: float = 0.5
    backend: str = AUTO
    require: str | None = None
    device: str = AUTO
    precision: str | None = None
    max_batch: int = 16
    place: str = "local"
    num_gpus: float = 0.0

    reads: ClassVar[Sequence[str]] = ("crops",)
    writes: ClassVar[Sequence[str]] = ("recognitions",)

    def __post_init__(self) -> None:
        if not 0 <= self.min_confidence <= 1:
            raise ValueError(f"min_confidence must be between 0 and 1, got {self.min_confidence:g}")
        check_model_settings(self)

    def open(self) -> None:
        """Load the model and run it once: the first run is slow.

        Raises:
            BundleError: the model cannot be used, or is no classifier.
            ConfigError: a label that the model does not know.
        """
        bundle = Bundle.load(self.model)
        bundle.check_classifier()
        manifest = bundle.manifest
        try:
            # Not by name where all are wanted: ImageNet has two classes of one name.
            every = np.arange(len(manifest.labels))
            self._columns = class_ids(self.labels, manifest.labels) if self.labels else every
        except ValueError as error:
            raise ConfigError(f"classify.labels: {error}") from None
        self._names = manifest.labels
        # A manifest says it of every classifier.
        assert manifest.scores is not None
        self._scores = manifest.scores
        self._runner = ModelRunner(bundle, self)
        width, height = manifest.input.size_wh
        sample = self._runner.infer(np.full((1, 3, height, width), manifest.input.pad, np.uint8))
        head = check_outputs(manifest.family, sample, manifest.input.size_wh, self.model)
        class_columns(head, len(self._names), self.model)

    @property
    def batch_size(self) -> int:
        """See BatchOperator."""
        return self._runner.max_batch

    @property
    def own_device(self) -> bool:
        """See BatchOperator."""
        return self._runner.on_gpu

    def wants(self, packet: Packet) -> bool:
        """See BatchOperator: frames in which nobody's turn has come pass by."""
        return packet.crops is not None

    def process_batch(self, packets: list[Packet]) -> list[Packet]:
        """See BatchOperator."""
        due = [(i, packet.crops) for i, packet in enumerate(packets) if packet.crops is not None]
        out = list(packets)
        if not due:
            return out
        found = iter(self._recognise([crops for _, crops in due]))
        for i, crops in due:
            said = [Recognition(track_id, *next(found)) for track_id in crops.track_id.tolist()]
            sure = tuple(one for one in said if one.confidence >= self.min_confidence)
            out[i] = packets[i].replace(recognitions=sure)
        return out

    def close(self) -> None:
        """See Operator."""
        if hasattr(self, "_runner"):
            self._runner.close()

    def _recognise(self, crops: list[Crops]) -> list[tuple[str, float]]:
        """Give the most likely label of every crop and its probability, crop by crop."""
        pixels = crops[0].pixels if len(crops) == 1 else np.concatenate([one.pixels for one in crops])
        shares = probabilities(self._runner.infer(pixels)[0], self._scores)[:, self._columns]
        names = [self._names[column] for column in self._columns[shares.argmax(axis=1)]]
        return list(zip(names, shares.max(axis=1).tolist(), strict=True))
