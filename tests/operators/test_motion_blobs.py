from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from engine.boxes import iou_matrix
from engine.detections import Detections
from engine.frame import CaptureTime, Frame
from engine.packet import Packet
from engine.picture import Picture, Pixels
from operators.motion_blobs import MotionBlobs

SHARED = Path(__file__).resolve().parents[2].parent / "shared" / "data"
SIZE_WH = (320, 180)
FPS = 10
Paint = Callable[[int], Pixels]


def ground(seed: int = 0, level: int = 110) -> NDArray[np.float64]:
    """Paving: smooth patches of several greys, the same in every frame."""
    width, height = SIZE_WH
    coarse = np.random.default_rng(seed).normal(level, 14, (height // 12, width // 12, 1)) + np.zeros(3)
    return np.asarray(cv2.resize(coarse, SIZE_WH, interpolation=cv2.INTER_LINEAR), np.float64)


def scene(*boxes: tuple[int, int, int, int], seed: int = 0, light: float = 1.0, noise: float = 2.0) -> Pixels:
    """Ground with a red and dark object in every box, in some light and with the camera's noise."""
    picture = ground()
    for x1, y1, x2, y2 in boxes:
        picture[y1:y2, x1:x2] = (40, 40, 180)
        picture[(y1 + y2) // 2 : y2, x1:x2] = (30, 30, 30)
    dirty = picture * light + np.random.default_rng(seed).normal(0, noise, picture.shape)
    return np.clip(dirty, 0, 255).astype(np.uint8)


def packet(picture: Pixels, time_s: float) -> Packet:
    pts_us = round(time_s * 1e6)
    return Packet(Frame("cam", 0, 0, pts_us, CaptureTime(pts_us), Picture.from_bgr(picture)))


def watch(paint: Paint, seconds: float, fps: float = FPS, operator: MotionBlobs | None = None) -> list[Any]:
    """Give the detections of every frame; `paint` gets the frame's number."""
    operator = operator or MotionBlobs()
    operator.open()
    count = round(seconds * fps)
    found = [operator.process(packet(paint(i), i / fps)).detections for i in range(count)]
    operator.close()
    return found


def walker(i: int, start: int = 15) -> tuple[int, int, int, int]:
    x = 20 + 4 * max(0, i - start)
    return (x, 60, x + 16, 108)


def passing(i: int, **options: Any) -> Pixels:
    """Nobody for 1.5 s, then somebody walks through."""
    return scene(*([walker(i)] if i >= 15 else []), seed=i, **options)


def best_iou(found: Detections, box: tuple[int, int, int, int]) -> float:
    return float(iou_matrix(np.array([box], np.float32), found.xyxy).max(initial=0.0))


def test_while_it_learns_it_has_not_looked() -> None:
    found = watch(passing, 1.5)
    assert [each is None for each in found] == [True] * 11 + [False] * 4


def test_nobody_is_nobody() -> None:
    assert [len(each) for each in watch(lambda i: scene(seed=i), 4)[11:]] == [0] * 29


def test_a_walker_is_one_box_in_source_pixels() -> None:
    found = watch(passing, 6)
    for i in range(17, 60):
        assert len(found[i]) == 1
        assert best_iou(found[i], walker(i)) > 0.75
        assert found[i].confidence[0] >= 0.6
        assert found[i].label(0) == "object"


def test_boxes_are_scaled_to_the_source() -> None:
    found = watch(lambda i: np.asarray(cv2.resize(passing(i), (960, 540)), np.uint8), 4)
    x1, y1, x2, y2 = walker(35)
    assert best_iou(found[35], (3 * x1, 3 * y1, 3 * x2, 3 * y2)) > 0.7


def test_it_is_the_same_on_every_run() -> None:
    first, second = watch(passing, 4), watch(passing, 4)
    for a, b in zip(first[11:], second[11:], strict=True):
        assert np.array_equal(a.xyxy, b.xyxy)
        assert np.array_equal(a.confidence, b.confidence)


@pytest.mark.parametrize("light", [0.8, 1.25])
def test_a_change_of_light_is_no_object(light: float) -> None:
    found = watch(lambda i: passing(i, light=light if i >= 30 else 1.0), 5)
    assert [len(each) for each in found[30:]] == [1] * 20


def test_light_that_flickers_is_no_object() -> None:
    found = watch(lambda i: scene(seed=i, light=1 + 0.06 * (-1) ** i), 5)
    assert [len(each) for each in found[11:]] == [0] * 39


def test_a_soft_shadow_stays_out_of_the_box() -> None:
    def paint(i: int) -> Pixels:
        picture = passing(i).astype(np.float64)
        _, _, x2, y2 = walker(i)
        if i >= 15:
            picture[y2 - 8 : y2, x2 : x2 + 40] *= 0.75
        return picture.astype(np.uint8)

    found = watch(paint, 4)
    assert [round(best_iou(found[i], walker(i)) - 0.05, 0) for i in range(20, 40)] == [1.0] * 20


def test_the_beam_of_a_headlight_on_a_marked_road_is_no_object() -> None:
    stripes = np.where(np.arange(SIZE_WH[0]) // 6 % 2, 1.5, 1.0)[None, :, None]

    def paint(i: int) -> Pixels:
        picture: NDArray[np.float64] = np.clip(scene(seed=i) * 0.6 * stripes, 0, 255)
        if i >= 20:
            picture[80:110, 100:180] *= 1.25
        return picture.astype(np.uint8)

    assert [len(each) for each in watch(paint, 4)[20:]] == [0] * 20


def test_a_camera_that_is_turned_learns_again() -> None:
    rows, columns = np.indices((SIZE_WH[1], SIZE_WH[0])) // 20
    elsewhere = np.where((rows + columns) % 2, 30, 220).astype(np.uint8)[..., None].repeat(3, axis=2)
    found = watch(lambda i: scene(seed=i) if i < 30 else elsewhere, 6)
    assert [each is None for each in found[28:43]] == [False] * 2 + [True] * 11 + [False] * 2
    assert [len(each) for each in found[41:]] == [0] * 19


def test_what_stands_still_becomes_background_after_absorb_s() -> None:
    found = watch(
        lambda i: scene(*([(90, 60, 106, 108)] if i >= 15 else []), seed=i), 10, operator=MotionBlobs(absorb_s=5.0)
    )
    counts = [len(each) for each in found[15:]]
    assert (counts[:50], counts[55:]) == ([1] * 50, [0] * 30)


def test_an_object_that_was_there_from_the_start_leaves_no_ghost() -> None:
    found = watch(lambda i: scene(walker(i), seed=i), 6)
    assert [len(each) for each in found[-20:]] == [1] * 20
    assert best_iou(found[-1], walker(59)) > 0.75


def test_two_who_pass_in_front_of_each_other_stay_two() -> None:
    def boxes(i: int) -> list[tuple[int, int, int, int]]:
        right, left = 20 + 4 * max(0, i - 15), 270 - 4 * max(0, i - 15)
        return [(right, 60, right + 16, 108), (left, 64, left + 20, 118)] if i >= 15 else []

    found = watch(lambda i: scene(*boxes(i), seed=i), 6)
    assert [len(each) for each in found[20:]] == [2] * 40
    assert all(best_iou(found[i], box) > 0.4 for i in range(20, 60) for box in boxes(i))


def test_small_things_are_left_out() -> None:
    speck = (100, 100, 103, 103)
    assert [len(each) for each in watch(lambda i: scene(*([speck] if i >= 15 else []), seed=i), 3)[11:]] == [0] * 19


@pytest.mark.parametrize("fps", [4, 25])
def test_learning_goes_by_stream_time(fps: int) -> None:
    found = watch(lambda i: passing(round(i * FPS / fps)), 6, fps=fps)
    first = next(i for i, each in enumerate(found) if each is not None)
    assert 1.0 < first / fps <= 1.0 + 1 / fps
    assert [len(each) for each in found[-fps:]] == [1] * fps


def test_the_end_of_an_epoch_forgets_the_background() -> None:
    operator = MotionBlobs()
    operator.open()
    for i in range(20):
        operator.process(packet(passing(i), i / FPS))
    assert operator.flush("camera_gap") == ()
    assert operator.process(packet(passing(0), 0.0)).detections is None


def test_another_size_makes_it_learn_again() -> None:
    operator = MotionBlobs()
    operator.open()
    for i in range(20):
        operator.process(packet(passing(i), i / FPS))
    tall = np.zeros((320, 180, 3), np.uint8)
    assert operator.process(packet(tall, 2.0)).detections is None


def test_a_gap_in_time_does_no_harm() -> None:
    operator = MotionBlobs()
    operator.open()
    counts = []
    for i in range(30):
        found = operator.process(packet(scene(seed=i), i / FPS + (3600 if i >= 20 else 0))).detections
        counts.append(None if found is None else len(found))
    assert counts == [None] * 11 + [0] * 19


@pytest.mark.parametrize("size_wh", [(1, 1), (2, 2), (1, 90), (700, 1), (48, 48), (3, 5)])
def test_tiny_frames_do_no_harm(size_wh: tuple[int, int]) -> None:
    random = np.random.default_rng(0)
    found = watch(lambda i: random.integers(0, 255, (size_wh[1], size_wh[0], 3), np.uint8), 3)
    assert found[0] is None


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"work_width": 8}, "work_width: must be at least 16 pixels, got 8"),
        ({"warmup_s": -1}, "warmup_s: must be 0 or more, got -1"),
        ({"absorb_s": 0}, "absorb_s: must be above 0, got 0"),
        ({"min_area": 1.0}, "min_area: must be between 0 and 1"),
        ({"min_contrast": 0}, "min_contrast: must be between 0 and 255 grey levels, got 0"),
    ],
)
def test_a_configuration_that_cannot_be_meant_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        MotionBlobs(**options)


def video(path: Path, num_frames: int) -> Iterator[tuple[Pixels, float]]:
    with av.open(str(path)) as container:
        for index, frame in enumerate(container.decode(video=0)):
            if index >= num_frames:
                return
            yield np.asarray(frame.to_ndarray(format="bgr24"), np.uint8), float(frame.time or 0)


@pytest.mark.data
@pytest.mark.slow
@pytest.mark.skipif(not SHARED.is_dir(), reason="the sibling folder ../shared/data is not there")
def test_walkers_on_real_footage_are_found() -> None:
    truth: dict[int, list[tuple[float, ...]]] = {}
    for line in (SHARED / "mot" / "PETS09-S2L1" / "gt" / "gt_frames_1_400.txt").read_text().splitlines():
        frame, _, x, y, w, h, *_ = (float(v) for v in line.split(","))
        truth.setdefault(int(frame) - 1, []).append((x, y, x + w, y + h))
    operator = MotionBlobs()
    operator.open()
    num_truth = num_found = num_right = 0
    for index, (picture, time_s) in enumerate(video(SHARED / "videos" / "vtest.avi", 250)):
        found = operator.process(packet(picture, time_s)).detections
        if found is not None:
            overlap = iou_matrix(np.array(truth[index], np.float32), found.xyxy)
            num_truth, num_found = num_truth + len(overlap), num_found + len(found)
            num_right += int((overlap.max(axis=1, initial=0.0) >= 0.3).sum())
    assert num_right / num_truth > 0.8
    assert num_right / num_found > 0.75
