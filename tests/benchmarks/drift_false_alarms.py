"""False alarms of the drift monitor: unchanged cameras for many hours, with the variation that every camera has.

A camera is one clip that runs forth and back. Each turn of it is one of 39 prepared passes: at one of thirteen levels
of daylight (gain 0.85 to 1.15, with gamma from 1.08 to 0.92 and a colour temperature of 3 % following it), in one of
three ways: coded at a rate factor of 21, 24 or 27, cut out up to two pixels further right and down, with other grain (0
to 1 grey level). Daylight goes once up and down in 24 hours; each turn draws one of the three ways at random. That is a
bootstrap with turns as blocks: it makes hours out of minutes and keeps what frames next to each other have in common.

How many alarms a month that means is told in two ways. Counted: the alarms in T hours; where there was none, 3 / T is
the upper end of a 95 % interval (the rule of three). Extrapolated: an alarm is a score that stays above 1 for a window;
the greatest score that lasted, hour by hour, is fitted by a Gumbel distribution (the limit of maxima) for each camera,
from the second hour on, and its tail above 1 gives the expected hours with an alarm in 720.
"""

from __future__ import annotations

import copy
import math
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.stats import gumbel_r

from engine.drift.monitor import DriftCheck, DriftMonitor
from engine.drift.sample import DriftSample
from engine.drift.sampler import DriftSampler
from engine.drift.settings import DriftSettings
from engine.picture import Pixels
from tests.benchmarks.drift_streams import FPS, STARTS_UNIX_S, Clip, StreamCache, decode, encode, take_samples

NUM_LEVELS = 13
CRFS = (21, 24, 27)
DAY_S = 86_400.0
MONTH_H = 720
_LEVEL = np.arange(256) / 255
# So many turns bring the sampler's interval to where it stays.
_SETTLING_TURNS = 5


@dataclass(frozen=True)
class Quiet:
    """What the monitor said of an unchanged camera.

    Attributes:
        hours: of stream time.
        alarms: seconds and cause of each `drift.raised`, and the greatest scores at that time.
        maxima: greatest score that lasted, for each hour.
    """

    clip: str
    hours: float
    alarms: tuple[tuple[float, str, str], ...]
    maxima: tuple[float, ...]

    @property
    def a_month(self) -> float:
        """Expected alarms in 720 hours, extrapolated."""
        later = np.array(self.maxima[1:])
        middle, scale = gumbel_r.fit(later)
        return float(MONTH_H * gumbel_r.sf(1.0, middle, max(scale, 1e-3)))


def watch_quiet(clip: Clip, cache: StreamCache, hours: float, seed: int) -> Quiet:
    """Watch a camera that does not change, at default settings."""
    settings = DriftSettings()
    monitor = DriftMonitor(settings, keep_checks=math.ceil(hours * 3600))
    alarms = []
    for sample in quiet_samples(clip, cache, hours, seed):
        for verdict in monitor.observe(clip.name, [sample]):
            if verdict.type == "drift.raised":
                scores = monitor.history(clip.name)[-1].scores
                top = sorted(scores, key=lambda name: -abs(scores[name]))[:3]
                alarms.append((sample.pts_s, verdict.part.cause, ", ".join(f"{n} {scores[n]:+.1f}" for n in top)))
    return Quiet(clip.name, hours, tuple(alarms), _maxima(monitor.history(clip.name), settings.window_s, hours))


def _maxima(checks: Sequence[DriftCheck], window_s: float, hours: float) -> tuple[float, ...]:
    """Give, for each hour, the greatest score that was not undercut for a window."""
    stops = np.array([check.pts_s for check in checks])
    scores = np.array([check.score for check in checks])
    starts = np.searchsorted(stops, stops - window_s - 1e-3)
    lasting = np.array([scores[start : stop + 1].min() for stop, start in enumerate(starts)])
    hour = (stops // 3600).astype(int)
    return tuple(round(float(lasting[hour == h].max(initial=0.0)), 3) for h in range(math.ceil(hours)))


def quiet_samples(clip: Clip, cache: StreamCache, hours: float, seed: int) -> Iterator[DriftSample]:
    """Give the samples of a camera that does not change."""
    passes = [prepared_pass(clip, cache, number) for number in range(NUM_LEVELS * len(CRFS))]
    period_s = _period(clip) / FPS
    rng = np.random.default_rng((seed, zlib.crc32(clip.name.encode())))
    # Cameras do not all start at noon.
    phase = rng.random()
    for turn in range(math.ceil(hours * 3600 / period_s)):
        at_s = turn * period_s
        height = math.sin(2 * math.pi * (at_s / DAY_S + phase))
        level = round((height + 1) / 2 * (NUM_LEVELS - 1))
        chosen = passes[level + NUM_LEVELS * int(rng.integers(len(CRFS)))]
        for sample in chosen:
            pts_s = at_s + sample.pts_s - _SETTLING_TURNS * period_s
            yield replace(sample, pts_s=pts_s, unix_s=STARTS_UNIX_S + pts_s, clock="rtcp")


def _period(clip: Clip) -> int:
    return max(1, 2 * len(clip.frames) - 2)


def prepared_pass(clip: Clip, cache: StreamCache, number: int) -> list[DriftSample]:
    """Give the samples of one turn of a clip, varied; passes `number` and `number + NUM_LEVELS` have the same light."""
    key = ("pass", clip.digest, NUM_LEVELS)

    def settle() -> DriftSampler:
        coded = cache.coded((*key, 0), lambda: _varied(clip, 0))
        sampler = DriftSampler(DriftSettings())
        for turn in range(_SETTLING_TURNS):
            take_samples(sampler, decode(coded), turn * _period(clip), clip.name)
        return sampler

    def take() -> list[DriftSample]:
        sampler = copy.deepcopy(cache.samples(("settled", clip.digest, NUM_LEVELS), settle))
        coded = cache.coded((*key, number), lambda: _varied(clip, number))
        return take_samples(sampler, decode(coded), _SETTLING_TURNS * _period(clip), clip.name)

    return cache.samples((*key, number), take)


def _varied(clip: Clip, number: int) -> bytes:
    way, level = divmod(number, NUM_LEVELS)
    rng = np.random.default_rng((zlib.crc32(clip.name.encode()), way))
    curves = _daylight(2 * level / (NUM_LEVELS - 1) - 1)
    left, top = rng.integers(0, 3, 2).tolist()
    deviation = rng.uniform(0, 1)
    height, width = clip.frames[0].shape[:2]
    grain = np.rint(rng.normal(0, deviation, (height, width))).astype(np.int16)

    def frames() -> Iterator[Pixels]:
        for bgr in clip.loop(0, _period(clip)):
            # The same grain, elsewhere in each frame, costs a tenth of fresh one.
            moved = np.roll(grain, rng.integers(0, (height, width)).tolist(), (0, 1))
            lit = cv2.LUT(bgr, curves).astype(np.int16) + moved[..., None]
            yield np.clip(lit, 0, 255).astype(np.uint8)[top : top + height - 2, left : left + width - 2]

    return encode(frames(), CRFS[way])


def _daylight(height: float) -> NDArray[np.uint8]:
    """Give a curve for each of B, G, R, at -1 (low) to 1 (high)."""
    tint = 1 + 0.03 * height * np.array([-1, 0, 1])
    curves = 255 * (1 + 0.15 * height) * tint * _LEVEL[:, None] ** (1 - 0.08 * height)
    return np.rint(np.minimum(255, curves)).astype(np.uint8)[:, None]


def print_quiet(found: Sequence[Quiet]) -> None:
    """Print a line a camera, and what it means for a month."""
    print("| camera | hours | alarms | greatest lasting score, hour 1 | later | alarms a month, extrapolated |")
    print("|---|---|---|---|---|---|")
    for quiet in found:
        causes = ", ".join(sorted({cause for _, cause, _ in quiet.alarms}))
        said = f"{len(quiet.alarms)} ({causes})" if causes else "0"
        first, later = quiet.maxima[0], max(quiet.maxima[1:], default=0.0)
        print(f"| {quiet.clip} | {quiet.hours:g} | {said} | {first:.2f} | {later:.2f} | {quiet.a_month:.2g} |")
    hours, alarms = sum(q.hours for q in found), sum(len(q.alarms) for q in found)
    bound = f", so at most {3 / hours * MONTH_H:.2g} a month (95 %)" if not alarms else ""
    print(f"\n{alarms} alarms in {hours:g} camera-hours: {alarms / hours * MONTH_H:.2g} a camera and month{bound}")
    print(f"extrapolated: {np.mean([quiet.a_month for quiet in found]):.2g} a camera and month")
    for quiet in found:
        for at_s, cause, top in quiet.alarms:
            print(f"{quiet.clip}, {at_s / 3600:.2f} h: {cause}  [{top}]")
