"""Which detection belongs to which track: optimal one-to-one assignment on a similarity."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

# The one place in the engine that needs SciPy; only trackers and judges import this file, since it takes 0.2 s.
from scipy.optimize import linear_sum_assignment

Rows = NDArray[np.intp]


def assign(similarity: NDArray[np.floating[Any]], minimum: float) -> tuple[Rows, Rows]:
    """Pair rows with columns so that the total similarity is the highest, using no pair below a minimum.

    Args:
        similarity: (N, M), 0 or more. N and M may be 0.
        minimum: pairs less similar than this are never made; they also do not compete for the others' partners.

    Returns:
        rows, columns: intp (K,) each, in the order of the rows.
    """
    allowed = np.where(similarity >= minimum, similarity, 0)
    rows, columns = linear_sum_assignment(allowed, maximize=True)
    made = allowed[rows, columns] > 0
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
