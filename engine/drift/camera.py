"""The drift monitor of one camera: samples in, verdicts out. No thread, no clock, no file."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter

from engine.drift.causes import CAUSES
from engine.drift.diagnosis import MEASURES, Diagnosis, diagnose
from engine.drift.distance import (
    MIDDLE,
    Cusum,
    Values,
    effective_samples,
    holm,
    kolmogorov,
    p_value,
    quantiles,
    wasserstein,
)
from engine.drift.episode import Episode
from engine.drift.evidence import then_and_now
from engine.drift.normal import Block, Normal, Profile
from engine.drift.objects import ObjectWatch
from engine.drift.sample import PICTURE_STATISTICS, DriftSample
from engine.drift.scale import LEAST, RAISES, from_scale, to_scale
from engine.drift.scene import CELL, Scene, SceneChange
from engine.drift.settings import DriftSettings
from engine.drift.training_normal import TrainingNormal
from engine.event import DriftPart, DriftStatistic, DriftWindow, Event
from engine.frame_statistics import VERSION
from engine.picture import Pixels

CHECKS_A_WINDOW = 6
MIN_SAMPLES = 8
MIN_THUMBNAILS = 4
# Chance of a false finding among all statistics of a check, if samples were as independent as they are counted.
ALPHA = 1e-3
# What the view as a whole must do: shares of cells, and a share of the picture's width.
LEAST_MOVED, LEAST_COVERED, LEAST_ELSEWHERE, LEAST_DIRTY, LEAST_DETAIL = 0.012, 0.2, 0.4, 0.035, 0.1
# A view that stands still must do so three times as long as ever before.
STILL_FACTOR = 3.0
# Motion below this share of the quietest moments of normal life is none.
STILL_SHARE = 0.35
# Statistics that change together: the length of their scores that counts as 1. Unchanged cameras stay below 0.9.
JOINT = 1.6
# Outside of all that training covered by so many times the least change.
OUTSIDE_FACTOR = 4.0
# Of light: they come every day, and what has come and gone is known at that hour from then on.
DAILY = frozenset({"dark", "dusk", "overexposed", "color_cast", "noisy"})
_NUM_SHOWN = 6
_CONTRAST = PICTURE_STATISTICS.index("contrast")
# Before the names of arrays of a night that is not over yet.
_ASIDE = "aside_"
# A clock that counts from 1970 knows no hour.
_KNOWN_TIME_S = 365 * 86400.0


@dataclass(frozen=True, slots=True)
class DriftVerdict:
    """Something to be said about a camera."""

    type: Literal["drift.raised", "drift.cleared"]
    part: DriftPart

    def event(self) -> Event:
        """Give the event, for the lane to stamp."""
        return Event(self.type, rule=self.part.cause, drift=self.part)


@dataclass(frozen=True, slots=True, eq=False)
class DriftCheck:
    """One look at the present.

    Attributes:
        stop_s: observed time of the check.
        pts_s: stream time of the last sample.
        score: greatest of the scores that can raise, or what they amount to together; 1 is the threshold.
        values: float32 (len(MEASURES),), signed scores.
    """

    stop_s: float
    pts_s: float
    score: float
    values: NDArray[np.float32]

    @property
    def scores(self) -> dict[str, float]:
        """Scores by name."""
        return dict(zip(MEASURES, self.values.tolist(), strict=True))


@dataclass(frozen=True, slots=True, eq=False)
class _Seen:
    now_s: float
    pts_s: float
    scaled: Values


@dataclass(frozen=True, slots=True, eq=False)
class _Held:
    """A block that will be learnt unless a change shows that began in it."""

    block: Block
    thumbnails: list[Pixels]
    preview: bytes | None
    lasted_s: float


class CameraMonitor:
    """Watches one camera.

    Args:
        settings: see there.
        training: what its model was trained on, if that is known.
        keep_checks: how many checks `history` holds.
    """

    def __init__(self, settings: DriftSettings, training: TrainingNormal | None = None, keep_checks: int = 360) -> None:
        self._settings = settings
        self._training = training
        self._prior = training.natural if training is not None else None
        seeded = training.normal() if training is not None else None
        self.normal = seeded or Normal(self._prior)
        self._seeded = len(self.normal)
        self._aside = Normal(self._prior)
        self.history: deque[DriftCheck] = deque(maxlen=keep_checks)
        self.num_samples = 0
        self.num_unusable = 0
        self.last: DriftSample | None = None
        # Of the last check, then and now, (len(PICTURE_STATISTICS),) each.
        self.medians: tuple[Values, Values] | None = None
        self._factors = np.array([settings.thresholds.get(name, 1.0) for name in MEASURES]) / settings.sensitivity
        self._now_s = 0.0
        self._normal_s = 0.0
        self._due_s = 0.0
        self._every_s = 1.0
        self._seen: deque[_Seen] = deque()
        self._thumbnails: deque[tuple[float, Pixels]] = deque()
        self._preview: bytes | None = None
        self._cusum = Cusum(int(RAISES.sum()))
        self._block: list[_Seen] = []
        self._block_thumbnails: list[Pixels] = []
        self._held: _Held | None = None
        self._still_s = self._still_peak_s = self._longest_still_s = 0.0
        self._scene_natural: deque[tuple[float, float, float]] = deque(maxlen=60)
        self._picture = Episode(settings.window_s)
        self._range = Episode(2 * settings.window_s)
        self._objects = ObjectWatch(settings, training)
        self._episodes = (self._picture, self._range, self._objects.episode)
        self._parts: dict[int, DriftPart] = {}

    @property
    def settled(self) -> float:
        """How much of the settling time is over, 0 to 1."""
        return 1.0 if self._seeded else min(1.0, self._normal_s / self._settings.settle_s)

    @property
    def open(self) -> list[DriftPart]:
        """What is raised and not cleared."""
        return list(self._parts.values())

    @property
    def every_s(self) -> float:
        """Seconds between samples, lately."""
        return self._every_s

    @property
    def normal_s(self) -> float:
        """Seconds of normal life that were learnt."""
        return self._normal_s

    @property
    def now_s(self) -> float:
        """Seconds for which the camera was observed."""
        return self._now_s

    def observe(self, sample: DriftSample) -> list[DriftVerdict]:
        """Take the next sample."""
        self.num_samples += 1
        self._advance(sample)
        if sample.preview is not None:
            self._preview = sample.preview
        if sample.thumbnail is not None and min(sample.thumbnail.shape) >= CELL:
            self._thumbnails.append((self._now_s, sample.thumbnail))
            self._block_thumbnails.append(sample.thumbnail)
        self.last = sample
        self._objects.add(self._now_s, sample)
        if np.isfinite(sample.values).all():
            self._take(_Seen(self._now_s, sample.pts_s, to_scale(sample.values)), float(sample.values[-1]))
        elif not np.isfinite(sample.values[:-1]).all():
            # Motion is not known in an epoch's first sample; anything else is a fault of whoever measured.
            self.num_unusable += 1
        self._forget_old()
        verdicts: list[DriftVerdict] = []
        if self._now_s >= self._due_s:
            self._due_s = self._now_s + self._settings.window_s / CHECKS_A_WINDOW
            verdicts += self._check()
        if self._block and self._now_s - self._block[0].now_s >= self._settings.window_s:
            verdicts += self._end_block()
        return verdicts

    def accept(self) -> list[DriftVerdict]:
        """Take the present for normal: say that what is open is over, and learn anew."""
        verdicts = [self._clear(key) for key in list(self._parts)]
        for episode in self._episodes:
            episode.close()
        self.normal, self._aside, self._seeded = Normal(self._prior), Normal(self._prior), 0
        self._held = None
        self._objects.accept()
        self._normal_s = self._longest_still_s = 0.0
        self._scene_natural.clear()
        self._start_again()
        return verdicts

    def _advance(self, sample: DriftSample) -> None:
        """Move observed time on; after a longer absence the present begins afresh, what is normal stays."""
        last = self.last
        if last is None:
            return
        if sample.epoch == last.epoch:
            step_s = sample.pts_s - last.pts_s
        else:
            step_s = sample.unix_s - last.unix_s if sample.clock != "container" else self._every_s
        if 0 < step_s <= self._settings.window_s / 2:
            self._now_s += step_s
            self._every_s += 0.1 * (step_s - self._every_s)
            return
        self._now_s += self._every_s
        self._start_again()

    def _start_again(self) -> None:
        self._seen.clear()
        self._thumbnails.clear()
        self._cusum.reset()
        self._still_s = self._still_peak_s = 0.0
        self._block, self._block_thumbnails = [], []
        self._objects.start_again()
        self._due_s = self._now_s + self._settings.window_s / CHECKS_A_WINDOW

    def _take(self, seen: _Seen, motion: float) -> None:
        profiles = self._profiles()
        if self._seen:
            self._count_still(seen, motion, profiles)
        self._seen.append(seen)
        self._block.append(seen)
        if profiles and self.settled >= 1:
            apart = [self._apart(seen.scaled, profile) for profile in profiles]
            self._cusum.add(seen.now_s, min(apart, key=lambda each: float(np.abs(each).max()))[RAISES])

    def _count_still(self, seen: _Seen, motion: float, profiles: list[Profile]) -> None:
        """Count for how long nothing has moved; how long that is usual is learnt when it moves again."""
        step_s = seen.now_s - self._seen[-1].now_s
        contrast = float(from_scale(seen.scaled)[_CONTRAST])
        quiet = np.inf
        for each in (from_scale(profile.quantiles) for profile in profiles if np.isfinite(profile.median[-1])):
            # A frozen picture is still coded anew, and key frames flicker a little; in the dark everything moves less.
            darker = min(1.0, contrast / max(1e-3, float(each[MIDDLE, _CONTRAST])))
            quiet = min(quiet, max(0.0, float(each[0, -1])) * darker * STILL_SHARE)
            if each[MIDDLE, -1] <= quiet + 1e-6:
                # A view that stands still most of the time cannot freeze.
                self._still_s = 0.0
                return
        quiet = quiet if np.isfinite(quiet) else 0.0
        self._still_s += step_s if motion <= quiet else -step_s
        self._still_s = min(max(0.0, self._still_s), 2 * self._still_limit_s)
        self._still_peak_s = max(self._still_peak_s, self._still_s)
        if self._still_s == 0:
            if self._picture.cause is None:
                self._longest_still_s = max(self._longest_still_s, self._still_peak_s)
            self._still_peak_s = 0.0

    @property
    def _still_limit_s(self) -> float:
        return max(self._settings.window_s, STILL_FACTOR * self._longest_still_s)

    @staticmethod
    def _apart(scaled: Values, profile: Profile) -> Values:
        unit = np.maximum(np.maximum(LEAST, profile.natural), profile.spread)
        return np.nan_to_num((scaled - profile.median) / unit)

    def _forget_old(self) -> None:
        start_s = self._now_s - self._settings.window_s
        while self._seen and self._seen[0].now_s < start_s:
            self._seen.popleft()
        while self._thumbnails and self._thumbnails[0][0] < start_s:
            self._thumbnails.popleft()

    @property
    def _hour(self) -> int:
        assert self.last is not None
        return int(self.last.unix_s // 3600 % 24) if self.last.unix_s > _KNOWN_TIME_S else -1

    def _profiles(self) -> list[Profile]:
        assert self.last is not None
        return self.normal.profiles(self._hour, self.last.unix_s)

    def _check(self) -> list[DriftVerdict]:
        """Compare the present with what is normal."""
        if self.settled < 1 or len(self._seen) < MIN_SAMPLES:
            return []
        since_s = self._cusum.changed_s
        changed_s = self._seen[0].now_s if since_s is None else max(since_s, self._seen[0].now_s)
        now = [seen for seen in self._seen if seen.now_s >= changed_s]
        if len(now) < MIN_SAMPLES:
            return []
        samples = np.stack([seen.scaled for seen in now])
        scores = np.zeros(len(MEASURES))
        scores[: len(PICTURE_STATISTICS)], profile = self._compare(samples)
        self.medians = from_scale(profile.median), from_scale(np.median(samples, axis=0))
        scores[len(PICTURE_STATISTICS) :], change = self._look([t for s, t in self._thumbnails if s >= changed_s])
        score = _together(scores)
        self.history.append(DriftCheck(self._now_s, now[-1].pts_s, score, scores.astype(np.float32)))
        found = diagnose(scores)
        if found.cause in self._settings.ignore:
            score = 0.0
        # A median shows a change when half of the window is new.
        began_s = changed_s if since_s is not None else self._now_s - self._settings.window_s / 2
        step = self._picture.step(self._now_s, score, found.cause, began_s)
        if step is None:
            if not self._picture.suspected and change is not None:
                self._scene_natural.append((change.covered, change.elsewhere, change.dirty))
            return []
        verdicts = []
        if step in ("clear", "rename"):
            if step == "clear":
                self._learn_daily()
            verdicts.append(self._clear(0))
        if step in ("raise", "rename"):
            if step == "rename":
                self._picture.cause, self._picture.opened_s, self._picture.began_s = found.cause, self._now_s, began_s
            if 1 in self._parts and self._parts[1].cause == found.cause:
                # A cause is raised once: what has changed says more than what was never trained.
                verdicts.append(self._clear(1))
            verdicts.append(self._raise(found, scores, now, samples, profile, change))
        return verdicts

    def _compare(self, samples: Values) -> tuple[Values, Profile]:
        """Score (n, s) samples against what fits them best of what is normal."""
        quantiles_now = quantiles(samples)
        effective = effective_samples(samples)
        best: tuple[Values, Profile] | None = None
        for profile in self._profiles():
            shift = quantiles_now[MIDDLE] - profile.median
            threshold = np.maximum(LEAST, profile.limit) * self._factors[: len(LEAST)]
            score = np.nan_to_num(wasserstein(quantiles_now, profile.quantiles) / threshold)
            # Two ways to be sure: many samples that differ, or a few one after another.
            sure = holm(p_value(kolmogorov(samples, profile.quantiles), effective), ALPHA)
            sure[RAISES] |= self._cusum.changed
            score = np.where(sure, score, np.minimum(score, 0.99)) * np.where(shift < 0, -1.0, 1.0)
            if best is None or np.abs(score[RAISES]).max() < np.abs(best[0][RAISES]).max():
                best = score, profile
        assert best is not None
        return best

    def _look(self, thumbnails: list[Pixels]) -> tuple[Values, SceneChange | None]:
        """Score the view as a whole."""
        scores = np.zeros(len(MEASURES) - len(PICTURE_STATISTICS))
        factors = self._factors[len(PICTURE_STATISTICS) :]
        scores[0] = self._still_s / self._still_limit_s / factors[0]
        thumbnails = [t for t in thumbnails if t.shape == thumbnails[-1].shape]
        scenes = self.normal.scenes(self._hour, thumbnails[-1].shape) if thumbnails else []
        if len(thumbnails) < MIN_THUMBNAILS or not scenes:
            return scores, None
        now = Scene(thumbnails)
        changes = [scene.change_to(now) for scene in scenes]
        scored = [self._score_scene(change) / factors[1:] for change in changes]
        best = min(range(len(scored)), key=lambda i: float(np.abs(scored[i][:-1]).max()))
        scores[1:] = scored[best]
        return scores, changes[best]

    def _score_scene(self, change: SceneChange) -> Values:
        natural = np.zeros(3)
        if self._scene_natural:
            natural = 2 * np.quantile(np.array(self._scene_natural), 0.9, axis=0)
        covered, elsewhere, dirty = np.array([change.covered, change.elsewhere, change.dirty]) / np.maximum(
            natural, [LEAST_COVERED, LEAST_ELSEWHERE, LEAST_DIRTY]
        )
        moved = change.shift_of_width / LEAST_MOVED
        return np.array([covered, moved, elsewhere, dirty, change.detail / LEAST_DETAIL])

    def _end_block(self) -> list[DriftVerdict]:
        """Learn a stretch of time, unless something is going on in it."""
        block, thumbnails = self._block, self._block_thumbnails
        self._block, self._block_thumbnails = [], []
        if len(block) < MIN_SAMPLES:
            return []
        assert self.last is not None
        samples = np.stack([seen.scaled for seen in block])
        summary = Block.of(samples, self.last.unix_s, self._hour)
        fresh = _Held(summary, thumbnails, self._preview, block[-1].now_s - block[0].now_s + self._every_s)
        if self._picture.suspected:
            self._held = None
            if self._picture.cause in DAILY:
                self._aside.add_to_hour(summary, thumbnails, self._preview)
        elif self.settled < 1:
            self._learn(fresh)
        else:
            # A change may have begun in it that is not suspected yet: it must last for the next block, too.
            if self._held is not None:
                self._learn(self._held)
            self._held = fresh
        return [*self._check_range(samples, block), *self._check_objects(block)]

    def _learn(self, held: _Held) -> None:
        self.normal.add(held.block, held.thumbnails, held.preview)
        self._normal_s += held.lasted_s

    def _learn_daily(self) -> None:
        """What came with the evening and went with the morning is known from now on."""
        if self._picture.cause in DAILY:
            self.normal.adopt(self._aside)
        self._aside = Normal(self._prior)

    def _check_range(self, samples: Values, block: list[_Seen]) -> list[DriftVerdict]:
        """Compare a stretch with all that the model was trained on."""
        if self._training is None or (self._picture.cause is not None and self._range.cause is None):
            return []
        scores = np.zeros(len(MEASURES))
        scores[: len(LEAST)] = self._training.outside(samples) / OUTSIDE_FACTOR / self._factors[: len(LEAST)]
        score = float(np.abs(scores[: len(LEAST)][RAISES]).max())
        found = diagnose(scores)
        if found.cause in self._settings.ignore:
            score = 0.0
        step = self._range.step(self._now_s, score, found.cause, block[0].now_s)
        if step == "clear":
            return [self._clear(1)]
        if step != "raise":
            return []
        return [self._say(1, self._range, found.cause, "training", scores, block, samples, self._training.middle)]

    def _check_objects(self, block: list[_Seen]) -> list[DriftVerdict]:
        """Compare what the model sees; a changed picture explains it, then nothing more is said."""
        finding = self._objects.check(
            self._now_s, learn=not self._picture.suspected, quiet=self._picture.cause is not None
        )
        if finding is None:
            return []
        if finding.step == "clear":
            return [self._clear(2)]
        window = DriftWindow(
            round(block[0].pts_s, 3), round(block[-1].pts_s, 3), finding.num_boxes, round(finding.effective, 1)
        )
        part = DriftPart(
            finding.cause, f"{CAUSES[finding.cause]}: {finding.text}", finding.against, round(finding.score, 2), window,
            finding.statistics, began_s=self._began_s(self._objects.episode, block), picture=self._evidence(),
        )  # fmt: skip
        self._parts[2] = part
        return [DriftVerdict("drift.raised", part)]

    def _raise(
        self, found: Diagnosis, scores: Values, now: list[_Seen], samples: Values, profile: Profile,
        change: SceneChange | None,
    ) -> DriftVerdict:  # fmt: skip
        against: Literal["normal", "training"] = "normal" if len(self.normal) > self._seeded else "training"
        moved = None
        if found.cause == "moved" and change is not None and change.shift is not None and self.last is not None:
            width = self.last.size_wh[0]
            moved = (round(change.shift[0] * width, 1), round(change.shift[1] * width, 1))
        return self._say(0, self._picture, found.cause, against, scores, now, samples, profile.median, moved)

    def _say(
        self, key: int, episode: Episode, cause: str, against: Literal["normal", "training"], scores: Values,
        now: list[_Seen], samples: Values, then: Values, moved: tuple[float, float] | None = None,
    ) -> DriftVerdict:  # fmt: skip
        then, median = from_scale(then), from_scale(np.median(samples, axis=0))
        order = np.argsort(-np.abs(scores[: len(LEAST)]))[:_NUM_SHOWN]
        statistics = tuple(
            DriftStatistic(
                PICTURE_STATISTICS[i], round(float(then[i]), 3), round(float(median[i]), 3), round(float(scores[i]), 2)
            )
            for i in order.tolist()
            if abs(scores[i]) >= 0.5
        )
        effective = float(np.median(effective_samples(samples)))
        window = DriftWindow(round(now[0].pts_s, 3), round(now[-1].pts_s, 3), len(now), round(effective, 1))
        part = DriftPart(
            cause=cause, text=_sentence(cause, statistics, moved), against=against,
            score=round(_together(scores), 2), window=window, statistics=statistics,
            began_s=self._began_s(episode, now), moved_px=moved, picture=self._evidence(),
        )  # fmt: skip
        self._parts[key] = part
        return DriftVerdict("drift.raised", part)

    def _began_s(self, episode: Episode, now: list[_Seen]) -> float:
        """Give stream time, counted back from the last sample."""
        began_s = now[0].now_s if episode.began_s is None else episode.began_s
        return round(now[-1].pts_s - (now[-1].now_s - began_s), 3)

    def _clear(self, key: int) -> DriftVerdict:
        raised = self._parts.pop(key)
        episode = self._episodes[key]
        lasted_s = round(self._now_s - (episode.opened_s if episode.began_s is None else episode.began_s), 1)
        window = raised.window
        if self._seen:
            stop = self._seen[-1].pts_s
            window = DriftWindow(round(self._seen[0].pts_s, 3), round(stop, 3), len(self._seen), float(len(self._seen)))
        part = DriftPart(
            raised.cause, f"over after {lasted_s:.0f} s: {CAUSES[raised.cause]}", raised.against,
            round(episode.score, 2), window, lasted_s=lasted_s,
        )  # fmt: skip
        episode.close()
        return DriftVerdict("drift.cleared", part)

    def _evidence(self) -> str | None:
        if not self._settings.pictures:
            return None
        return then_and_now(self.normal.preview(self._hour), self._preview)

    def pack(self) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
        """Give arrays and facts to store: what is normal, and what is open."""
        arrays, facts = self.normal.pack()
        raised = {str(key): [TypeAdapter(DriftPart).dump_python(part), self._episodes[key].opened_s,
                             self._episodes[key].began_s] for key, part in self._parts.items()}  # fmt: skip
        boxes, of_boxes = self._objects.pack()
        aside, of_aside = self._aside.pack()
        own = {"aside": of_aside, "still_s": self._still_s,
               "measured_by": VERSION, "scene_natural": [list(each) for each in self._scene_natural],
               "now_s": self._now_s, "normal_s": self._normal_s, "seeded": self._seeded,
               "longest_still_s": self._longest_still_s, "raised": raised}  # fmt: skip
        kept = {f"{_ASIDE}{name}": array for name, array in aside.items()}
        return {**arrays, **boxes, **kept}, {**facts, **of_boxes, **own}

    def restore(self, arrays: Mapping[str, NDArray[Any]], facts: Mapping[str, Any]) -> None:
        """Take up what `pack` gave.

        Raises:
            KeyError, ValueError, TypeError: this is not what `pack` gave.
        """
        if facts["measured_by"] != VERSION:
            raise ValueError(f"statistics of version {facts['measured_by']}, expected {VERSION}")
        self.normal = Normal.unpack(arrays, facts, self._prior)
        kept = {name.removeprefix(_ASIDE): array for name, array in arrays.items() if name.startswith(_ASIDE)}
        self._aside = Normal.unpack(kept, facts["aside"], self._prior)
        self._objects.restore(arrays, facts)
        self._scene_natural.extend((float(c), float(e), float(d)) for c, e, d in facts["scene_natural"])
        self._now_s, self._normal_s = float(facts["now_s"]), float(facts["normal_s"])
        self._seeded, self._longest_still_s = int(facts["seeded"]), float(facts["longest_still_s"])
        self._due_s, self._still_s = self._now_s, float(facts["still_s"])
        for key, (part, opened_s, began_s) in facts["raised"].items():
            self._parts[int(key)] = found = TypeAdapter(DriftPart).validate_python(part)
            episode = self._episodes[int(key)]
            episode.cause, episode.opened_s, episode.began_s = found.cause, opened_s, began_s


def _together(scores: Values) -> float:
    """Give the greatest score, or what many small ones that belong together amount to."""
    raising = np.abs(scores)
    raising[: len(RAISES)][~RAISES] = 0
    # Detail of the scene helps to name a cause; sharpness says the same.
    raising[-1] = 0
    joint = float(np.linalg.norm(raising[: len(RAISES)])) / JOINT
    return max(float(raising.max()), joint)


def _sentence(cause: str, statistics: tuple[DriftStatistic, ...], moved: tuple[float, float] | None) -> str:
    numbers = ", ".join(f"{s.name.replace('_', ' ')} {s.then:.3g} → {s.now:.3g}" for s in statistics[:3])
    shift = "" if moved is None else f" by {np.hypot(*moved):.0f} px ({moved[0]:+.0f}, {moved[1]:+.0f})"
    said = f"{CAUSES[cause]}{shift}"
    return f"{said} ({numbers})" if numbers else said
