"""What a model sees in a data set, through the operators that run live: what is judged is what will run."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.errors import SourceError

if TYPE_CHECKING:
    from engine.detections import Detections
    from engine.picture import Pixels
    from training.dataset import Dataset

# Low enough that what is cut off adds nothing to AP.
MIN_CONFIDENCE = 0.01

Change = Callable[[int, "Pixels"], "Pixels"]


def common_labels(model: str | Path, labels: Sequence[str]) -> tuple[str, ...]:
    """Give the data's labels that a model knows; `traffic_light` and `Traffic light` are the same name.

    Raises:
        BundleError: the model cannot be used.
        SourceError: they have no class in common.
    """
    from engine.bundle import Bundle

    known = Bundle.load(model).manifest.labels
    common = tuple(label for label in labels if _plain(label) in map(_plain, known))
    if not common:
        raise SourceError(
            f"{model}: the model knows none of the data's classes: it has {_some(known)}, the data has "
            f"{_some(labels)}; rename the data's classes (`rename:` in its YAML file)"
        )
    return common


def predict(
    model: str | Path,
    dataset: Dataset,
    min_confidence: float = MIN_CONFIDENCE,
    *,
    change: Change | None = None,
    settings: Mapping[str, Any] | None = None,
    tick: Callable[[], None] = lambda: None,
) -> list[dict[str, Any]]:
    """Detect objects in every picture of a data set.

    Args:
        model: a bundle's folder or an ONNX file.
        dataset: pictures and labels; classes are matched by name, and the model's other classes are left out.
        min_confidence: weaker boxes are left out.
        change: called with a picture's position and its BGR pixels; gives the pixels that the model gets to see.
        settings: more of `detect`, such as `require`.
        tick: called after each picture.

    Returns:
        COCO results for `dataset.to_coco()`, best first in each picture.

    Raises:
        BundleError: the model cannot be used.
        SourceError: a picture cannot be read, or there is no class in common.
    """
    from engine.load import load_class

    labels = common_labels(model, dataset.labels)
    step = load_class("detect")(
        model=str(model), classes=labels, min_confidence=min_confidence, iou=None, **(settings or {})
    )
    column = {_plain(label): i for i, label in enumerate(dataset.labels)}
    operators = step.expand()
    image_ids = [image["id"] for image in dataset.to_coco()["images"]]
    results: list[dict[str, Any]] = []
    try:
        for operator in operators:
            operator.open()
        for position, (image_id, sample) in enumerate(zip(image_ids, dataset.samples, strict=True)):
            bgr = sample.read().bgr
            detections = _detect(operators, position, bgr if change is None else change(position, bgr))
            ids = [column[_plain(detections.labels[class_id])] for class_id in detections.class_id]
            results.extend(_coco_results(image_id, ids, detections))
            tick()
    finally:
        for operator in operators:
            operator.close()
    return results


def _detect(operators: Sequence[Any], index: int, bgr: Pixels) -> Detections:
    from engine.frame import CaptureTime, Frame
    from engine.packet import Packet
    from engine.picture import Picture

    packet = Packet(Frame("data", 0, index, index, CaptureTime(index), Picture.from_bgr(bgr)))
    for operator in operators:
        packet = operator.process(packet)
    # Every picture is looked at: there is no cadence here.
    assert packet.detections is not None
    return packet.detections


def _coco_results(image_id: int | str, category_ids: Sequence[int], found: Detections) -> list[dict[str, Any]]:
    # Rounded as `vedette detect` does, so that both give the same figures.
    return [
        {
            "image_id": image_id,
            "category_id": category_id,
            "bbox": [round(v, 3) for v in (x1, y1, x2 - x1, y2 - y1)],
            "score": round(confidence, 6),
        }
        for category_id, (x1, y1, x2, y2), confidence in zip(
            category_ids, found.xyxy.tolist(), found.confidence.tolist(), strict=True
        )
    ]


def _plain(label: str) -> str:
    return label.replace("_", " ").strip().lower()


def _some(labels: Sequence[str]) -> str:
    return ", ".join(labels[:6]) + (", …" if len(labels) > 6 else "")
