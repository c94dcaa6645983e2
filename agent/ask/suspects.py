"""Where something may be that the device does not see: what shows itself again and again over several frames. Pure.

More than a third of what a small model misses leaves no box at all. But it moves, or it shows now and then with a
score too low to begin an object.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import compress
from typing import Final, NamedTuple

from agent.boxes import area, covered, covered_by_any, distance, overlap, shifted
from agent.domain import Box, Shift, Track
from vision.detections import Detections
from wire.messages import AskReason

SAME: Final = 0.25
"""Overlap (intersection over union) from which a sign is of the same place as one before."""
REACH: Final = 1.5
"""How far what moves may have gone from one sign to the next, in its own size: within the .4 s between two, half of
the people of PETS09-S2L1 go .6 of their own width or more, and one in ten .9."""
OTHER_SIZE: Final = 3.0
"""Boxes whose areas differ by more than this factor are not of the same thing."""
MOVED: Final = 0.7
"""How far it must have gone to be worth a question, in its own size: where somebody stood for long, the background
shows a hole when he has left, and a tree sways about its place."""
BLENDED: Final = 0.5
"""How much of a new sign's box is taken over."""
EXPLAINED: Final = 0.3
"""A sign of which this much (of the smaller box) lies in an object that is followed is that object's."""
GONE_S: Final = 1.0
"""A place that gave no sign for so long is forgotten, unless it was asked about."""
FOUND: Final = 0.5
"""Overlap from which an object that the cloud vouches for is what gave the signs of a place that was asked about."""
MOST: Final = 32
"""Places remembered of one kind; beyond, those that came last are passed over."""


@dataclass(frozen=True, slots=True)
class Suspect:
    """A place worth a question.

    Attributes:
        label: The likeliest of what it may be; None where nothing tells.
        score: What the model says, 0 where it says nothing.
        lasted_s: For how long it has given signs.
    """

    reason: AskReason
    label: str | None
    score: float
    box: Box
    lasted_s: float


class Sign(NamedTuple):
    """Something that points to an object in one frame; see `Suspect`.

    Attributes:
        passing: It is of who passes by (`agent.detect.passing`): not worth a question just now, and followed.
    """

    box: Box
    label: str | None = None
    score: float = 0.0
    passing: bool = False


def weak_signs(detections: Detections, below: float) -> list[Sign]:
    """What the model says with a score too low to begin an object."""
    weak = (detections.scores < below).tolist()
    rows = zip(detections.boxes.tolist(), detections.classes.tolist(), detections.scores.tolist(), strict=True)
    labels = detections.labels
    return [Sign((x1, y1, x2, y2), labels[name], score) for (x1, y1, x2, y2), name, score in compress(rows, weak)]


@dataclass(slots=True)
class _Place:
    box: Box
    label: str | None
    score: float
    since: float
    last: float
    began: Box
    step: Shift = (0.0, 0.0)
    signs: int = 1
    asked_at: float | None = None
    asked_in: Box | None = None
    passes: bool = False

    def rest(self, now: float) -> None:
        """It was asked about, or need not be just now."""
        self.asked_at, self.asked_in = now, self.box


class Suspects(ABC):
    """What both kinds have in common: the places of one kind before one camera.

    Args:
        reason: Why they are asked about.
        least_signs: In how many frames one must give a sign.
        least_s: Over how long.
        again_s: After a question, how long it is left alone.
    """

    def __init__(self, reason: AskReason, *, least_signs: int, least_s: float, again_s: float) -> None:
        self._reason = reason
        self._least_signs = least_signs
        self._least_s = least_s
        self._again_s = again_s
        self._places: list[_Place] = []

    def note(self, signs: Iterable[Sign], tracks: Sequence[Track], now: float) -> None:
        """Take in the signs of one frame; those of objects that are followed are passed over."""
        places = self._places = [place for place in self._places if self._is_kept(place, now)]
        explained = [track.box for track in tracks]
        for sign in signs:
            if covered_by_any(sign.box, explained, EXPLAINED):
                continue
            place, most = None, 0.0
            for one in places:
                # Beyond the first of those that are likeliest, none takes its place.
                likely = self._likely(one, sign.box, now)
                if likely > most:
                    place, most = one, likely
            if place is not None:
                self._put(place, sign.box)
                place.label, place.score = sign.label, max(place.score, sign.score)
                place.signs += now > place.last
                place.last = now
            elif len(places) < MOST:
                place = _Place(sign.box, sign.label, sign.score, now, now, sign.box)
                places.append(place)
            if place is not None and sign.passing:
                place.rest(now)

    def suspects(self, tracks: Sequence[Track], now: float) -> list[Suspect]:
        """Those that are worth a question by now, and that no object explains."""
        explained = [track.box for track in tracks]
        return [
            Suspect(self._reason, place.label, place.score, place.box, now - place.since)
            for place in self._places
            if self._is_worth_it(place, now)
            and place.signs >= self._least_signs
            and place.last - place.since >= self._least_s
            and not covered_by_any(place.box, explained, EXPLAINED)
        ]

    def asked(self, region: Box, now: float) -> None:
        """What lies in this region was asked about."""
        left, top, right, bottom = region
        for place in self._places:
            x1, y1, x2, y2 = place.box
            if left <= (x1 + x2) / 2 <= right and top <= (y1 + y2) / 2 <= bottom:
                place.rest(now)

    @abstractmethod
    def _likely(self, place: _Place, box: Box, now: float) -> float:
        """Above 0 where a sign may be of this place, the more the likelier."""

    @abstractmethod
    def _put(self, place: _Place, box: Box) -> None:
        """Take in where the newest sign of it is."""

    @abstractmethod
    def _is_worth_it(self, place: _Place, now: float) -> bool:
        """Whether a question about it is in order, as far as that does not depend on its signs."""

    @abstractmethod
    def _is_kept(self, place: _Place, now: float) -> bool:
        """Whether it is remembered still."""


class Places(Suspects):
    """What keeps its place: one that was asked about rests, and then begins anew.

    Where the cloud saw something it begins anew at once, and is asked about again when it gives signs and no object
    is followed there any more.
    """

    def note(self, signs: Iterable[Sign], tracks: Sequence[Track], now: float) -> None:
        """As ever, with what the cloud has said of the tracks until then."""
        self._places = [place for place in self._places if not _was_right(place, tracks)]
        super().note(signs, tracks, now)

    def _likely(self, place: _Place, box: Box, now: float) -> float:
        del now
        shared = overlap(place.box, box)
        return shared if shared >= SAME else 0.0

    def _put(self, place: _Place, box: Box) -> None:
        place.box = _blended(place.box, box)

    def _is_worth_it(self, place: _Place, now: float) -> bool:
        del now
        return place.asked_at is None

    def _is_kept(self, place: _Place, now: float) -> bool:
        kept_from = place.last if place.asked_at is None else place.asked_at + self._again_s - GONE_S
        return now - kept_from <= GONE_S


class Movers(Suspects):
    """What moves: each is followed where it goes, and is worth a question when it went some way.

    One that was asked about is so again after a rest, as long as it goes on. Who passes by rests likewise where the
    device's own detector says so, and for as long as he is followed where the cloud does.
    """

    def known_to_pass(self, places: Sequence[Box], at: float) -> None:
        """Those asked about at that time were who passes by, where the cloud saw such here.

        What lies over where a mover began as well stands, and he goes past it.
        """
        for place in self._places:
            asked_in = place.asked_in
            if place.asked_at == at and asked_in is not None:
                place.passes |= any(covered(asked_in, box) > EXPLAINED >= covered(place.began, box) for box in places)

    def _likely(self, place: _Place, box: Box, now: float) -> float:
        # Who walks leaves something behind that differs for a moment: the next sign is looked for where he goes.
        if place.last == now or not area(box) / OTHER_SIZE < area(place.box) < area(box) * OTHER_SIZE:
            return 0.0
        return REACH - distance(shifted(place.box, place.step), box)

    def _put(self, place: _Place, box: Box) -> None:
        place.step, place.box = _step(place.box, box), box

    def _is_worth_it(self, place: _Place, now: float) -> bool:
        rested = place.asked_at is None or now - place.asked_at >= self._again_s
        return rested and not place.passes and distance(place.began, place.box) >= MOVED

    def _is_kept(self, place: _Place, now: float) -> bool:
        return now - place.last <= GONE_S


def _was_right(place: _Place, tracks: Sequence[Track]) -> bool:
    """Whether the cloud saw something where a place was asked about: it rests only where there is nothing."""
    asked_at = place.asked_at
    return asked_at is not None and any(
        track.word is not None
        and track.word.vouches
        and track.word.at >= asked_at
        and overlap(track.box, place.box) >= FOUND
        for track in tracks
    )


def _step(before: Box, now: Box) -> Shift:
    return ((now[0] + now[2] - before[0] - before[2]) / 2, (now[1] + now[3] - before[1] - before[3]) / 2)


def _blended(before: Box, now: Box) -> Box:
    x1, y1, x2, y2 = (old + BLENDED * (new - old) for old, new in zip(before, now, strict=True))
    return (x1, y1, x2, y2)
