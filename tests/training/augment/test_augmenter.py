from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

from engine.picture import Letterbox, Picture
from tests.training.augment.painted import painted, same, seen
from training.augment import CONDITIONS, Augmenter
from training.augment.placing import PAD
from training.dataset import Example
from training.recipe import AugmentSpec

OFF: dict[str, Any] = {"flip": 0, "mosaic": 0, "mixup": 0, "geometry": 0, "colour": 0, "cutout": 0}
EVERYTHING: dict[str, Any] = dict.fromkeys(OFF, 1) | {"conditions": dict.fromkeys(CONDITIONS, 0.3)}
PICTURES = (
    painted((320, 180), (20, 20, 100, 160), (200, 40, 300, 90), ignore=(1,)),
    painted((90, 240), (10, 10, 80, 200)),
    painted((200, 200)),
    painted((6, 5), (1, 1, 5, 4)),
    painted((64, 64), (0, 0, 64, 64)),
)


def read(index: int) -> Example:
    return PICTURES[index]


def make(seed: int, index: int = 0, combine: bool = True, **spec: Any) -> Example:
    augmenter = Augmenter(AugmentSpec(**spec), (160, 128))
    return augmenter(read, len(PICTURES), index, np.random.default_rng(seed), combine)


@pytest.mark.parametrize("index", range(len(PICTURES)))
def test_nothing_varied_is_what_the_live_letterbox_gives(index: int) -> None:
    made = make(0, index, **OFF)

    live = Picture.from_bgr(read(index).bgr).letterbox(Letterbox((160, 128))).transpose(1, 2, 0)
    assert np.array_equal(made.bgr, live)
    for box, number in zip(made.xyxy, made.class_id, strict=True):
        np.testing.assert_allclose(box, seen(made.bgr, number), atol=1.01)
    assert made.ignore.tolist() == read(index).ignore.tolist()


@pytest.mark.parametrize("index", range(len(PICTURES)))
@pytest.mark.parametrize("spec", [{}, EVERYTHING], ids=["defaults", "everything"])
def test_any_picture_comes_out_at_the_input_size_with_boxes_inside(index: int, spec: dict[str, Any]) -> None:
    before = read(index).bgr.copy()
    for seed in range(12):
        made = make(seed, index, **spec)

        assert made.bgr.shape == (128, 160, 3)
        assert made.bgr.dtype == np.uint8
        assert made.bgr.flags.c_contiguous
        assert made.xyxy.dtype == np.float32
        assert len(made.xyxy) == len(made.class_id) == len(made.ignore)
        assert (made.xyxy >= 0).all()
        assert (made.xyxy <= (160, 128, 160, 128)).all()
        assert (made.xyxy[:, 2:] - made.xyxy[:, :2] >= 2).all()
    assert np.array_equal(read(index).bgr, before), "the picture itself was written to"


@pytest.mark.parametrize("spec", [{}, EVERYTHING], ids=["defaults", "everything"])
def test_the_same_state_gives_the_same_example(spec: dict[str, Any]) -> None:
    # The transforms live as long as the process: what came before must leave no trace in them.
    first = [make(seed, **spec) for seed in (1, 2, 3)]
    again = [make(seed, **spec) for seed in (3, 2, 1)][::-1]

    assert all(same(a, b) for a, b in zip(first, again, strict=True))
    assert not any(np.array_equal(a.bgr, b.bgr) for a, b in itertools.combinations(first, 2))


@pytest.mark.parametrize("seed", range(10))
def test_boxes_follow_scale_place_flip_and_mosaic(seed: int) -> None:
    for mosaic in (0, 1):
        made = make(seed, **OFF | {"flip": 0.5, "mosaic": mosaic})
        placed = Augmenter(AugmentSpec(**OFF | {"flip": 0.5, "geometry": 0.7}), (160, 128))._alone(
            read(0), np.random.default_rng(seed)
        )
        # In a mosaic several parts may show one class: each colour is looked for in the box alone.
        for example in (made, placed):
            for (x1, y1, x2, y2), number in zip(np.rint(example.xyxy).astype(int), example.class_id, strict=True):
                part = example.bgr[y1:y2, x1:x2]
                np.testing.assert_allclose(seen(part, number), [0, 0, x2 - x1, y2 - y1], atol=1.01)


def test_ignored_stays_ignored_through_everything() -> None:
    found = [make(seed, **EVERYTHING | {"mixup": 0}) for seed in range(20)]

    # Class 1 occurs in the first picture alone, and there it is ignored.
    assert sum(int((example.class_id == 1).sum()) for example in found) > 5
    assert all(example.ignore[example.class_id == 1].all() for example in found)


def test_the_border_stays_grey_under_colour_and_conditions() -> None:
    spec = OFF | {"colour": 1, "conditions": {"night": 1, "fog": 1}}

    made = make(0, **spec)

    assert (made.bgr[90:] == PAD).all()
    assert (made.bgr[:90] != make(0, **OFF).bgr[:90]).any(axis=2).mean() > 0.9


def test_the_end_of_training_sees_one_picture_at_a_time() -> None:
    spec = OFF | {"mosaic": 1, "mixup": 1}

    assert same(make(0, combine=False, **spec), make(0, **OFF))
    assert not np.array_equal(make(0, **spec).bgr, make(0, **OFF).bgr)


def test_one_picture_is_enough_for_mosaic_and_mix_up() -> None:
    augmenter = Augmenter(AugmentSpec(mosaic=1, mixup=1), (96, 96))

    assert augmenter(read, 1, 0, np.random.default_rng(0)).bgr.shape == (96, 96, 3)


def test_conditions_come_as_often_as_they_should() -> None:
    clean = make(0, 4, **OFF).bgr
    changed = sum(
        not np.array_equal(make(seed, 4, **OFF | {"conditions": {"dusk": 0.25}}).bgr, clean) for seed in range(400)
    )

    assert 70 < changed < 130
