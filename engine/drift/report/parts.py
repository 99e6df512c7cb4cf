"""A report on one camera's drift: what was seen, when it changed, and against what."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np

from engine.drift.report.series import SERIES_STATISTICS, Series, quantiles
from engine.drift.scale import SCALES
from engine.drift.settings import DriftSettings
from engine.event import DriftPart
from engine.reference import ReferenceStatistics

Light = Literal["green", "amber", "red", "grey"]


class OutsideReport(Protocol):
    """What another tool says about the same columns; see `operators/evidently_report.py`."""

    html: str
    json: dict[str, Any]
    drifted: list[str]
    left_out: dict[str, str]


@dataclass(frozen=True)
class Finding:
    """One change: from its verdict to the end, or until it passed. Times are places on the report's axis in seconds."""

    part: DriftPart
    began_s: float
    raised_s: float
    cleared_s: float | None = None

    def stop_s(self, end_s: float) -> float:
        """Give where it ends on an axis that ends at `end_s`."""
        return end_s if self.cleared_s is None else self.cleared_s


@dataclass(frozen=True)
class Check:
    """The monitor's score at a moment: the greatest, and of each statistic; 1 is the threshold."""

    at_s: float
    score: float
    scores: Mapping[str, float]


@dataclass(frozen=True, eq=False)
class DriftReport:
    """Everything the page and the JSON file are made of.

    Attributes:
        camera: its name.
        where: what was looked at, in words.
        model: name of the bundle; empty without a model.
        made_at: when, with its time zone.
        settings: as they were used.
        series: the samples.
        normal: those of another recording that the camera's normal was learnt from first.
        normal_where: its name.
        checks: the monitor's scores in order.
        findings: what was raised, in the order in which it began.
        settled: 0 to 1: how much of the camera's own normal is known; less than 1 means that nothing was compared with
            it.
        reference: what the model was trained on.
        pictures: (time on the axis, JPEG), evenly spread.
        notes: what a reader has to know about how this was made.
        outside: what Evidently says, None where it was not asked or could not be.
    """

    camera: str
    where: str
    model: str
    made_at: dt.datetime
    settings: DriftSettings
    series: Series
    normal: Series | None = None
    normal_where: str = ""
    checks: Sequence[Check] = ()
    findings: Sequence[Finding] = ()
    settled: float = 0.0
    reference: ReferenceStatistics | None = None
    pictures: Sequence[tuple[float, bytes]] = ()
    notes: Sequence[str] = ()
    outside: OutsideReport | None = None

    @property
    def changes(self) -> list[Finding]:
        """What was raised against the camera's own normal, in the order in which it began."""
        return [one for one in self.findings if one.part.against == "normal"]

    @property
    def unlike_training(self) -> list[Finding]:
        """What was raised against the training pictures: how the camera is, not what happened to it."""
        return [one for one in self.findings if one.part.against == "training"]

    @property
    def main(self) -> Finding | None:
        """The change that matters most: one that lasts before one that passed, and then the greatest."""
        return max(self.changes, key=lambda one: (one.cleared_s is None, one.part.score), default=None)

    @property
    def then(self) -> Series:
        """What the present is compared with: the normal recording, or what came before the change.

        Without a change it is the time in which the normal was learnt, or the first half of what is shorter.
        """
        if self.normal is not None:
            return self.normal
        stop_s = self._change[0] if self.main else min(self.settings.settle_s, self.series.length_s / 2)
        return self.series.between(-np.inf, max(stop_s, 1e-6))

    @property
    def now(self) -> Series:
        """The time of the change, or without one the last window of what there is."""
        if self.main:
            return self.series.between(*self._change)
        start_s = max(self.series.length_s - self.settings.window_s, 0.0)
        if self.normal is None:
            start_s = max(start_s, min(self.settings.settle_s, self.series.length_s / 2))
        return self.series.between(start_s, np.inf)

    @property
    def _change(self) -> tuple[float, float]:
        """Start and stop of the main change on the axis."""
        main = self.main
        assert main is not None
        return main.began_s, np.inf if main.cleared_s is None else max(main.cleared_s, main.began_s + 1e-6)

    def scores_now(self) -> dict[str, float]:
        """Give the score of each statistic at the last moment of `now`; empty where nothing was compared."""
        stop_s = self._change[1] if self.main else np.inf
        return dict(next((check.scores for check in reversed(self.checks) if check.at_s <= stop_s), {}))

    def rows(self) -> list[Row]:
        """Compare every statistic that has values now."""
        then, now, scores = self.then, self.now, self.scores_now()
        training = {} if self.reference is None else self.reference.columns()
        return [
            Row(
                name,
                quantiles(then.column(name)),
                found,
                quantiles(training[name]) if name in training else None,
                scores.get(name),
            )
            for name in SERIES_STATISTICS
            if (found := quantiles(now.column(name))) is not None
        ]


@dataclass(frozen=True)
class Row:
    """One statistic: 5 %, median and 95 % then, now and in training, and the monitor's score; None is not known."""

    name: str
    then: tuple[float, ...] | None
    now: tuple[float, ...]
    training: tuple[float, ...] | None
    score: float | None

    @property
    def outside_training(self) -> int:
        """-1 or 1 when the median lies below or above what 90 % of the training pictures are like, otherwise 0.

        Only on the side that harms: a sharper picture than all of those is none the worse for it.
        """
        if self.training is None:
            return 0
        side = int(self.now[1] > self.training[2]) - int(self.now[1] < self.training[0])
        harm = SCALES[self.name].harm if self.name in SCALES else "both"
        return side if harm in ("both", "high" if side > 0 else "low") else 0

    @property
    def beyond_training(self) -> float:
        """How far the median lies outside of those 90 %, in widths of their range; 0 inside."""
        if self.training is None:
            return 0.0
        least, most = self.training[0], self.training[2]
        return max(self.now[1] - most, least - self.now[1], 0.0) / max(most - least, 1e-9)

    @property
    def outside_then(self) -> int:
        """-1 or 1 when the median lies below or above what was usual before, otherwise 0."""
        if self.then is None:
            return 0
        return int(self.now[1] > self.then[2]) - int(self.now[1] < self.then[0])

    @property
    def change(self) -> float | None:
        """The score, or 1 or -1 outside of what was usual where the monitor has none; None is not known."""
        return self.score if self.score is not None or self.then is None else float(self.outside_then)
