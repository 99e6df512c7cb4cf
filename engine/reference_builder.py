"""Gathering reference statistics: sample by sample, and never more than the file may hold."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from engine.detection_statistics import DETECTION_STATISTICS, measure_detections
from engine.detections import Detections
from engine.picture import Pixels
from engine.reference import (
    MAX_BOXES,
    MAX_SAMPLES,
    MAX_SCENES,
    SAMPLE_STATISTICS,
    Column,
    ReferenceStatistics,
    Rows,
)

MIN_SCENE_PICTURES = 20
"""Fewer pictures of a camera do not show what stands still in it."""

MAX_SCENE_PICTURES = 40
"""A median needs no more."""

Key = TypeVar("Key", bound=Hashable)
Tags = tuple[tuple[str, str], ...]


class ReferenceBuilder:
    """Takes samples in any order, and puts them in the order of cameras, slices and times.

    Args:
        labels: the model's class names.
        model: digest of the bundle whose model is run.
        min_confidence: the model's boxes were asked for from here on.
    """

    def __init__(self, labels: tuple[str, ...], model: str, min_confidence: float) -> None:
        self._labels, self._model, self._min_confidence = labels, model, min_confidence
        self._samples: list[list[float]] = []
        self._cameras: list[str] = []
        self._times_s: list[float] = []
        self._tags: list[Tags] = []
        self._boxes: list[Mapping[str, Column]] = []
        self._class_ids: list[NDArray[np.int64]] = []
        self._scenes: dict[str, _Scene] = {}

    def __len__(self) -> int:
        return len(self._samples)

    def add(
        self,
        statistics: Mapping[str, float],
        detections: Detections,
        size_wh: tuple[int, int],
        camera: str = "",
        time_s: float | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> None:
        """Add one frame.

        Args:
            statistics: what `measure_frame` gives.
            detections: what the model sees in it.
            size_wh: of the picture.
            camera: where it was taken.
            time_s: seconds of the recording, where known.
            tags: slices that it belongs to.
        """
        measured = {**statistics, "count": float(len(detections))}
        self._samples.append([measured[name] for name in SAMPLE_STATISTICS])
        self._cameras.append(camera)
        self._times_s.append(np.nan if time_s is None else time_s)
        self._tags.append(as_pairs(tags or {}))
        self._boxes.append(measure_detections(detections, size_wh))
        self._class_ids.append(detections.class_id)

    def add_view(self, camera: str, thumbnail: Pixels) -> None:
        """Add a look at the scene of a recording, which may be a sample of `add` or not.

        Args:
            camera: its name; one that no sample is of gets no scene.
            thumbnail: what `measure` gives; one that has another shape than the camera's first is left out.
        """
        self._scenes.setdefault(camera, _Scene()).add(thumbnail)

    def build(self, num_frames: int | None = None) -> ReferenceStatistics:
        """Give what was gathered, thinned evenly where it is more than the file may hold.

        Args:
            num_frames: frames that the samples were chosen from; by default there were no others.
        """
        cameras, camera = _positions(self._cameras)
        tag_sets, tag_set = _positions(self._tags)
        time_s = np.array(self._times_s, np.float64)
        rows = choose(self._cameras, self._tags, self._times_s, MAX_SAMPLES)
        has_boxes = _evenly([len(self._class_ids[row]) for row in rows], MAX_BOXES)
        sources = rows[has_boxes]
        values = np.array([self._samples[row] for row in rows], np.float32).reshape(-1, len(SAMPLE_STATISTICS))
        boxes = {name: [self._boxes[row][name] for row in sources] for name in DETECTION_STATISTICS}
        class_ids = [self._class_ids[row] for row in sources]
        return ReferenceStatistics(
            labels=self._labels,
            model=self._model,
            min_confidence=self._min_confidence,
            num_frames=len(self) if num_frames is None else num_frames,
            cameras=cameras,
            tag_sets=tuple(map(dict, tag_sets)),
            samples={name: values[:, column].copy() for column, name in enumerate(SAMPLE_STATISTICS)},
            camera=camera[rows],
            tag_set=tag_set[rows],
            time_s=time_s[rows],
            has_boxes=has_boxes,
            boxes={name: np.concatenate([*columns, np.zeros(0, np.float32)]) for name, columns in boxes.items()},
            sample=np.repeat(np.flatnonzero(has_boxes), [len(ids) for ids in class_ids]),
            class_id=np.concatenate([*class_ids, np.zeros(0, np.intp)]).astype(np.intp),
            scenes=self._build_scenes(cameras),
        )

    def _build_scenes(self, cameras: Sequence[str]) -> dict[str, Pixels]:
        """Give the scenes of those that were looked at most."""
        known = [name for name in cameras if name in self._scenes and self._scenes[name].num >= MIN_SCENE_PICTURES]
        most = sorted(known, key=lambda name: -self._scenes[name].num)[:MAX_SCENES]
        return {name: self._scenes[name].median() for name in sorted(most)}


class _Scene:
    """The thumbnails of one camera; of too many every second is dropped, so that memory stays bounded."""

    def __init__(self) -> None:
        self.num = 0
        self._every = 1
        self._thumbnails: list[Pixels] = []

    def add(self, thumbnail: Pixels) -> None:
        if self._thumbnails and thumbnail.shape != self._thumbnails[0].shape:
            return
        if self.num % self._every == 0:
            self._thumbnails.append(thumbnail)
        self.num += 1
        if len(self._thumbnails) > MAX_SCENE_PICTURES:
            self._thumbnails, self._every = self._thumbnails[::2], 2 * self._every

    def median(self) -> Pixels:
        scene: Pixels = np.median(np.stack(self._thumbnails), axis=0).astype(np.uint8)
        return scene


def as_pairs(tags: Mapping[str, str]) -> Tags:
    """Give tags in a form that can be compared and sorted."""
    return tuple(sorted(tags.items()))


def choose(cameras: Sequence[str], tags: Sequence[Tags], times_s: Sequence[float | None], limit: int) -> Rows:
    """Choose frames evenly over time, and as many of every camera as there are, up to an equal share of the limit.

    Args:
        cameras: of each frame.
        tags: slices that each belongs to, as sorted pairs: recordings of a camera that differ in them stay apart.
        times_s: seconds of the recording; None or NaN where unknown: these stay in the order given, behind the others.
        limit: how many frames at most.

    Returns:
        Their positions, in the order of cameras, slices and times; of all frames when there are no more than the limit.
    """
    _, camera = _positions(cameras)
    _, tag_set = _positions(tags)
    order = np.lexsort((np.nan_to_num(np.array(times_s, np.float64), nan=np.inf), tag_set, camera)).astype(np.intp)
    counts = np.bincount(camera)
    starts = np.cumsum(counts) - counts
    left, chosen = limit, []
    # The smallest first: what a camera cannot fill is left for the others.
    for rank, one in enumerate(np.argsort(counts, kind="stable")):
        quota = min(int(counts[one]), left // (len(counts) - rank))
        left -= quota
        # The middle of each of so many equal stretches.
        chosen.append(starts[one] + ((np.arange(quota) + 0.5) * counts[one] / max(1, quota)).astype(np.intp))
    rows: Rows = order[np.sort(np.concatenate([*chosen, np.zeros(0, np.intp)]))]
    return rows


def _evenly(num_boxes: Sequence[int], limit: int) -> NDArray[np.bool_]:
    """Say which samples keep their boxes: all, or so many of them, evenly, that the boxes are within the limit."""
    counts, positions = np.array(num_boxes, np.intp), np.arange(len(num_boxes))
    share, kept = 1.0, np.ones(len(counts), np.bool_)
    while counts[kept].sum() > limit:
        share *= 0.98
        kept = np.floor((positions + 1) * share) > np.floor(positions * share)
    return kept


def _positions(keys: Sequence[Key]) -> tuple[tuple[Key, ...], Rows]:
    """Give the different keys, sorted, and where each stands among them."""
    different = sorted(set(keys))  # type: ignore[type-var]
    place = {key: position for position, key in enumerate(different)}
    return tuple(different), np.array([place[key] for key in keys], np.intp)
