"""Classify tracked objects: crop, model and memory as one step.

Does: expands into `crop` (one copy a camera), `recognise` (shared by all cameras, in batches) and `remember` (one copy
a camera). The label stands in every later event about the object, under the step's name:
`"attributes": {"color": {"label": "red", "confidence": 0.93}}`.
Absent input: without tracks, and in frames that the detector skips, nobody is looked at; attributes stay.
Costs: hardly anything in most frames; 0.1 ms and the model for each crop, one an object every `every_s`.
Example: `- classify: {name: color, model: models/color, on: person, every_s: 1}`
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, cast

from engine.bundle import Bundle
from engine.errors import ConfigError
from engine.labels import class_ids
from engine.load import load_class
from engine.operator import Composite, Operator


@dataclass
class Classify(Composite):
    """Say of tracked objects what a classifier sees in them.

    Stands behind the tracker, and before the rules whose events are to carry the attribute.

    Attributes:
        model: a classifier's bundle, or its ONNX file.
        on: the class, or classes, of the objects to look at; empty means all.
        every_s: stream time between two looks at one object; the first comes when its track is confirmed.
        labels: names of the labels that may be given; empty means all that the model knows.
        min_confidence: a look that is less sure says nothing.
        min_size: objects whose box has a shorter side are not looked at; pixels of the source frame.
        margin: what is added to the box on each side, as a share of its width and height.
        max_crops: at most so many looks a frame; who waits longest comes first.
        backend, require, device, precision, max_batch, place, num_gpus: as in `detect`.
    """

    model: str
    on: str | tuple[str, ...] = ()
    every_s: float = 1.0
    labels: tuple[str, ...] = ()
    min_confidence: float = 0.5
    min_size: float = 24.0
    margin: float = 0.05
    max_crops: int = 8
    backend: str = "auto"
    require: str | None = None
    device: str = "auto"
    precision: str | None = None
    max_batch: int = 16
    place: Literal["local", "actor"] = "local"
    num_gpus: float = 0.0

    def __post_init__(self) -> None:
        # The parts check their own fields; a model is not needed for that.
        self._crop(size_wh=(32, 32))
        self._recognise()

    def expand(self) -> list[Operator]:
        """See Composite.

        Raises:
            BundleError: the model is missing, damaged, or no classifier.
            ConfigError: a label that the model does not know.
        """
        bundle = Bundle.load(self.model)
        bundle.check_classifier()
        try:
            class_ids(self.labels, bundle.manifest.labels)
        except ValueError as error:
            raise ConfigError(f"classify.labels: {error}") from None
        spec = bundle.manifest.input
        return [
            self._crop(size_wh=spec.size_wh, fit=spec.resize, color=spec.color, pad=spec.pad),
            self._recognise(),
            cast(Operator, load_class("remember")(attribute=self.name or "classify")),
        ]

    def _crop(self, **spec: object) -> Operator:
        made = load_class("crop")(
            on=(self.on,) if isinstance(self.on, str) else self.on,
            every_s=self.every_s,
            min_size=self.min_size,
            margin=self.margin,
            max_crops=self.max_crops,
            **spec,
        )
        return cast(Operator, made)

    def _recognise(self) -> Operator:
        made = load_class("recognise")(
            model=self.model,
            labels=self.labels,
            min_confidence=self.min_confidence,
            backend=self.backend,
            require=self.require,
            device=self.device,
            precision=self.precision,
            max_batch=self.max_batch,
            place=self.place,
            num_gpus=self.num_gpus,
        )
        return cast(Operator, made)
