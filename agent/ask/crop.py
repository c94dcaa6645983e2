"""Which part of the frame to show. Pure."""

from __future__ import annotations

from typing import NamedTuple

from agent.boxes import inside
from agent.domain import Ask, Box
from wire.messages import AskReason


class Margins(NamedTuple):
    """What a picture shows around its object, on each side, as a share of its box's width or height.

    Attributes:
        unseen: Where the device does not see the object itself: what is mostly hidden is known by what is around it.
    """

    seen: float
    unseen: float

    def of(self, reason: AskReason) -> float:
        """For a question of that reason."""
        return self.unseen if reason.unseen else self.seen


class Crop(NamedTuple):
    """A part of a frame, in whole pixels: columns `left` up to `right`, rows `top` up to `bottom`."""

    left: int
    top: int
    right: int
    bottom: int

    def region(self, width: int, height: int) -> Box:
        """The same in shares of a frame of `width` × `height` pixels."""
        return (self.left / width, self.top / height, self.right / width, self.bottom / height)


def crop_of_question(ask: Ask, *, width: int, height: int, margins: Margins, min_px: int) -> Crop:
    """The part of a frame of `width` × `height` pixels that a question shows: all of it, or its object."""
    if ask.context:
        return Crop(0, 0, width, height)
    return crop_around(ask.box, width=width, height=height, margin=margins.of(ask.reason), min_px=min_px)


def crop_around(box: Box, *, width: int, height: int, margin: float, min_px: int) -> Crop:
    """The part of a frame to show for the object in `box`.

    The box is grown by `margin` of its own size on each side, then to `min_px` where it is narrower or lower than
    that, then shifted into the frame; pixels keep their aspect, since nothing is stretched.

    Args:
        box: x1 y1 x2 y2 in shares of the frame; what lies outside the frame is not counted.
        width: Of the frame, pixels.
        height: Of the frame, pixels.
        margin: Share of the box's width or height added on each side.
        min_px: Least width and height of the result, where the frame has as many.
    """
    x1, y1, x2, y2 = inside(box)
    left, right = _span(x1 * width, x2 * width, width, margin, min_px)
    top, bottom = _span(y1 * height, y2 * height, height, margin, min_px)
    return Crop(left, top, right, bottom)


def scaled(width: int, height: int, max_px: int) -> tuple[int, int]:
    """The size at which a `width` × `height` picture is sent: its longer side at most `max_px`, its aspect kept."""
    longest = max(width, height)
    if longest <= max_px:
        return width, height
    return max(1, round(width * max_px / longest)), max(1, round(height * max_px / longest))


def _span(low: float, high: float, size: int, margin: float, min_px: int) -> tuple[int, int]:
    """The pixels to show along one axis of `size` pixels for an object from `low` to `high`."""
    wanted = max((high - low) * (1 + 2 * margin), float(min_px), 1.0)
    length = min(size, round(wanted))
    start = round((low + high - length) / 2)
    start = min(max(0, start), size - length)
    return start, start + length
