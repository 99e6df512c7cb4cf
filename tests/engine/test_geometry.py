from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.geometry import (
    anchors_unit,
    check_line,
    check_polygon,
    distance_to_polygon,
    inside_polygon,
    leaves_frame,
    polygon_area,
    segments_cross,
    side_of_line,
)

SQUARE = ((0.2, 0.2), (0.8, 0.2), (0.8, 0.8), (0.2, 0.8))
L_SHAPE = ((0.0, 0.0), (1.0, 0.0), (1.0, 0.5), (0.5, 0.5), (0.5, 1.0), (0.0, 1.0))
unit = st.floats(0, 1, allow_subnormal=False)


def points(*xy: tuple[float, float]) -> np.ndarray:
    return np.array(xy, np.float64).reshape(-1, 2)


def test_below_a_line_drawn_to_the_right_is_its_right_side() -> None:
    assert side_of_line(points((0.5, 0.7), (0.5, 0.3), (0.9, 0.5)), ((0.0, 0.5), (1.0, 0.5))).tolist() == pytest.approx(
        [0.2, -0.2, 0.0]
    )


def test_distances_from_a_line_are_frame_heights() -> None:
    upright = ((0.5, 0.0), (0.5, 1.0))
    assert side_of_line(points((0.6, 0.5)), upright, aspect=2.0).tolist() == pytest.approx([-0.2])


def test_turning_a_line_round_swaps_its_sides() -> None:
    at = points((0.3, 0.9))
    assert side_of_line(at, ((0.1, 0.2), (0.7, 0.4))) == pytest.approx(-side_of_line(at, ((0.7, 0.4), (0.1, 0.2))))


@pytest.mark.parametrize(
    ("other", "crosses"),
    [
        (((0.5, 0.2), (0.5, 0.8)), True),
        (((0.5, 0.2), (0.5, 0.5)), True),
        (((0.5, 0.2), (0.5, 0.4)), False),
        (((0.9, 0.2), (0.9, 0.8)), False),
        (((0.6, 0.5), (0.9, 0.5)), True),
        (((0.8, 0.5), (0.9, 0.5)), False),
    ],
)
def test_segments_cross(other: tuple[tuple[float, float], tuple[float, float]], crosses: bool) -> None:
    assert segments_cross((0.3, 0.5), (0.7, 0.5), *other) is crosses
    assert segments_cross(*other, (0.7, 0.5), (0.3, 0.5)) is crosses


def test_a_concave_polygon_holds_what_is_inside() -> None:
    at = points((0.25, 0.75), (0.75, 0.25), (0.75, 0.75), (-0.1, 0.5))
    assert inside_polygon(at, L_SHAPE).tolist() == [True, True, False, False]
    assert inside_polygon(at, L_SHAPE[::-1]).tolist() == [True, True, False, False]
    assert inside_polygon(points(), L_SHAPE).tolist() == []


@given(unit, unit)
def test_a_point_is_in_a_rectangle_when_both_coordinates_are(x: float, y: float) -> None:
    if min(abs(v - edge) for v in (x, y) for edge in (0.2, 0.8)) < 1e-9:
        return
    assert inside_polygon(points((x, y)), SQUARE).tolist() == [0.2 < x < 0.8 and 0.2 < y < 0.8]


def test_distance_to_a_polygon_is_to_its_nearest_edge() -> None:
    at = points((0.5, 0.9), (0.5, 0.5), (0.9, 0.9))
    assert distance_to_polygon(at, SQUARE) == pytest.approx([0.1, 0.3, 0.1 * 2**0.5])
    assert distance_to_polygon(points((0.9, 0.5)), SQUARE, aspect=2.0) == pytest.approx([0.2])
    assert distance_to_polygon(points(), SQUARE).shape == (0,)


def test_area_does_not_depend_on_the_direction_of_the_corners() -> None:
    assert polygon_area(SQUARE) == pytest.approx(0.36)
    assert polygon_area(L_SHAPE[::-1]) == pytest.approx(0.75)


def test_an_anchor_is_the_foot_or_the_center_kept_inside_the_frame() -> None:
    xyxy = np.array([[10, 20, 30, 60], [-50, 50, 30, 120]], np.float32)
    assert anchors_unit(xyxy, (100, 100), "foot") == pytest.approx(points((0.2, 0.6), (0.0, 1.0)), abs=2e-6)
    assert anchors_unit(xyxy, (100, 100), "center") == pytest.approx(points((0.2, 0.4), (0.0, 0.85)), abs=2e-6)
    assert anchors_unit(np.zeros((0, 4), np.float32), (100, 100), "foot").shape == (0, 2)


def test_a_zone_that_reaches_the_frames_edge_holds_who_is_cut_by_it() -> None:
    whole = ((0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.0, 1.0))
    at = anchors_unit(np.array([[-5, 50, 5, 130], [90, -20, 130, 0]], np.float32), (100, 100), "foot")
    assert inside_polygon(at, whole).tolist() == [True, True]


@pytest.mark.parametrize(
    ("xyxy", "speed", "ahead_s", "leaves"),
    [
        ((0.4, 0.4, 0.6, 0.6), (0.0, 0.0), 5.0, False),
        ((0.01, 0.4, 0.2, 0.6), (0.0, 0.0), 0.0, True),
        ((0.4, 0.4, 0.6, 0.99), (0.0, 0.0), 0.0, True),
        ((0.7, 0.4, 0.9, 0.6), (0.1, 0.0), 1.0, True),
        ((0.7, 0.4, 0.9, 0.6), (0.1, 0.0), 0.5, False),
        ((0.4, 0.1, 0.6, 0.3), (0.0, -0.2), 0.5, True),
    ],
)
def test_a_box_leaves_the_frame_at_its_edge_or_on_its_way_there(
    xyxy: tuple[float, ...], speed: tuple[float, float], ahead_s: float, leaves: bool
) -> None:
    assert leaves_frame(xyxy, speed, ahead_s) is leaves


def test_good_lines_and_polygons_pass() -> None:
    check_line(((0.0, 0.0), (1.0, 1.0)))
    check_polygon(SQUARE)
    check_polygon(L_SHAPE)
    check_polygon(SQUARE[:3])


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (((0.0, 0.4),), "needs two points, got 1"),
        (((0.0, 0.4), (0.0, 0.4)), r"needs two different points, got \(\(0, 0.4\), \(0, 0.4\)\)"),
        (((0.0, 0.4), (64.0, 0.4)), r"point \(64, 0.4\) is outside of the frame; coordinates are fractions"),
        (((0.0, float("nan")), (1.0, 0.4)), "outside of the frame"),
    ],
)
def test_a_line_that_is_none_is_refused(line: tuple[tuple[float, float], ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        check_line(line)


@pytest.mark.parametrize(
    ("polygon", "message"),
    [
        (SQUARE[:2], "needs at least three different points"),
        ((*SQUARE[:2], SQUARE[0]), "needs at least three different points"),
        ((*SQUARE, SQUARE[0]), "names a point twice"),
        (((0.1, 0.1), (0.5, 0.5), (0.9, 0.9)), "encloses no area"),
        ((SQUARE[0], SQUARE[2], SQUARE[1], SQUARE[3]), "edges 1 and 3 cross each other; give the corners in order"),
        ((*SQUARE[:3], (-0.2, 0.8)), r"point \(-0.2, 0.8\) is outside of the frame"),
    ],
)
def test_a_polygon_that_is_none_is_refused(polygon: tuple[tuple[float, float], ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        check_polygon(polygon)
