"""Stream time: what containers and cameras deliver, turned into (epoch, pts) that only moves forward.

A `Timeline` serves one connection and has no clock of its own. Its rules, in the order in which they apply:

1. No time stated: the previous one plus the usual interval (median of the last ones, at first the declared rate).
2. The 33-bit counter of MPEG transport (90 kHz, 26.5 hours) ran over: time goes on.
3. The picture has another size, or time steps back by 1 s or more, or forward by more than 10 s: a new epoch.
4. A smaller step back, or none: the previous time plus 1 µs, counted in `steps_back`.
"""

from __future__ import annotations

import statistics
from collections import deque
from dataclasses import dataclass

from engine.frame import CaptureTime, ClockName, Frame, SourceFrame

STEP_BACK_US = 1_000_000
STEP_FORWARD_US = 10_000_000
# What a camera shows left its sensor some time before it arrived: exposure, encoder, network and the decoder's own
# queue; a few hundred milliseconds are common, and nothing in the stream itself tells.
ARRIVAL_UNCERTAINTY_MS = 500
# `creation_time` is written in whole seconds.
CREATION_TIME_UNCERTAINTY_MS = 1000

_WRAP_TICKS, _TICKS_PER_S = 2**33, 90_000
_RECENT_INTERVALS = 15
_DEFAULT_INTERVAL_US = 40_000


def next_epoch(previous: int | None, now_unix_s: float) -> int:
    """Give the epoch of a live connection made now: it grows even if nothing was stored and clocks step back."""
    now = int(now_unix_s)
    return now if previous is None else max(previous + 1, now)


@dataclass(frozen=True, slots=True)
class Anchor:
    """One moment in both times; every capture time of its epoch follows from it, so none is ever rewritten.

    Attributes:
        pts_us: stream time of the moment.
        unix_us: wall time of the same moment.
        clock: who says so.
        uncertainty_ms: how far that may be off.
    """

    pts_us: int
    unix_us: int
    clock: ClockName
    uncertainty_ms: int

    def captured(self, pts_us: int) -> CaptureTime:
        """Say when the picture at a stream time was taken."""
        return CaptureTime(self.unix_us + pts_us - self.pts_us, self.clock, self.uncertainty_ms)


class Timeline:
    """Stamps the frames of one connection, in the order in which the decoder gives them.

    Args:
        camera: goes into every frame.
        first_epoch: epoch of the first frame: 0 for a file, `next_epoch()` for a live camera.
        live: stream time counts from the first frame of each epoch and capture time from its arrival. Otherwise
            stream time is the container's, and capture time counts from `starts_unix_us`, or from 1970 without one.
        starts_unix_us: when the recording began.
        nominal_fps: the declared rate, used where times are missing and for time-lapse files, whose ordinary step
            may be longer than 10 s.

    Attributes:
        epoch: the current epoch.
        num_frames: how many frames were stamped.
        steps_back: how many frames came with a time at or before the previous one's.
    """

    def __init__(
        self,
        camera: str,
        first_epoch: int,
        live: bool,
        starts_unix_us: int | None = None,
        nominal_fps: float | None = None,
    ) -> None:
        self.camera = camera
        self.epoch = first_epoch
        self.num_frames = 0
        self.steps_back = 0
        self._live = live
        self._starts_unix_us = starts_unix_us
        self._declared_us = round(1_000_000 / nominal_fps) if nominal_fps else _DEFAULT_INTERVAL_US
        self._max_forward_us = max(STEP_FORWARD_US, 3 * self._declared_us if nominal_fps else 0)
        self._intervals_us: deque[int] = deque(maxlen=_RECENT_INTERVALS)
        self._size_wh: tuple[int, int] | None = None
        self._previous_us: int | None = None
        # What is taken off the container's time; None until the first stated time of a live epoch.
        self._origin_us: int | None = None if live else 0
        self._wraps = 0
        self._anchor: Anchor | None = None

    def stamp(self, source_frame: SourceFrame, arrived_unix_us: int | None = None) -> Frame:
        """Give the frame its place in stream time.

        Args:
            source_frame: what the source yielded next.
            arrived_unix_us: wall time of its arrival; needed for live cameras, ignored for files.

        Raises:
            ValueError: a live frame without its arrival time.
        """
        if self._live and arrived_unix_us is None:
            raise ValueError("a live frame needs its arrival time: stamp(frame, arrived_unix_us)")
        raw_us = None if source_frame.pts_s is None else round(source_frame.pts_s * 1_000_000)
        size_wh = source_frame.picture.size_wh
        if self._size_wh not in (None, size_wh):
            self._begin_epoch()
        self._size_wh = size_wh
        pts_us = self._advance(raw_us)
        if self._anchor is None:
            self._anchor = self._new_anchor(pts_us, arrived_unix_us)
        self._previous_us = pts_us
        index = self.num_frames
        self.num_frames += 1
        return Frame(
            camera=self.camera,
            epoch=self.epoch,
            index=index,
            pts_us=pts_us,
            captured=self._anchor.captured(pts_us),
            picture=source_frame.picture,
            is_key=source_frame.is_key,
            motion_vectors=source_frame.motion_vectors,
        )

    def _advance(self, raw_us: int | None) -> int:
        previous_us = self._previous_us
        expected_us = 0 if previous_us is None else previous_us + self._interval_us()
        if raw_us is None:
            return expected_us
        if self._origin_us is None:
            self._origin_us = raw_us - expected_us
            return expected_us
        pts_us = self._unwrapped(raw_us - self._origin_us)
        if previous_us is None:
            return pts_us
        step_us = pts_us - previous_us
        if not self._goes_on(step_us):
            self._begin_epoch()
            return self._advance(raw_us)
        if step_us <= 0:
            self.steps_back += 1
            return previous_us + 1
        self._intervals_us.append(step_us)
        return pts_us

    def _unwrapped(self, pts_us: int) -> int:
        if self._previous_us is None:
            return pts_us
        # One back as well: around the wrap, a late frame from before it may follow the first one after it.
        for wraps in (self._wraps, self._wraps + 1, self._wraps - 1):
            unwrapped_us = pts_us + _wrapped_us(wraps)
            if self._goes_on(unwrapped_us - self._previous_us):
                self._wraps = wraps
                return unwrapped_us
        return pts_us + _wrapped_us(self._wraps)

    def _goes_on(self, step_us: int) -> bool:
        return -STEP_BACK_US < step_us <= self._max_forward_us

    def _begin_epoch(self) -> None:
        self.epoch += 1
        self._previous_us = self._anchor = None
        self._origin_us = None if self._live else 0
        self._wraps = 0

    def _interval_us(self) -> int:
        return round(statistics.median(self._intervals_us)) if self._intervals_us else self._declared_us

    def _new_anchor(self, pts_us: int, arrived_unix_us: int | None) -> Anchor:
        # The seam for a better clock: a sender report would make another Anchor for the next epoch.
        if self._live and arrived_unix_us is not None:
            return Anchor(pts_us, arrived_unix_us, "arrival", ARRIVAL_UNCERTAINTY_MS)
        if self._starts_unix_us is not None:
            return Anchor(0, self._starts_unix_us, "container", CREATION_TIME_UNCERTAINTY_MS)
        return Anchor(0, 0, "container", 0)


def _wrapped_us(wraps: int) -> int:
    return wraps * _WRAP_TICKS * 1_000_000 // _TICKS_PER_S
