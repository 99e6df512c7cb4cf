from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest

from engine.errors import SourceError
from engine.flow import Flow, box_flow, end_point_error, read_flo, resize_flow, write_flo


def ramp(height: int = 6, width: int = 8) -> Flow:
    ys, xs = np.mgrid[:height, :width]
    return np.stack([xs, -ys], axis=2).astype(np.float32)


def test_a_file_keeps_vectors_and_what_is_unknown(tmp_path: Path) -> None:
    flow = ramp()
    flow[2, 3] = np.nan

    write_flo(tmp_path / "a.flo", flow)

    assert np.array_equal(read_flo(tmp_path / "a.flo"), flow, equal_nan=True)
    assert (tmp_path / "a.flo").read_bytes()[:12] == b"PIEH" + struct.pack("<ii", 8, 6)


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (b"PNG?", "is not a Middlebury .flo file"),
        (b"PIEH" + struct.pack("<ii", 4, 3) + b"123", "its header says 4x3, which takes 96 bytes of flow; it holds 3"),
        (b"PIEH" + struct.pack("<ii", -4, 3) + b"123", "its header says -4x3"),
    ],
)
def test_a_damaged_file_is_named(tmp_path: Path, data: bytes, sentence: str) -> None:
    (tmp_path / "a.flo").write_bytes(data)

    with pytest.raises(SourceError, match=f"a.flo: {sentence}"):
        read_flo(tmp_path / "a.flo")


def test_a_missing_file_and_an_unwritable_one_are_named(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"b\.flo: cannot be read as optical flow: No such file"):
        read_flo(tmp_path / "b.flo")
    with pytest.raises(SourceError, match=r"b\.flo: cannot be written: No such file"):
        write_flo(tmp_path / "none" / "b.flo", ramp())


def test_twice_the_size_is_twice_the_motion() -> None:
    flow = np.full((3, 4, 2), (1.5, -2), np.float32)

    resized = resize_flow(flow, (8, 9))

    assert resized.shape == (9, 8, 2)
    assert np.allclose(resized, (3, -6))
    assert resize_flow(flow, (4, 3)) is flow


def test_resizing_interpolates_between_pixel_centres() -> None:
    flow = np.zeros((1, 2, 2), np.float32)
    flow[0, 1, 0] = 4

    assert resize_flow(flow, (4, 1))[0, :, 0].tolist() == [0, 2, 6, 8]


def test_end_point_error_is_over_known_pixels() -> None:
    truth = np.zeros((2, 2, 2), np.float32)
    truth[0, 0] = np.nan

    assert end_point_error(np.full((2, 2, 2), (3, 4), np.float32), truth) == 5


def test_end_point_error_needs_equal_sizes_and_some_truth() -> None:
    with pytest.raises(ValueError, match="is 8x6 where the truth is 4x6; sizes must agree"):
        end_point_error(ramp(6, 8), ramp(6, 4))
    with pytest.raises(ValueError, match="the truth knows the flow of no pixel"):
        end_point_error(ramp(), np.full((6, 8, 2), np.nan, np.float32))


def test_a_box_moves_with_the_median_of_its_middle() -> None:
    flow = np.zeros((40, 40, 2), np.float32)
    flow[10:30, 10:30] = (2, -1)

    moved, variance = box_flow(flow, np.array([[20, 20, 60, 60], [0, 0, 18, 18]], np.float32), (80, 80))

    assert moved.tolist() == [[4, -2], [0, 0]]
    assert np.allclose(variance, (0.11 * 2) ** 2)


def test_a_box_whose_parts_move_differently_is_trusted_less() -> None:
    flow = np.zeros((40, 40, 2), np.float32)
    flow[:, :, 0] = np.arange(40)

    _, variance = box_flow(flow, np.array([[10, 10, 30, 30]], np.float32), (40, 40))

    assert variance[0, 0] > 10 > variance[0, 1]


def test_a_box_outside_of_the_picture_is_unknown_and_one_across_its_edge_uses_what_is_inside() -> None:
    flow = np.full((20, 20, 2), (1, 1), np.float32)

    moved, _ = box_flow(flow, np.array([[-30, 0, -10, 20], [-10, 0, 10, 20], [30, 30, 40, 40]], np.float32), (20, 20))

    assert np.array_equal(moved, np.array([[np.nan] * 2, [1, 1], [np.nan] * 2]), equal_nan=True)


def test_no_boxes_give_no_motion() -> None:
    moved, variance = box_flow(ramp(), np.zeros((0, 4), np.float32), (8, 6))

    assert (moved.shape, variance.shape) == ((0, 2), (0, 2))
