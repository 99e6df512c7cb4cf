"""Which detection belongs to which track: optimal one-to-one assignment on a similarity."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

# The one place in the engine that needs SciPy; only trackers and judges import this file, since it takes 0.2 s.
from scipy.optimize import linear_sum_assignment

Rows = NDArray[np.intp]


def assign(similarity: NDArray[np.floating[Any]], allowed: NDArray[np.bool_]) -> tuple[Rows, Rows]:
    """Pair rows with columns so that the total similarity is the highest, using allowed pairs only.

    Args:
        similarity: (N, M). N and M may be 0. An allowed pair counts as slightly similar at least.
        allowed: (N, M); other pairs are never made, and do not compete for anybody's partner.

    Returns:
        rows, columns: intp (K,) each, in the order of the rows.
    """
    worth = np.where(allowed, np.maximum(similarity, 1e-3), 0)
    rows, columns = linear_sum_assignment(worth, maximize=True)
    made = allowed[rows, columns]
    return rows[made], columns[made]


def forbid_other_classes(
    similarity: NDArray[np.float32], row_class: NDArray[np.int64], column_class: NDArray[np.int64]
) -> NDArray[np.float32]:
    """Set the similarity of pairs of different classes to 0."""
    return np.where(row_class[:, None] == column_class, similarity, np.float32(0))


def unmatched(count: int, matched: Rows) -> Rows:
    """Give the positions below `count` that are not in `matched`, ascending."""
    free = np.ones(count, np.bool_)
    free[matched] = False
    return np.flatnonzero(free)
