from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from engine.blobs import KeepApart, covered, pieces, split_group, with_legs
from engine.detections import Detections

STEP_S = 0.1


def mask(size_wh: tuple[int, int], *boxes: tuple[int, int, int, int]) -> NDArray[np.bool_]:
    out = np.zeros(size_wh[::-1], np.bool_)
    for x1, y1, x2, y2 in boxes:
        out[y1:y2, x1:x2] = True
    return out


def blobs(*boxes: tuple[float, float, float, float]) -> Detections:
    xyxy = np.array(boxes, np.float32).reshape(-1, 4)
    return Detections(xyxy, np.full(len(xyxy), 0.8, np.float32), np.zeros(len(xyxy), np.int64))


def separate(frames: list[Detections], step_s: float = STEP_S) -> list[list[list[float]]]:
    memory = KeepApart()
    return [memory.separate(each, i * step_s).xyxy.tolist() for i, each in enumerate(frames)]


def test_people_side_by_side_are_cut_apart() -> None:
    pair = mask((40, 50), (2, 0, 16, 50), (24, 4, 38, 50), (0, 30, 40, 40))
    assert len(split_group(pair)) == 2


def test_a_car_is_not_cut() -> None:
    assert split_group(mask((80, 30), (0, 12, 80, 30), (20, 0, 60, 14))) == [(0, 0, 80, 30)]


@pytest.mark.parametrize("size_wh", [(18, 50), (1, 1), (8, 8), (200, 3)])
def test_who_is_alone_stays_whole(size_wh: tuple[int, int]) -> None:
    assert split_group(mask(size_wh, (0, 0, *size_wh))) == [(0, 0, *size_wh)]


def test_a_torso_gets_its_legs() -> None:
    around = np.zeros((100, 100), np.uint8)
    around[10:60, 20:40] = 255
    assert with_legs((20, 10, 40, 35), around) == (20, 10, 40, 60)


def test_a_shadow_longer_than_legs_and_what_lies_under_a_gap_stay_out() -> None:
    around = np.zeros((100, 100), np.uint8)
    around[10:100, 20:40] = 255
    assert with_legs((20, 10, 40, 35), around) == (20, 10, 40, 60)
    around[40:42] = 0
    assert with_legs((20, 10, 40, 35), around) == (20, 10, 40, 40)


def test_what_is_wide_or_whole_or_at_the_lower_edge_stays_as_it_is() -> None:
    around = np.full((100, 100), 255, np.uint8)
    for box in ((0, 10, 80, 40), (20, 10, 40, 60), (20, 80, 40, 100)):
        assert with_legs(box, around) == box


def test_coverage_is_the_share_of_the_first_box() -> None:
    share = covered(np.array([[0, 0, 10, 10], [0, 0, 20, 10]]), np.array([[0, 0, 20, 10], [50, 50, 60, 60]]))
    assert share.tolist() == [[1.0, 0.0], [1.0, 0.0]]
    assert covered(np.zeros((0, 4)), np.zeros((2, 4))).shape == (0, 2)


def test_pieces_lie_mostly_in_a_larger_box() -> None:
    assert pieces(np.array([[0, 0, 50, 50], [40, 10, 52, 20], [48, 10, 60, 20]], np.float32)).tolist() == [
        False,
        True,
        False,
    ]


def test_blobs_on_their_own_pass_as_they_are() -> None:
    frames = [blobs((10.0 + i, 10.0, 30.0 + i, 60.0), (200.0, 20.0, 260.0, 50.0)) for i in range(20)]
    assert separate(frames) == [each.xyxy.tolist() for each in frames]


def crossing(i: int) -> Detections:
    """Two walk towards each other, are one blob while they overlap, and walk on."""
    a, b = (10.0 + 4 * i, 10.0, 30.0 + 4 * i, 60.0), (130.0 - 4 * i, 20.0, 154.0 - 4 * i, 64.0)
    if min(a[2], b[2]) < max(a[0], b[0]):
        return blobs(*sorted([a, b]))
    return blobs((min(a[0], b[0]), 10.0, max(a[2], b[2]), 64.0))


def test_two_that_become_one_blob_stay_two_of_their_own_size() -> None:
    found = separate([crossing(i) for i in range(31)])
    for i, boxes in enumerate(found):
        assert len(boxes) == 2
        for left, _, right, _ in boxes:
            assert 18 <= right - left <= 26, i
    assert found[30] == crossing(30).xyxy.tolist()


def test_who_passes_inside_the_outline_of_another_moves_on_for_a_while() -> None:
    def frame(i: int) -> Detections:
        van, walker = (100.0, 0.0, 300.0, 100.0), (20.0 + 8 * i, 40.0, 40.0 + 8 * i, 90.0)
        return blobs(van, walker) if walker[2] < van[0] else blobs((min(van[0], walker[0]), 0.0, 300.0, 100.0))

    found = separate([frame(i) for i in range(40)])
    inside = [boxes for boxes in found[12:] if len(boxes) == 2]
    assert 11 <= len(inside) <= 15
    assert max(box[0] for box in inside[10]) == pytest.approx(20 + 8 * 22, abs=12)
    assert [len(boxes) for boxes in found[-5:]] == [1] * 5


def test_a_fragment_that_was_never_on_its_own_for_long_is_not_kept() -> None:
    frames = [blobs((0.0, 0.0, 40.0, 100.0))] * 10
    frames += [blobs((0.0, 0.0, 40.0, 100.0), (42.0, 60.0, 60.0, 90.0))] * 3 + [blobs((0.0, 0.0, 60.0, 100.0))] * 5
    assert [len(boxes) for boxes in separate(frames)] == [1] * 10 + [2] * 3 + [1] * 5


def test_who_is_missed_for_a_moment_is_not_reported_and_not_forgotten() -> None:
    frames = [crossing(i) if i != 8 else blobs() for i in range(16)]
    assert [len(boxes) for boxes in separate(frames)] == [2] * 8 + [0] + [2] * 7


def test_after_a_gap_in_time_nothing_is_remembered() -> None:
    frames = [crossing(i) for i in range(16)]
    assert [len(boxes) for boxes in separate(frames, step_s=1.1)][-3:] == [1] * 3


def test_frames_a_microsecond_apart_do_not_make_speeds() -> None:
    memory = KeepApart()
    times = [i // 2 * 2 * STEP_S + i % 2 * 1e-6 for i in range(31)]
    found = [memory.separate(crossing(i), times[i]).xyxy for i in range(31)]
    assert [len(boxes) for boxes in found] == [2] * 31


def test_no_blobs_give_no_boxes() -> None:
    memory = KeepApart()
    for i in range(3):
        assert len(memory.separate(blobs(), i * STEP_S)) == 0
