from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from engine.detections import Detections
from engine.errors import ConfigError
from engine.frame import CaptureTime, Frame
from engine.picture import Picture
from tests.training.teach.blocks import paint, write_teacher
from training.teach.teacher import Teacher, merge, turned


def boxes(*rows: tuple[float, float, float, int]) -> Detections:
    """Boxes of 10x10 by left, top, confidence and class."""
    xyxy = np.array([(x, y, x + 10, y + 10) for x, y, _, _ in rows], np.float32).reshape(-1, 4)
    return Detections(
        xyxy, np.array([row[2] for row in rows], np.float32), np.array([row[3] for row in rows], np.int64), ("a", "b")
    )


def test_what_both_looks_see_is_their_weighted_mean() -> None:
    both = merge(boxes((0, 0, 0.9, 0)), boxes((3, 0, 0.6, 0)))
    assert both.xyxy[0].tolist() == pytest.approx([1.2, 0, 11.2, 10])
    assert both.confidence.tolist() == pytest.approx([0.75])


def test_what_one_look_sees_counts_half() -> None:
    both = merge(boxes((0, 0, 0.9, 0)), boxes((40, 0, 0.6, 0)))
    assert both.confidence.tolist() == pytest.approx([0.45, 0.3])


def test_classes_do_not_mix() -> None:
    assert sorted(merge(boxes((0, 0, 0.9, 0)), boxes((0, 0, 0.6, 1))).class_id.tolist()) == [0, 1]


def test_nothing_and_nothing() -> None:
    assert len(merge(boxes(), boxes())) == 0
    assert merge(boxes(), boxes((0, 0, 0.6, 1))).confidence.tolist() == pytest.approx([0.3])


def test_turning_twice_changes_nothing() -> None:
    one = boxes((3, 4, 0.9, 0), (30, 4, 0.9, 1))
    assert turned(one, 64).xyxy[0].tolist() == [51, 4, 61, 14]
    np.testing.assert_array_equal(turned(turned(one, 64), 64).xyxy, one.xyxy)


@pytest.mark.parametrize("mirror", [True, False])
def test_it_finds_blocks_where_they_are(tmp_path: Path, mirror: bool) -> None:
    picture = Picture.from_bgr(paint((0, 1, "blue"), (3, 2, "red")))
    with Teacher(str(write_teacher(tmp_path)), mirror=mirror) as teacher:
        found = teacher.look(Frame("gate", 0, 0, 0, CaptureTime(0), picture))
    order = np.argsort(found.xyxy[:, 0])
    np.testing.assert_allclose(found.xyxy[order], [[0, 8, 8, 16], [24, 16, 32, 24]], atol=0.1)
    assert [found.label(int(row)) for row in order] == ["blue", "red"]


def test_a_class_that_it_does_not_know(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="the model has no class 'person'; it knows blue, red"):
        Teacher(str(write_teacher(tmp_path)), ("person",))
