"""Making a drift report: the drift monitor watches samples, and what it says is gathered."""

from __future__ import annotations

import datetime as dt
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from engine.drift.monitor import CameraDrift, DriftCheck, DriftMonitor, DriftVerdict
from engine.drift.report.parts import Check, DriftReport, Finding, OutsideReport
from engine.drift.report.series import SeriesLog
from engine.drift.report.words import length
from engine.drift.sample import DriftSample
from engine.drift.settings import DriftSettings
from engine.drift.training_normal import TrainingNormal
from engine.reference import ReferenceStatistics

# A recording shorter than its settling time and two windows is judged by shorter ones, in the same proportion, but
# fewer seconds than these would compare moments.
_MIN_WINDOW_S, _MIN_SETTLE_S = 10.0, 15.0


class Monitor(Protocol):
    """What is needed of `DriftMonitor`."""

    def observe(self, camera: str, samples: Sequence[DriftSample]) -> list[DriftVerdict]:
        """Take samples and say what follows."""

    def history(self, camera: str) -> list[DriftCheck]:
        """Give the last checks."""

    def status(self) -> dict[str, CameraDrift]:
        """Say how each camera is."""


@dataclass
class _Watch:
    """Feeds one monitor and keeps what it says, with its place on the axis of time."""

    camera: str
    monitor: Monitor
    log: SeriesLog = field(default_factory=SeriesLog)
    checks: list[Check] = field(default_factory=list)
    open: dict[tuple[str, str], Finding] = field(default_factory=dict)
    closed: list[Finding] = field(default_factory=list)
    _last: DriftCheck | None = None

    def add(self, sample: DriftSample) -> None:
        at_s = self.log.add(sample)
        verdicts = self.monitor.observe(self.camera, [sample])
        history: Sequence[DriftCheck] = self.monitor.history(self.camera)
        # The monitor may forget old ones: what is new are those after the last one seen.
        fresh = list(itertools.takewhile(lambda one: one is not self._last, reversed(history)))
        self.checks += [Check(at_s, one.score, dict(one.scores)) for one in reversed(fresh)]
        self._last = history[-1] if history else None
        for verdict in verdicts:
            self._hear(verdict, at_s)

    def _hear(self, verdict: DriftVerdict, at_s: float) -> None:
        part = verdict.part
        key = (part.against, part.cause)
        if verdict.type == "drift.raised":
            began_s = at_s if part.began_s is None else self.log.find(part.began_s, len(self.log) - 1)
            self.open[key] = Finding(part, began_s, at_s)
        elif (finding := self.open.pop(key, None)) is not None:
            self.closed.append(replace(finding, cleared_s=at_s))

    def forget(self) -> None:
        """Begin the axis anew; what was raised and lasts goes on from its start."""
        self.log = SeriesLog()
        self.checks.clear()
        self.closed.clear()
        self.open = {key: replace(one, began_s=0.0, raised_s=0.0) for key, one in self.open.items()}

    @property
    def findings(self) -> list[Finding]:
        return sorted([*self.closed, *self.open.values()], key=lambda one: (one.began_s, one.part.cause))


def make_report(
    camera: str,
    where: str,
    samples: Iterable[DriftSample],
    settings: DriftSettings,
    *,
    normal: Iterable[DriftSample] | None = None,
    normal_where: str = "",
    adjust: bool = True,
    model: str = "",
    reference: ReferenceStatistics | None = None,
    training: TrainingNormal | None = None,
    notes: Sequence[str] = (),
    make_monitor: Callable[[DriftSettings, Mapping[str, TrainingNormal]], Monitor] = DriftMonitor,
) -> DriftReport:
    """Watch samples with the drift monitor and gather what it says.

    Args:
        camera: the camera's name.
        where: what is looked at, in words.
        samples: in order, of one camera.
        settings: what may be set about drift.
        normal: samples of the same camera when all was well; they come first and are not judged.
        normal_where: where they come from, in words.
        adjust: shorten windows for footage that is too short for them; a note says so.
        model: name of the bundle.
        reference: what the model was trained on.
        training: the same, as the monitor wants it.
        notes: what a reader has to know.
        make_monitor: another one in tests.
    """
    notes = list(notes)
    if adjust:
        settings, samples, normal, adjusted = _adjust(settings, samples, normal)
        notes += adjusted
    watch = _Watch(camera, make_monitor(settings, {} if training is None else {camera: training}))
    learnt = None
    if normal is not None:
        for sample in normal:
            watch.add(sample)
        learnt = watch.log.series()
        if watch.findings:
            causes = sorted({one.part.cause.replace("_", " ") for one in watch.findings})
            notes.append(f"The recording that the normal was learnt from is not without drift: {', '.join(causes)}.")
        watch.forget()
    for sample in samples:
        watch.add(sample)
    status = watch.monitor.status().get(camera)
    return DriftReport(
        camera, where, model, dt.datetime.now().astimezone(), settings, watch.log.series(), learnt, normal_where,
        watch.checks, watch.findings, 0.0 if status is None else status.settled, reference, watch.log.pictures, notes,
    )  # fmt: skip


def compare_outside(report: DriftReport, compare: Callable[..., OutsideReport]) -> DriftReport:
    """Give the report with what another tool says: now against the training data, or where there is none, then.

    Args:
        report: made by `make_report`.
        compare: `EvidentlyReport.compare`.
    """
    if report.reference is None:
        before: dict[str, NDArray[Any]] = dict(report.then.columns())
    else:
        names = np.array(report.reference.labels, np.str_)[report.reference.class_id]
        before = {**report.reference.columns(), "class": names}
    return replace(report, outside=compare(before, report.now.columns(), categorical=("class",)))


def _adjust(
    settings: DriftSettings, samples: Iterable[DriftSample], normal: Iterable[DriftSample] | None
) -> tuple[DriftSettings, Iterable[DriftSample], Iterable[DriftSample] | None, list[str]]:
    """Fit windows to footage that is too short for them; nothing is read beyond what that takes."""
    needed_s = settings.settle_s + 2 * settings.window_s
    if normal is not None:
        normal, normal_s = _begin(normal, settings.settle_s)
        samples, length_s = _begin(samples, 2 * settings.window_s)
        settle_s = min(settings.settle_s, max(normal_s, _MIN_SETTLE_S))
        window_s = min(settings.window_s, max(length_s / 2, _MIN_WINDOW_S))
    else:
        samples, length_s = _begin(samples, needed_s)
        share = min(1.0, length_s / needed_s)
        settle_s = min(settings.settle_s, max(settings.settle_s * share, _MIN_SETTLE_S))
        window_s = min(settings.window_s, max(settings.window_s * share, _MIN_WINDOW_S))
    if (settle_s, window_s) == (settings.settle_s, settings.window_s):
        return settings, samples, normal, []
    every_s = settings.every_s if settings.every_s == "auto" else min(settings.every_s, window_s / 10)
    note = (
        f"There is less footage than usual: {length(settle_s)} stand for what is normal and {length(window_s)} for the "
        f"present, in place of {length(settings.settle_s)} and {length(settings.window_s)}. Slow changes and rare "
        f"objects may be missed."
    )
    return replace(settings, settle_s=settle_s, window_s=window_s, every_s=every_s), samples, normal, [note]


def _begin(samples: Iterable[DriftSample], needed_s: float) -> tuple[Iterator[DriftSample], float]:
    """Read until a length of time is there, or all; give the samples as if none had been read, and the length."""
    rest, head, log = iter(samples), [], SeriesLog()
    length_s = 0.0
    for sample in rest:
        head.append(sample)
        length_s = log.add(sample)
        if length_s >= needed_s:
            break
    return itertools.chain(head, rest), length_s
