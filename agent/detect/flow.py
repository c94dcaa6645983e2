"""Where a place of an earlier picture has gone since: sparse optical flow, after Lucas and Kanade, over a pyramid.

For objects that are placed by the cloud's word: that is late, and the device's own model sees such an object badly or
not at all, so neither its detections nor a speed that was never measured say where it is by now. The pixels do.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import compress, pairwise
from typing import Final

import cv2
import numpy as np
import numpy.typing as npt

from agent.domain import Box, Rider, Shift
from vision.detections import Image

LONGEST_PX: Final = 512
"""The longer side of what is compared, at most; half of the demo clip's is as good as the whole at a third of the
cost. A picture is halved until it is small enough: by two OpenCV averages quickly, by any other number slowly."""
KEPT_S: Final = 1.5
"""An answer about an older frame begins nothing, and no picture is kept for it; see `agent.track.carrying.NEWS_S`."""
LONGEST_GAP_S: Final = 0.5
"""People who walk are twice their own width away by then, and flow finds somebody else."""
STEP_S: Final = 0.25
"""From one picture to the next by which what an answer found is carried, at most."""
WINDOW_PX: Final = 8
"""One of 7 takes one and a half times as long: OpenCV does eight pixels of a row at once, or each by itself."""
_WINDOW: Final = (WINDOW_PX, WINDOW_PX)
LEVELS: Final = 1
PRECISE: Final = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_MAX_ITER, 10, 0.03)
"""A point is found after so many steps, or one of so many pixels: a box goes by the median of its points."""
MOST_POINTS: Final = 100
"""At once, for all boxes together: the cost of a frame is bounded, and in a crowd each has fewer. With no more than
72, F1 was .851 and .856 at 1 and 2 % of the bytes (second half of PETS09-S2L1), with 100 and without any bound .864
and .862; one run each, which says little (ADR 53)."""
MOST_BOXES: Final = 14
"""Followed at once, the first ones; the others go on by their speed."""
ACROSS: Final = (0.3, 0.5, 0.7)
"""Where in a box the flow is measured, with DOWN: the trunk of a person, rather than the ground beside it."""
DOWN: Final = (0.15, 0.3, 0.45, 0.6, 0.75)
FEWEST: Final = 0.25
"""Of a box's points, how many must be found again for the box to be, and three at the least."""
UNLIKE: Final = 20.0
"""By how many grey levels of 255 a point's surroundings may differ on average to be found again. To follow each point
back as well costs twice as much and carried no better."""
MARGIN_PX: Final = 10
SMALLEST_PX: Final = 8

_Plane = npt.NDArray[np.uint8]
_IN_BOX: Final = tuple(
    np.array(points, np.float32)
    for points in (
        [(x, y) for x in ACROSS for y in DOWN],
        [(x, y) for x in ACROSS for y in (0.15, 0.35, 0.55, 0.75)],
        [(x, y) for x in ACROSS for y in DOWN[::2]],
        [(x, y) for x in ACROSS[::2] for y in DOWN[::2]],
    )
)


@dataclass(slots=True)
class _Kept:
    at: float
    plane: _Plane
    asked: bool = False


class Flow:
    """The latest pictures of one camera, small and grey. Costs nothing while nobody waits for an answer."""

    def __init__(self) -> None:
        self._kept: list[_Kept] = []
        self._latest: tuple[float, _Plane] | None = None
        self._asked_at: float | None = None

    def awaits(self, now: float) -> bool:
        """Whether an answer may come yet that is about one of the latest frames."""
        return self._asked_at is not None and now - self._asked_at <= KEPT_S

    def small(self, image: Image, at: float) -> Image:
        """The picture of that time small and grey, uint8 (H, W); it is made once, whoever asks."""
        if self._latest is None or self._latest[0] != at:
            self._latest = (at, _small(image))
        return self._latest[1]

    def see(self, image: Image, at: float) -> None:
        """Keep a picture.

        Args:
            image: uint8 (H, W, 3), BGR; any size, and a new size begins anew.
            at: When it was captured, in seconds; not before the last one.
        """
        plane = self.small(image, at)
        kept = self._kept
        if kept and (kept[-1].plane.shape != plane.shape or not 0.0 <= at - kept[-1].at <= LONGEST_GAP_S):
            kept.clear()
        kept.append(_Kept(at, plane))
        while at - kept[0].at > KEPT_S:
            del kept[0]

    def asked(self, image: Image, at: float) -> None:
        """Keep the picture of a frame that is asked about, until its answer is too old to be of use."""
        if not self._kept or self._kept[-1].at != at:
            self.see(image, at)
        self._kept[-1].asked = True
        self._asked_at = at

    def moved(self, riding: Mapping[int, Rider]) -> dict[int, Box]:
        """Where objects went from the picture before to the newest, by number, as far as that shows."""
        match self._kept:
            case [*_, before, newest]:
                there = _flow(
                    before.plane,
                    newest.plane,
                    [one.box for one in riding.values()],
                    [one.ahead for one in riding.values()],
                )
            case _:
                return {}
        return {number: box for number, box in zip(riding, there, strict=True) if box is not None}

    def since(self, at: float, boxes: Sequence[Box]) -> list[Box | None]:
        """The same from the picture of a frame that was asked about, captured at that time."""
        first = next((place for place, one in enumerate(self._kept) if one.asked and one.at == at), None)
        if first is None:
            return [None] * len(boxes)
        there: list[Box | None] = list(boxes)
        for before, after in pairwise(_stepping(self._kept[first:])):
            rows = [row for row, box in enumerate(there) if box is not None]
            steps = _flow(before.plane, after.plane, [box for box in there if box is not None])
            for row, step in zip(rows, steps, strict=True):
                there[row] = step
        return there


def _stepping(kept: Sequence[_Kept]) -> list[_Kept]:
    """The first and the last of them, and as few of those between as no step is longer than STEP_S."""
    steps = [kept[0]]
    for one, after in pairwise(kept[1:]):
        if after.at - steps[-1].at > STEP_S:
            steps.append(one)
    return [*steps, kept[-1]] if len(kept) > 1 else steps


def _small(image: Image) -> _Plane:
    grey = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)
    while max(grey.shape) > LONGEST_PX:
        height, width = (max(side // 2, 1) for side in grey.shape)
        grey = cv2.resize(grey[: 2 * height, : 2 * width], (width, height), interpolation=cv2.INTER_AREA)
    return np.asarray(grey, np.uint8)


def _flow(before: _Plane, after: _Plane, boxes: Sequence[Box], ahead: Sequence[Shift] = ()) -> list[Box | None]:
    """Each box moved by the median of its points: what covers less than half of it does not take it along.

    Args:
        before: uint8 (H, W).
        after: As `before`.
        boxes: As shares of the picture.
        ahead: How far each should have gone; none at all where that is not known.
    """
    moved: list[Box | None] = [None] * len(boxes)
    followed = boxes[:MOST_BOXES]
    if not followed:
        return moved
    height, width = before.shape
    one, other, places = _looked_at(before, after, followed)
    in_box = next((grid for grid in _IN_BOX if len(grid) * len(followed) <= MOST_POINTS), _IN_BOX[-1])
    points = (places[:, :1] + in_box * places[:, 1:]).reshape(-1, 1, 2)
    flags, guess = 0, np.empty_like(points)
    if ahead:
        steps_px = np.array([(across * width, down * height) for across, down in ahead[:MOST_BOXES]], np.float32)
        flags, guess = cv2.OPTFLOW_USE_INITIAL_FLOW, points + steps_px.repeat(len(in_box), 0)[:, None]
    there, found, unlike = cv2.calcOpticalFlowPyrLK(
        one, other, points, guess, winSize=_WINDOW, maxLevel=LEVELS, criteria=PRECISE, flags=flags
    )
    # Plain lists from here on: of so few numbers, numpy's sorting and picking takes longer by far.
    steps = (there - points).ravel().tolist()
    good: list[bool] = ((found == 1) & (unlike < UNLIKE)).ravel().tolist()
    each = len(in_box)
    fewest = max(3, math.ceil(FEWEST * each))
    for row, (x1, y1, x2, y2) in enumerate(followed):
        first, end = row * each, row * each + each
        mine = good[first:end]
        count = sum(mine)
        if count >= fewest:
            across = _median(compress(steps[2 * first : 2 * end : 2], mine), count)
            down = _median(compress(steps[2 * first + 1 : 2 * end : 2], mine), count)
            # As precise as the points, and no more: digits beyond would be noise.
            dx, dy = array("f", (across / width, down / height))
            moved[row] = (x1 + dx, y1 + dy, x2 + dx, y2 + dy)
    return moved


def _median(numbers: Iterable[float], count: int) -> float:
    ordered = sorted(numbers)
    (middle,) = array("f", ((ordered[(count - 1) // 2] + ordered[count // 2]) / 2,))
    return middle


def _looked_at(before: _Plane, after: _Plane, boxes: Sequence[Box]) -> tuple[_Plane, _Plane, npt.NDArray[np.float32]]:
    """What is around the boxes, of both pictures, side by side: much of the cost is that of the pyramids.

    Args:
        before: uint8 (H, W).
        after: As `before`.
        boxes: N, at least one.

    Returns:
        Two strips, and float32 (N, 2, 2): x and y at which each box begins in them, its width and height; in pixels.
    """
    height, width = before.shape
    cuts, places, across, down = [], [], 0, SMALLEST_PX
    for x1, y1, x2, y2 in boxes:
        left, right = _span(x1 * width, x2 * width, width)
        top, bottom = _span(y1 * height, y2 * height, height)
        cuts.append((left, top, right, bottom, across))
        places.append((x1 * width - left + across, y1 * height - top, (x2 - x1) * width, (y2 - y1) * height))
        across += right - left
        down = max(down, bottom - top)
    if across * down > width * height:
        whole = [(x1 * width, y1 * height, *place[2:]) for (x1, y1, _, _), place in zip(boxes, places, strict=True)]
        return before, after, np.array(whole, np.float32).reshape(-1, 2, 2)
    strips = np.zeros((2, down, max(across, SMALLEST_PX)), np.uint8)
    one, other = strips
    for left, top, right, bottom, place in cuts:
        cut = slice(top, bottom), slice(left, right)
        to = slice(bottom - top), slice(place, place + right - left)
        one[to] = before[cut]
        other[to] = after[cut]
    return one, other, np.array(places, np.float32).reshape(-1, 2, 2)


def _span(low: float, high: float, size: int) -> tuple[int, int]:
    """The pixels to look at along one axis; none where that is beside the picture."""
    first = min(max(int(low) - MARGIN_PX, 0), size)
    return first, max(min(int(high) + MARGIN_PX, size), first)
