"""Detect objects: letterbox, model and suppression as one step.

Does: expands into `letterbox` (one copy a camera, with the cadence) and `infer` (shared by all cameras, in batches).
Absent input: frames that the cadence skips have `detections` None: not looked.
Costs: 9.6 ms a frame on one core for YOLOX-Nano at 416x416, 0.6 ms of it outside the model.
Example: `- detect: {model: models/street, classes: [person, car], cadence: adaptive}`
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, cast

from engine.bundle import Bundle
from engine.default_model import find_default_model
from engine.errors import ConfigError
from engine.labels import class_ids
from engine.load import load_class
from engine.operator import Composite, Operator


@dataclass
class Detect(Composite):
    """Fill `detections` with what a model sees.

    Attributes:
        model: a bundle's folder, or an ONNX file whose family can be told from its outputs; None is the model that
            ships with Vedette.
        classes: names of the classes to look for; empty means all that the model knows.
        min_confidence: boxes below go; None is the usual value of the model's family. Trackers have a higher bound of
            their own for beginning a track. Much weaker boxes only do harm: on vtest.avi MOTA falls from 77 to 29 with
            PicoDet-S at 0.1.
        iou: boxes of one class that overlap a better one by more go; None is the family's usual value, which suits
            COCO's average precision. Tracks are better with 0.5.
        max_detections: at most so many boxes a frame, the best.
        cadence: `every` frame, every N-th, or `adaptive`: less often while the tracks are certain and slow.
        max_interval: an adaptive cadence looks at least every so many frames.
        backend: what runs the model: `auto`, `onnxruntime`.
        place: `local` runs it where the camera's host runs, `actor` in actors of its own.
    """

    model: str | None = None
    classes: tuple[str, ...] = ()
    min_confidence: float | None = None
    iou: float | None = 0.5
    max_detections: int = 300
    cadence: Literal["every", "adaptive"] | int = "every"
    max_interval: int = 5
    backend: str = "auto"
    place: Literal["local", "actor"] = "local"

    def __post_init__(self) -> None:
        # The parts check their own fields; a model is not needed for that.
        self._infer("")
        self._letterbox(size_wh=(32, 32))

    def expand(self) -> list[Operator]:
        """See Composite.

        Raises:
            BundleError: the model is missing, damaged or not what it says it is.
            ConfigError: a class that the model does not know.
        """
        model = self.model or find_default_model()
        bundle = Bundle.load(model)
        try:
            class_ids(self.classes, bundle.manifest.labels)
        except ValueError as error:
            raise ConfigError(f"detect.classes: {error}") from None
        spec = bundle.manifest.input
        return [
            self._letterbox(size_wh=spec.size_wh, fit=spec.resize, color=spec.color, pad=spec.pad),
            self._infer(model),
        ]

    def _letterbox(self, **spec: object) -> Operator:
        made = load_class("letterbox")(cadence=self.cadence, max_interval=self.max_interval, **spec)
        return cast(Operator, made)

    def _infer(self, model: str) -> Operator:
        made = load_class("infer")(
            model=model,
            classes=self.classes,
            min_confidence=self.min_confidence,
            iou=self.iou,
            max_detections=self.max_detections,
            backend=self.backend,
            place=self.place,
        )
        return cast(Operator, made)
