"""The way from a camera's samples to its drift monitor, and of verdicts back: in this process, or in an actor."""

from __future__ import annotations

import logging
import threading
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from engine.drift.monitor import DriftMonitor, DriftVerdict
    from engine.drift.sample import DriftSample
    from engine.drift.state import StateFolder

logger = logging.getLogger(__name__)


class DriftPort(Protocol):
    """Takes samples and gives verdicts; may be called from any thread, and never raises."""

    def observe(self, camera: str, samples: Sequence[DriftSample]) -> None:
        """Take a camera's samples, in order; quick, may only queue them."""

    def verdicts(self, camera: str) -> list[DriftVerdict]:
        """Give what has come back since the last call, in order."""

    def num_left_out(self, camera: str) -> int:
        """Say how many samples could not be looked at so far."""

    def close(self) -> None:
        """Save what was learnt."""


class LocalDrift:
    """Monitors in this process: samples are looked at while `observe` runs.

    What goes wrong in a monitor is logged once a camera and never reaches who calls.

    Args:
        monitors: by camera; cameras may share one.
        state: what the monitors remember in, closed with them.
    """

    def __init__(self, monitors: Mapping[str, DriftMonitor], state: StateFolder | None = None) -> None:
        self._monitors = monitors
        self._state = state
        self._lock = threading.Lock()
        self._verdicts: defaultdict[str, list[DriftVerdict]] = defaultdict(list)
        self._left_out: Counter[str] = Counter()

    def observe(self, camera: str, samples: Sequence[DriftSample]) -> None:
        """See DriftPort."""
        with self._lock:
            try:
                self._verdicts[camera] += self._monitors[camera].observe(camera, samples)
            except Exception as error:
                if camera not in self._left_out:
                    text = f"{type(error).__name__}: {error}"
                    logger.warning("camera '%s': the drift monitor failed, the rest goes on: %s", camera, text)
                self._left_out[camera] += len(samples)

    def verdicts(self, camera: str) -> list[DriftVerdict]:
        """See DriftPort."""
        with self._lock:
            return self._verdicts.pop(camera, [])

    def num_left_out(self, camera: str) -> int:
        """See DriftPort."""
        return self._left_out[camera]

    def close(self) -> None:
        """See DriftPort."""
        with self._lock:
            for monitor in dict.fromkeys(self._monitors.values()):
                try:
                    monitor.save()
                except Exception as error:
                    logger.warning("what is normal for the cameras could not be saved: %s", error)
            if self._state is not None:
                self._state.close()
