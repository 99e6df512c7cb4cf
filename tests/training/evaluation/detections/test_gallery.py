from __future__ import annotations

import base64

import cv2
import numpy as np
import pytest

from engine.picture import Pixels
from tests.training.evaluation.detections.scenes import box, truth
from training.evaluation.detections.evaluate import evaluate
from training.evaluation.detections.gallery import false_alarms, misses

pytest.importorskip("pycocotools")


def grey(_: int) -> Pixels:
    return np.full((200, 200, 3), 128, np.uint8)


def test_the_most_confident_false_alarm_comes_first_with_its_crop() -> None:
    evaluation = evaluate(
        truth(
            {"file_name": "a.png", "camera": "gate", "time_s": 0.0},
            {},
            {},
            boxes=[box(0, "car", 0, 0), box(1, "car", 0, 0), box(2, "car", 0, 0)],
        ),
        [
            box(0, "car", 0, 0, score=0.95),
            box(0, "person", 100, 100, score=0.8),
            box(1, "car", 15, 0, score=0.9),
            box(1, "car", 1, 0, score=0.7),
            box(2, "car", 1, 0, score=0.6),
        ],
    )
    first, second = false_alarms(evaluation, grey)
    assert (first.title, first.place) == ("car 0.90: poorly placed", "1.png")
    assert (second.title, second.place) == ("person 0.80: background", "gate: a.png")
    # Twice as large as the box, from 80 to 161.
    assert (second.size_wh, second.box.tolist()) == ((81, 81), [20, 20, 60, 60])
    assert len(second.truth) == 0
    assert first.truth.tolist() == [[0, 0, 40, 40]]
    head, _, data = second.jpeg.partition(",")
    assert head == "data:image/jpeg;base64"
    pixels = cv2.imdecode(np.frombuffer(base64.b64decode(data), np.uint8), cv2.IMREAD_COLOR)
    assert pixels is not None
    assert pixels.shape == (81, 81, 3)


def test_the_largest_miss_comes_first_and_says_how_far_it_was_seen() -> None:
    evaluation = evaluate(
        truth({}, {}, {}, boxes=[box(0, "car", 0, 0, 20, 20), box(1, "person", 0, 0, 180, 190), box(2, "car", 9, 9)]),
        [
            box(0, "car", 0, 0, 20, 20, score=0.1),
            box(2, "car", 9, 9, score=0.9),
            *[box(2, "boat", 99, 9, score=0.2)] * 9,
        ],
    )
    assert evaluation.at.min_confidence == 0.9
    first, second = misses(evaluation, grey)
    assert (first.title, second.title) == ("person: not seen at all", "car: only 0.10")
    assert max(first.size_wh) == 200


def test_a_block_of_time_is_shown_once() -> None:
    images = [{"camera": "gate", "time_s": i / 10} for i in range(100)]
    evaluation = evaluate(
        truth(*images, boxes=[box(i, "car", 0, 0) for i in range(100)]),
        [box(i, "car", 100, 100, score=0.5 + i / 1000) for i in range(100)] + [box(0, "car", 0, 0, score=0.3)],
    )
    assert [one.place for one in misses(evaluation, grey)] == ["gate: 1.png", "gate: 50.png"]
    assert [one.place for one in false_alarms(evaluation, grey)] == ["gate: 99.png", "gate: 49.png"]
    assert len(misses(evaluation, grey, num=1)) == 1


def test_large_crops_are_scaled_with_their_boxes_and_boxes_outside_do_no_harm() -> None:
    evaluation = evaluate(
        truth({}, {}, boxes=[box(0, "car", 0, 0, 1000, 1000), box(1, "car", 5000, 5000)]),
        [box(1, "person", 0, 0, score=0.9)],
    )
    large, outside = misses(evaluation, lambda _: np.zeros((1000, 1000, 3), np.uint8))
    assert (large.size_wh, large.box.tolist()) == ((220, 220), pytest.approx([0, 0, 220, 220]))
    assert outside.size_wh == (1, 1)
