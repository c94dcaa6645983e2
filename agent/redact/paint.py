"""Painting over parts of a picture. Paint, not blur: what was under it is in no way part of the picture any more.

Coordinates are shares of the full frame until here, where they become pixels of the part that is shown; rounding
always goes to the side of more paint.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np

from agent.domain import Box
from vision.detections import Image

Polygon = Sequence[tuple[float, float]]
Part = tuple[int, int, int, int]
"""Of a frame, in whole pixels: columns from the first up to the third, rows from the second up to the fourth."""

MASKED: Final = (0, 0, 0)
GREY: Final = 114
"""With it detectors are used to seeing pictures padded, so that it is taken for nothing."""
HIDDEN: Final = (GREY, GREY, GREY)
_MASK, _HIDE = 2, 1
_SEAM_PX: Final = 3
"""A line around each mask: rounding moves a corner by less than its half, so no pixel of the mask stays."""

GROWN: Final = 0.1
"""Of a box's width and height, added on each side: the device's boxes are off by about as much."""
HEAD_SHARE: Final = 0.2
"""Of a person's box, from the top: a head is a seventh of somebody who stands. With .3, and a margin at the sides,
the cloud's model finds half as many people on the demo clip as without paint; with .2 four fifths or more."""
HEAD_ABOVE: Final = 0.05
"""Of the box's height, added on top."""


@dataclass(frozen=True, slots=True)
class Painted:
    """What was painted.

    Attributes:
        masked, hidden: Shares of the picture.
        asked: Share of the asked box.
    """

    masked: float
    hidden: float
    asked: float


def grown(box: Box, by: float = GROWN) -> Box:
    """`box` with a margin of so much of its width and height."""
    x1, y1, x2, y2 = box
    across, down = by * (x2 - x1), by * (y2 - y1)
    return (x1 - across, y1 - down, x2 + across, y2 + down)


def head(box: Box) -> Box:
    """The part of a person's box that holds the head, with a margin."""
    x1, y1, x2, y2 = box
    return (x1, y1 - HEAD_ABOVE * (y2 - y1), x2, y1 + HEAD_SHARE * (y2 - y1))


class Canvas:
    """A part of a frame that is being painted on, and where it is painted already."""

    def __init__(self, image: Image, part: Part, frame_size: tuple[int, int]) -> None:
        """Take it up.

        Args:
            image: uint8 (h, w, 3), BGR, of `part`; painted on in place.
            part: Where it lies in the frame.
            frame_size: The frame's width and height in pixels.
        """
        self._image = image
        self._left, self._top = part[0], part[1]
        self._frame_size = frame_size
        self._plane: np.ndarray[tuple[int, int], np.dtype[np.uint8]] = np.zeros(image.shape[:2], np.uint8)

    def hide(self, boxes: Iterable[Box]) -> None:
        """Paint each box grey."""
        for box in boxes:
            x1, y1, x2, y2 = self._pixels(box)
            self._image[y1:y2, x1:x2] = GREY
            self._plane[y1:y2, x1:x2] = _HIDE

    def hide_all_but(self, box: Box | None) -> None:
        """Paint everything grey but what lies in `box`."""
        x1, y1, x2, y2 = (0, 0, 0, 0) if box is None else self._pixels(box)
        for rows, columns in (
            (slice(0, y1), slice(None)),
            (slice(y2, None), slice(None)),
            (slice(y1, y2), slice(0, x1)),
            (slice(y1, y2), slice(x2, None)),
        ):
            self._image[rows, columns] = GREY
            self._plane[rows, columns] = _HIDE

    def mask(self, polygons: Iterable[Polygon]) -> None:
        """Paint each polygon black, edge included."""
        for polygon in polygons:
            corners = np.rint(np.array(polygon) * self._frame_size).astype(np.int32) - (self._left, self._top)
            points = [corners.astype(np.int32)]
            for surface, colour in ((self._image, MASKED), (self._plane, (_MASK,))):
                cv2.fillPoly(surface, points, colour)
                cv2.polylines(surface, points, isClosed=True, color=colour, thickness=_SEAM_PX)

    def painted(self, asked: Box | None) -> Painted:
        """What was painted so far."""
        everything = self._plane.size
        painted = cv2.countNonZero(self._plane)
        masked = int(np.count_nonzero(self._plane == _MASK)) if painted else 0
        share = 0.0
        if asked is not None and painted:
            x1, y1, x2, y2 = self._pixels(asked)
            inside = self._plane[y1:y2, x1:x2]
            share = np.count_nonzero(inside) / inside.size if inside.size else 1.0
        return Painted(masked / everything, (painted - masked) / everything, share)

    def _pixels(self, box: Box) -> Part:
        """The pixels that a box touches, as far as they are shown."""
        width, height = self._frame_size
        high, wide = self._plane.shape
        x1, y1 = math.floor(box[0] * width) - self._left, math.floor(box[1] * height) - self._top
        x2, y2 = math.ceil(box[2] * width) - self._left, math.ceil(box[3] * height) - self._top
        return (_within(x1, wide), _within(y1, high), _within(x2, wide), _within(y2, high))


def _within(value: int, most: int) -> int:
    return min(max(value, 0), most)
