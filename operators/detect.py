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
        merge: add to what an earlier detector found, in the frames in which it looked. Classes are told apart by name:
            of two boxes of one class that overlap by more than `iou`, the earlier detector's stays.
        backend: what runs the model, where it can: `tensorrt`, `torch`, `onnxruntime`, `openvino`; `auto` takes the
            fastest there is. What cannot be had is replaced, and the log says by what and why.
        require: the only backend that will do; anything else stops the run.
        device: `cpu`, `cuda` or `cuda:1`; `auto` is the backend's usual one, and with `backend: auto` a GPU where there
            is one.
        precision: `fp32`, `fp16`, `bf16` or `int8`; None is the backend's usual one, or that of the TensorRT engine.
        max_batch: pictures of all cameras that a GPU looks at together, at most.
        place: `local` runs it where the camera's host runs, `actor` in actors of its own.
        num_gpus: share of a GPU that each such actor reserves on a cluster, such as 0.5.
        letterbox: `host` prepares pictures on the camera's core; `device` on the GPU, where the backend can
            (`tensorrt`), with the same result. That spares cores and uploads more; it needs `place: local`.
    """

    model: str | None = None
    classes: tuple[str, ...] = ()
    min_confidence: float | None = None
    iou: float | None = 0.5
    max_detections: int = 300
    cadence: Literal["every", "adaptive"] | int = "every"
    max_interval: int = 5
    merge: bool = False
    backend: str = "auto"
    require: str | None = None
    device: str = "auto"
    precision: str | None = None
    max_batch: int = 16
    place: Literal["local", "actor"] = "local"
    num_gpus: float = 0.0
    letterbox: Literal["host", "device"] = "host"

    def __post_init__(self) -> None:
        # The parts check their own fields; a model is not needed for that.
        if self.merge and self.cadence != "every":
            raise ValueError("cadence belongs to the first detector: one with `merge: true` looks at the same frames")
        if self.letterbox == "device" and self.place == "actor":
            raise ValueError("letterbox: device needs place: local; pictures do not travel to actors")
        self._infer("")
        self._letterbox(size_wh=(32, 32))

    def expand(self) -> list[Operator]:
        """See Composite.

        Raises:
            BundleError: the model is missing, damaged, not what it says it is, or no detector.
            ConfigError: a class that the model does not know.
        """
        model = self.model or find_default_model()
        bundle = Bundle.load(model)
        bundle.check_detector()
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
        made = load_class("letterbox")(
            cadence=self.cadence, max_interval=self.max_interval, follow=self.merge, where=self.letterbox, **spec
        )
        return cast(Operator, made)

    def _infer(self, model: str) -> Operator:
        made = load_class("infer")(
            model=model,
            classes=self.classes,
            min_confidence=self.min_confidence,
            iou=self.iou,
            max_detections=self.max_detections,
            merge=self.merge,
            backend=self.backend,
            require=self.require,
            device=self.device,
            precision=self.precision,
            max_batch=self.max_batch,
            place=self.place,
            num_gpus=self.num_gpus,
        )
        return cast(Operator, made)
