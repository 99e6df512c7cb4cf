"""Footage in, labelled pictures out: the teacher looks at every frame, tracks decide what it saw."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

import cv2

from engine.detections import Detections
from engine.errors import SourceError
from engine.frame import Frame
from engine.progress import FrameProgress
from training.dataset import Dataset, Sample
from training.formats.writing import whole_folder
from training.teach.footage import Clip
from training.teach.smooth import Labels, Rules, smooth
from training.teach.teacher import Teacher

LABELS = "labels.json"

# To follow people and cars, so many looks a second are enough.
_LOOK_EVERY_S = 0.08
# Without a word about it, pictures are kept so often that there are about so many in all, ten a second at most.
_PICTURES, _KEEP_EVERY_S = 2000, 0.1
# Frame times are decimal fractions.
_TIME_TOLERANCE_S = 1e-3
_JPEG_QUALITY = 95


@dataclass(frozen=True)
class LabelOptions:
    """What is kept, and when it is believed.

    Attributes:
        every: keep every N-th frame of a recording; the teacher then looks at all frames.
        every_s: keep a frame so often; None for both keeps about 2000 pictures, at most ten a second.
        max_frames: stop each recording after so many frames.
        fps: of folders of consecutive pictures.
        rules: when a sighting becomes a label.
        licence: of the footage.
        source: where it comes from.
    """

    every: int | None = None
    every_s: float | None = None
    max_frames: int | None = None
    fps: float = 10.0
    rules: Rules = field(default_factory=Rules)
    licence: str = ""
    source: str = ""


@dataclass(frozen=True)
class LabelReport:
    """What came out.

    Attributes:
        dataset: the pictures with their labels.
        num_looks: frames that the teacher has looked at.
        num_filled: labels of kept pictures that the teacher has missed.
    """

    dataset: Dataset
    num_looks: int
    num_filled: int

    @property
    def num_doubtful(self) -> int:
        """Boxes to be ignored."""
        return sum(int(sample.ignore.sum()) for sample in self.dataset.samples)


def label_footage(clips: Sequence[Clip], teacher: Teacher, out: Path, options: LabelOptions) -> LabelReport:
    """Write `images/` and `labels.json` (COCO) into a folder that appears whole or not at all.

    `file_name` is the frame's position in its recording, after the camera's name where there are several. Doubtful
    boxes have `iscrowd` 1. The classes are the teacher's that occur.

    Args:
        clips: from `find_footage`.
        teacher: open.
        out: must be new or empty.
        options: see LabelOptions.

    Raises:
        SourceError: a recording cannot be read, the teacher sees nothing, or there is no room for the pictures.
        UsageError: there is something else at `out`.
    """
    every_s = _every_s(clips, options)
    samples: list[Sample] = []
    num_looks = num_filled = 0
    with whole_folder(out) as fresh, FrameProgress("label", {clip.name: None for clip in clips}) as progress:
        (fresh / "images").mkdir()
        for clip in clips:
            prefix = f"{clip.name}-" if len(clips) > 1 else ""
            for look, labels in _label(clip, teacher, fresh / "images", prefix, options, every_s, progress):
                num_looks += 1
                if look.path is not None:
                    samples.append(_sample(clip, look, look.path, labels))
                    num_filled += int((~labels.seen & ~labels.ignore).sum())
        dataset = _without_unseen_classes(Dataset(teacher.labels, tuple(samples)))
        (fresh / LABELS).write_text(json.dumps(_coco(dataset, teacher, options)), encoding="utf-8")
    moved = tuple(replace(sample, path=out / "images" / sample.path.name) for sample in dataset.samples)
    return LabelReport(replace(dataset, samples=moved), num_looks, num_filled)


@dataclass(frozen=True)
class _Look:
    """A frame after the teacher has seen it; its pixels are on disk, if they are kept."""

    epoch: int
    time_s: float
    size_wh: tuple[int, int]
    detections: Detections
    path: Path | None


def _label(
    clip: Clip, teacher: Teacher, folder: Path, prefix: str, options: LabelOptions, every_s: float,
    progress: FrameProgress,
) -> list[tuple[_Look, Labels]]:  # fmt: skip
    looks: list[_Look] = []
    kept_s = looked_s = -float("inf")
    epoch = 0
    for number, frame in enumerate(clip.frames(options.fps)):
        if options.max_frames is not None and number >= options.max_frames:
            break
        progress.frame(clip.name)
        if frame.epoch != epoch:
            epoch, kept_s, looked_s = frame.epoch, -float("inf"), -float("inf")
        if options.every is not None:
            keep, look = number % options.every == 0, True
        else:
            keep = not clip.is_sequence or frame.pts_s - kept_s >= every_s - _TIME_TOLERANCE_S
            look = keep or frame.pts_s - looked_s >= _LOOK_EVERY_S - _TIME_TOLERANCE_S
        if not look:
            continue
        looked_s = frame.pts_s
        path = None
        if keep:
            kept_s = frame.pts_s
            path = folder / f"{prefix}{_stem(clip, frame)}.jpg"
            _write_jpeg(path, frame)
        looks.append(_Look(epoch, frame.pts_s, frame.size_wh, teacher.look(frame), path))
    rules = options.rules if clip.is_sequence else options.rules.for_photographs()
    out = []
    for part in _parts(clip, looks):
        times_s = [look.time_s for look in part]
        labels = smooth([look.detections for look in part], times_s, part[0].size_wh, rules)
        out += list(zip(part, labels, strict=True))
    return out


def _parts(clip: Clip, looks: list[_Look]) -> list[list[_Look]]:
    """Divide looks into stretches along which objects can be followed."""
    if not clip.is_sequence:
        return [[look] for look in looks]
    parts: dict[int, list[_Look]] = {}
    for look in looks:
        parts.setdefault(look.epoch, []).append(look)
    return list(parts.values())


def _stem(clip: Clip, frame: Frame) -> str:
    return clip.pictures[frame.index].stem if clip.pictures else f"{frame.index:06d}"


def _write_jpeg(path: Path, frame: Frame) -> None:
    _, encoded = cv2.imencode(".jpg", frame.picture.bgr(), [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])
    try:
        path.write_bytes(cast(Any, encoded).tobytes())
    except OSError as error:
        raise SourceError(f"{path}: cannot be written: {error.strerror}; make room and label again") from None


def _sample(clip: Clip, look: _Look, path: Path, labels: Labels) -> Sample:
    camera, time_s = (clip.name, round(look.time_s, 6)) if clip.is_sequence else ("", None)
    # Where the clock jumped back, times of two epochs must not be compared.
    tags = {"recording": f"{clip.name}/{look.epoch}"} if look.epoch else {}
    return Sample(path, look.size_wh, labels.xyxy, labels.class_id, labels.ignore, camera, time_s, tags)


def _every_s(clips: Sequence[Clip], options: LabelOptions) -> float:
    if options.every_s is not None or options.every is not None:
        return options.every_s or 0.0
    total_s = sum(clip.duration_s(options.fps) for clip in clips)
    return max(_KEEP_EVERY_S, total_s / _PICTURES)


def _without_unseen_classes(dataset: Dataset) -> Dataset:
    """Leave out classes without a box; the teacher may know a thousand."""
    used = {column for sample in dataset.samples for column in sample.class_id.tolist()}
    if not used:
        raise SourceError(
            f"the teacher has seen nothing in {len(dataset)} pictures; give it footage with objects that it knows: "
            f"{', '.join(dataset.labels[:6])}{', …' if len(dataset.labels) > 6 else ''}"
        )
    return dataset.relabelled([label for column, label in enumerate(dataset.labels) if column in used])


def _coco(dataset: Dataset, teacher: Teacher, options: LabelOptions) -> dict[str, Any]:
    manifest = teacher.bundle.manifest
    info = {
        "description": f"labelled by {manifest.name} ({teacher.bundle.digest}), smoothed along time",
        "teacher": {"name": manifest.name, "digest": teacher.bundle.digest, "licence": manifest.licence},
        "licence": options.licence,
        "source": options.source,
    }
    return {"info": info, **dataset.to_coco()}
