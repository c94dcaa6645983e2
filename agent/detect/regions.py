"""Which parts of a frame are worth a second look. Pure.

A region has nearly the model's own size in pixels, or twice that, or four times: there the model sees an object
several times larger than in the whole frame. Of all places for a region, only those matter where a target touches its
left and another its upper side: any other can be moved there without losing a target. So the best place is found by
trying them all, which for a score of targets is one small product of matrices.
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
SHARE: Final = 0.9
"""Of the model's size: on the first half of PETS09-S2L1, F1 .894, against .885 at the whole of it, .887 at .83."""
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

ROUNDING: Final = 1e-6
"""In pixels."""

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
    size = (max(1, round(SHARE * model[0])), max(1, round(SHARE * model[1])))
    worth = np.array([target.worth for target in best])
    scales = _scales(boxes, frame, size)
    sizes = [_Places(boxes, scales, scale, frame, size) for scale in sorted(set(scales.tolist())) if scale]
    chosen: list[Region] = []
    while sizes and len(chosen) < looks:
        value, at, places = max(((*places.best(worth), places) for places in sizes), key=_value_first)
        if value < LEAST_WORTH:
            break
        shown = places.shows(at)
        chosen.append(places.around(boxes[shown]))
        worth = np.where(shown, 0.0, worth)
    return tuple(chosen)


def _worth_first(target: Target) -> float:
    return -target.worth


def _value_first(found: tuple[float, tuple[int, int], _Places]) -> float:
    return found[0]


def _scales(boxes: Floats, frame: tuple[int, int], model: tuple[int, int]) -> Floats:
    """By what each target's smallest region is larger than the model's input, a power of two; 0 where none helps."""
    widths, heights = boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1]
    filled = np.maximum(widths / (ROOMY * model[0]), heights / (ROOMY * model[1]))
    scales: Floats = np.exp2(np.ceil(np.log2(np.maximum(filled, 1.0))))
    area = np.minimum(scales * model[0], frame[0]) * np.minimum(scales * model[1], frame[1])
    return np.where(area > LARGEST_SHARE * frame[0] * frame[1], 0.0, scales)


class _Places:
    """The places for regions of one size: every left side with every upper side.

    What a place shows along one axis does not depend on the other, so two small matrices stand for all places.
    """

    def __init__(
        self, boxes: Floats, scales: Floats, scale: float, frame: tuple[int, int], model: tuple[int, int]
    ) -> None:
        self._frame = frame
        self._size = (min(round(model[0] * scale), frame[0]), min(round(model[1] * scale), frame[1]))
        fits = (scales > 0.0) & (scales <= scale)
        share = np.where(scales == scale, 1.0, LESS_ZOOM) * fits
        self._across = self._along(boxes, 0, fits) * share
        self._down = self._along(boxes, 1, fits)

    def _along(self, boxes: Floats, axis: int, fits: npt.NDArray[np.bool_]) -> Floats:
        """Whether each place (P) shows each target (N) along one axis, as 0 or 1 in (P, N)."""
        low, high = boxes[:, axis], boxes[:, axis + 2]
        length, end = self._size[axis], self._frame[axis]
        margin = length * MARGIN
        start = np.clip(low[fits] - margin, 0.0, end - length)[:, None]
        # At the frame's edge there is no margin to be had, and none is needed.
        near = np.where(start > 0.0, start + margin - ROUNDING, -end)
        far = np.where(start + length < end, start + (length - margin + ROUNDING), 2 * end)
        seen: Floats = ((low >= near) & (high <= far)).astype(np.float64)
        return seen

    def best(self, worth: Floats) -> tuple[float, tuple[int, int]]:
        """The most that a place shows, and the place."""
        values = (self._across * worth) @ self._down.T
        at = int(values.argmax())
        return float(values.flat[at]), divmod(at, values.shape[1])

    def shows(self, at: tuple[int, int]) -> npt.NDArray[np.bool_]:
        """Which targets (N) it shows."""
        shown: npt.NDArray[np.bool_] = self._across[at[0]] * self._down[at[1]] > 0.0
        return shown

    def around(self, shown: Floats) -> Region:
        """The region of this size around the middle of what it shows, within the frame."""
        low, high = shown.min(axis=0).tolist(), shown.max(axis=0).tolist()
        (width, height), (across, down) = self._size, self._frame
        x = min(max(round((low[0] + high[2] - width) / 2), 0), across - width)
        y = min(max(round((low[1] + high[3] - height) / 2), 0), down - height)
        return Region(x, y, width, height)
