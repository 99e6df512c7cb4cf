"""All cases in interleaved rounds: machines are noisy, and what was measured together can be compared."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from training.bench.subject import Opened, Subject, Timed
from training.bench.variant import Variant
from training.bench.worker import Refused, Worker

if TYPE_CHECKING:
    from training.bench.layers import LayerTime
    from training.dataset import Dataset


@dataclass(frozen=True)
class Plan:
    """What to measure.

    Attributes:
        model: a bundle's folder or an ONNX file.
        variants: in order; the first that runs is the reference.
        batches: sizes.
        rounds: every case is measured once a round.
        seconds: of each measurement, which has three batches at least.
        dataset: to judge the boxes on, with classes that the model knows.
        profile: ask for the time of every layer, too.
    """

    model: str
    variants: Sequence[Variant]
    batches: list[int]
    rounds: int
    seconds: float
    dataset: Dataset | None = None
    profile: bool = False


@dataclass(frozen=True)
class Figures:
    """Of one batch size.

    Attributes:
        ms: p50, p90 and p99 of a batch, with upload, normalising and download.
        pictures_s: median of the rounds.
        ratio: pictures per second over those of the reference in the same round, median; None where it has none.
        model_ms: median of the model alone; None where the backend cannot tell.
        num_batches: measured.
    """

    ms: tuple[float, float, float]
    pictures_s: float
    ratio: float | None
    model_ms: float | None
    num_batches: int


@dataclass(frozen=True)
class Result:
    """Of one variant.

    Attributes:
        variant: what was asked for.
        opened: what it is; a sentence where it cannot run.
        figures: by batch size; a sentence where that one cannot run.
        map_points: mAP at IoU .5 to .95, 0 to 100; a sentence where it could not be judged, None without pictures.
        layers: slowest first; a sentence where the backend cannot tell, None where nobody asked.
    """

    variant: Variant
    opened: Opened | Refused
    figures: dict[int, Figures | Refused]
    map_points: float | Refused | None = None
    layers: tuple[LayerTime, ...] | Refused | None = None


def measure(plan: Plan, tick: Callable[[], None] = lambda: None, subject: type[Subject] = Subject) -> list[Result]:
    """Measure every variant in every batch size.

    Args:
        plan: what.
        tick: called after each of `num_steps(plan)` steps, or fewer where variants cannot run.
        subject: what runs a variant, in a process of its own.
    """
    with ExitStack() as stack:
        subjects = [functools.partial(subject, plan.model, variant, plan.batches) for variant in plan.variants]
        workers = [stack.enter_context(closing(Worker(make))) for make in subjects]
        opened: list[Opened | Refused] = []
        for worker in workers:
            # One after the other: each is asked what memory it takes.
            opened.append(worker.ask("open"))
            tick()
        timed: dict[tuple[int, int], list[Timed | Refused]] = {}
        runs = [i for i, one in enumerate(opened) if isinstance(one, Opened)]
        for number in range(plan.rounds):
            for batch in plan.batches:
                # Each one is the first in its turn: a core that has rested is faster for a moment.
                for i in runs[number % len(runs) :] + runs[: number % len(runs)] if runs else ():
                    if batch not in _failed(opened[i]):
                        timed.setdefault((i, batch), []).append(workers[i].ask("time", batch, plan.seconds))
                    tick()
        layers: dict[int, tuple[LayerTime, ...] | Refused] = {}
        judged: dict[int, float | Refused] = {}
        for i in runs:
            if plan.profile:
                layers[i] = workers[i].ask("layers", plan.batches[0])
                tick()
            if plan.dataset is not None:
                judged[i] = workers[i].ask("judge", plan.dataset)
                tick()
    return [
        Result(variant, opened[i], _all_figures(plan, opened, timed, runs, i), judged.get(i), layers.get(i))
        for i, variant in enumerate(plan.variants)
    ]


def num_steps(plan: Plan) -> int:
    """Say how many steps `measure` has, at most."""
    after = plan.profile + (plan.dataset is not None)
    return len(plan.variants) * (1 + plan.rounds * len(plan.batches) + after)


def _failed(opened: Opened | Refused) -> dict[int, str]:
    return opened.failed if isinstance(opened, Opened) else {}


def _all_figures(
    plan: Plan,
    opened: Sequence[Opened | Refused],
    timed: dict[tuple[int, int], list[Timed | Refused]],
    runs: Sequence[int],
    i: int,
) -> dict[int, Figures | Refused]:
    if i not in runs:
        return {}
    found: dict[int, Figures | Refused] = {}
    for batch in plan.batches:
        if batch in _failed(opened[i]):
            found[batch] = Refused(_failed(opened[i])[batch])
        else:
            found[batch] = _figures(batch, timed[i, batch], timed.get((runs[0], batch), []))
    return found


def _figures(batch: int, rounds: list[Timed | Refused], reference: list[Timed | Refused]) -> Figures | Refused:
    done = [one for one in rounds if isinstance(one, Timed)]
    if len(done) < len(rounds):
        return next(one for one in rounds if isinstance(one, Refused))
    ms = np.concatenate([one.ms for one in done])
    model_ms = np.concatenate([one.model_ms for one in done])
    ratios = [
        _pictures_s(batch, a) / _pictures_s(batch, b)
        for a, b in zip(done, reference, strict=False)
        if isinstance(b, Timed)
    ]
    p50, p90, p99 = np.percentile(ms, [50, 90, 99]).tolist()
    return Figures(
        ms=(p50, p90, p99),
        pictures_s=float(np.median([_pictures_s(batch, one) for one in done])),
        ratio=float(np.median(ratios)) if ratios else None,
        model_ms=float(np.median(model_ms)) if len(model_ms) else None,
        num_batches=len(ms),
    )


def _pictures_s(batch: int, timed: Timed) -> float:
    return batch * len(timed.ms) * 1000 / sum(timed.ms)
