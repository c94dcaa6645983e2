"""How two boxes lie to each other; what tracking and deciding both ask."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

from agent.domain import Box, Shift


def overlap(a: Box, b: Box) -> float:
    """Intersection over union, 0..1."""
    # Comparisons, not `min` and `max`: this is called some thirty times a frame, and a call costs as much as a line.
    ax1, ay1, ax2, ay2 = a
    bx1, by1, bx2, by2 = b
    width = (ax2 if ax2 < bx2 else bx2) - (ax1 if ax1 > bx1 else bx1)  # noqa: FURB136
    if width <= 0.0:
        return 0.0
    height = (ay2 if ay2 < by2 else by2) - (ay1 if ay1 > by1 else by1)  # noqa: FURB136
    if height <= 0.0:
        return 0.0
    both = width * height
    return both / ((ax2 - ax1) * (ay2 - ay1) + (bx2 - bx1) * (by2 - by1) - both)


def covered(a: Box, b: Box) -> float:
    """How much of the smaller box lies in the other, 0..1."""
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    if width <= 0.0 or height <= 0.0:
        return 0.0
    return width * height / min(area(a), area(b))


def covered_by_any(box: Box, others: Sequence[Box], share: float) -> bool:
    """Whether more than that share of the box lies in one of the others, or of that one in the box."""
    left, top, right, bottom = box
    for other in others:
        # Nearly all end at the first comparisons; a call for each would cost more than the rest.
        touches = other[0] < right and other[2] > left and other[1] < bottom and other[3] > top
        if touches and covered(box, other) > share:
            return True
    return False


def area(box: Box) -> float:
    """As a share of the picture."""
    return (box[2] - box[0]) * (box[3] - box[1])


def distance(a: Box, b: Box) -> float:
    """How far the centres are apart, in the mean size of the two boxes, each axis by its own side."""
    width, height = (a[2] - a[0]) + (b[2] - b[0]), (a[3] - a[1]) + (b[3] - b[1])
    if width <= 0.0 or height <= 0.0:
        return math.inf
    return math.hypot((a[0] + a[2] - b[0] - b[2]) / width, (a[1] + a[3] - b[1] - b[3]) / height)


EDGE: Final = 0.01
"""A detector's box of what the picture cuts off ends within this share of the picture from the edge."""


def cut_off(box: Box) -> bool:
    """Whether the picture's edge cuts the object off: it may be coming or going."""
    return box[0] <= EDGE or box[1] <= EDGE or box[2] >= 1.0 - EDGE or box[3] >= 1.0 - EDGE


def inside(box: Box) -> Box:
    """The box within the frame: a predicted one may reach over the edge, a reported one may not."""
    x1, y1, x2, y2 = box
    # Nearly all do: four comparisons instead of as many calls and more.
    if 0.0 <= x1 <= x2 <= 1.0 and 0.0 <= y1 <= y2 <= 1.0:
        return (float(x1), float(y1), float(x2), float(y2))
    x1, y1, x2, y2 = (min(1.0, max(0.0, float(v))) for v in box)
    return (x1, y1, x2, y2)


def shifted(box: Box, by: Shift) -> Box:
    """The box where it has gone."""
    (x1, y1, x2, y2), (across, down) = box, by
    return (x1 + across, y1 + down, x2 + across, y2 + down)
