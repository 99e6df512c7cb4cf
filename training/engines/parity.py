"""The proof that an engine sees what the ONNX model sees that it was built of."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Literal, TypeVar

import numpy as np

from engine.boxes import iou_matrix
from engine.bundle import Bundle
from engine.detections import Detections
from engine.errors import BundleError, SourceError
from engine.inference import InferenceBackend
from engine.labels import class_ids
from engine.trt_engine import TrtParity
from training.engines.eyes import open_eyes, sure_from
from training.engines.images import ImageSet, NamedPicture
from training.evaluation.detections.judge import judge_detections

T = TypeVar("T")

# Boxes that overlap less are not the same box.
_SAME_BOX_IOU = 0.5
_NUM_WORST = 3


class ParityError(BundleError):
    """An engine does not see what its model sees: a comparison that found a difference."""

    exit_code = 1


@dataclass(frozen=True)
class Difference:
    """How two looks at a picture differ, in boxes of which one look at least is sure.

    Attributes:
        max_box_px: worst difference of a box side, of boxes that both see.
        max_confidence: worst difference of a confidence, of boxes that both see.
        num_missed, num_extra: boxes that only the first, or only the second, sees.
    """

    max_box_px: float = 0.0
    max_confidence: float = 0.0
    num_missed: int = 0
    num_extra: int = 0

    def __str__(self) -> str:
        counts = ((self.num_missed, "missed"), (self.num_extra, "more"))
        found = [f"{count} {word}" for count, word in counts if count]
        return ", ".join([*found, f"boxes {self.max_box_px:.1f} px off", f"confidence {self.max_confidence:.3f} off"])

    @property
    def rank(self) -> tuple[int, float, float]:
        """Worse differences have higher ones."""
        return self.num_missed + self.num_extra, self.max_confidence, self.max_box_px


@dataclass(frozen=True)
class ParityReport:
    """What a comparison says.

    Attributes:
        parity: for the bundle's manifest.
        num_boxes: that the reference is sure of.
        num_missed, num_extra: boxes that the reference is sure of and the candidate does not see, and the reverse.
        worst: the pictures that differ most, the worst first.
    """

    parity: TrtParity
    num_boxes: int
    num_missed: int
    num_extra: int
    worst: tuple[tuple[str, Difference], ...]


def measure_parity(
    reference: InferenceBackend,
    candidate: InferenceBackend,
    bundle: Bundle,
    images: ImageSet,
    *,
    batch: int,
    measured_on: Literal["engine", "graph"] = "engine",
    tick: Callable[[], None] = lambda: None,
) -> ParityReport:
    """Compare two backends, both open, on pictures that take the way that live pictures take.

    With labels, mAP is judged by them. Without, what the reference is sure of is the truth: boxes from its family's
    usual threshold on. The candidate has seen such a box while it gives it half of that, and what the reference gives
    a hundredth is no invention of the candidate's: boxes that waver around the threshold count neither way.

    Args:
        reference: runs the bundle's own model.
        candidate: runs what was made of it.
        bundle: says how outputs become boxes.
        images: the pictures.
        batch: pictures that the candidate is given at once.
        measured_on: see TrtParity.
        tick: called after each picture.

    Raises:
        ParityError: the candidate's outputs are no numbers.
        BundleError: a backend failed.
        SourceError: a picture cannot be read, there is none, or there is no box to judge by.
    """
    letterbox, sha256 = bundle.manifest.input.letterbox, hashlib.sha256()
    looks = _Looks(images, bundle.manifest.labels, sure_from(bundle))
    with open_eyes(bundle) as decode:
        for pictures in _batches(images.read(), batch):
            pixels = np.stack([one.picture.letterbox(letterbox) for one in pictures])
            sha256.update(pixels.tobytes())
            both = reference.infer(pixels), candidate.infer(pixels)
            for i, one in enumerate(pictures):
                ours, theirs = ([output[i] for output in outputs] for outputs in both)
                if not all(np.isfinite(output).all() for output in theirs):
                    raise ParityError(
                        f"{bundle.root}: what the {measured_on} says about {one.name} is no number: values went beyond "
                        "the range of the precision; take another one, or keep layers in fp32 (--keep-fp32)"
                    )
                geometry = letterbox.geometry(one.picture.size_wh)
                looks.add(one, decode(ours, geometry), decode(theirs, geometry))
                tick()
    return looks.report(measured_on, sha256.hexdigest())


@dataclass(eq=False)
class _Looks:
    """What both backends saw in every picture so far, as COCO's truth and results."""

    images: ImageSet
    labels: tuple[str, ...]
    sure: float
    seen: list[tuple[str, Difference]] = field(default_factory=list)
    truth: list[dict[str, Any]] = field(default_factory=list)
    entries: list[dict[str, Any]] = field(default_factory=list)
    results: tuple[list[dict[str, Any]], list[dict[str, Any]]] = field(default_factory=lambda: ([], []))
    num_boxes: int = 0

    def __post_init__(self) -> None:
        categories = [] if self.images.truth is None else self.images.truth["categories"]
        # Where there are labels, the data's classes are numbered; the model may know more.
        self._category = {int(class_ids((one["name"],), self.labels)[0]): one["id"] for one in categories}
        if self.images.truth is None:
            self._category = {i: i for i in range(len(self.labels))}
        # Without labels a box may lose half of the confidence that makes it one.
        self._weakest = 0.0 if self.images.truth is not None else self.sure / 2

    def add(self, one: NamedPicture, ours: Detections, theirs: Detections) -> None:
        self.seen.append((one.name, compare(ours, theirs, self.sure)))
        self.num_boxes += int((ours.confidence >= self.sure).sum())
        self.entries.append({"id": one.image_id})
        for results, found in zip(self.results, (ours, theirs), strict=True):
            results += [row for row in self._rows(one.image_id, found) if row["score"] >= self._weakest]
        if self.images.truth is None:
            self.truth += [
                {**row, "area": row["bbox"][2] * row["bbox"][3], "iscrowd": int(row["score"] < self.sure)}
                for row in self._rows(one.image_id, ours)
            ]

    def report(self, measured_on: Literal["engine", "graph"], sha256: str) -> ParityReport:
        if not self.seen:
            raise SourceError(f"{self.images.name}: holds no picture that can be read")
        truth = self.images.truth
        if truth is None:
            if not self.num_boxes:
                raise SourceError(
                    f"{self.images.name}: the model is sure of nothing in {len(self.seen)} pictures (confidence "
                    f"{self.sure:g}); give pictures that show what it looks for"
                )
            categories = [{"id": i, "name": label} for i, label in enumerate(self.labels)]
            truth = {"images": self.entries, "annotations": self.truth, "categories": categories}
        points = [round(100 * judge_detections(truth, results).stats["ap"], 3) for results in self.results]
        differences = [difference for _, difference in self.seen]
        return ParityReport(
            parity=TrtParity(
                measured_on=measured_on,
                truth="onnx" if self.images.truth is None else "labels",
                num_images=len(self.seen),
                images_sha256=sha256,
                max_box_px=round(max(one.max_box_px for one in differences), 3),
                max_confidence=round(max(one.max_confidence for one in differences), 5),
                map_onnx=points[0],
                map_engine=points[1],
            ),
            num_boxes=self.num_boxes,
            num_missed=sum(one.num_missed for one in differences),
            num_extra=sum(one.num_extra for one in differences),
            worst=tuple(sorted(self.seen, key=lambda one: one[1].rank, reverse=True)[:_NUM_WORST]),
        )

    def _rows(self, image_id: int | str, found: Detections) -> Iterator[dict[str, Any]]:
        columns = zip(found.xyxy.tolist(), found.class_id.tolist(), found.confidence.tolist(), strict=True)
        for (x1, y1, x2, y2), class_id, confidence in columns:
            if class_id in self._category:
                place = {"image_id": image_id, "category_id": self._category[class_id]}
                yield {**place, "bbox": [x1, y1, x2 - x1, y2 - y1], "score": confidence}


def compare(ours: Detections, theirs: Detections, sure: float) -> Difference:
    """Compare two looks at a picture.

    Boxes of one class that overlap by half or more are the same, the best overlaps first. Only boxes of which one look
    is sure count; the other may give them any confidence.

    Args:
        ours: the truth, weak boxes too.
        theirs: what is compared with it, weak boxes too.
        sure: the confidence from which on a look is sure.
    """
    overlaps = iou_matrix(ours.xyxy, theirs.xyxy)
    same_class = ours.class_id[:, None] == theirs.class_id[None, :]
    counts = np.maximum(ours.confidence[:, None], theirs.confidence[None, :]) >= sure
    rows, columns = np.nonzero((overlaps >= _SAME_BOX_IOU) & same_class & counts)
    pairs: dict[int, int] = {}
    for k in np.argsort(-overlaps[rows, columns], kind="stable"):
        if rows[k] not in pairs and columns[k] not in pairs.values():
            pairs[int(rows[k])] = int(columns[k])
    mine, yours = list(pairs), list(pairs.values())
    return Difference(
        max_box_px=float(np.abs(ours.xyxy[mine] - theirs.xyxy[yours]).max(initial=0)),
        max_confidence=float(np.abs(ours.confidence[mine] - theirs.confidence[yours]).max(initial=0)),
        num_missed=int((ours.confidence >= sure).sum() - (ours.confidence[mine] >= sure).sum()),
        num_extra=int((theirs.confidence >= sure).sum() - (theirs.confidence[yours] >= sure).sum()),
    )


def _batches(items: Iterable[T], size: int) -> Iterator[list[T]]:
    left = iter(items)
    while batch := list(islice(left, size)):
        yield batch
