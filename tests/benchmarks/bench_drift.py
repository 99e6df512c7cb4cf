"""Drift: is each condition noticed on real clips, how soon, and is the right cause named?

    python -m tests.benchmarks.bench_drift CLIP... [--strengths 0.5] [--conditions all] [--minutes-before 5] [--cache DIR]

Every clip runs unchanged for minutes and then under a condition for five more, through a real encoder, sampler and
monitor with default settings. `encoder` is the recording coded at crf 23 + 30 x strength, where `compression` worsens
pictures. `raised` within five minutes; `named` is the share of all streams in which the first `drift.raised` names a
right cause; `last` the same for the cause that stood at the end. A stream on which something was raised before its
condition began counts under `early`. `overexposed`, `frozen` and `sensor_noise` are no part of the ten.

    python -m tests.benchmarks.bench_drift CLIP... --false-alarms HOURS [--cache DIR]

watches the clips for so many hours each in which nothing happens: see drift_false_alarms.py.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from itertools import product
from math import hypot
from pathlib import Path
from statistics import median
from typing import NamedTuple

from engine.drift.monitor import DriftMonitor, DriftVerdict
from engine.drift.settings import DriftSettings
from tests.benchmarks.drift_false_alarms import print_quiet, watch_quiet
from tests.benchmarks.drift_streams import ENCODER, Clip, StreamCache

RIGHT_CAUSES = {
    "night": ("dark",), "dusk": ("dusk", "dark"), "fog": ("fog",), "rain": ("rain",),
    "defocus": ("blurred",), "motion_blur": ("blurred",), "lens_dirt": ("dirty",), "covered": ("covered",),
    "moved": ("moved",), "compression": ("compressed",), ENCODER: ("compressed",), "color_cast": ("color_cast",),
    "overexposed": ("overexposed",), "frozen": ("frozen",), "sensor_noise": ("noisy",),
}  # fmt: skip
TEN = list(RIGHT_CAUSES)[:12]
"""The ten conditions of the goal; blur and compression come in two kinds."""


class Stream(NamedTuple):
    """A clip, what happens to it, and where its samples are kept."""

    path: Path
    condition: str
    strength: float
    seed: int
    cache: StreamCache


@dataclass(frozen=True)
class Outcome:
    """What the monitor said of one stream.

    Attributes:
        early: causes raised before the condition began.
        cause: of the first `drift.raised` under the condition; None if nothing was raised.
        last: the last cause raised under the condition.
        after_s: how long it took.
        moved_error: distance between the shift found and the true one, as a share of the true one; of `moved` alone.
        top: statistics of the first `drift.raised`, the greatest first.
    """

    clip: str
    condition: str
    strength: float
    seed: int
    early: tuple[str, ...]
    cause: str | None
    last: str | None
    after_s: float | None
    score: float | None
    moved_error: float | None
    top: tuple[str, ...]

    @property
    def right(self) -> bool:
        """Whether the first cause named is right; a shift must be right within a quarter."""
        return self._fits(self.cause)

    @property
    def right_at_last(self) -> bool:
        """Whether the last one is."""
        return self._fits(self.last)

    def _fits(self, cause: str | None) -> bool:
        if cause not in RIGHT_CAUSES[self.condition]:
            return False
        return self.condition != "moved" or (self.moved_error is not None and self.moved_error <= 0.25)


def judge(stream: Stream) -> Outcome:
    """Show a stream to a monitor of its own, a sample at a time."""
    path, condition, strength, seed, cache = stream
    clip = Clip(path)
    before, after = cache.stream_samples(clip, condition, strength, seed)
    monitor = DriftMonitor(DriftSettings())
    early, raised = [], []
    for sample in before:
        early += [verdict for verdict in monitor.observe(clip.name, [sample]) if verdict.type == "drift.raised"]
    for sample in after:
        verdicts = monitor.observe(clip.name, [sample])
        raised += [(sample.pts_s, verdict) for verdict in verdicts if verdict.type == "drift.raised"]
    begins_s = cache.before_s
    if not raised:
        causes = tuple(verdict.part.cause for verdict in early)
        return Outcome(clip.name, condition, strength, seed, causes, None, None, None, None, None, ())
    at_s, first = raised[0]
    true_px = clip.moved_px(before[0].size_wh[0], strength, seed)
    return Outcome(
        clip.name, condition, strength, seed,
        early=tuple(verdict.part.cause for verdict in early),
        cause=first.part.cause,
        last=raised[-1][1].part.cause,
        after_s=at_s - begins_s,
        score=first.part.score,
        moved_error=_moved_error([v for _, v in raised], true_px) if condition == "moved" else None,
        top=tuple(f"{s.name} {s.score:+.1f}" for s in first.part.statistics[:3]),
    )  # fmt: skip


def _moved_error(raised: Sequence[DriftVerdict], true_px: tuple[float, float]) -> float | None:
    found = next((v.part.moved_px for v in raised if v.part.moved_px is not None), None)
    return None if found is None else hypot(found[0] - true_px[0], found[1] - true_px[1]) / hypot(*true_px)


def judge_all(streams: Sequence[Stream], jobs: int) -> list[Outcome]:
    """Judge streams, in processes of their own."""
    if jobs == 1:
        return list(map(judge, streams))
    with ProcessPoolExecutor(jobs) as pool:
        return list(pool.map(judge, streams))


def print_table(outcomes: Sequence[Outcome]) -> None:
    """Print a line a condition, then what was missed or called something else."""
    print("| condition | streams | raised | median s | named | last | early |")
    print("|---|---|---|---|---|---|---|")
    for condition in dict.fromkeys(outcome.condition for outcome in outcomes):
        print(_row(condition, [o for o in outcomes if o.condition == condition]))
    print(_row("all of the ten", [o for o in outcomes if o.condition in TEN]))
    print()
    for o in outcomes:
        if o.right and not o.early:
            continue
        said = "MISSED" if o.cause is None else f"{o.cause} after {o.after_s:.0f} s, score {o.score:.1f}"
        changed = f", then {o.last}" if o.last != o.cause else ""
        error = "" if o.moved_error is None else f", shift off by {o.moved_error:.0%}"
        early = f", EARLY: {', '.join(o.early)}" if o.early else ""
        print(f"{o.condition}@{o.strength:g} {o.clip}: {said}{changed}{error}{early}  [{'; '.join(o.top)}]")


def _row(name: str, outcomes: Sequence[Outcome]) -> str:
    num = len(outcomes)
    if not num:
        return f"| {name} | 0 | | | | | |"
    times = [o.after_s for o in outcomes if o.after_s is not None]
    took = f"{median(times):.0f}" if times else "-"
    right, at_last = sum(o.right for o in outcomes), sum(o.right_at_last for o in outcomes)
    early = sum(bool(o.early) for o in outcomes)
    return f"| {name} | {num} | {len(times) / num:.0%} | {took} | {right / num:.0%} | {at_last / num:.0%} | {early} |"


def add_stream_options(parser: argparse.ArgumentParser) -> None:
    """Add what says which streams there are."""
    parser.add_argument("clips", nargs="+", type=Path, metavar="CLIP")
    parser.add_argument("--strengths", default="0.5", help="with commas between them")
    parser.add_argument("--conditions", default="all", help=f"all (the ten), every, or of {', '.join(RIGHT_CAUSES)}")
    parser.add_argument("--minutes-before", type=float, default=5.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--cache", type=Path, help="keeps samples here, so that judging again takes seconds")


def streams_of(options: argparse.Namespace) -> list[Stream]:
    """Give every stream that is asked for."""
    every = {"all": TEN, "every": list(RIGHT_CAUSES)}
    conditions = every.get(options.conditions) or options.conditions.split(",")
    unknown = set(conditions) - set(RIGHT_CAUSES)
    if unknown:
        raise SystemExit(f"--conditions: unknown {sorted(unknown)}; known: {', '.join(RIGHT_CAUSES)}")
    cache = StreamCache(options.cache, options.minutes_before * 60)
    strengths = [float(strength) for strength in options.strengths.split(",")]
    return [Stream(p, c, s, options.seed, cache) for p, c, s in product(options.clips, conditions, strengths)]


def main() -> None:
    """Print the table; write each outcome."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_stream_options(parser)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--false-alarms", type=float, metavar="HOURS", help="watch unchanged cameras instead")
    options = parser.parse_args()
    os.nice(3)
    if options.false_alarms is not None:
        if options.false_alarms < 4:
            raise SystemExit(f"--false-alarms {options.false_alarms:g}: a distribution needs at least 4 hours")
        cache = StreamCache(options.cache)
        quiet = [watch_quiet(Clip(path), cache, options.false_alarms, options.seed) for path in options.clips]
        print_quiet(quiet)
        return
    outcomes = judge_all(streams_of(options), options.jobs)
    outcomes.sort(key=lambda o: list(RIGHT_CAUSES).index(o.condition))
    print_table(outcomes)
    if options.json:
        options.json.write_text(json.dumps([asdict(o) | {"right": o.right} for o in outcomes], indent=1))


if __name__ == "__main__":
    main()
