"""Worsen a video, frame by frame, by any mixture of conditions and incidents."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from engine.errors import UsageError
from engine.load import did_you_mean
from engine.picture import Pixels
from training.augment.conditions import CONDITIONS
from training.augment.incidents import INCIDENTS

FROZEN = "frozen"
"""The same picture again and again; needs a video."""

_IN_FRONT_OF_THE_LENS = ("night", "dusk", "fog", "rain")
# As light meets them: the view, weather, what hangs before the lens, lens, sensor, coder, and what no longer changes.
WORSENINGS = (
    "moved", *_IN_FRONT_OF_THE_LENS, "covered",
    *(name for name in CONDITIONS if name not in _IN_FRONT_OF_THE_LENS), FROZEN,
)  # fmt: skip
"""Every name, in the order in which several are applied."""

_EFFECTS = {**CONDITIONS, **INCIDENTS}


class Worsening:
    """What happens to the frames of one video; `frozen` keeps the first picture it is given.

    Args:
        names: of `WORSENINGS`, in any order.
        strength: 0 to 1.
        seed: of what is random; the same seed gives the same pixels.

    Raises:
        UsageError: no name, or an unknown one.
    """

    def __init__(self, names: Sequence[str], strength: float, seed: int) -> None:
        if not names:
            raise UsageError(f"names no condition; known: {', '.join(WORSENINGS)}")
        for name in names:
            if name not in WORSENINGS:
                raise UsageError(f"unknown condition '{name}'{did_you_mean(name, WORSENINGS)}")
        self._names = [name for name in WORSENINGS if name in names]
        self._strength = strength
        self._seed = seed
        self._frozen: Pixels | None = None

    def __call__(self, bgr: Pixels, index: int, share: float = 1.0) -> Pixels:
        """Worsen a frame.

        Args:
            bgr: uint8 (h, w, 3); not written to.
            index: of the frame, which decides its grain, drops and shake.
            share: of the strength, 0 to 1. At 0 the frame stays as it is, and a frozen picture thaws.
        """
        if share == 0 or self._strength == 0:
            self._frozen = None
            return bgr
        rng = np.random.default_rng((self._seed, index))
        for name in self._names:
            if name == FROZEN:
                self._frozen = bgr = bgr if self._frozen is None else self._frozen
            else:
                bgr = _EFFECTS[name].apply(bgr, share * self._strength, rng, scene=self._seed)
        return bgr


@dataclass(frozen=True)
class Stretch:
    """When in a video something happens, in seconds from its start.

    Attributes:
        from_s: when it begins.
        to_s: when it is over.
        ramp_s: how long it takes to come, and to go.
    """

    from_s: float = 0.0
    to_s: float = math.inf
    ramp_s: float = 0.0

    def share(self, at_s: float) -> float:
        """Say how much of it there is at a time, 0 to 1."""
        if not self.from_s <= at_s < self.to_s:
            return 0.0
        if self.ramp_s == 0:
            return 1.0
        return min(1.0, (at_s - self.from_s) / self.ramp_s, (self.to_s - at_s) / self.ramp_s)
