"""When a change is said, and when it is taken back: only what lasts counts, in both directions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

# A drift is over when what changed is back within seven tenths of the threshold: at the threshold itself it would
# flicker.
CLEAR_BELOW = 0.7

Step = Literal["raise", "clear", "rename"]


@dataclass
class Episode:
    """One kind of drift of one camera: nothing, suspected, open.

    Times are seconds in which the camera was observed; a camera that is off does not grow older.

    Attributes:
        persist_s: how long a change must last, and how long its absence.
        cause: of the open drift; None while nothing is open.
        began_s: when the change that is open or suspected began.
        opened_s: when it was raised.
        score: of the last check.
    """

    persist_s: float
    cause: str | None = None
    began_s: float | None = None
    opened_s: float = 0.0
    score: float = 0.0
    _calm_since_s: float | None = None
    _first_s: float = 0.0
    _other: str = ""
    _other_since_s: float = 0.0

    @property
    def suspected(self) -> bool:
        """Something is going on; what is seen now must not be learnt as normal."""
        return self.began_s is not None

    def step(self, now_s: float, score: float, cause: str, changed_s: float) -> Step | None:
        """Take a check's outcome and say what follows.

        Args:
            now_s: time of the check.
            score: 1 is the threshold.
            cause: that fits best now.
            changed_s: when the change began, as far as this check can tell.
        """
        self.score = score
        if self.cause is None:
            if score < 1:
                self.began_s = None
                return None
            if self.began_s is None:
                self.began_s = min(changed_s, now_s)
                self._calm_since_s = None
                self._first_s = now_s
            if now_s - self._first_s < self.persist_s:
                return None
            self.cause, self.opened_s, self._other = cause, now_s, cause
            return "raise"
        if score >= CLEAR_BELOW:
            self._calm_since_s = None
            return self._rename(now_s, score, cause)
        if self._calm_since_s is None:
            self._calm_since_s = now_s
        return "clear" if now_s - self._calm_since_s >= self.persist_s else None

    def close(self) -> None:
        """Forget the open drift."""
        self.cause = self.began_s = self._calm_since_s = None

    def _rename(self, now_s: float, score: float, cause: str) -> Step | None:
        """Give the drift another name when another cause has fitted better for long."""
        if cause != self._other:
            self._other, self._other_since_s = cause, now_s
        if cause == self.cause or score < 1 or now_s - self._other_since_s < 2 * self.persist_s:
            return None
        return "rename"
