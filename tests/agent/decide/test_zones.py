"""Where an object stands."""

from __future__ import annotations

import math

from hypothesis import assume, given
from hypothesis import strategies as st

from agent.decide.zones import contains, crossing, ground_point

SQUARE = ((0.2, 0.2), (0.8, 0.2), (0.8, 0.8), (0.2, 0.8))
HORSESHOE = ((0.1, 0.1), (0.9, 0.1), (0.9, 0.9), (0.6, 0.9), (0.6, 0.4), (0.4, 0.4), (0.4, 0.9), (0.1, 0.9))

share = st.floats(0, 1)


def test_an_object_stands_at_the_middle_of_its_lower_edge():
    assert ground_point((0.2, 0.1, 0.4, 0.9)) == (0.30000000000000004, 0.9)


def test_corners_and_edges_belong_to_the_zone():
    for point in (*SQUARE, (0.5, 0.2), (0.8, 0.5), (0.5, 0.8), (0.2, 0.5)):
        assert contains(SQUARE, point)
    assert not contains(SQUARE, (0.1, 0.2)), "on the line of an edge, but beyond its end"


def test_a_hollow_is_outside():
    assert not contains(HORSESHOE, (0.5, 0.7))
    assert contains(HORSESHOE, (0.2, 0.7))
    assert contains(HORSESHOE, (0.7, 0.7))


def test_sides_that_cross_are_found():
    assert crossing(SQUARE) is None
    assert crossing(HORSESHOE) is None
    assert crossing(((0.0, 0.0), (1.0, 1.0), (1.0, 0.0), (0.0, 1.0))) == (0, 2)


@given(share, share, share, share, share, share)
def test_a_rectangle_contains_what_lies_between_its_sides(x1, y1, x2, y2, x, y):
    x1, x2, y1, y2 = min(x1, x2), max(x1, x2), min(y1, y2), max(y1, y2)
    assume(x2 - x1 > 1e-3 and y2 - y1 > 1e-3)
    assume(all(abs(x - side) > 1e-5 for side in (x1, x2)) and all(abs(y - side) > 1e-5 for side in (y1, y2)))
    rectangle = ((x1, y1), (x2, y1), (x2, y2), (x1, y2))
    assert contains(rectangle, (x, y)) == (x1 < x < x2 and y1 < y < y2)


@given(st.lists(share, min_size=3, max_size=12, unique=True), share, share, st.integers(0, 11))
def test_neither_the_first_corner_nor_the_direction_matters(turns, x, y, start):
    polygon = tuple((0.5 + 0.4 * math.cos(6.28 * t), 0.5 + 0.3 * math.sin(6.28 * t)) for t in sorted(turns))
    start %= len(polygon)
    turned = polygon[start:] + polygon[:start]
    assert contains(polygon, (x, y)) == contains(turned, (x, y)) == contains(polygon[::-1], (x, y))


@given(st.lists(st.tuples(share, share), min_size=3, max_size=8, unique=True))
def test_every_corner_and_middle_of_a_side_is_contained(polygon):
    polygon = tuple(polygon)
    for a, b in zip(polygon, polygon[1:] + polygon[:1], strict=True):
        assert contains(polygon, a)
        assert contains(polygon, ((a[0] + b[0]) / 2, (a[1] + b[1]) / 2))
