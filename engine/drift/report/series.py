"""What was sampled of a camera, as columns along one axis of time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from engine.detection_statistics import DETECTION_STATISTICS
from engine.detections import label_of
from engine.drift.sample import PICTURE_STATISTICS, DriftSample

SERIES_STATISTICS = (*PICTURE_STATISTICS, "count", *DETECTION_STATISTICS)
"""Everything that has columns: one number a sample, and from `confidence` on one number a box."""

# Film strips are for looking at: more pictures than this are thinned out evenly.
_MAX_PICTURES = 32
# Before it no camera was digital: a clock that says less counts from when the recording began.
_FIRST_UNIX_S = 631_152_000.0


@dataclass(frozen=True, eq=False)
class Series:
    """N samples in order, with M boxes.

    Attributes:
        elapsed_s: float64 (N,), seconds since the first sample; the time between recordings or connections is left out.
        unix_s: float64 (N,), capture time in seconds since 1970; NaN where the time of day is not known.
        values: float32 (N,) by name, the picture's statistics and `count`; NaN where there is none.
        boxes: float32 (M,) by name, those of boxes.
        sample: (M,), position of the box's sample.
        class_name: (M,), words.
    """

    elapsed_s: NDArray[np.float64]
    unix_s: NDArray[np.float64]
    values: Mapping[str, NDArray[np.float32]]
    boxes: Mapping[str, NDArray[np.float32]]
    sample: NDArray[np.intp]
    class_name: NDArray[np.str_]

    def __len__(self) -> int:
        return len(self.elapsed_s)

    @property
    def length_s(self) -> float:
        """Seconds from the first sample to the last; 0 without any."""
        return float(self.elapsed_s[-1] - self.elapsed_s[0]) if len(self) else 0.0

    def between(self, start_s: float, stop_s: float) -> Series:
        """Give the samples of [start_s, stop_s) of the axis, with their boxes."""
        first, last = np.searchsorted(self.elapsed_s, (start_s, stop_s))
        rows = slice(int(first), int(last))
        kept = (self.sample >= first) & (self.sample < last)
        return Series(
            self.elapsed_s[rows],
            self.unix_s[rows],
            {name: column[rows] for name, column in self.values.items()},
            {name: column[kept] for name, column in self.boxes.items()},
            self.sample[kept] - first,
            self.class_name[kept],
        )

    def column(self, name: str) -> NDArray[np.float32]:
        """Give the values of a statistic that are numbers, one a sample or one a box."""
        column = self.values[name] if name in self.values else self.boxes[name]
        return column[np.isfinite(column)]

    def over_time(self, name: str) -> NDArray[np.float64]:
        """Give a statistic as one number a sample: a box's is the median of the sample's boxes, NaN without any."""
        if name in self.values:
            return self.values[name].astype(np.float64)
        out = np.full(len(self), np.nan)
        rows, starts = np.unique(self.sample, return_index=True)
        for row, column in zip(rows, np.split(self.boxes[name], starts[1:]), strict=False):
            out[row] = np.median(column)
        return out

    def columns(self) -> dict[str, NDArray[np.float32] | NDArray[np.str_]]:
        """Give every column by name, and `class` for what the boxes hold."""
        return {**self.values, **self.boxes, "class": self.class_name}


@dataclass
class SeriesLog:
    """Collects samples, and some of their previews."""

    _pictures: list[tuple[float, bytes]] = field(default_factory=list)
    _latest: tuple[float, bytes] | None = None
    _elapsed_s: list[float] = field(default_factory=list)
    _samples: list[DriftSample] = field(default_factory=list)
    _every: int = 1
    _num_previews: int = 0
    _offset_s: float = 0.0

    def __len__(self) -> int:
        return len(self._samples)

    def add(self, sample: DriftSample) -> float:
        """Take the next sample; give its place on the axis of time in seconds."""
        before = self._samples[-1] if self._samples else None
        if before is None:
            self._offset_s = -sample.pts_s
        elif sample.epoch != before.epoch:
            # As if the pause had lasted as long as the step between two samples.
            step_s = self._elapsed_s[-1] - self._elapsed_s[-2] if len(self) > 1 else 1.0
            self._offset_s = self._elapsed_s[-1] + step_s - sample.pts_s
        elapsed_s = sample.pts_s + self._offset_s
        if sample.preview is not None:
            self._keep(elapsed_s, sample.preview)
        # What is large is not needed again.
        slim = DriftSample(
            sample.epoch, sample.pts_s, sample.unix_s, sample.clock, sample.size_wh, sample.values, sample.boxes
        )
        self._samples.append(slim)
        self._elapsed_s.append(elapsed_s)
        return elapsed_s

    def find(self, pts_s: float, at: int) -> float:
        """Give the place of a stream time that sample `at` speaks of: in its epoch, or the last one that had it."""
        epoch = self._samples[at].epoch
        for sample, elapsed_s in zip(
            reversed(self._samples[: at + 1]), reversed(self._elapsed_s[: at + 1]), strict=True
        ):
            if sample.pts_s <= pts_s:
                return min(elapsed_s + pts_s - sample.pts_s, self._elapsed_s[at])
            if sample.epoch != epoch:
                epoch = sample.epoch
        return self._elapsed_s[0]

    def series(self) -> Series:
        """Give what has been collected as columns."""
        samples = self._samples
        unix_s = np.array([one.unix_s for one in samples], np.float64)
        unix_s[unix_s < _FIRST_UNIX_S] = np.nan
        table = np.array([one.values for one in samples], np.float32).reshape(-1, len(PICTURE_STATISTICS))
        looked = [(row, one.boxes) for row, one in enumerate(samples) if one.boxes is not None]
        count = np.full(len(samples), np.nan, np.float32)
        for row, boxes in looked:
            count[row] = len(boxes.class_id)
        columns = [boxes.columns for _, boxes in looked]
        table_of_boxes = np.concatenate(columns, axis=1) if columns else np.zeros((len(DETECTION_STATISTICS), 0), "f4")
        names = [label_of(boxes.labels, int(one)) for _, boxes in looked for one in boxes.class_id]
        return Series(
            np.array(self._elapsed_s, np.float64),
            unix_s,
            {**dict(zip(PICTURE_STATISTICS, table.T, strict=True)), "count": count},
            dict(zip(DETECTION_STATISTICS, table_of_boxes.astype(np.float32), strict=True)),
            np.array([row for row, boxes in looked for _ in boxes.class_id], np.intp),
            np.array(names, np.str_),
        )

    @property
    def pictures(self) -> list[tuple[float, bytes]]:
        """Previews (JPEG) with their times, evenly spread, and always the last."""
        if self._latest is None or self._latest == self._pictures[-1]:
            return list(self._pictures)
        return [*self._pictures, self._latest]

    def _keep(self, elapsed_s: float, preview: bytes) -> None:
        self._latest = (elapsed_s, preview)
        if self._num_previews % self._every == 0:
            self._pictures.append(self._latest)
        self._num_previews += 1
        if len(self._pictures) > _MAX_PICTURES:
            self._pictures = self._pictures[::2]
            self._every *= 2


def quantiles(column: NDArray[np.float32], shares: Sequence[float] = (0.05, 0.5, 0.95)) -> tuple[float, ...] | None:
    """Give quantiles of a column of numbers; None of an empty one."""
    return tuple(np.quantile(column, shares).tolist()) if len(column) else None
