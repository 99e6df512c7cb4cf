"""The drift monitor: one for a run or a cluster, with every camera's normal."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from engine.drift.camera import CameraMonitor, DriftCheck, DriftVerdict
from engine.drift.sample import PICTURE_STATISTICS, DriftSample
from engine.drift.settings import DriftSettings
from engine.drift.training_normal import TrainingNormal

if TYPE_CHECKING:
    from engine.drift.state import StateFolder

__all__ = ["CameraDrift", "DriftCheck", "DriftMonitor", "DriftVerdict"]

logger = logging.getLogger(__name__)

SAVE_EVERY_S = 300.0
NUM_TOP = 4


@dataclass(frozen=True)
class CameraDrift:
    """How a camera is, for tables.

    Attributes:
        state: of the camera.
        settled: share of the settling time that is over.
        causes: of what is raised: cause, text, against, score, since_unix_s.
        score: of the last check; 1 is the threshold.
        top: what changed most in the last check: name, score, and for statistics of the picture the medians then and
            now.
        samples: taken so far.
        unusable: samples that held no numbers.
        every_s: seconds between samples, lately.
        last_unix_s: capture time of the last sample; None before the first.
        normal_s: seconds of normal life that are known.
        hours: of the day (UTC) that have a normal of their own.
    """

    state: Literal["settling", "normal", "drift"]
    settled: float
    causes: tuple[Mapping[str, Any], ...]
    score: float
    top: tuple[Mapping[str, Any], ...]
    samples: int
    unusable: int
    every_s: float
    last_unix_s: float | None
    normal_s: float
    hours: tuple[int, ...]

    def to_dict(self) -> dict[str, Any]:
        """Give plain JSON."""
        return {name: list(value) if isinstance(value, tuple) else value for name, value in vars(self).items()}


class DriftMonitor:
    """Watches cameras, each on its own: how one does never changes what is said of another.

    Args:
        settings: for all of them.
        training: by camera, what its model was trained on, where that is known.
        store: remembers what is normal, where it is to survive a restart.
        keep_checks: how many checks of a camera `history` holds.
    """

    def __init__(
        self,
        settings: DriftSettings,
        training: Mapping[str, TrainingNormal] | None = None,
        store: StateFolder | None = None,
        keep_checks: int = 360,
    ) -> None:
        self._settings = settings
        self._training = training or {}
        self._store = store
        self._keep_checks = keep_checks
        self._cameras: dict[str, CameraMonitor] = {}
        self._since_unix_s: dict[tuple[str, str], float] = {}
        self._saved_s: dict[str, float] = {}
        self._requests: set[str] = set()

    def observe(self, camera: str, samples: Sequence[DriftSample]) -> list[DriftVerdict]:
        """Take a camera's next samples, in order, and say what follows."""
        watched = self._cameras.get(camera)
        if watched is None:
            watched = self._cameras[camera] = self._begin(camera)
        verdicts = self.accept(camera) if self._asked(camera) else []
        for sample in samples:
            for verdict in watched.observe(sample):
                self._note(camera, verdict, sample)
                verdicts.append(verdict)
        if self._store is not None:
            settled = watched.settled >= 1 and camera not in self._saved_s
            if verdicts or settled or watched.now_s - self._saved_s.get(camera, 0.0) >= SAVE_EVERY_S:
                self.save(camera)
            self._store.write_status(camera, self._status(camera, watched).to_dict())
        return verdicts

    def history(self, camera: str) -> list[DriftCheck]:
        """Give the last checks of a camera; none for one that was never seen."""
        watched = self._cameras.get(camera)
        return [] if watched is None else list(watched.history)

    def status(self) -> dict[str, CameraDrift]:
        """Say how each camera is."""
        return {camera: self._status(camera, watched) for camera, watched in self._cameras.items()}

    def accept(self, camera: str) -> list[DriftVerdict]:
        """Take a camera's present for its normal, and say that what is raised is over."""
        self._since_unix_s = {key: since for key, since in self._since_unix_s.items() if key[0] != camera}
        watched = self._cameras.get(camera)
        return [] if watched is None else watched.accept()

    def save(self, camera: str | None = None) -> None:
        """Remember what is normal for a camera, or for all; nothing without a store."""
        if self._store is None:
            return
        for name in self._cameras if camera is None else [camera]:
            watched = self._cameras[name]
            arrays, facts = watched.pack()
            since = {cause: unix_s for (of, cause), unix_s in self._since_unix_s.items() if of == name}
            self._store.save(name, arrays, {**facts, "since_unix_s": since})
            self._saved_s[name] = watched.now_s

    def _begin(self, camera: str) -> CameraMonitor:
        watched = CameraMonitor(self._settings, self._training.get(camera), self._keep_checks)
        found = self._store.load(camera) if self._store is not None else None
        if found is not None:
            try:
                watched.restore(*found)
                self._since_unix_s |= {(camera, cause): float(s) for cause, s in found[1]["since_unix_s"].items()}
            except (KeyError, ValueError, TypeError) as error:
                logger.warning("camera '%s': what was remembered of it does not fit this version (%s); it settles anew",
                               camera, error)  # fmt: skip
                watched = CameraMonitor(self._settings, self._training.get(camera), self._keep_checks)
        return watched

    def _asked(self, camera: str) -> bool:
        """Say whether somebody has asked for the camera's present to be taken for normal."""
        if self._store is None:
            return False
        # Looking costs a system call or two; samples come a second apart at most.
        self._requests |= {request.camera for request in self._store.take_requests() if request.what == "accept"}
        if camera not in self._requests:
            return False
        self._requests.discard(camera)
        return True

    def _note(self, camera: str, verdict: DriftVerdict, sample: DriftSample) -> None:
        key = (camera, verdict.part.cause)
        if verdict.type == "drift.raised":
            self._since_unix_s[key] = sample.unix_s
        else:
            self._since_unix_s.pop(key, None)

    def _status(self, camera: str, watched: CameraMonitor) -> CameraDrift:
        check = watched.history[-1] if watched.history else None
        scores = sorted(check.scores.items(), key=lambda item: -abs(item[1]))[:NUM_TOP] if check is not None else []
        causes = tuple(
            {"cause": part.cause, "text": part.text, "against": part.against, "score": part.score,
             "since_unix_s": self._since_unix_s.get((camera, part.cause))}
            for part in watched.open
        )  # fmt: skip
        return CameraDrift(
            state="drift" if causes else "normal" if watched.settled >= 1 else "settling",
            settled=round(watched.settled, 2),
            causes=causes,
            score=round(check.score, 2) if check is not None else 0.0,
            top=tuple(_measure(name, score, watched) for name, score in scores),
            samples=watched.num_samples,
            unusable=watched.num_unusable,
            every_s=round(watched.every_s, 2),
            last_unix_s=watched.last.unix_s if watched.last is not None else None,
            normal_s=round(watched.normal_s),
            hours=watched.normal.hours,
        )


def _measure(name: str, score: float, watched: CameraMonitor) -> dict[str, Any]:
    out: dict[str, Any] = {"name": name, "score": round(score, 2)}
    if watched.medians is not None and name in PICTURE_STATISTICS:
        then, now = (float(medians[PICTURE_STATISTICS.index(name)]) for medians in watched.medians)
        out |= {"then": round(then, 3), "now": round(now, 3)}
    return out
