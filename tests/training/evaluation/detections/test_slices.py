from __future__ import annotations

import numpy as np

from tests.tiny_models import squares
from training.evaluation.detections.slices import Slice, measure, slices_of


def as_dict(slices: tuple[Slice, ...]) -> dict[str, dict[str, list[int]]]:
    out: dict[str, dict[str, list[int]]] = {}
    for one in slices:
        out.setdefault(one.axis, {})[one.value] = one.images.tolist()
    return out


def test_pictures_are_divided_by_camera_tag_and_crowding() -> None:
    images = [
        {"camera": "gate", "tags": {"light": "day"}},
        {"camera": "dock", "tags": {"light": "night", "weather": "rain"}},
        {"camera": "gate", "tags": {"light": "night"}},
    ]
    assert as_dict(slices_of(images, np.array([0, 4, 15]), {})) == {
        "camera": {"dock": [1], "gate": [0, 2]},
        "light": {"day": [0], "night": [1, 2]},
        "weather": {"not stated": [0, 2], "rain": [1]},
        "crowding": {"0 objects": [0], "1–4 objects": [1], "15 objects and more": [2]},
    }


def test_what_tells_no_pictures_apart_is_no_slice() -> None:
    assert slices_of([{"camera": "gate"}, {"camera": "gate"}], np.array([2, 3]), {}) == ()


def test_measured_numbers_are_divided_into_thirds() -> None:
    found = slices_of([{}] * 6, np.full(6, 2), {"brightness": np.array([60.0, 10, 20, 50, 40, 30])})
    assert [(one.value, one.images.tolist()) for one in found] == [
        ("lowest third (10 to 26.67)", [1, 2]),
        ("middle third (26.67 to 43.33)", [4, 5]),
        ("highest third (43.33 to 60)", [0, 3]),
    ]


def test_pictures_that_measure_the_same_are_not_divided() -> None:
    assert slices_of([{}] * 4, np.full(4, 2), {"sharpness": np.full(4, 7.0)}) == ()


def test_brightness_and_sharpness_are_measured_in_the_pixels() -> None:
    pictures = [np.full((64, 64, 3), 200, np.uint8), squares((1, 1, "red"), (3, 3, "blue"))]
    found = measure(lambda i: pictures[i], 2)
    assert found["brightness"][0] > found["brightness"][1]
    assert found["sharpness"][0] < found["sharpness"][1]
