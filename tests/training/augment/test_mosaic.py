from __future__ import annotations

import numpy as np
import pytest

from tests.training.augment.painted import painted, same, seen
from training.augment.mosaic import make_mosaic, mix_up
from training.augment.placing import PAD, window
from training.dataset import Example


def four(seed: int, sizes: tuple[tuple[int, int], ...] = ((200, 120), (90, 210), (30, 30), (400, 300))) -> Example:
    rng = np.random.default_rng(seed)

    def fill(number: int, size_wh: tuple[int, int]) -> Example:
        width, height = sizes[number]
        # Part k shows an object of class k, far enough from the edges to be told from its neighbours.
        boxes = [(0, 0, 0, 0)] * number + [(width // 4, height // 4, width * 3 // 4, height * 3 // 4)]
        example = painted((width, height), *boxes)
        only = np.array([number])
        example = Example(example.bgr, example.xyxy[only], example.class_id[only], example.ignore[only])
        return window(example, size_wh, 1.0, rng)

    return make_mosaic((256, 192), fill, rng)


@pytest.mark.parametrize("seed", range(8))
def test_boxes_lie_on_their_pixels_in_a_mosaic(seed: int) -> None:
    made = four(seed)

    assert made.bgr.shape == (192, 256, 3)
    assert len(made.xyxy) >= 3
    for box, number in zip(made.xyxy, made.class_id, strict=True):
        np.testing.assert_allclose(box, seen(made.bgr, number), atol=1.01)


def test_the_same_state_gives_the_same_mosaic_and_another_one_does_not() -> None:
    assert same(four(3), four(3))
    assert not np.array_equal(four(3).bgr, four(4).bgr)


def test_small_pictures_lie_on_grey() -> None:
    made = four(1, sizes=((30, 30),) * 4)

    assert len(made.xyxy) == 4
    grey = (made.bgr == PAD).all(axis=2)
    assert grey.sum() == 256 * 192 - 4 * 30 * 30


def test_a_mosaic_of_empty_pictures_has_no_boxes() -> None:
    made = make_mosaic((64, 64), lambda _, size_wh: painted(size_wh), np.random.default_rng(0))

    assert made.xyxy.shape == (0, 4)
    assert made.xyxy.dtype == np.float32
    assert made.class_id.dtype == np.intp
    assert made.ignore.dtype == np.bool_


def test_mix_up_shows_both_pictures_and_keeps_all_labels() -> None:
    first, second = painted((40, 30), (0, 0, 10, 10)), painted((40, 30), (5, 5, 40, 30), (0, 0, 9, 9), ignore=(1,))

    mixed = mix_up(first, second, np.random.default_rng(0))

    assert mixed.xyxy.tolist() == [[0, 0, 10, 10], [5, 5, 40, 30], [0, 0, 9, 9]]
    assert mixed.class_id.tolist() == [0, 0, 1]
    assert mixed.ignore.tolist() == [False, False, True]
    low, high = 0.4 * first.bgr + 0.6 * second.bgr, 0.6 * first.bgr + 0.4 * second.bgr
    assert (mixed.bgr >= np.minimum(low, high) - 1).all()
    assert (mixed.bgr <= np.maximum(low, high) + 1).all()
