from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from engine.errors import UsageError
from tests.training.labelled import rectangles
from tests.training.teach.blocks import write_teacher
from training.teach.cpu_cost import measure_cpu
from training.teach.students import (
    AUTO,
    Size,
    Student,
    choose_student,
    frame_size,
    inputs,
    object_side,
    search,
    untrained,
)

INPUTS = [(416, 320), (352, 256), (288, 224), (224, 160)]
# By size, at the largest input; cost goes with the area.
COSTS = {"nano": 1.0, "pico": 0.5, "femto": 0.25}


def look(max_cost: float, object_px_at_416: float, sizes: tuple[str, ...] = AUTO) -> list[str]:
    def object_px(input_wh: Size) -> float:
        return object_px_at_416 * input_wh[0] / 416

    def measure(size: str, input_wh: Size) -> Student:
        cost = COSTS[size] * input_wh[0] * input_wh[1] / (416 * 320)
        return Student(size, input_wh, cost, object_px(input_wh))

    return [str(student) for student in search(sizes, INPUTS, object_px, max_cost, measure)]


def test_the_largest_network_that_is_cheap_where_objects_are_large_enough() -> None:
    # 16 pixels at 288: nano costs 0.48 there.
    assert look(0.6, 23.2) == ["nano at 352x256", "nano at 288x224"]


def test_it_gets_the_largest_input_that_it_can_afford() -> None:
    assert look(2.0, 23.2) == ["nano at 288x224", "nano at 352x256", "nano at 416x320"]


def test_a_smaller_network_takes_over_where_a_larger_is_too_dear() -> None:
    assert look(0.2, 19.0) == ["nano at 352x256", "pico at 352x256", "femto at 416x320", "femto at 352x256"]


def test_the_smallest_network_may_have_a_smaller_input() -> None:
    assert look(0.14, 19.0)[-1] == "femto at 288x224"


def test_objects_that_are_small_everywhere_get_the_largest_input() -> None:
    assert look(2.0, 5.0) == ["nano at 416x320"]


def test_a_stated_size_is_not_left() -> None:
    assert look(0.3, 19.0, ("pico",))[-1] == "pico at 288x224"


def test_none_that_is_cheap_enough() -> None:
    with pytest.raises(
        UsageError, match=r"--cost 0\.01: no student is so cheap: femto at 224x160 costs 0\.07 .*--cost 0\.08"
    ):
        look(0.01, 19.0)


def test_an_unknown_size(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--size huge: unknown size; expected auto or one of femto, pico, nano"):
        choose_student(rectangles(tmp_path, 1), tmp_path, 0.2, "huge")


@pytest.mark.parametrize(
    ("frame_wh", "first", "last"),
    [((768, 576), (416, 320), (128, 96)), ((1920, 1080), (416, 224), (128, 64)), ((1080, 1920), (224, 416), (64, 128)),
     ((320, 240), (320, 256), (128, 96)), ((64, 64), (128, 128), (128, 128))],
)  # fmt: skip
def test_inputs_have_the_shape_of_the_frame(frame_wh: Size, first: Size, last: Size) -> None:
    found = inputs(frame_wh, 416)
    assert (found[0], found[-1]) == (first, last)
    assert all(length % 32 == 0 for size in found for length in size)


def test_nine_of_ten_objects_are_at_least_so_large(tmp_path: Path) -> None:
    dataset = rectangles(tmp_path, 1)
    sides = np.arange(1, 12, dtype=np.float32)
    boxes = np.stack([sides * 0, sides * 0, sides * 2, sides * 8], axis=1)
    ignored = np.zeros(11, bool)
    ignored[0] = True
    sample = replace(dataset.samples[0], xyxy=boxes, class_id=np.zeros(11, np.intp), ignore=ignored)
    assert object_side(replace(dataset, samples=(sample,))) == pytest.approx(np.quantile(sides[1:] * 4, 0.1))
    assert frame_size(dataset) == (96, 64)


def test_costs_are_measured_on_both(tmp_path: Path) -> None:
    models = {}
    for name, size_wh in (("small", (64, 64)), ("large", (448, 448))):
        (tmp_path / name).mkdir()
        models[name] = untrained("femto", size_wh, ("blue", "red"), tmp_path / name)
    costs = measure_cpu(models, [np.zeros((64, 64, 3), np.uint8)], rounds=5)
    assert 0 < costs["small"].model_ms < costs["small"].total_ms
    # 49 times the pixels.
    assert costs["large"].model_ms > 4 * costs["small"].model_ms


def test_a_choice_is_read_as_it_was_written() -> None:
    student = Student("femto", (320, 256), 0.19, 15.0)
    assert Student.from_json(student.as_json()) == student


def test_a_camera_gets_a_student(tmp_path: Path) -> None:
    chosen = choose_student(rectangles(tmp_path / "data", 2), write_teacher(tmp_path), 1e6, "femto")[-1]
    assert (chosen.size, chosen.input_wh) == ("femto", (128, 96))
    assert chosen.cost > 0
