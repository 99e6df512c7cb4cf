from __future__ import annotations

import numpy as np
import pytest

from engine.association import assign, forbid_other_classes, unmatched


def pairs(similarity: list[list[float]], minimum: float) -> list[tuple[int, int]]:
    table = np.array(similarity, np.float32)
    rows, columns = assign(table, table >= minimum)
    return list(zip(rows.tolist(), columns.tolist(), strict=True))


def test_total_similarity_counts_not_the_best_pair() -> None:
    assert pairs([[0.9, 0.8], [0.8, 0.1]], 0.0) == [(0, 1), (1, 0)]


def test_pairs_that_are_not_allowed_do_not_take_partners_away() -> None:
    # Otherwise the second row would take the first column away for a better total.
    assert pairs([[0.5, 0.25], [0.29, 0.0]], 0.3) == [(0, 0)]


def test_an_allowed_pair_is_made_even_if_it_has_nothing_in_common() -> None:
    assert pairs([[-0.2, -1.0]], -0.5) == [(0, 0)]


@pytest.mark.parametrize("shape", [(0, 0), (0, 3), (3, 0)])
def test_nobody_on_one_side_gives_no_pair(shape: tuple[int, int]) -> None:
    rows, columns = assign(np.zeros(shape, np.float32), np.ones(shape, np.bool_))

    assert (rows.tolist(), columns.tolist()) == ([], [])


def test_more_columns_than_rows() -> None:
    assert pairs([[0.4, 0.6, 0.5]], 0.3) == [(0, 1)]


def test_other_classes_have_nothing_in_common() -> None:
    similarity = np.full((2, 3), 0.5, np.float32)

    allowed = forbid_other_classes(similarity, np.array([0, 1]), np.array([0, 1, 2]))

    assert allowed.tolist() == [[0.5, 0, 0], [0, 0.5, 0]]


def test_unmatched_are_the_others_in_order() -> None:
    assert unmatched(5, np.array([3, 0])).tolist() == [1, 2, 4]
    assert unmatched(0, np.array([], np.intp)).tolist() == []
