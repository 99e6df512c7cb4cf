"""How sure a figure is: it is computed again and again on pictures drawn with replacement from those that are there.

Neighbouring frames of a camera show the same objects, so they are drawn together: in blocks of time. Drawing single
frames would promise intervals that are several times too narrow.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.evaluation.detections.judge import Rows

# About as long as somebody takes to cross a scene; what is farther apart has little to do with each other.
BLOCK_S = 5.0
# With fewer blocks an interval is known to be too narrow; with fewer than MIN_BLOCKS it is given up.
FEW_BLOCKS = 20
MIN_BLOCKS = 5

_NORMAL = NormalDist()
_Z95 = _NORMAL.inv_cdf(0.975)


@dataclass(frozen=True, eq=False)
class Blocks:
    """Which pictures are drawn together.

    Attributes:
        number: intp (images,), the block of each picture, from 0.
        seconds: length of a block in time, None where pictures are drawn one by one.
    """

    number: Rows
    seconds: float | None

    @property
    def num(self) -> int:
        """How many blocks there are."""
        return int(self.number.max()) + 1

    def sentence(self) -> str:
        """Say for a person what is drawn."""
        few = f"; {self.num} are few: take the intervals as too narrow" if self.num < FEW_BLOCKS else ""
        if self.seconds is None:
            return f"{self.num} pictures drawn one by one, as if they were independent (the truth names no camera){few}"
        return f"{self.num} blocks drawn, each {self.seconds:g} s of one camera{few}"

    def draws(self, num: int, seed: int) -> Iterator[Rows]:
        """Yield positions of pictures, `num` times: as many blocks as there are, drawn with replacement."""
        order = np.argsort(self.number, kind="stable")
        members = np.split(order, np.cumsum(np.bincount(self.number))[:-1])
        for i in range(num):
            drawn = np.random.default_rng([seed, i]).integers(len(members), size=len(members))
            yield np.concatenate([members[block] for block in drawn])


def blocks_of(images: Sequence[Mapping[str, Any]], block_s: float = BLOCK_S) -> Blocks:
    """Group pictures of one camera by time; a picture without a camera is a block of its own.

    Args:
        images: COCO's, with `camera` and `time_s` where they are known. Pictures of a camera without times count as
            one second apart, in their order.
        block_s: seconds.
    """
    keys: list[tuple[str, str, int]] = []
    seen: Counter[tuple[str, str]] = Counter()
    for number, image in enumerate(images):
        # Times of two recordings of a camera have nothing to do with each other.
        footage = str(image.get("camera") or ""), str(image.get("tags", {}).get("recording", ""))
        if not footage[0]:
            keys.append(("", "", number))
            continue
        time_s = image.get("time_s")
        keys.append((*footage, int((seen[footage] if time_s is None else time_s) // block_s)))
        seen[footage] += 1
    known = {key: i for i, key in enumerate(dict.fromkeys(keys))}
    return Blocks(np.array([known[key] for key in keys], np.intp), block_s if seen else None)


@dataclass(frozen=True)
class Interval:
    """Where a figure lies with 95 % confidence."""

    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.low:.3f}–{self.high:.3f}"


def interval(value: float, draws: NDArray[np.float64]) -> Interval | None:
    """Give the bias-corrected 95 % interval of a figure (Efron and Tibshirani 1993, chapter 14).

    Plain percentiles would do for a share. Average precision over classes of which some have few pictures comes out
    higher on draws than on all pictures, and its interval would lie too high.

    Args:
        value: the figure on all pictures.
        draws: float64 (draws,), NaN where a draw had nothing to be found.

    Returns:
        None if fewer than half of the draws are numbers.
    """
    known = draws[~np.isnan(draws)]
    if not len(draws) or 2 * len(known) < len(draws):
        return None
    shift = 2 * _quantile(known, value)
    ranks = [100 * _NORMAL.cdf(shift + z) for z in (-_Z95, _Z95)]
    low, high = np.percentile(known, ranks)
    return Interval(float(low), float(high))


def _quantile(draws: NDArray[np.float64], value: float) -> float:
    """Give how many standard deviations from the draws' middle a value lies, by the share of draws below it."""
    share = (np.count_nonzero(draws < value) + np.count_nonzero(draws == value) / 2) / len(draws)
    # A limited number of draws never claims certainty.
    least = 1 / (len(draws) + 1)
    return _NORMAL.inv_cdf(min(max(share, least), 1 - least))


@dataclass(frozen=True)
class Difference:
    """Two figures of the same pictures.

    Attributes:
        a: the first.
        b: the second.
        interval: of b - a, None where too few draws had such objects.
        p: two-sided: how likely so large a difference is if there is none. None likewise.
    """

    a: float
    b: float
    interval: Interval | None
    p: float | None

    @property
    def is_significant(self) -> bool:
        """The interval of the difference does not hold 0."""
        return self.interval is not None and not self.interval.low <= 0 <= self.interval.high


def difference(a: float, b: float, draws_a: NDArray[np.float64], draws_b: NDArray[np.float64]) -> Difference:
    """Compare two figures that were computed on the same draws: what is hard for both does not count as difference.

    Args:
        a, b: on all pictures.
        draws_a, draws_b: float64 (draws,), pairwise on the same pictures.
    """
    apart = draws_b - draws_a
    within = interval(b - a, apart)
    if within is None:
        return Difference(a, b, None, None)
    known = apart[~np.isnan(apart)]
    # The level at which the interval above just touches 0.
    z = _quantile(known, 0.0) - 2 * _quantile(known, b - a)
    return Difference(a, b, within, 2 * _NORMAL.cdf(-abs(z)))


def figures_of_draws(
    blocks: Blocks, num: int, seed: int, figures: Callable[[Rows], NDArray[np.float64]], tick: Callable[[], None]
) -> NDArray[np.float64]:
    """Compute figures on every draw.

    Args:
        blocks: what is drawn.
        num: draws.
        seed: the same seed gives the same draws.
        figures: gives float64 (figures,) of a choice of pictures, NaN for what they do not have.
        tick: called after each draw.

    Returns:
        float64 (draws, figures).
    """
    out = []
    for images in blocks.draws(num, seed):
        out.append(figures(images))
        tick()
    return np.array(out)
