"""Which boxes rest on what was seen: the detector's own, and those carried over frames that the cadence skips."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from engine.packet import Packet

# More than half a microsecond, which is what a float32 of seconds can be off.
_EPSILON_S = 1e-4


class LastLook:
    """Remembers when the detector last looked at one camera."""

    def __init__(self) -> None:
        self._looked_us = 0

    def observed(self, packet: Packet) -> NDArray[np.bool_]:
        """Say which of a packet's tracks matched a detection at the last look; call it once for every packet.

        A track that was missed by that look is a prediction only, now and until a look finds it again.

        Returns:
            bool (N,), one for each row of `packet.tracks`; empty without tracks.
        """
        if packet.detections is not None:
            self._looked_us = packet.frame.pts_us
        if packet.tracks is None:
            return np.zeros(0, np.bool_)
        since_look_s = (packet.frame.pts_us - self._looked_us) / 1e6 + _EPSILON_S
        seen: NDArray[np.bool_] = packet.tracks.coasted_s <= since_look_s
        return seen
