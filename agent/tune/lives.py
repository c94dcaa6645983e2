"""Objects from their first frame to their last: how sure the device was of each, and which are drawn. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from agent.domain import Box, Frame, Track

MOST_VIEWS: Final = 4
"""Drawn objects of a camera of which a whole frame is held until they have gone, at a megabyte or more each; what is
drawn beyond is let go unasked."""
BETTER: Final = 0.05
"""A view must score so much higher to be worth another frame's memory."""
LONGEST_GAP_S: Final = 10.0
"""A camera that says nothing for longer was not watched meanwhile."""


@dataclass(slots=True)
class View:
    """A drawn object where it was seen best."""

    frame: Frame
    box: Box
    score: float


@dataclass(frozen=True, slots=True)
class Life:
    """An object that has gone.

    Attributes:
        certain_to: The highest upper end with which the device would have been sure of it: its score in the n-th of
            its best frames, where an alert takes n.
        view: Its best, where it was drawn.
    """

    track: int
    label: str
    certain_to: float
    view: View | None


@dataclass(slots=True)
class _Living:
    label: str
    last_at: float
    best: list[float] = field(default_factory=list)
    drawn: bool | None = None
    view: View | None = None


class Lives:
    """Of one camera.

    Args:
        gone_after_s: Not seen for so long, an object will not be found again.
        counts: Whether a rule looks for an object of this label there.
        chance: Uniform in [0, 1), independent of all others.

    Attributes:
        watched_s: Since it was asked for last.
    """

    def __init__(
        self,
        *,
        gone_after_s: float,
        counts: Callable[[str, Box], bool],
        chance: Callable[[], float],
    ) -> None:
        self._gone_after_s = gone_after_s
        self._counts = counts
        self._chance = chance
        self._living: dict[int, _Living] = {}
        self._before: float | None = None
        self.watched_s = 0.0

    def still(self, at: float) -> None:
        """Nothing has moved: whoever was there still is."""
        before = self._watch(at)
        for one in self._living.values():
            one.last_at += 0.0 if before is None else max(0.0, at - before)

    def step(self, frame: Frame, tracks: Sequence[Track], *, share: float, needed: int) -> list[Life]:
        """Take in the objects of one frame; those that have gone.

        Args:
            frame: The one that the tracks are of.
            tracks: As the tracker reported them.
            share: Of the objects that could have raised an alert, how many are drawn; known at the draw.
            needed: In how many frames an object must be seen for an alert.
        """
        self._watch(frame.at)
        for track in tracks:
            if track.seen_now:
                self._see(frame, track, share, needed)
        return list(self._gone(frame.at, needed))

    def forget(self) -> None:
        """Another model judges from here on: who is there now has a life of two."""
        self._living.clear()

    def _see(self, frame: Frame, track: Track, share: float, needed: int) -> None:
        one = self._living.get(track.id)
        if one is None or one.label != track.label:
            if not self._counts(track.label, track.box):
                return
            one = self._living[track.id] = _Living(track.label, frame.at)
        one.last_at = frame.at
        if len(one.best) < needed or track.score > one.best[-1]:
            one.best = sorted([*one.best, track.score], reverse=True)[:needed]
        if len(one.best) < needed:
            return
        if one.drawn is None:
            one.drawn = self._chance() < share
            if one.drawn and sum(other.view is not None for other in self._living.values()) < MOST_VIEWS:
                one.view = View(frame, track.box, track.score)
        elif one.view is not None and track.score >= one.view.score + BETTER:
            one.view = View(frame, track.box, track.score)

    def _gone(self, now: float, needed: int) -> Iterator[Life]:
        for number in [number for number, one in self._living.items() if now - one.last_at > self._gone_after_s]:
            one = self._living.pop(number)
            if len(one.best) >= needed:
                yield Life(number, one.label, min(1.0, one.best[needed - 1]), one.view)

    def _watch(self, at: float) -> float | None:
        before, self._before = self._before, at
        if before is not None and 0.0 <= at - before <= LONGEST_GAP_S:
            self.watched_s += at - before
        return before
