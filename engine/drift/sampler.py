"""Which frames of a camera are sampled for drift, and what is kept of them.

Neighbouring frames say the same thing twice. How far apart samples must be is measured: the interval grows while each
sample still resembles the one before, and shrinks again when they differ.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from engine.detection_statistics import DETECTION_STATISTICS, measure_detections
from engine.detections import Detections
from engine.drift.sample import PREVIEW_LENGTH, BoxSample, DriftSample
from engine.drift.settings import DriftSettings
from engine.frame import Frame
from engine.frame_statistics import FRAME_STATISTICS, measure, measure_motion
from engine.packet import Packet
from engine.picture import Pixels

THUMBNAIL_EVERY_S = 5.0
PREVIEW_EVERY_S = 10.0

_PREVIEW_QUALITY = 80
_LEAST_EVERY_S = 1.0
_GREATEST_EVERY_S = 4.0
# A minute of samples tells a correlation of 0.7 from one of 0.3: its standard error is about 0.1.
_BLOCK = 60
_ALIKE = 0.7
_UNLIKE = 0.3


class DriftSampler:
    """Samples one camera's frames by stream time: the same footage gives the same samples.

    Args:
        settings: `every_s`, `window_s` and `pictures` count.
    """

    def __init__(self, settings: DriftSettings) -> None:
        self._interval = _Interval(settings)
        # A short window needs its thumbnails sooner.
        self._thumbnail_every_s = min(THUMBNAIL_EVERY_S, settings.window_s / 10)
        self._preview_every_s = min(PREVIEW_EVERY_S, settings.window_s / 4)
        self._pictures = settings.pictures
        self.num_samples = 0
        self._epoch: int | None = None
        self.reset()

    @property
    def every_s(self) -> float:
        """Seconds of stream time between two samples, as things stand."""
        return self._interval.every_s

    def reset(self) -> None:
        """Begin anew at the next frame; only the interval is kept."""
        self._last_us: int | None = None
        self._size_wh = (0, 0)
        self._thumbnail: Pixels | None = None
        # Where nobody detects there is nothing to wait for.
        self._detects = False
        self._thumbnail_due = _Due(self._thumbnail_every_s)
        self._preview_due = _Due(self._preview_every_s)
        self._interval.begin()

    def sample(self, packet: Packet) -> DriftSample | None:
        """Take a sample if one is due; to be shown every packet.

        Where detections come on some frames only, a sample waits for them up to half an interval.
        """
        if packet.frame.epoch != self._epoch:
            self.reset()
            self._epoch = packet.frame.epoch
        self._detects = self._detects or packet.detections is not None
        if not self._is_due(packet):
            return None
        # One that waited in vain is the last to wait until detections are seen again.
        self._detects = packet.detections is not None
        return self._take(packet)

    def due(self, frame: Frame) -> bool:
        """Say whether a frame would be sampled if somebody detected on it: for those who detect only then."""
        if self._last_us is None or frame.epoch != self._epoch:
            return True
        return not 0 <= frame.pts_us - self._last_us < self._interval.every_us

    def _is_due(self, packet: Packet) -> bool:
        if self._last_us is None:
            return True
        waits = self._detects and packet.detections is None
        every_us = self._interval.every_us
        return not 0 <= packet.frame.pts_us - self._last_us < (every_us * 3 // 2 if waits else every_us)

    def _take(self, packet: Packet) -> DriftSample:
        frame = packet.frame
        measured = measure(frame.picture)
        motion = np.nan
        if self._thumbnail is not None and self._size_wh == frame.size_wh:
            motion = measure_motion(measured.thumbnail, self._thumbnail)
        values = np.array([*(measured.values[name] for name in FRAME_STATISTICS), motion], np.float32)
        self._interval.add(values)
        self._last_us, self._size_wh, self._thumbnail = frame.pts_us, frame.size_wh, measured.thumbnail
        self.num_samples += 1
        now_us, detections = frame.pts_us, packet.detections
        return DriftSample(
            epoch=frame.epoch,
            pts_s=frame.pts_s,
            unix_s=frame.captured.unix_us / 1_000_000,
            clock=frame.captured.clock,
            size_wh=frame.size_wh,
            values=values,
            boxes=None if detections is None else _boxes(detections, frame.size_wh),
            thumbnail=measured.thumbnail if self._thumbnail_due.take(now_us) else None,
            preview=self._preview(frame),
        )

    def _preview(self, frame: Frame) -> bytes | None:
        if not self._pictures or not self._preview_due.take(frame.pts_us):
            return None
        return frame.picture.jpeg(PREVIEW_LENGTH, _PREVIEW_QUALITY)


def _boxes(detections: Detections, size_wh: tuple[int, int]) -> BoxSample:
    columns = measure_detections(detections, size_wh)
    return BoxSample(
        np.stack([columns[name] for name in DETECTION_STATISTICS]),
        detections.class_id.astype(np.intp),
        detections.labels,
    )


class _Due:
    """Says yes at once, and then every so many seconds of stream time."""

    def __init__(self, every_s: float) -> None:
        self._every_us = round(every_s * 1_000_000)
        self._last_us: int | None = None

    def take(self, now_us: int) -> bool:
        if self._last_us is not None and 0 <= now_us - self._last_us < self._every_us:
            return False
        self._last_us = now_us
        return True


class _Interval:
    """The time between samples: as stated, or following how much each resembles the one before."""

    def __init__(self, settings: DriftSettings) -> None:
        self._is_auto = settings.every_s == "auto"
        # A window needs its ten samples.
        self._greatest_s = min(_GREATEST_EVERY_S, settings.window_s / 10)
        self.every_s = min(_LEAST_EVERY_S, self._greatest_s) if settings.every_s == "auto" else settings.every_s
        self._least_s = self.every_s
        self.begin()

    @property
    def every_us(self) -> int:
        return round(self.every_s * 1_000_000)

    def begin(self) -> None:
        """Forget the block: what comes next is no neighbour of what was."""
        self._block: list[NDArray[np.float32]] = []

    def add(self, values: NDArray[np.float32]) -> None:
        """Take a sample into account; at the end of a block the interval may double or halve."""
        if not self._is_auto:
            return
        self._block.append(values)
        if len(self._block) < _BLOCK:
            return
        likeness = autocorrelation(np.stack(self._block))
        self.begin()
        if likeness > _ALIKE:
            self.every_s = min(2 * self.every_s, self._greatest_s)
        elif likeness < _UNLIKE:
            self.every_s = max(self.every_s / 2, self._least_s)


def autocorrelation(values: NDArray[np.float32]) -> float:
    """Give how much neighbouring samples resemble each other: 0 not at all, 1 wholly.

    Args:
        values: (samples, statistics), in order; a statistic that is constant or not known throughout does not count.

    Returns:
        The median of the statistics' autocorrelation at a lag of one sample; NaN where none varies.
    """
    known = values[:, np.isfinite(values).all(0)].astype(np.float64)
    varying = known[:, np.ptp(known, 0) > 0] if known.size else known
    if not varying.size:
        return float("nan")
    centred = varying - varying.mean(0)
    return float(np.median((centred[1:] * centred[:-1]).sum(0) / (centred**2).sum(0)))
