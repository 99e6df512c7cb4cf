"""Samples, monitors and reports for the tests of drift reports."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from engine.bundle import ABOUT, write_bundle
from engine.detection_statistics import DETECTION_STATISTICS
from engine.drift.causes import CAUSES
from engine.drift.diagnosis import MEASURES
from engine.drift.monitor import CameraDrift, DriftCheck, DriftVerdict
from engine.drift.report.parts import Check, DriftReport, Finding
from engine.drift.report.series import SeriesLog
from engine.drift.sample import PICTURE_STATISTICS, BoxSample, DriftSample
from engine.drift.settings import DriftSettings
from engine.drift.training_normal import TrainingNormal
from engine.event import DriftPart, DriftStatistic, DriftWindow
from engine.onnx_import import ImportOptions, describe_onnx
from engine.reference import ReferenceStatistics
from tests.engine.test_reference import reference as make_reference
from tests.tiny_models import save_yolox

LABELS = ("person", "car")
JPEG = b"\xff\xd8 a picture \xff\xd9"


def make_sample(
    pts_s: float,
    epoch: int = 0,
    *,
    boxes: Sequence[int] | None = (0, 1),
    confidence: float = 0.8,
    unix_s: float | None = None,
    preview: bytes | None = None,
    **values: float,
) -> DriftSample:
    """A sample whose statistics are all 10 but for `values`; `boxes` are the classes of its boxes."""
    numbers = np.array([values.get(name, 10.0) for name in PICTURE_STATISTICS], np.float32)
    seen = None
    if boxes is not None:
        columns = np.full((len(DETECTION_STATISTICS), len(boxes)), 0.5, np.float32)
        columns[DETECTION_STATISTICS.index("confidence")] = confidence
        seen = BoxSample(columns, np.array(boxes, np.intp), LABELS)
    unix_s = pts_s if unix_s is None else unix_s
    return DriftSample(epoch, pts_s, unix_s, "container", (64, 48), numbers, seen, preview=preview)


def make_part(cause: str = "blurred", **fields: Any) -> DriftPart:
    statistics = (DriftStatistic("sharpness", 10.0, 2.0, -3.0),)
    window = DriftWindow(0.0, 60.0, 60, 12.5)
    against = fields.pop("against", "normal")
    return DriftPart(cause, CAUSES[cause], against, fields.pop("score", 3.0), window, statistics, **fields)


def training(**medians: float) -> ReferenceStatistics:
    """Training pictures whose statistics are all between 9 and 11, but for those around other medians."""
    found = make_reference()
    rng = np.random.default_rng(0)
    for columns in (found.samples, found.boxes):
        for name, column in columns.items():
            middle = medians.get(name, 0.8 if name == "confidence" else 0.5 if columns is found.boxes else 10.0)
            column[:] = middle * (1 + 0.1 * rng.uniform(-1, 1, len(column)))
    found.samples["count"][:] = 2
    return found


def make_report(samples: Iterable[DriftSample], **fields: Any) -> DriftReport:
    log = SeriesLog()
    for sample in samples:
        log.add(sample)
    settings = fields.pop("settings", DriftSettings(window_s=20, settle_s=20))
    made_at = dt.datetime(2026, 11, 22, 8, 0, tzinfo=dt.UTC)
    defaults: dict[str, Any] = {"settled": 1.0, "pictures": log.pictures, "model": "nano"}
    return DriftReport(
        "gate", "gate.mp4", made_at=made_at, settings=settings, series=log.series(), **{**defaults, **fields}
    )


def blurred(cleared_s: float | None = None, **fields: Any) -> DriftReport:
    """A minute that is sharp at first and blurred from second 30 on, or until it has cleared."""
    stop_s = 60.0 if cleared_s is None else cleared_s
    samples = [make_sample(t, sharpness=2.0 if 30 <= t < stop_s else 10.0, preview=JPEG) for t in range(60)]
    part = make_part(picture="data:image/jpeg;base64,AAAA", moved_px=None)
    checks = [Check(t, 3.0 if t >= 30 else 0.2, {"sharpness": -3.0 if t >= 30 else 0.1}) for t in range(20, 60, 5)]
    found = [Finding(part, 30.0, 40.0, cleared_s)]
    return make_report(samples, **{"checks": checks, "findings": found, **fields})


class ScriptedMonitor:
    """Says what it was told at its k-th sample; checks at every second one."""

    def __init__(self, verdicts: Mapping[int, DriftVerdict]) -> None:
        self.settings = DriftSettings()
        self.training: Mapping[str, TrainingNormal] = {}
        self.seen: list[DriftSample] = []
        self._verdicts = verdicts
        self._history: list[DriftCheck] = []

    def make(self, settings: DriftSettings, training: Mapping[str, TrainingNormal]) -> ScriptedMonitor:
        self.settings, self.training = settings, training
        return self

    def observe(self, camera: str, samples: Sequence[DriftSample]) -> list[DriftVerdict]:
        out = []
        for sample in samples:
            if len(self.seen) in self._verdicts:
                out.append(self._verdicts[len(self.seen)])
            self.seen.append(sample)
            if len(self.seen) % 2 == 0:
                values = np.zeros(len(MEASURES), np.float32)
                self._history.append(DriftCheck(sample.pts_s, sample.pts_s, float(len(self.seen)), values))
                # As the real one forgets.
                del self._history[:-4]
        return out

    def history(self, camera: str) -> list[DriftCheck]:
        return list(self._history)

    def status(self) -> dict[str, CameraDrift]:
        return {"gate": CameraDrift("normal", 1.0, (), 0.0, (), len(self.seen), 0, 1.0, None, 0.0, ())}


def save_bundle(folder: Path, reference: ReferenceStatistics | None = None) -> Path:
    """Write a tiny bundle that sees `blue` and `red` squares."""
    folder.mkdir(parents=True)
    found = describe_onnx(save_yolox(folder / "tiny.onnx"), ImportOptions(labels=("blue", "red")))
    files = {"onnx": folder / "tiny.onnx"}
    if reference is not None:
        files["reference"] = folder / ABOUT["reference"]
        reference.save(files["reference"])
    write_bundle(folder / "tiny", found.manifest, files)
    return folder / "tiny"
