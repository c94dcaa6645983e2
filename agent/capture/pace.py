"""Capture's arithmetic of time: when a frame is due, which ones a rate limit leaves out, when to try again."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

# Two clocks that count the same steps differ by rounding; a frame that is early by less is on time.
_ROUNDING_S: Final = 1e-6


class ClipTime:
    """Places the pictures of a recorded source on the agent's clock, over its loops.

    The first picture is due when it arrives; the first picture of a loop follows the last one of the loop before at
    the distance that the last two had.
    """

    def __init__(self, started_at: float) -> None:
        self._origin = started_at
        self._first: float | None = None
        self._last_due = started_at
        self._gap_s = 0.0

    @property
    def gap_s(self) -> float:
        """The distance of the last two pictures."""
        return self._gap_s

    def due(self, position_s: float) -> float:
        """When the picture at `position_s` should be seen."""
        if self._first is None:
            self._first = position_s
        due = self._origin + position_s - self._first
        if due > self._last_due:
            self._gap_s = due - self._last_due
        self._last_due = due
        return due

    def begin_again(self) -> None:
        """The source starts over."""
        self._origin = self._last_due + self._gap_s
        self._first = None
        self._last_due = self._origin


class RateLimit:
    """Leaves out frames above a rate, keeping the average at the rate."""

    def __init__(self, fps: float | None) -> None:
        self._period_s = 0.0 if fps is None else 1.0 / fps
        self._next_at = float("-inf")

    def admits(self, at: float) -> bool:
        """Whether the frame of time `at` may pass."""
        if at + _ROUNDING_S < self._next_at:
            return False
        # After a gap the schedule starts anew: what was missed is not made up for by a burst.
        on_schedule = at < self._next_at + self._period_s
        self._next_at = (self._next_at if on_schedule else at) + self._period_s
        return True


class Backoff:
    """Pauses that double, each shortened by up to a half at random, so that cameras do not come back in step."""

    def __init__(self, initial_s: float, max_s: float, random: Callable[[], float]) -> None:
        self._initial_s = initial_s
        self._max_s = max_s
        self._random = random
        self._full_s = 0.0

    def next_s(self, *, lived_s: float) -> float:
        """The next pause, for a camera that gave pictures for `lived_s` since the last one.

        Only a camera that lived longer than it was waited for begins anew: one that dies right after each opening
        is not opened once a second for ever.
        """
        if self._full_s == 0.0 or lived_s > self._full_s:
            self._full_s = self._initial_s
        else:
            self._full_s = min(self._full_s * 2, self._max_s)
        return self._full_s * (0.5 + 0.5 * self._random())
