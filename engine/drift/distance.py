"""How far two samples are from each other, and how sure that is.

Distributions are given as quantiles at `LEVELS`: they are small, can be stored, and make every distance here a few
lines of NumPy.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]

LEVELS: Values = np.array([0.02, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.98])
MIDDLE = len(LEVELS) // 2


def quantiles(samples: Values) -> Values:
    """Give the quantiles of (n, s) samples: (len(LEVELS), s)."""
    return np.asarray(np.quantile(samples, LEVELS, axis=0))


def wasserstein(now: Values, then: Values) -> Values:
    """Give the first Wasserstein distance of two sets of quantiles (len(LEVELS), s): (s,), in their unit."""
    return np.asarray(np.abs(now - then).mean(axis=0))


# Student's t that is passed once in a million, by degrees of freedom.
_DEGREES = np.array([5.0, 8.0, 10.0, 12.0, 15.0, 20.0, 30.0, 60.0])
_ONCE_IN_A_MILLION = np.array([24.8, 12.1, 9.75, 8.5, 7.46, 6.6, 5.87, 5.26])
# How many independent blocks the assumption is worth, and how many blocks in a row say as much as one independent one.
_ASSUMED_BLOCKS = 10
_BLOCKS_ALIKE = 3


def natural_deviation(distances: Values, assumed: Values) -> tuple[Values, Values]:
    """Say how far one more block of normal life may be from the others.

    A Bayesian estimate (scaled inverse chi-squared prior): with few blocks what is assumed decides, with many what was
    seen. Neighbouring blocks are alike and count for less.

    Args:
        distances: (m, s) of m blocks from the whole of them, m at least 1.
        assumed: (s,) standard deviation that a camera has of which nothing is known.

    Returns:
        (s,) standard deviation, and (s,) distance that a block passes once in a million: Student's t, with the error of
        the estimate itself in it.
    """
    seen = (len(distances) - 1) / _BLOCKS_ALIKE
    mean_square = (distances**2).sum(axis=0) / max(1, len(distances) - 1)
    variance = (_ASSUMED_BLOCKS * assumed**2 + seen * mean_square) / (_ASSUMED_BLOCKS + seen)
    factor = np.interp(_ASSUMED_BLOCKS + seen, _DEGREES, _ONCE_IN_A_MILLION)
    deviation = np.sqrt(variance)
    return deviation, factor * deviation * np.sqrt(1 + 1 / len(distances))


def jensen_shannon(p: Values, q: Values) -> float:
    """Give the Jensen-Shannon distance of two sets of counts, 0 (alike) to 1 (nothing in common).

    The square root of the divergence to base 2 (Endres and Schindelin, A new metric for probability distributions,
    IEEE Transactions on Information Theory, 2003). 0 where either is empty.
    """
    if not (p.sum() > 0 and q.sum() > 0):
        return 0.0
    p, q = p / p.sum(), q / q.sum()
    middle = (p + q) / 2
    with np.errstate(divide="ignore", invalid="ignore"):
        terms = np.where(p > 0, p * np.log2(p / middle), 0.0) + np.where(q > 0, q * np.log2(q / middle), 0.0)
    return float(np.sqrt(max(0.0, terms.sum() / 2)))


def kolmogorov(samples: Values, then: Values) -> Values:
    """Give the largest difference between the distribution of (n, s) samples and quantiles: (s,), 0 to 1."""
    below = (samples[None] < then[:, None]).mean(axis=1)
    up_to = (samples[None] <= then[:, None]).mean(axis=1)
    levels = LEVELS[:, None]
    # Where many samples equal a quantile, any level between the two shares is theirs.
    return np.asarray(np.maximum(np.maximum(below - levels, levels - up_to), 0.0).max(axis=0))


def p_value(distance: Values, num_effective: Values) -> Values:
    """Give the chance of so large a Kolmogorov distance by accident: Massart's bound, at most 1.

    Args:
        distance: (s,).
        num_effective: (s,) independent samples; correlated ones count for less, see `effective_samples`.
    """
    return np.asarray(np.minimum(1.0, 2 * np.exp(-2 * num_effective * distance**2)))


def holm(p: Values, alpha: float) -> NDArray[np.bool_]:
    """Say which of many tests hold with a chance of `alpha` for any false one among them (Holm, 1979)."""
    order = np.argsort(p)
    passed = np.cumprod(p[order] <= alpha / (len(p) - np.arange(len(p)))).astype(bool)
    out = np.zeros(len(p), bool)
    out[order] = passed
    return out


def effective_samples(samples: Values) -> Values:
    """Give how many independent samples (n, s) correlated ones are worth: (s,), 1 to n.

    n (1 - r) / (1 + r) with the correlation r of neighbours, as for a first-order autoregression; a constant column
    counts in full. Within a minute a correlation above 0.8 is a trend, not noise, and does not make samples fewer.
    """
    centred = samples - samples.mean(axis=0)
    variance = (centred**2).sum(axis=0)
    product = (centred[1:] * centred[:-1]).sum(axis=0)
    r = np.clip(np.divide(product, variance, out=np.zeros(len(variance)), where=variance > 1e-12), 0.0, 0.8)
    return np.asarray(np.maximum(1.0, len(samples) * (1 - r) / (1 + r)))


class Cusum:
    """Notices when (s,) statistics have changed, and since when (Page, Continuous inspection schemes, 1954).

    Args:
        slack: deviations below this many units do not count.
        limit: sum at which the change is certain.
    """

    def __init__(self, num: int, slack: float = 0.75, limit: float = 6.0) -> None:
        self._slack, self._limit = slack, limit
        self._sums = np.zeros((2, num))
        self._since = np.zeros((2, num))
        self.changed = np.zeros(num, bool)
        self.changed_s: float | None = None

    def add(self, now_s: float, deviation: Values) -> None:
        """Take a sample: how far each statistic is from its normal, in units of what counts as a change."""
        moved = np.stack([deviation, -deviation])
        # One wild sample must not decide: at most three units.
        grown = np.maximum(self._sums + np.clip(moved, -3.0, 3.0) - self._slack, 0.0)
        self._since = np.where(self._sums > 0, self._since, now_s)
        self._sums = np.minimum(grown, 2 * self._limit)
        sure = self._sums >= self._limit
        self.changed = np.asarray(sure.any(axis=0))
        self.changed_s = float(self._since[sure].min()) if sure.any() else None

    def reset(self) -> None:
        """Forget."""
        self._sums[:] = 0
        self.changed = np.zeros(self._sums.shape[1], bool)
        self.changed_s = None
