"""What the model sees: whether it is as sure as it was, and whether these are objects that it was trained for.

Traffic comes and goes, so counts say nothing; how sure the model is, how large things are and of which class they are
says something, over several windows.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from engine.detection_statistics import DETECTION_STATISTICS
from engine.drift.distance import Values, jensen_shannon, natural_deviation
from engine.drift.episode import Episode, Step
from engine.drift.sample import BoxSample, DriftSample
from engine.drift.settings import DriftSettings
from engine.drift.training_normal import TrainingNormal
from engine.event import DriftStatistic

WINDOWS = 5
MIN_BOXES = 40
MIN_FRAMES = 15
MIN_BLOCKS = 5
BLOCKS = 60
OBJECT_MEASURES = ("confidence", "size", "class_mix")
"""What the boxes score: medians of confidence and of ln(size), and the Jensen-Shannon distance of shares of classes."""
_LEAST = np.array([0.12, 0.6, 0.45])
LEAST_UNKNOWN = 0.5

_CONFIDENCE, _SIZE, _ASPECT = (DETECTION_STATISTICS.index(name) for name in ("confidence", "size", "aspect"))


@dataclass(frozen=True)
class Finding:
    """What a check of the objects leads to."""

    step: Step
    cause: str = ""
    against: Literal["normal", "training"] = "normal"
    score: float = 0.0
    text: str = ""
    statistics: tuple[DriftStatistic, ...] = ()
    num_boxes: int = 0
    effective: float = 0.0


@dataclass(frozen=True, eq=False)
class _Boxes:
    """Boxes of a stretch of time: medians of confidence and ln(size), counts of classes."""

    confidence: float
    size: float
    classes: Values
    num_boxes: int
    num_frames: int

    @classmethod
    def of(cls, samples: list[BoxSample]) -> _Boxes | None:
        """Sum up; None where there are too few boxes to say anything."""
        columns = np.concatenate([sample.columns for sample in samples], axis=1)
        num_frames = sum(len(sample.class_id) > 0 for sample in samples)
        if columns.shape[1] < MIN_BOXES or num_frames < MIN_FRAMES:
            return None
        class_id = np.concatenate([sample.class_id for sample in samples])
        classes = np.bincount(class_id, minlength=len(samples[-1].labels)).astype(np.float64)
        size = float(np.median(np.log(np.maximum(columns[_SIZE], 1e-4))))
        return cls(float(np.median(columns[_CONFIDENCE])), size, classes, columns.shape[1], num_frames)


class ObjectWatch:
    """Watches the boxes of one camera.

    Attributes:
        episode: what is suspected or raised; closed by whoever says that it is over.
    """

    def __init__(self, settings: DriftSettings, training: TrainingNormal | None) -> None:
        self._settings = settings
        self._training = training
        self._samples: deque[tuple[float, BoxSample]] = deque()
        self._known: deque[_Boxes] = deque(maxlen=BLOCKS)
        self._labels: tuple[str, ...] = ()
        self._factors = (
            np.array([settings.thresholds.get(name, 1.0) for name in OBJECT_MEASURES]) / settings.sensitivity
        )
        self.episode = Episode(2 * settings.window_s)

    def add(self, now_s: float, sample: DriftSample) -> None:
        """Take the boxes of a sample, if a model looked."""
        if sample.boxes is None:
            return
        if self._labels != sample.boxes.labels:
            # Another model: what it sees does not compare.
            self._labels = sample.boxes.labels
            self._samples.clear()
            self._known.clear()
        self._samples.append((now_s, sample.boxes))
        while self._samples[0][0] < now_s - WINDOWS * self._settings.window_s:
            self._samples.popleft()

    def start_again(self) -> None:
        """Forget the present: nobody has looked for a while."""
        self._samples.clear()

    def accept(self) -> None:
        """Forget what was normal."""
        self._known.clear()

    def pack(self) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
        """Give arrays and facts to store: what is normal."""
        rows = [[b.confidence, b.size, b.num_boxes, b.num_frames, *b.classes] for b in self._known]
        return {"boxes": np.array(rows).reshape(-1, 4 + len(self._labels))}, {"labels": list(self._labels)}

    def restore(self, arrays: Mapping[str, NDArray[Any]], facts: Mapping[str, Any]) -> None:
        """Take up what `pack` gave.

        Raises:
            KeyError, ValueError, TypeError: this is not what `pack` gave.
        """
        self._labels = tuple(facts["labels"])
        if arrays["boxes"].shape[1:] != (4 + len(self._labels),):
            raise ValueError(f"boxes have the shape {arrays['boxes'].shape} with {len(self._labels)} classes")
        for row in arrays["boxes"]:
            confidence, size, num_boxes, num_frames = row[:4].tolist()
            self._known.append(_Boxes(confidence, size, row[4:], int(num_boxes), int(num_frames)))

    def check(self, now_s: float, learn: bool, quiet: bool) -> Finding | None:
        """Look at the last windows, at the end of a block.

        Args:
            now_s: observed time.
            learn: the picture is as usual, so what is seen may be learnt.
            quiet: the picture has drifted; that explains what the model sees, so nothing new is said.
        """
        boxes = _Boxes.of([sample for _, sample in self._samples]) if self._samples else None
        if boxes is None:
            return None
        found = self._against_normal(boxes)
        if found.score < 1 and self._training is not None:
            found = max(found, self._against_training(self._training), key=lambda each: each.score)
        score = 0.0 if found.cause in self._settings.ignore else found.score
        if quiet and self.episode.cause is None:
            # What the model saw meanwhile must not be taken for the present when the picture is as usual again.
            self._samples.clear()
            self.episode.close()
            return None
        step = self.episode.step(now_s, score, found.cause, now_s - WINDOWS * self._settings.window_s)
        if learn and not self.episode.suspected:
            self._known.append(boxes)
        return None if step not in ("raise", "clear") else Finding(
            step, found.cause, found.against, found.score, found.text, found.statistics,
            boxes.num_boxes, float(boxes.num_frames),
        )  # fmt: skip

    def _against_normal(self, boxes: _Boxes) -> Finding:
        # Blocks overlap with the windows before them: only those that came before all of these.
        known = list(self._known)[:-WINDOWS]
        if len(known) < MIN_BLOCKS:
            return Finding("raise")
        confidence = np.array([each.confidence for each in known])
        size = np.array([each.size for each in known])
        mix = np.sum([each.classes / each.classes.sum() for each in known], axis=0)
        apart = np.array([
            [abs(each.confidence - np.median(confidence)), abs(each.size - np.median(size)),
             jensen_shannon(each.classes, mix)] for each in known
        ])  # fmt: skip
        limits = np.maximum(_LEAST, natural_deviation(apart, 0.12 * _LEAST)[1]) * self._factors
        fall = (np.median(confidence) - boxes.confidence) / limits[0]
        grown = abs(boxes.size - np.median(size)) / limits[1]
        other = jensen_shannon(boxes.classes, mix) / limits[2]
        statistics = (
            _statistic("confidence", float(np.median(confidence)), boxes.confidence, -fall),
            _statistic("size", float(np.exp(np.median(size))), float(np.exp(boxes.size)), grown),
            _statistic("class_mix", 0.0, jensen_shannon(boxes.classes, mix), other),
        )
        if fall >= max(grown, other):
            text = f"confidence {np.median(confidence):.2f} → {boxes.confidence:.2f}"
            return Finding("raise", "low_confidence", "normal", float(fall), text, statistics)
        then, now = self._labels[int(mix.argmax())], self._labels[int(boxes.classes.argmax())]
        mostly = f"mostly {then} → mostly {now}" if then != now else f"other shares of classes, mostly {now}"
        ratio = np.exp(boxes.size - np.median(size))
        text = mostly if other > grown else f"objects are {ratio:.1f} times as large"
        return Finding("raise", "other_objects", "normal", float(max(grown, other)), text, statistics)

    def _against_training(self, training: TrainingNormal) -> Finding:
        """Say how much of what the model is unsure of is of a size, shape or class that training did not have."""
        samples = [sample for _, sample in self._samples]
        if self._labels != training.labels or training.class_counts.sum() < MIN_BOXES:
            return Finding("raise")
        columns = np.concatenate([sample.columns for sample in samples], axis=1)
        if np.median(columns[_CONFIDENCE]) >= training.low_confidence:
            # Unusual perhaps, but the model knows them.
            return Finding("raise")
        class_id = np.concatenate([sample.class_id for sample in samples])
        rare = training.class_counts < 0.005 * training.class_counts.sum()
        size, aspect = columns[_SIZE], columns[_ASPECT]
        unknown = (
            rare[class_id]
            | (size < training.size_range[0]) | (size > training.size_range[1])
            | (aspect < training.aspect_range[0]) | (aspect > training.aspect_range[1])
        )  # fmt: skip
        share = float(unknown.mean())
        statistics = (_statistic("unknown_objects", 0.02, share, share / LEAST_UNKNOWN),)
        text = f"{share:.0%} of the objects are of a size, shape or class that was not trained"
        return Finding(
            "raise", "other_objects", "training", share / LEAST_UNKNOWN * self._settings.sensitivity, text, statistics
        )


def _statistic(name: str, then: float, now: float, score: float) -> DriftStatistic:
    return DriftStatistic(name, round(then, 3), round(now, 3), round(float(score), 2))
