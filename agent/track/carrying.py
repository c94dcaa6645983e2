"""What becomes of the cloud's word on an object while time goes on. Pure.

The cloud sees better than one look of the device, and late, and only now and then. So its word is mixed with what the
device itself believes, the less the older it is; and its box is carried to where the object has gone since. Where the
device has looked closely itself, it sees about as well as the cloud, and its own word counts for more.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from agent.boxes import area, overlap
from agent.domain import STANDS_FROM, Box, Found, Report, Word

TRUST: Final = 0.9
"""How much of a fresh word that vouches for an object is believed."""
LOOKED_S: Final = 0.5
"""For so long an object that the device looked at closely, and saw, counts as looked at closely."""
LARGE: Final = 0.107**2
"""Share of the frame from which a detector sees an object well at its first look: 32 of 300 pixels each way, where
COCO ceases to call objects small. On a device that looks closely at what is smaller, it counts as looked at
closely."""
VOUCHED_S: Final = 2.0
"""How slowly such a word is worth less."""
DENIED_S: Final = 1.0
"""The same of a word that the object is not there."""
DENIED_ODDS: Final = 0.25
"""By what such a word multiplies the odds: of 31 objects that were denied, 12 were there (first half of
PETS09-S2L1)."""
SHIFT: Final = 0.5
"""How far an object is moved towards the cloud's box: that one is hardly better placed than the tracker's on average,
at an IoU of .70 against .69, but its mistakes are others. After a close look of the device's own it is not moved."""
CARRIED_S: Final = 3.0
"""For so long an object has the size that the cloud gave it; its box is not carried from a frame older than that."""
CARRIED_SIZE_GAIN: Final = 0.15
"""How much of the size of the device's own boxes is taken over meanwhile."""
RIDDEN_S: Final = 2.0
"""For so long an object goes where the pictures show that it went. The cloud's boxes of every eighth frame, three
frames late and carried so, have an F1 of .78, where they have .85 on their own frames, and .22 where they stay in
their places (first half of PETS09-S2L1, ten frames a second)."""
RIDDEN_GAIN: Final = 0.1
"""How much of the place of the device's own boxes is taken over meanwhile."""
HIDDEN: Final = 0.25
"""Of an unseen object of which this much is covered by a seen one, the pictures show the other."""
NEWS_S: Final = 1.5
"""What was found in a frame older than this has gone elsewhere, and begins no object."""
SURE_NEWS: Final = 0.6
"""How likely an object must be for it to begin one that the device did not see."""
COAST_S: Final = 1.0
"""How long an object is reported unseen that the cloud vouched for."""
SAME: Final = 0.3
"""Overlap from which an object of the cloud is one of the device: small models place their boxes badly."""
SAME_OTHERWISE: Final = 0.5
"""The same where they name it differently."""
SHOWN: Final = 0.9
"""How much of an object must lie in what the cloud looked at, for it to have been seen if it were there."""


@dataclass(frozen=True, slots=True)
class Heard:
    """A report, sorted.

    Attributes:
        words: Of each object that was looked at, by number: as what it was seen; None where nothing was.
        news: What is likely enough to be there, and nothing was known of.
    """

    words: Mapping[int, Found | None]
    news: tuple[Found, ...]

    @property
    def placed(self) -> list[Found]:
        """All that was seen, words first."""
        return [*(said for said in self.words.values() if said is not None), *self.news]

    def gone_to(self, places: Iterator[Box | None]) -> Heard:
        """With where each of `placed` is by now, in that order."""
        words = {number: None if said is None else _gone(said, next(places)) for number, said in self.words.items()}
        return Heard(words, tuple([_gone(said, next(places)) for said in self.news]))


def _gone(said: Found, there: Box | None) -> Found:
    return Found(said.label, said.score, said.box, there)


def believed(own: float, word: Word | None, now: float) -> float:
    """How sure it is that an object is there, from the device's own belief and the cloud's word.

    After a close look of its own the device believes its own eyes.
    """
    if word is None or word.after_look:
        return own
    age_s = now - word.at
    if word.vouches:
        return own + TRUST * math.exp(-age_s / VOUCHED_S) * (word.score - own)
    odds: float = DENIED_ODDS ** math.exp(-age_s / DENIED_S)
    return own * odds / (own * odds + 1.0 - own)


def carried(word: Word | None, now: float) -> bool:
    """Whether an object's box still comes from the cloud."""
    return word is not None and word.vouches and not word.after_look and now - word.at <= CARRIED_S


def rides(word: Word | None, now: float) -> bool:
    """Whether an object goes where the pictures show that it went: the device's own boxes are worse placed."""
    return word is not None and now - word.at <= RIDDEN_S and carried(word, now)


def coast_s(own_s: float, word: Word | None, now: float) -> float:
    """For how long an object that is not seen is reported."""
    return max(own_s, COAST_S) if carried(word, now) else own_s


def compare(report: Report, labels: Mapping[int, str]) -> Heard:
    """Which of the objects that were known then the cloud saw, and what else.

    Args:
        report: From the cloud; boxes that are none, or beside what it looked at, are passed over.
        labels: Of the objects that still exist, by number.
    """
    found = [one for one in report.found if _sound(one, report.looked)]
    # What lies elsewhere has no part in it, apart from what was asked about; comparisons are quicker than calls.
    left, top, right, bottom = report.looked
    known = {
        number: box
        for number, box in report.known.items()
        if number in labels
        and (number == report.track or (box[0] < right and box[2] > left and box[1] < bottom and box[3] > top))
    }
    pairs = sorted(
        [
            (-value, number, row)
            for number, box in known.items()
            for row, one in enumerate(found)
            if (value := overlap(box, one.box)) >= SAME and (value >= SAME_OTHERWISE or one.label == labels[number])
        ]
    )
    words: dict[int, Found | None] = {}
    taken: set[int] = set()
    for _, number, row in pairs:
        if number not in words and row not in taken:
            words[number] = found[row]
            taken.add(row)
    for number, box in known.items():
        if number not in words and (number == report.track or _share_inside(box, report.looked) >= SHOWN):
            words[number] = None
    news = tuple(one for row, one in enumerate(found) if row not in taken and one.score >= SURE_NEWS)
    return Heard(words, news)


def moved(box: Box, before: Box, now: Box) -> Box:
    """A box that goes with an object which was in one place and is in another by now."""
    dx = (now[0] + now[2] - before[0] - before[2]) / 2
    dy = (now[1] + now[3] - before[1] - before[3]) / 2
    return (box[0] + dx, box[1] + dy, box[2] + dx, box[3] + dy)


def spoken(report: Report, said: Found | None, *, seen_well: bool = False, looks_closely: bool = False) -> Word:
    """The word on one object.

    Args:
        report: From the cloud.
        said: As what the object was seen; None where it was not.
        seen_well: The device saw it as well as it can.
        looks_closely: The device makes second looks; then it heeds no doubt, as measured in ADR 52.
    """
    score = 0.0 if said is None else said.score
    vouches = score >= STANDS_FROM
    # A name under which the cloud does not stand is none.
    label = said.label if said is not None and vouches else None
    return Word(report.question_id, report.at, label, score, seen_well or (looks_closely and not vouches))


def _share_inside(box: Box, place: Box) -> float:
    """How much of the box lies in the place."""
    width = min(box[2], place[2]) - max(box[0], place[0])
    height = min(box[3], place[3]) - max(box[1], place[1])
    return 0.0 if width <= 0.0 or height <= 0.0 else width * height / area(box)


def _sound(one: Found, looked: Box) -> bool:
    x1, y1, x2, y2 = one.box
    # What is not finite makes the sum so.
    numbers = math.isfinite(x1 + y1 + x2 + y2 + one.score)
    return numbers and x1 < x2 and y1 < y2 and 0.0 <= one.score <= 1.0 and _share_inside(one.box, looked) >= SHOWN
