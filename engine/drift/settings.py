"""What can be set about drift: the `drift:` of a configuration."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from engine.drift.causes import CAUSES
from engine.load import did_you_mean


@dataclass(frozen=True)
class DriftSettings:
    """How a camera is watched for drift. The defaults are explained in docs/drift.md.

    Attributes:
        window_s: seconds of stream time that stand for the present.
        settle_s: seconds of stream time after which a new camera's own normal is used.
        every_s: seconds between samples; `auto` follows how fast the picture changes, from 1 to 4.
        sensitivity: 2 raises at half the change, 0.5 at twice the change.
        thresholds: by statistic, a factor on its threshold: `{sharpness: 2}` needs twice the change.
        ignore: causes that are never raised.
        pictures: events carry a small picture of then and now; false keeps pictures out of them.
        reference: bundle whose training data is compared with; by default that of the camera's detector.
        state: folder in which a live camera's normal survives a restart; by default one of the user's own.
    """

    window_s: float = 60.0
    settle_s: float = 120.0
    every_s: float | Literal["auto"] = "auto"
    sensitivity: float = 1.0
    thresholds: Mapping[str, float] = field(default_factory=dict)
    ignore: tuple[str, ...] = ()
    pictures: bool = True
    reference: str | None = None
    state: str | None = None

    def __post_init__(self) -> None:
        for name in ("window_s", "settle_s", "sensitivity"):
            value = getattr(self, name)
            if not (value > 0 and math.isfinite(value)):
                raise ValueError(f"{name}: must be above 0, got {value}")
        if self.every_s != "auto" and not 0 < self.every_s <= self.window_s / 10:
            raise ValueError(
                f"every_s: a window of {self.window_s:g} s needs at least ten samples, so from 0 to "
                f"{self.window_s / 10:g}, got {self.every_s:g}"
            )
        if self.thresholds:
            # Late: what is set is read long before numbers are.
            from engine.drift.diagnosis import MEASURES
            from engine.drift.objects import OBJECT_MEASURES

            known = (*MEASURES, *OBJECT_MEASURES)
            for name, factor in self.thresholds.items():
                if name not in known:
                    raise ValueError(f"thresholds: nothing is measured as '{name}'{did_you_mean(name, known)}")
                if not (factor > 0 and math.isfinite(factor)):
                    raise ValueError(f"thresholds.{name}: must be above 0, got {factor:g}")
        for cause in self.ignore:
            if cause not in CAUSES:
                raise ValueError(f"ignore: no cause is called '{cause}'{did_you_mean(cause, CAUSES)}")
