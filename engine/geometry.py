"""Points, lines and polygons, in fractions of the frame: (0, 0) is its top left corner, (1, 1) its bottom right one.

Which side of a line a point is on, and whether it is in a polygon, do not depend on the frame's shape; a distance
does, so distances are given in frame heights.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Point = tuple[float, float]
Anchor = Literal["foot", "center"]

# Nearer than this to the frame's edge, a box counts as touching it: detectors rarely hit the very last pixels.
BORDER = 0.02


def check_line(line: Sequence[Point]) -> None:
    """Refuse a line that is none.

    Raises:
        ValueError: not two points, outside of the frame, or the same point twice.
    """
    if len(line) != 2:
        raise ValueError(f"needs two points, got {len(line)}")
    _check_points(line)
    if tuple(line[0]) == tuple(line[1]):
        raise ValueError(f"needs two different points, got {_text(line)}")


def check_polygon(polygon: Sequence[Point]) -> None:
    """Refuse a polygon that encloses nothing or crosses itself.

    Raises:
        ValueError: fewer than three different points, outside of the frame, no area, or edges that cross.
    """
    _check_points(polygon)
    if len({tuple(p) for p in polygon}) < 3:
        raise ValueError(f"needs at least three different points, got {_text(polygon)}")
    if len({tuple(p) for p in polygon}) < len(polygon):
        raise ValueError(f"names a point twice (the last edge closes by itself): {_text(polygon)}")
    edges = list(zip(polygon, [*polygon[1:], polygon[0]], strict=True))
    for (i, first), (j, second) in itertools.combinations(enumerate(edges), 2):
        if j - i not in (1, len(edges) - 1) and segments_cross(*first, *second):
            raise ValueError(f"edges {i + 1} and {j + 1} cross each other; give the corners in order around the zone")
    if polygon_area(polygon) < 1e-6:
        raise ValueError(f"encloses no area: {_text(polygon)}")


def _check_points(points: Sequence[Point]) -> None:
    for x, y in points:
        if not (0 <= x <= 1 and 0 <= y <= 1):
            raise ValueError(f"point ({x:g}, {y:g}) is outside of the frame; coordinates are fractions from 0 to 1")


def _text(points: Sequence[Point]) -> str:
    return "(" + ", ".join(f"({x:g}, {y:g})" for x, y in points) + ")"


def polygon_area(polygon: Sequence[Point]) -> float:
    """Give the area as a fraction of the frame, whichever way round the corners go."""
    x, y = np.asarray(polygon, np.float64).T
    return float(abs(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1))) / 2)


def anchors_unit(xyxy: NDArray[np.floating[Any]], size_wh: tuple[int, int], anchor: Anchor) -> NDArray[np.float64]:
    """Give the point of each box that stands for the object: middle of the lower edge, or of the box.

    Args:
        xyxy: (N, 4), pixels of the source frame. N may be 0.
        size_wh: size of the source frame.
        anchor: which point.

    Returns:
        float64 (N, 2), fractions of the frame, kept just inside of it: an object cut by the frame's edge stands at
        that edge, and a zone that reaches the edge holds it.
    """
    x = (xyxy[:, 0] + xyxy[:, 2]) / 2
    y = xyxy[:, 3] if anchor == "foot" else (xyxy[:, 1] + xyxy[:, 3]) / 2
    unit = np.stack([x, y], axis=1).astype(np.float64) / np.array(size_wh, np.float64)
    return np.clip(unit, 1e-6, 1 - 1e-6)


def side_of_line(points: NDArray[np.float64], line: Sequence[Point], aspect: float = 1.0) -> NDArray[np.float64]:
    """Give each point's signed distance from the endless line through a and b.

    Args:
        points: float64 (N, 2), fractions of the frame.
        line: the points a and b.
        aspect: frame width over frame height.

    Returns:
        float64 (N,), frame heights; positive to the right of a→b, seen in the picture looking from a to b.

    >>> side_of_line(np.array([[0.5, 0.7], [0.5, 0.3]]), ((0.0, 0.5), (1.0, 0.5)))
    array([ 0.2, -0.2])
    """
    (ax, ay), (bx, by) = line
    cross = (bx - ax) * (points[:, 1] - ay) - (by - ay) * (points[:, 0] - ax)
    distance: NDArray[np.float64] = cross * aspect / np.hypot((bx - ax) * aspect, by - ay)
    return distance


def segments_cross(a: Point, b: Point, c: Point, d: Point) -> bool:
    """Say whether the segments a-b and c-d share a point; touching counts, and so does lying on one another."""
    abc, abd, cda, cdb = _turn(a, b, c), _turn(a, b, d), _turn(c, d, a), _turn(c, d, b)
    if abc == abd == cda == cdb == 0:
        return all(min(a[k], b[k]) <= max(c[k], d[k]) and min(c[k], d[k]) <= max(a[k], b[k]) for k in (0, 1))
    return abc * abd <= 0 and cda * cdb <= 0


def _turn(a: Point, b: Point, c: Point) -> int:
    return int(np.sign((b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])))


def inside_polygon(points: NDArray[np.float64], polygon: Sequence[Point]) -> NDArray[np.bool_]:
    """Say which points lie in a polygon, by counting the edges that a ray to the right meets.

    Args:
        points: float64 (N, 2). N may be 0.
        polygon: its corners, either way round; may be concave.

    Returns:
        bool (N,). Points exactly on an edge may come out either way.
    """
    x, y = points[:, :1], points[:, 1:]
    x1, y1 = np.asarray(polygon, np.float64).T
    x2, y2 = np.roll(x1, -1), np.roll(y1, -1)
    spans = (y1 > y) != (y2 > y)
    # Level edges span nothing; their division by zero is kept out by any other divisor.
    meets = x < (x2 - x1) * (y - y1) / np.where(y1 == y2, 1.0, y2 - y1) + x1
    inside: NDArray[np.bool_] = (spans & meets).sum(axis=1) % 2 == 1
    return inside


def distance_to_polygon(
    points: NDArray[np.float64], polygon: Sequence[Point], aspect: float = 1.0
) -> NDArray[np.float64]:
    """Give each point's distance from the polygon's nearest edge.

    Args:
        points: float64 (N, 2), fractions of the frame. N may be 0.
        polygon: its corners.
        aspect: frame width over frame height.

    Returns:
        float64 (N,), frame heights, never negative.
    """
    scale = np.array([aspect, 1.0])
    start = np.asarray(polygon, np.float64) * scale
    edge = np.roll(start, -1, axis=0) - start
    offset = (points * scale)[:, None] - start
    along = np.clip((offset * edge).sum(axis=2) / (edge**2).sum(axis=1), 0.0, 1.0)
    distance: NDArray[np.float64] = np.hypot(*np.moveaxis(offset - along[..., None] * edge, 2, 0)).min(axis=1)
    return distance


def leaves_frame(xyxy_unit: Sequence[float], speed_unit_s: Sequence[float], ahead_s: float) -> bool:
    """Say whether a box touches the frame's edge, or will once it has moved on for `ahead_s` seconds.

    Args:
        xyxy_unit: the box in fractions of the frame.
        speed_unit_s: its speed in fractions of the frame per second.
        ahead_s: how far to look ahead.
    """
    x1, y1, x2, y2 = xyxy_unit
    dx, dy = speed_unit_s[0] * ahead_s, speed_unit_s[1] * ahead_s
    return min(x1, x1 + dx, y1, y1 + dy) <= BORDER or max(x2, x2 + dx, y2, y2 + dy) >= 1 - BORDER
