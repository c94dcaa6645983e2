"""Which parts of a frame are worth a second look. Pure.

A region has the model's own size in pixels, or a whole multiple of it: there the model sees an object several times
larger than in the whole frame. Of all places for a region, only those matter where a target touches its left and
another its upper side: any other can be moved there without losing a target. So the best place is found by trying
them all, which for a score of targets is one small matrix.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from agent.domain import Box

MAX_TARGETS: Final = 24
"""The work grows with its cube; with as many targets a look is chosen in a tenth of a millisecond."""
LARGEST_SHARE: Final = 0.5
"""Of the frame's area: a larger region shows hardly more of an object than the frame does."""
ROOMY: Final = 0.55
"""Of a region's side: what fills more of it is likelier to be cut off, and was large enough in the whole frame."""
LESS_ZOOM: Final = 0.5
"""What a target counts in a region of more than the smallest size that holds it."""
MARGIN: Final = 1 / 30
"""Of a region's side, around a target: detectors need some surroundings, and predictions miss by a little."""
LEAST_WORTH: Final = 0.05
"""A look costs as much as an inference; for less it is saved."""

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Region:
    """A part of a frame, in pixels."""

    x: int
    y: int
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class Target:
    """Something worth a second look.

    Attributes:
        box: In shares of the frame.
        worth: What a look at it is worth, from 0 up.
    """

    box: Box
    worth: float


def choose(
    targets: Sequence[Target], frame: tuple[int, int], model: tuple[int, int], looks: int
) -> tuple[Region, ...]:
    """The regions that show the most worth, best first; at most `looks`, and none that shows hardly any.

    Args:
        targets: In any order.
        frame: Width and height, in pixels.
        model: Width and height of the model's input, in pixels.
        looks: How many at most.
    """
    if looks < 1 or not targets:
        return ()
    best = sorted(targets, key=_worth_first)[:MAX_TARGETS]
    boxes = np.array([target.box for target in best]) * (*frame, *frame)
    worth = np.array([target.worth for target in best])
    scales = _scales(boxes, frame, model)
    places = [_places(boxes, scales, zoom, frame, model) for zoom in np.unique(scales[scales > 0]).tolist()]
    if not places:
        return ()
    corners = np.concatenate([corner for corner, _ in places])
    shows = np.concatenate([shown for _, shown in places])
    chosen = []
    for _ in range(looks):
        values = shows @ worth
        at = int(values.argmax())
        if values[at] < LEAST_WORTH:
            break
        inside = shows[at] > 0.0
        chosen.append(_centred(boxes[inside], corners[at], frame))
        worth = np.where(inside, 0.0, worth)
    return tuple(chosen)


def _worth_first(target: Target) -> float:
    return -target.worth


def _scales(boxes: Floats, frame: tuple[int, int], model: tuple[int, int]) -> npt.NDArray[np.int64]:
    """By what each target's smallest region is larger than the model's input, a power of two; 0 where none helps."""
    sides = np.maximum((boxes[:, 2:] - boxes[:, :2]) / (ROOMY * np.array(model)), 1e-9)
    scales = (2 ** np.ceil(np.log2(np.maximum(sides.max(axis=1), 1.0)))).astype(np.int64)
    width, height = np.minimum(scales * model[0], frame[0]), np.minimum(scales * model[1], frame[1])
    scales[width * height > LARGEST_SHARE * frame[0] * frame[1]] = 0
    return scales


def _places(
    boxes: Floats, scales: npt.NDArray[np.int64], zoom: int, frame: tuple[int, int], model: tuple[int, int]
) -> tuple[Floats, Floats]:
    """Corners (P, 4) of the places of one size, in pixels, and how much of each target's worth they show (P, N)."""
    size = np.minimum(np.array(model) * zoom, frame)
    margin = size * MARGIN
    fits = (scales > 0) & (scales <= zoom)
    within = boxes[fits]
    room = frame - size
    lefts, tops = np.clip(within[:, :2] - margin, 0.0, room).T
    x, y = (grid.ravel() for grid in np.meshgrid(lefts, tops))
    # At the frame's edge there is no margin to be had, and none is needed.
    seen = _along(boxes[:, 0], boxes[:, 2], x, size[0], margin[0], frame[0])
    seen &= _along(boxes[:, 1], boxes[:, 3], y, size[1], margin[1], frame[1])
    value = np.where(fits, np.where(scales == zoom, 1.0, LESS_ZOOM), 0.0)
    return np.stack([x, y, x + size[0], y + size[1]], axis=1), seen * value


def _along(
    low: Floats, high: Floats, start: Floats, length: float, margin: float, end: float
) -> npt.NDArray[np.bool_]:
    """Whether each target (N) lies in each place (P) along one axis, as (P, N)."""
    near = np.where(start > 0.0, start + margin, -end)[:, None]
    far = np.where(start + length < end, start + length - margin, 2 * end)[:, None]
    rounding = 1e-6
    return (low >= near - rounding) & (high <= far + rounding) & (low < far) & (high > near)


def _centred(shown: Floats, corner: Floats, frame: tuple[int, int]) -> Region:
    """The region of that size around the middle of what it shows, within the frame."""
    width, height = int(corner[2] - corner[0]), int(corner[3] - corner[1])
    middle = (shown[:, :2].min(axis=0) + shown[:, 2:].max(axis=0)) / 2
    x = min(max(round(float(middle[0]) - width / 2), 0), frame[0] - width)
    y = min(max(round(float(middle[1]) - height / 2), 0), frame[1] - height)
    return Region(x, y, width, height)
