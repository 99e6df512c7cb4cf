"""Find what moves in front of a fixed camera, with no model and no training: background subtraction.

A reduced picture is compared with a learned background. What differs by more than the pixel's own noise is
foreground, unless it is the same surface in another light: a shadow, a headlight's beam, a cloud over the whole scene.
Foreground is grouped into blobs, and each is a detection of class `object`. People side by side are cut apart; objects
that were apart stay so for a while when one passes in front of another. Who always walk arm in arm are one object.

The background follows slow change, and takes in whatever has stood still for `absorb_s`. Where an object that was
there from the start goes away it leaves a ghost: a spot whose outline is an edge in the background and none in the
picture; ghosts are taken in at once. Learning goes by stream time, so the frame rate does not matter.

Absent input: none is read. `detections` stays None (not looked) while the background is being learned: the first
`warmup_s`, and again after the picture has changed all over, as when a lamp is switched on or the camera is turned.

Cost per frame: 2.5 to 3 ms of one core at 640x360, hardly more for larger frames: all work is done at `work_width`.

Example:
    - motion_blobs: {absorb_s: 60}
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, cast

import cv2
import numpy as np
from numpy.typing import NDArray

from engine.blobs import KeepApart, pieces, split_group, with_legs
from engine.detections import Detections
from engine.event import Event
from engine.operator import FlushReason, Operator
from engine.packet import Packet
from engine.picture import Pixels

Floats = NDArray[np.float32]

# Seconds in which the background forgets: long enough for a walker to pass, short enough for the sun.
FOLLOW_S = 8.0
# A pixel is foreground when it differs by more than its contrast threshold plus this many times its usual difference.
NOISE_FACTOR = 3.0
# Foreground that has stood for this long is looked at for ghosts.
GHOST_AFTER_S = 1.0
# Smaller ghosts (work pixels) are left to `absorb_s`; a ghost's pixels change by less than this in half a second.
MIN_GHOST = 16
STILL_LEVELS = 12
# Foreground over more of the picture than this is no object.
MAX_FOREGROUND = 0.5
WARMUP_SAMPLES = 9
# Darker than this part of its light, a spot is an object. Deep shadows pass as objects; at 0.5 grey cars on a grey
# road are lost instead (recall on a motorway clip .36 against .70).
DARKEST_SHADOW = 0.65
# A patch that correlates so well with the background, where that has a texture of so many grey levels, is background.
SAME_TEXTURE = 0.92
MIN_TEXTURE = 4.0
TEXTURE_WH = (5, 5)
MIN_PIXELS = 8
# A patch is foreground as far as its difference passes WEAK times the threshold, if MIN_CORE of its pixels pass STRONG.
WEAK, STRONG, MIN_CORE = 0.65, 1.4, 5
KERNEL = np.ones((3, 3), np.uint8)


@dataclass
class MotionBlobs(Operator):
    """Detect moving objects by background subtraction.

    Attributes:
        work_width: the picture is reduced to this width, never enlarged.
        warmup_s: seconds of stream time to learn the background before the first detection.
        absorb_s: what stands still for this long becomes background.
        min_area: smallest box, as a fraction of the frame's area.
        min_contrast: grey levels by which an object must differ from the background, beyond noise.
    """

    work_width: int = 320
    warmup_s: float = 1.0
    absorb_s: float = 60.0
    min_area: float = 0.0006
    min_contrast: float = 18.0

    reads: ClassVar[Sequence[str]] = ()
    writes: ClassVar[Sequence[str]] = ("detections",)

    def __post_init__(self) -> None:
        if self.work_width < 16:
            raise ValueError(f"work_width: must be at least 16 pixels, got {self.work_width}")
        if not self.warmup_s >= 0:
            raise ValueError(f"warmup_s: must be 0 or more, got {self.warmup_s}")
        if not self.absorb_s > 0:
            raise ValueError(f"absorb_s: must be above 0, got {self.absorb_s}")
        if not 0 < self.min_area < 1:
            raise ValueError(f"min_area: must be between 0 and 1 (of the frame's area), got {self.min_area}")
        if not 0 < self.min_contrast < 255:
            raise ValueError(f"min_contrast: must be between 0 and 255 grey levels, got {self.min_contrast}")

    def open(self) -> None:
        """Start with no background."""
        self._samples: list[tuple[float, Pixels]] = []
        self._background: _Background | None = None
        self._apart = KeepApart()
        self._last_s = 0.0

    def process(self, packet: Packet) -> Packet:
        """Compare the frame with the background, and let the background learn from it."""
        frame = packet.frame
        width, height = frame.size_wh
        scale = min(1.0, self.work_width / width)
        work_wh = (max(1, round(width * scale)), max(1, round(height * scale)))
        planes = _planes(frame.picture.bgr(work_wh))
        if self._background is not None and self._background.mean.shape != planes.shape:
            self.open()
        step_s, self._last_s = max(0.0, frame.pts_s - self._last_s), frame.pts_s
        if self._background is None:
            self._learn(frame.pts_s, planes)
            return packet
        seen = self._background.compare(planes)
        if cv2.countNonZero(seen.foreground) > MAX_FOREGROUND * seen.foreground.size:
            self.open()
            self._learn(frame.pts_s, planes)
            return packet
        self._background.learn(planes, seen, step_s)
        blobs = find_blobs(seen, self.min_area)
        blobs.xyxy[:] *= np.array([width / work_wh[0], height / work_wh[1]] * 2, np.float32)
        return packet.replace(detections=self._apart.separate(blobs, frame.pts_s))

    def flush(self, reason: FlushReason) -> tuple[Event, ...]:
        """Forget the background."""
        self.open()
        return ()

    def _learn(self, now_s: float, planes: Pixels) -> None:
        """Gather pictures spread over the warm-up; their median is the first background."""
        spacing_s = self.warmup_s / WARMUP_SAMPLES
        if not self._samples or now_s - self._samples[-1][0] >= spacing_s:
            self._samples.append((now_s, planes))
        if now_s - self._samples[0][0] >= self.warmup_s:
            median = np.median([p for _, p in self._samples], axis=0)
            self._background = _Background(median.astype(np.float32), self.min_contrast, self.absorb_s)
            self._samples = []


@dataclass(frozen=True, slots=True)
class Seen:
    """One picture against the background, all (h, w) at work size.

    Attributes:
        difference: uint8, how far each pixel is from the background.
        strength: float32, the difference over the pixel's own threshold.
        raw: uint8, 255 where the threshold is passed.
        foreground: uint8, 255 where it is passed by something else than a shadow.
    """

    difference: Pixels
    strength: Floats
    raw: Pixels
    foreground: Pixels


class _Background:
    """What every pixel usually looks like, how much it usually differs from that, and for how long it has not."""

    def __init__(self, mean: Floats, min_contrast: float, absorb_s: float) -> None:
        shape = mean.shape[1:]
        self.mean = mean
        self.noise = np.full(shape, 2.0, np.float32)
        self.standing_s = np.zeros(shape, np.float32)
        self.raw_before = np.zeros(shape, np.uint8)
        self.min_contrast = min_contrast
        self.absorb_s = absorb_s
        self.since_ghosts_s = 0.0
        self.looked_at = mean.astype(np.uint8)

    def compare(self, planes: Pixels) -> Seen:
        """Say what differs from the background, in the light of this picture."""
        self._follow_light(planes)
        usual = _levels(self.mean)
        difference = _difference(planes, usual)
        # What is dark differs by less: the threshold is the stated one at mid grey, and 0.4 of it at black.
        threshold = np.add(self.noise * NOISE_FACTOR, 0.4 * self.min_contrast, dtype=np.float32)
        threshold += _brightest(usual) * np.float32(0.6 / 128 * self.min_contrast)
        strength = np.divide(difference, threshold, dtype=np.float32)
        raw = _grown(strength)
        foreground = cv2.bitwise_and(raw, cv2.bitwise_not(_only_lit(raw, planes, usual)))
        return Seen(difference, strength, raw, cast(Pixels, cv2.medianBlur(foreground, 3)))

    def learn(self, planes: Pixels, seen: Seen, step_s: float) -> None:
        """Let calm pixels follow the picture, and take in what has stood for long and what is a ghost."""
        rate = 1 - math.exp(-step_s / FOLLOW_S)
        busy = cv2.bitwise_or(seen.raw, seen.foreground)
        calm = cv2.bitwise_not(cv2.dilate(busy, KERNEL))
        for plane, mean in zip(planes, self.mean, strict=True):
            cv2.accumulateWeighted(plane, mean, rate, calm)
        cv2.accumulateWeighted(seen.difference, self.noise, rate, calm)
        # Leaves and water come and go; a pixel that does so all the time earns itself a higher threshold.
        cv2.accumulateWeighted(
            np.minimum(seen.difference, 80), self.noise, rate / 3, cv2.bitwise_xor(seen.raw, self.raw_before)
        )
        self.raw_before = seen.raw
        self.standing_s += np.float32(step_s)
        self.standing_s *= busy > 0
        taken_in = self.standing_s > self.absorb_s
        self.since_ghosts_s += step_s
        if self.since_ghosts_s >= GHOST_AFTER_S / 2:
            self.since_ghosts_s = 0.0
            taken_in |= self._ghosts(planes)
        if taken_in.any():
            self.mean[:, taken_in] = planes[:, taken_in]
            self.standing_s[taken_in] = 0

    def _follow_light(self, planes: Pixels) -> None:
        """Scale the background to the light of this picture: the median ratio over a grid of pixels."""
        now, usual = (
            planes[:, ::6, ::6].reshape(3, -1) + np.float32(8),
            self.mean[:, ::6, ::6].reshape(3, -1) + np.float32(8),
        )
        ratio = now / usual
        middle = ratio.shape[1] // 2
        gain = np.partition(ratio, middle, axis=1)[:, middle]
        if np.abs(gain - 1).max() > 0.01:
            self.mean *= gain[:, None, None]
            np.minimum(self.mean, 255, out=self.mean)

    def _ghosts(self, planes: Pixels) -> NDArray[np.bool_]:
        """Find standing foreground that is still, with an outline that is an edge in the background only."""
        moved = _brightest(cv2.absdiff(_sheet(planes), _sheet(self.looked_at)).reshape(planes.shape)) > STILL_LEVELS
        self.looked_at = planes
        old = (self.standing_s > GHOST_AFTER_S).view(np.uint8)
        found = np.zeros(old.shape, np.bool_)
        if not old.any():
            return found
        count, labels, stats, _ = cv2.connectedComponentsWithStats(old, connectivity=8)
        edges_now, edges_usual = _edges(planes), _edges(_levels(self.mean))
        for label in range(1, count):
            x, y, w, h, area = (int(v) for v in stats[label])
            window = (slice(max(0, y - 2), y + h + 2), slice(max(0, x - 2), x + w + 2))
            blob = labels[window] == label
            if area < MIN_GHOST or moved[window][blob].mean() > 0.2:
                continue
            outline = cv2.morphologyEx(blob.view(np.uint8), cv2.MORPH_GRADIENT, KERNEL) > 0
            if edges_usual[window][outline].mean() > 1.3 * edges_now[window][outline].mean():
                found[window] |= cv2.dilate(blob.view(np.uint8), np.ones((5, 5), np.uint8)) > 0
        return found


def _planes(bgr: Pixels) -> Pixels:
    """Give (3, h, w), slightly blurred: sensor and compression noise is finer than any object."""
    blurred = cv2.blur(bgr, (3, 3)).reshape(bgr.shape)
    return cast(Pixels, np.stack(cv2.split(blurred)))


def _levels(mean: Floats) -> Pixels:
    return cast(Pixels, cv2.convertScaleAbs(_sheet(mean))).reshape(mean.shape)


def _sheet(planes: NDArray[Any]) -> NDArray[Any]:
    """Lay the three planes below one another, as OpenCV is quickest with one channel."""
    return planes.reshape(-1, planes.shape[2])


def _difference(planes: Pixels, usual: Pixels) -> Pixels:
    """How far each pixel is from the range of the background around it, in the channel where it is farthest.

    The range over 3x3 pixels rather than the value: a camera that trembles by a pixel moves no object.
    """
    now, background = _sheet(planes), _sheet(usual)
    above = cv2.subtract(now, cv2.dilate(background, KERNEL))
    below = cv2.subtract(cv2.erode(background, KERNEL), now)
    return _brightest(cv2.max(above, below).reshape(planes.shape))


def _brightest(planes: NDArray[Any]) -> Pixels:
    return cast(Pixels, cv2.max(cv2.max(planes[0], planes[1]), planes[2]))


def _grown(strength: Floats) -> Pixels:
    """Keep patches of weak difference that hold some strong difference (0 or 255)."""
    count, labels = cv2.connectedComponents(_mask(strength > WEAK), connectivity=8)
    has_core = np.bincount(labels[strength > STRONG], minlength=count) >= MIN_CORE
    has_core[0] = False
    return _mask(has_core[labels])


def _only_lit(raw: Pixels, planes: Pixels, usual: Pixels) -> Pixels:
    """Mark foreground that is the background in another light (0 or 255): shadows, and what a lamp shines on."""
    out = np.zeros_like(raw)
    x, y, w, h = cv2.boundingRect(raw)
    if not w:
        return out
    window = (slice(y, y + h), slice(x, x + w))
    chosen = raw[window] > 0
    lit = _same_texture(planes[1][window], usual[1][window])[chosen] | _shadow(
        planes[:, *window][:, chosen].astype(np.float32), usual[:, *window][:, chosen].astype(np.float32)
    )
    out[window][chosen] = _mask(lit)
    return out


def _shadow(now: Floats, background: Floats) -> NDArray[np.bool_]:
    """Say which pixels (3, N) are darker by one factor in all channels."""
    light = background.sum(axis=0) + 6
    ratio = (now.sum(axis=0) + 6) / light
    rest = np.abs(now - background * ratio).max(axis=0)
    shadow: NDArray[np.bool_] = (ratio > DARKEST_SHADOW) & (ratio < 0.97) & (rest < 2 + 0.01 * light)
    return shadow


def _same_texture(now: Pixels, background: Pixels) -> NDArray[np.bool_]:
    """Say where the picture repeats the background's texture, brighter or darker: correlation over 5x5 pixels."""
    a, b = now.astype(np.float32), background.astype(np.float32)
    mean_a, mean_b = cv2.blur(a, TEXTURE_WH), cv2.blur(b, TEXTURE_WH)
    var_a, var_b = cv2.blur(a * a, TEXTURE_WH) - mean_a**2, cv2.blur(b * b, TEXTURE_WH) - mean_b**2
    both = cv2.blur(a * b, TEXTURE_WH) - mean_a * mean_b
    textured = (var_b > MIN_TEXTURE**2) & (var_a > MIN_TEXTURE**2 / 4)
    same: NDArray[np.bool_] = textured & (both > 0) & (both**2 > SAME_TEXTURE**2 * var_a * var_b)
    return same


def _mask(chosen: NDArray[np.bool_]) -> Pixels:
    return cast(Pixels, chosen.view(np.uint8) * np.uint8(255))


def _edges(planes: Pixels) -> Floats:
    gray = planes[1]
    dx, dy = cv2.Sobel(gray, cv2.CV_32F, 1, 0), cv2.Sobel(gray, cv2.CV_32F, 0, 1)
    return cast(Floats, cv2.magnitude(dx, dy))


def find_blobs(seen: Seen, min_area: float) -> Detections:
    """Group foreground into boxes.

    Args:
        seen: foreground and strength.
        min_area: smaller boxes are left out, as a fraction of the picture.

    Returns:
        Boxes in pixels of the work picture; confidence grows with how filled a box is and how clear its pixels are.
    """
    height, width = seen.foreground.shape
    joined = _join_fragments(seen.foreground)
    count, labels, stats, _ = cv2.connectedComponentsWithStats(joined, connectivity=8)
    boxes: list[tuple[int, int, int, int]] = []
    confidences: list[float] = []
    for label in range(1, count):
        x, y, w, h, area = (int(v) for v in stats[label])
        if area < MIN_PIXELS:
            continue
        window = (slice(y, y + h), slice(x, x + w))
        blob = labels[window] == label
        clear = cv2.mean(seen.strength[window], blob.view(np.uint8))[0]
        confidence = 0.3 + 0.35 * min(1.0, area / (0.6 * w * h)) + 0.3 * min(1.0, max(0.0, (clear - 1) / 2))
        parts = split_group(blob)
        boxes += [with_legs((x + x1, y + y1, x + x2, y + y2), seen.raw) for x1, y1, x2, y2 in parts]
        confidences += [confidence] * len(parts)
    xyxy = np.array(boxes, np.float32).reshape(-1, 4)
    box_area = (xyxy[:, 2] - xyxy[:, 0]) * (xyxy[:, 3] - xyxy[:, 1])
    found = Detections(xyxy, np.array(confidences, np.float32), np.zeros(len(xyxy), np.int64))
    return found[(box_area >= min_area * width * height) & ~pieces(xyxy)]


def _join_fragments(foreground: Pixels) -> Pixels:
    # Taller than wide: a belt cuts a person, and one beside another should stay apart.
    reach = max(3, round(foreground.shape[0] * 0.02) | 1)
    return cast(Pixels, cv2.morphologyEx(foreground, cv2.MORPH_CLOSE, np.ones((reach, 3), np.uint8)))
