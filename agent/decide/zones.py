"""Which part of the picture an object stands in.

An object stands where the middle of its box's lower edge is: where its feet or wheels meet the ground.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from agent.domain import Box

Point = tuple[float, float]
Polygon = tuple[Point, ...]
"""Corners (x, y) in shares of the picture, in order; the last joins the first."""

ON_EDGE: Final = 1e-9
"""A millionth of a pixel of a 4K picture: on the edge, but for rounding."""


def ground_point(box: Box) -> Point:
    """Where an object stands."""
    return ((box[0] + box[2]) / 2, box[3])


def contains(polygon: Polygon, point: Point) -> bool:
    """Whether the point lies in the polygon or on its edge."""
    x, y = point
    inside = False
    ax, ay = polygon[-1]
    for bx, by in polygon:
        cross = (bx - ax) * (y - ay) - (by - ay) * (x - ax)
        if (
            abs(cross) <= ON_EDGE
            and min(ax, bx) - ON_EDGE <= x <= max(ax, bx) + ON_EDGE
            and min(ay, by) - ON_EDGE <= y <= max(ay, by) + ON_EDGE
        ):
            return True
        if (ay > y) != (by > y) and (cross > 0) == (by > ay):
            inside = not inside
        ax, ay = bx, by
    return inside


def signed_area(polygon: Polygon) -> float:
    """As a share of the picture; its sign tells which way round the corners go."""
    return sum(a[0] * b[1] - b[0] * a[1] for a, b in zip(polygon, polygon[1:] + polygon[:1], strict=True)) / 2


def crossing(polygon: Polygon) -> tuple[int, int] | None:
    """Two sides that touch without being neighbours, by the corners where they begin; None if there are none."""
    sides = list(zip(polygon, polygon[1:] + polygon[:1], strict=True))
    for i, one in enumerate(sides):
        for j in range(i + 2, len(sides)):
            neighbours = i == 0 and j == len(sides) - 1
            if not neighbours and _touch(one, sides[j]):
                return i, j
    return None


def _turn(a: Point, b: Point, c: Point) -> float:
    return (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])


def _between(a: Point, b: Point, c: Point) -> bool:
    return min(a[0], b[0]) <= c[0] <= max(a[0], b[0]) and min(a[1], b[1]) <= c[1] <= max(a[1], b[1])


def _touch(one: Sequence[Point], other: Sequence[Point]) -> bool:
    (a, b), (c, d) = one, other
    turns = (_turn(a, b, c), _turn(a, b, d), _turn(c, d, a), _turn(c, d, b))
    if turns[0] * turns[1] < 0 and turns[2] * turns[3] < 0:
        return True
    corners = ((a, b, c), (a, b, d), (c, d, a), (c, d, b))
    return any(turn == 0 and _between(*three) for turn, three in zip(turns, corners, strict=True))
