"""Taps: operators that only watch finished packets. What goes wrong in one never reaches the path."""

from __future__ import annotations

import logging
from collections.abc import Iterable

from engine.lane import copy_step
from engine.packet import Packet
from engine.plan import PlannedStep

logger = logging.getLogger(__name__)


class Taps:
    """One camera's copies of its taps."""

    def __init__(self, camera: str, steps: Iterable[PlannedStep]) -> None:
        self._camera = camera
        self._steps = [copy_step(step) for step in steps]
        self._told: set[str] = set()

    def __bool__(self) -> bool:
        return bool(self._steps)

    def open(self) -> None:
        """Open all of them.

        Raises:
            Exception: whatever a tap raises; nothing has run yet.
        """
        for step in self._steps:
            step.operator.open()

    def watch(self, packet: Packet) -> None:
        """Show them a packet; one that fails is named once and goes on watching."""
        for step in self._steps:
            try:
                step.operator.process(packet)
            except Exception as error:
                if step.name not in self._told:
                    self._told.add(step.name)
                    text = f"{type(error).__name__}: {error}"
                    logger.warning("camera '%s': tap '%s' failed, the rest goes on: %s", self._camera, step.name, text)

    def close(self) -> None:
        """Close all of them."""
        for step in self._steps:
            step.operator.close()
