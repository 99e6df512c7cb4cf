"""Taps: operators that only watch finished packets. What goes wrong in one never reaches the path.

A tap that has `drain` samples frames for the drift monitor, which answers now or later with verdicts.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Protocol, cast, runtime_checkable

from engine.drift.port import DriftPort
from engine.drift.sample import DriftSample
from engine.event import Event
from engine.lane import copy_step
from engine.packet import Packet
from engine.plan import PlannedStep

logger = logging.getLogger(__name__)


@runtime_checkable
class Sampler(Protocol):
    """A tap that samples frames for drift."""

    def drain(self) -> list[DriftSample]:
        """Give the samples taken since the last call, in order."""


class Taps:
    """One camera's copies of its taps.

    Args:
        camera: the camera's name.
        steps: the taps; the first that is a Sampler samples for drift.
        drift: gets the samples; None where nobody watches for drift.
    """

    def __init__(self, camera: str, steps: Iterable[PlannedStep], drift: DriftPort | None = None) -> None:
        self.num_samples = 0
        self._camera = camera
        self._steps = [copy_step(step) for step in steps]
        self._drift = drift
        self._sampler = next((step for step in self._steps if isinstance(step.operator, Sampler)), None)
        self._told: set[str] = set()

    def __bool__(self) -> bool:
        return bool(self._steps)

    @property
    def num_left_out(self) -> int:
        """Samples that the drift monitor could not look at."""
        return 0 if self._drift is None else self._drift.num_left_out(self._camera)

    def open(self) -> None:
        """Open all of them.

        Raises:
            Exception: whatever a tap raises; nothing has run yet.
        """
        for step in self._steps:
            step.operator.open()

    def watch(self, packet: Packet) -> list[Event]:
        """Show them a packet, and give what the drift monitor has to say by now.

        A tap that fails is named once and goes on watching.
        """
        for step in self._steps:
            try:
                step.operator.process(packet)
                if step is self._sampler and self._drift is not None:
                    self._hand_over(self._drift, cast(Sampler, step.operator).drain())
            except Exception as error:
                if step.name not in self._told:
                    self._told.add(step.name)
                    text = f"{type(error).__name__}: {error}"
                    logger.warning("camera '%s': tap '%s' failed, the rest goes on: %s", self._camera, step.name, text)
        return self.verdicts()

    def verdicts(self) -> list[Event]:
        """Give what has come back from the drift monitor since the last call."""
        return [] if self._drift is None else [verdict.event() for verdict in self._drift.verdicts(self._camera)]

    def close(self) -> None:
        """Close all of them."""
        for step in self._steps:
            step.operator.close()

    def _hand_over(self, drift: DriftPort, samples: list[DriftSample]) -> None:
        if samples:
            self.num_samples += len(samples)
            drift.observe(self._camera, samples)
