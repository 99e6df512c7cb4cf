"""Evidently with its defaults and plain Kolmogorov-Smirnov tests on the windows that the drift monitor sees.

    python -m tests.benchmarks.bench_drift_rivals CLIP... [--strengths 0.5] [--conditions all] [--cache DIR]

Reference: the unchanged minutes of a stream; present: the first minute under the condition. `Evidently` is its
DataDriftPreset as it comes; that half of the columns have drifted is its verdict on the data set. `KS` is scipy's
two-sample test of each column at p < 0.05, and at 0.05 / columns (Bonferroni). False alarms are counted on minutes in
which nothing changed: `looped`, each unchanged minute against the others of its stream (the same pictures again), and
`varied`, minutes of the first hour of bench_drift's quiet cameras against their first five. The monitor has seen the
same samples; its false alarms are counted in `drift.raised`.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import takewhile

import numpy as np
from numpy.typing import NDArray
from scipy.stats import ks_2samp

from engine.drift.monitor import DriftMonitor
from engine.drift.sample import PICTURE_STATISTICS, DriftSample
from engine.drift.settings import DriftSettings
from operators.evidently_report import default_verdict
from tests.benchmarks.bench_drift import add_stream_options, judge, streams_of
from tests.benchmarks.drift_false_alarms import quiet_samples
from tests.benchmarks.drift_streams import Clip

WINDOW_S = 60.0
VARIED_S = 3600.0
# Evidently takes a second a comparison.
VARIED_EVERY = 5
Columns = Mapping[str, NDArray[np.float32]]


def columns_of(samples: Sequence[DriftSample]) -> Columns:
    """Give each statistic as a column; samples without motion, such as the first, are left out."""
    values = np.stack([sample.values for sample in samples])
    values = values[np.isfinite(values).all(axis=1)]
    return dict(zip(PICTURE_STATISTICS, values.T, strict=True))


def plain_ks(then: Columns, now: Columns) -> dict[str, bool]:
    """Say which columns differ at p < 0.05."""
    return {name: bool(ks_2samp(then[name], now[name]).pvalue < 0.05) for name in then}


def bonferroni_ks(then: Columns, now: Columns) -> dict[str, bool]:
    """Say which columns differ at p < 0.05 / columns."""
    return {name: bool(ks_2samp(then[name], now[name]).pvalue < 0.05 / len(then)) for name in then}


METHODS: dict[str, Callable[[Columns, Columns], dict[str, bool]]] = {
    "Evidently": default_verdict, "KS p < 0.05": plain_ks, "KS, Bonferroni": bonferroni_ks,
}  # fmt: skip


def windows_of(samples: Sequence[DriftSample]) -> list[list[DriftSample]]:
    """Cut samples into whole windows."""
    start_s = samples[0].pts_s
    num = int((samples[-1].pts_s - start_s + 1) // WINDOW_S)
    return [[s for s in samples if k * WINDOW_S <= s.pts_s - start_s < (k + 1) * WINDOW_S] for k in range(num)]


def looped(before: Sequence[DriftSample]) -> Iterator[tuple[Columns, Columns]]:
    """Give each unchanged window beside the others of its stream."""
    windows = windows_of(before)
    for number, now in enumerate(windows):
        others = [sample for k, window in enumerate(windows) if k != number for sample in window]
        yield columns_of(others), columns_of(now)


def varied(samples: Sequence[DriftSample]) -> Iterator[tuple[Columns, Columns]]:
    """Give windows of a quiet camera beside its first five."""
    windows = windows_of(samples)
    then = columns_of([sample for window in windows[:5] for sample in window])
    for now in windows[5::VARIED_EVERY]:
        yield then, columns_of(now)


def main() -> None:
    """Print a line for each way."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_stream_options(parser)
    options = parser.parse_args()
    clips = [Clip(path) for path in options.clips]
    streams = streams_of(options)
    cache = streams[0].cache

    changed: list[tuple[Columns, Columns]] = []
    still: list[tuple[Columns, Columns]] = []
    for path, condition, strength, seed, _ in streams:
        before, after = cache.stream_samples(Clip(path), condition, strength, seed)
        changed.append((columns_of(before), columns_of(windows_of(after)[0])))
        if (condition, strength) == streams[0][1:3]:
            still += looped(before)
    quiet = [
        list(takewhile(lambda s: s.pts_s < VARIED_S, quiet_samples(clip, cache, 1.2, options.seed))) for clip in clips
    ]
    moving = [pair for samples in quiet for pair in varied(samples)]

    print(f"{len(changed)} streams; windows without a change: {len(still)} looped, {len(moving)} varied")
    print("| | conditions raised | false alarms, looped | false alarms, varied |")
    print("|---|---|---|---|")
    for name, method in METHODS.items():
        shares = [
            [float(np.mean(list(method(*pair).values()))) for pair in pairs] for pairs in (changed, still, moving)
        ]
        for said, least in (("any column", 1e-9), ("half of the columns", 0.5)):
            cells = [f"{np.mean([share >= least for share in each]):.0%}" for each in shares]
            print(f"| {name}, {said} | {' | '.join(cells)} |")
    outcomes = list(map(judge, streams))
    raised = np.mean([outcome.cause is not None for outcome in outcomes])
    early = {outcome.clip: outcome.early for outcome in outcomes}
    alarms = sum(map(_alarms, quiet))
    print(f"| Vedette | {raised:.0%} | {sum(map(len, early.values()))} events | {alarms} events |")


def _alarms(samples: Sequence[DriftSample]) -> int:
    verdicts = DriftMonitor(DriftSettings()).observe("quiet", samples)
    return sum(verdict.type == "drift.raised" for verdict in verdicts)


if __name__ == "__main__":
    main()
