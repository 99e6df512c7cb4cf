from __future__ import annotations

import builtins
from dataclasses import replace
from typing import Any

import cv2
import numpy as np
import pytest

from engine.errors import UsageError
from tests.training.augment.painted import GROUND, painted, same, seen
from training.augment import transforms
from training.augment.placing import PAD


def test_boxes_follow_a_mirrored_picture_exactly() -> None:
    example = painted((101, 60), (0, 0, 10, 20), (50, 30, 101, 60), ignore=(1,))

    mirrored = transforms.flip(example)

    assert np.array_equal(mirrored.bgr, example.bgr[:, ::-1])
    np.testing.assert_allclose(mirrored.xyxy, [[91, 0, 101, 20], [0, 30, 51, 60]], atol=1e-4)
    assert mirrored.class_id.tolist() == [0, 1]
    assert mirrored.ignore.tolist() == [False, True]
    assert same(transforms.flip(painted((101, 60))), painted((101, 60)))


def test_boxes_follow_round_objects_in_a_turned_picture() -> None:
    example = painted((300, 200), (20, 20, 120, 60), (180, 60, 230, 180))
    bgr = np.full_like(example.bgr, GROUND)
    for (x1, y1, x2, y2), colour in zip(example.xyxy.tolist(), ((255, 0, 0), (0, 255, 0)), strict=True):
        centre = (round(8 * (x1 + x2 - 1)), round(8 * (y1 + y2 - 1)))
        cv2.ellipse(bgr, ((centre[0] / 16, centre[1] / 16), (x2 - x1, y2 - y1), 0), colour, cv2.FILLED)
    example = replace(example, bgr=bgr)
    turned_by = []
    for seed in range(12):
        turned = transforms.turn(example, np.random.default_rng(seed))

        assert turned.bgr.shape == (200, 300, 3)
        assert turned.class_id.tolist() == [0, 1]
        for box, number in zip(turned.xyxy, turned.class_id, strict=True):
            np.testing.assert_allclose(box, seen(turned.bgr, number), atol=2)
        turned_by.append(np.abs(turned.xyxy - example.xyxy).max())
    assert max(turned_by) > 4


def test_corners_that_open_are_the_letterbox_grey() -> None:
    white = replace(painted((200, 200)), bgr=np.full((200, 200, 3), 255, np.uint8))
    turned = [transforms.turn(white, np.random.default_rng(seed)).bgr for seed in range(8)]

    assert any((bgr == PAD).all(axis=2).any() for bgr in turned)
    assert min(int(bgr.min()) for bgr in turned) == PAD


def test_a_box_that_a_turn_moves_out_takes_its_row_along() -> None:
    # Objects along all edges: some leave. Those that stay keep their class.
    boxes = [(0, 0, 3, 3), (197, 0, 200, 3), (90, 90, 110, 110), (0, 197, 3, 200), (197, 197, 200, 200)]
    example = painted((200, 200), *boxes, ignore=(2,))
    gone = 0
    for seed in range(10):
        turned = transforms.turn(example, np.random.default_rng(seed))
        gone += 5 - len(turned.xyxy)
        middle = int(np.flatnonzero(turned.class_id == 2)[0])
        assert np.abs(turned.xyxy[middle] - example.xyxy[2]).max() < 5
        assert turned.ignore[middle]
    assert gone > 0


def test_a_turned_picture_without_boxes_has_none() -> None:
    turned = transforms.turn(painted((64, 48)), np.random.default_rng(0))

    assert turned.xyxy.shape == (0, 4)
    assert turned.class_id.shape == turned.ignore.shape == (0,)


def test_colour_changes_pixels_and_the_same_state_changes_them_alike() -> None:
    bgr = np.random.default_rng(0).integers(0, 256, (40, 50, 3), np.uint8)
    first, second, other = (transforms.vary_colour(bgr, np.random.default_rng(seed)) for seed in (1, 1, 2))

    assert np.array_equal(first, second)
    assert not np.array_equal(first, other)
    assert not np.array_equal(first, bgr)
    assert first.shape == bgr.shape


def test_one_random_state_is_used_up_and_no_global_one() -> None:
    rng = np.random.default_rng(1)
    bgr = np.random.default_rng(0).integers(0, 256, (40, 50, 3), np.uint8)

    first = transforms.vary_colour(bgr, rng)

    np.random.seed(0)  # The global state must not matter.
    assert not np.array_equal(transforms.vary_colour(bgr, rng), first)
    assert np.array_equal(transforms.vary_colour(bgr, np.random.default_rng(1)), first)


def test_cutout_ignores_what_it_hides() -> None:
    boxes = [(x, y, x + 8, y + 8) for x in (5, 45, 85) for y in (5, 60)]
    hidden = 0
    for seed in range(30):
        cut = transforms.cut_out(painted((100, 100), *boxes), np.random.default_rng(seed))
        for box, ignore, number in zip(cut.xyxy.astype(int), cut.ignore, cut.class_id, strict=True):
            x1, y1, x2, y2 = box
            shown = (cut.bgr[y1:y2, x1:x2] == painted((100, 100), *boxes).bgr[y1:y2, x1:x2]).all(axis=2).mean()
            assert tuple(box) == boxes[number]
            assert ignore == (shown < 0.2)
        hidden += len(boxes) - len(cut.xyxy) + int(cut.ignore.sum())
    assert hidden > 0


def test_a_missing_library_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    load = builtins.__import__

    def without(name: str, *rest: Any, **more: Any) -> Any:
        if name == "albumentations":
            raise ModuleNotFoundError(f"No module named '{name}'", name=name)
        return load(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", without)
    transforms._transforms.cache_clear()
    try:
        with pytest.raises(UsageError, match=r"augmentation needs albumentations: pip install 'vedette\[training\]'"):
            transforms.flip(painted((10, 10)))
    finally:
        transforms._transforms.cache_clear()
