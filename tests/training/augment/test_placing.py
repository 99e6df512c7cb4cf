from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from engine.picture import Letterbox, Picture
from tests.training.augment.painted import COLOURS, painted, same, seen
from training.augment.placing import PAD, keep_visible, letterbox, mark_hidden, paste, window


def test_a_box_mostly_cut_off_is_ignored_and_one_outside_is_gone() -> None:
    example = painted((100, 100), *[(0, 0, 1, 1)] * 5)
    example = replace(
        example,
        xyxy=np.array(
            [[-10, 10, 30, 50], [-90, 10, 10, 50], [-50, 10, 0, 50], [98.5, 10, 140, 50], [95, 95, 105, 105]],
            np.float32,
        ),
    )

    left = keep_visible(example)

    assert left.xyxy.tolist() == [[0, 10, 30, 50], [0, 10, 10, 50], [95, 95, 100, 100]]
    assert left.class_id.tolist() == [0, 1, 4]
    assert left.ignore.tolist() == [False, True, False]


def test_what_was_ignored_stays_ignored() -> None:
    left = keep_visible(painted((100, 100), (0, 0, 50, 50), (10, 10, 90, 90), ignore=(1,)))

    assert left.ignore.tolist() == [False, True]


def test_a_box_of_one_pixel_is_dropped() -> None:
    assert keep_visible(painted((100, 100), (10, 10, 11, 50), (10, 10, 12, 50))).class_id.tolist() == [1]


def test_paint_over_a_box_makes_it_ignored_and_then_drops_it() -> None:
    example = painted((100, 100), (0, 0, 20, 10), (20, 0, 40, 10), (40, 0, 60, 10))
    holes = np.array([[0, 0, 10, 10], [22, 0, 30, 10], [25, 0, 39, 10], [40, 0, 60, 10]])

    left = mark_hidden(example, holes)

    assert left.xyxy.tolist() == [[0, 0, 20, 10], [20, 0, 40, 10]]
    assert left.class_id.tolist() == [0, 1]
    assert left.ignore.tolist() == [False, True]


@pytest.mark.parametrize("size_wh", [(200, 100), (100, 200), (64, 64), (30, 20)])
def test_the_letterbox_is_the_one_that_the_model_meets(size_wh: tuple[int, int]) -> None:
    width, height = size_wh
    example = painted(size_wh, (width // 4, height // 4, width // 2, height // 2))
    canvas = np.full((96, 128, 3), PAD, np.uint8)

    placed = paste(canvas, letterbox(example, (128, 96)), 0, 0)

    spec = Letterbox((128, 96))
    live = Picture.from_bgr(example.bgr).letterbox(spec).transpose(1, 2, 0)
    assert np.array_equal(placed.bgr, live)
    back = spec.geometry(size_wh).to_source(placed.xyxy)
    np.testing.assert_allclose(back, example.xyxy, atol=1e-4)


@pytest.mark.parametrize("size_wh", [(320, 180), (90, 260), (24, 24)])
@pytest.mark.parametrize("scale", [0.4, 1.0, 2.5])
def test_boxes_lie_on_their_pixels_in_a_window(size_wh: tuple[int, int], scale: float) -> None:
    width, height = size_wh
    example = painted(size_wh, (2, 2, width // 2, height // 2), (width // 2 + 1, 3, width - 2, height - 3))
    for seed in range(10):
        cut = window(example, (160, 128), scale, np.random.default_rng(seed))

        assert cut.bgr.shape[0] <= 128
        assert cut.bgr.shape[1] <= 160
        for box, number in zip(cut.xyxy, cut.class_id, strict=True):
            np.testing.assert_allclose(box, seen(cut.bgr, number), atol=1.01)


def test_a_window_without_boxes_has_none() -> None:
    cut = window(painted((50, 40)), (20, 20), 1.0, np.random.default_rng(0))

    assert cut.size_wh == (20, 20)
    assert cut.xyxy.shape == (0, 4)


def test_windows_reach_every_part_of_the_picture() -> None:
    example = painted((40, 10), (0, 0, 10, 10), (10, 0, 20, 10), (20, 0, 30, 10), (30, 0, 40, 10))
    cuts = [window(example, (10, 10), 1.0, np.random.default_rng(seed)) for seed in range(60)]

    assert {int(c) for cut in cuts for c in cut.class_id[~cut.ignore]} == {0, 1, 2, 3}
    assert any((cut.bgr == COLOURS[0]).all() for cut in cuts)
    assert any((cut.bgr == COLOURS[3]).all() for cut in cuts)
    assert same(cuts[7], window(example, (10, 10), 1.0, np.random.default_rng(7)))
