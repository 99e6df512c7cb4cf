"""A camera on paper: statistics around a mean, with noise that remembers, and thumbnails of a painted street."""

from __future__ import annotations

from collections.abc import Mapping

import cv2
import numpy as np

from engine.drift.camera import CameraMonitor, DriftVerdict
from engine.drift.distance import Values
from engine.drift.sample import PICTURE_STATISTICS, BoxSample, DriftSample
from engine.drift.scale import LEAST, from_scale, to_scale
from engine.frame import ClockName
from engine.picture import Pixels

MEANS = {
    "brightness": 110.0, "contrast": 50.0, "saturation": 20.0, "sharpness": 300.0, "noise": 2.0, "detail": 5.0,
    "entropy": 4.8, "edge_density": 0.15, "color_cast_blue": -2.0, "color_cast_red": 3.0, "blockiness": 1.1,
    "motion": 4.0,
}  # fmt: skip
NOON_UNIX_S = 20_000 * 86400.0 + 12 * 3600.0
THUMBNAIL_EVERY_S, PREVIEW_EVERY_S = 5.0, 10.0
# What a sample differs from the mean, in units of the least change that counts, and how much of it the next one keeps.
NOISE, MEMORY = 0.25, 0.5


def in_scale(units: Mapping[str, float] | None = None) -> Values:
    """Give the statistics of a picture that differs from the usual one by so many least changes, on the scale."""
    changed = np.array([(units or {}).get(name, 0.0) for name in PICTURE_STATISTICS])
    usual = to_scale(np.array([MEANS[name] for name in PICTURE_STATISTICS]))
    return np.asarray(usual + changed * LEAST)


def paint(seed: int = 0, size_wh: tuple[int, int] = (160, 90), at: tuple[float, float] = (0.0, 0.0)) -> Pixels:
    """Paint houses, windows and a road; a camera that is turned by `at` pixels sees them so much further left and up."""
    rng = np.random.default_rng(seed)
    width, height = size_wh
    margin, zoom = 40, 4
    wide, high = width + 2 * margin, height + 2 * margin
    canvas = np.tile(np.linspace(90, 150, high * zoom, dtype=np.float32)[:, None], (1, wide * zoom))
    for _ in range(170):
        x, y = rng.uniform(0, wide * zoom), rng.uniform(0, high * zoom)
        w, h = rng.uniform(5, 25, 2) * zoom
        cv2.rectangle(canvas, (int(x), int(y)), (int(x + w), int(y + h)), float(rng.uniform(30, 220)), -1)
    x, y = (margin + at[0]) * zoom, (margin + at[1]) * zoom
    where = np.array([[1, 0, -x], [0, 1, -y]], np.float64)
    seen = cv2.warpAffine(canvas, where, (width * zoom, height * zoom), flags=cv2.INTER_LINEAR)
    return np.asarray(cv2.resize(seen, (width, height), interpolation=cv2.INTER_AREA).round(), np.uint8)


def grain(picture: Pixels, rng: np.random.Generator, deviation: float = 1.5) -> Pixels:
    """Give the picture as a sensor sees it once."""
    return np.clip(picture + rng.normal(0, deviation, picture.shape), 0, 255).round().astype(np.uint8)


def jpeg(level: int) -> bytes:
    """Give a small grey picture."""
    return cv2.imencode(".jpg", np.full((18, 32, 3), level, np.uint8))[1].tobytes()


def make_boxes(
    rng: np.random.Generator,
    num: int = 4,
    confidence: float = 0.8,
    size: float = 0.1,
    shares: tuple[float, ...] = (0.7, 0.3),
) -> BoxSample:
    """Give what a model saw: so many boxes, their confidence and size spread by a tenth."""
    spread = rng.normal(1, 0.1, (2, num))
    columns = np.stack([confidence * spread[0], size * np.abs(spread[1]), *np.zeros((4, num))]).astype(np.float32)
    labels = tuple(f"class {number}" for number in range(len(shares)))
    return BoxSample(columns, rng.choice(len(shares), num, p=shares), labels)


class PaintedCamera:
    """Films as long as it is told, and goes on where it stopped.

    Attributes:
        epoch, pts_s, unix_s, clock, size_wh: of the next sample.
    """

    def __init__(self, seed: int = 0, every_s: float = 2.0, unix_s: float = NOON_UNIX_S, noise: float = NOISE) -> None:
        self._rng = np.random.default_rng(seed)
        self._state = np.zeros(len(PICTURE_STATISTICS))
        self._noise = noise
        self.every_s = every_s
        self.epoch = 0
        self.pts_s = 0.0
        self.unix_s = unix_s
        self.clock: ClockName = "rtcp"
        self.size_wh = (1280, 720)
        self._thumbnail_due_s = self._preview_due_s = 0.0

    def film(
        self,
        seconds: float,
        units: Mapping[str, float] | None = None,
        picture: Pixels | None = None,
        preview: bytes | None = None,
        motion: float | None = None,
        boxes: Mapping[str, float | tuple[float, ...]] | None = None,
    ) -> list[DriftSample]:
        """Give the samples of the next seconds.

        Args:
            seconds: how long.
            units: by statistic, how many least changes it is away from the usual.
            picture: what thumbnails show; None sends none.
            preview: comes every ten seconds; None sends none.
            motion: instead of the usual, in grey levels.
            boxes: options of `make_boxes`; None means that no model looks.
        """
        out = []
        mean = in_scale(units)
        stop_s = self.pts_s + seconds
        while self.pts_s < stop_s:
            self._state = MEMORY * self._state + np.sqrt(1 - MEMORY**2) * self._rng.normal(size=len(mean))
            values = from_scale(mean + self._noise * LEAST * self._state).astype(np.float32)
            if motion is not None:
                values[-1] = motion
            thumbnail = shown = None
            if picture is not None and self.pts_s >= self._thumbnail_due_s:
                thumbnail, self._thumbnail_due_s = grain(picture, self._rng), self.pts_s + THUMBNAIL_EVERY_S
            if preview is not None and self.pts_s >= self._preview_due_s:
                shown, self._preview_due_s = preview, self.pts_s + PREVIEW_EVERY_S
            found = None if boxes is None else make_boxes(self._rng, **boxes)  # type: ignore[arg-type]
            out.append(
                DriftSample(
                    self.epoch, self.pts_s, self.unix_s, self.clock, self.size_wh, values, found, thumbnail, shown
                )
            )
            self.pts_s += self.every_s
            self.unix_s += self.every_s
        return out

    def away(self, seconds: float, new_epoch: bool = True) -> None:
        """Film nothing for a while; after a reconnection stream time begins anew."""
        self.unix_s += seconds
        if new_epoch:
            self.epoch += 1
            self.pts_s = self._thumbnail_due_s = self._preview_due_s = 0.0
        else:
            self.pts_s += seconds


def watch(monitor: CameraMonitor, samples: list[DriftSample]) -> list[DriftVerdict]:
    """Show samples to a monitor and give what it says."""
    return [verdict for sample in samples for verdict in monitor.observe(sample)]


def said(verdicts: list[DriftVerdict]) -> list[tuple[str, str]]:
    """Give types without their prefix, and causes."""
    return [(verdict.type.removeprefix("drift."), verdict.part.cause) for verdict in verdicts]
