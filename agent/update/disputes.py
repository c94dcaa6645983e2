"""What candidate and current model disagree about, which of it the cloud is asked, and what its answers prove. Pure.

A dispute is an object that one model finds and the other doesn't. Frames on which both are right, or both wrong, say
nothing about which is better; only disputes do. If both models were right equally often, each answer would be a throw
of a coin, so the number of answers on one side is held against the binomial distribution: McNemar's test, in its
exact and one-sided form.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, NamedTuple

from agent.boxes import overlap
from agent.domain import Box

MIN_IOU: Final = 0.5
"""From here on, two boxes of one label are one object."""
NEAR_IOU: Final = 0.1
"""Below it, nothing of the other model's is there. Between the two, both found something and placed it differently,
about which the cloud's own box, held against one of the two, would prove nothing."""
LEVEL: Final = 0.05
"""How often chance may tell two models apart that are equally good; five answers of five can do it, four can't."""
GOLDEN: Final = (math.sqrt(5) - 1) / 2
"""Its multiples, modulo 1, are spread more evenly than chance would spread them."""


class Object(NamedTuple):
    """What a model found; `box` in shares of the frame."""

    label: str
    box: Box
    score: float


class Side(StrEnum):
    """Which model."""

    CURRENT = "current"
    CANDIDATE = "candidate"

    @property
    def other(self) -> Side:
        """The one that disagrees."""
        return Side.CANDIDATE if self is Side.CURRENT else Side.CURRENT


@dataclass(frozen=True, slots=True)
class Dispute:
    """An object that `side` finds and the other doesn't."""

    side: Side
    camera: str
    found: Object


def disputes(camera: str, current: list[Object], candidate: list[Object]) -> list[Dispute]:
    """All of one frame: the current model's first, highest score first."""
    return [
        Dispute(side, camera, one)
        for side, own, others in ((Side.CURRENT, current, candidate), (Side.CANDIDATE, candidate, current))
        for one in own
        if not any(other.label == one.label and overlap(other.box, one.box) >= NEAR_IOU for other in others)
    ]


class Sample:
    """Chooses what is asked: spread over the trial's frames and over the disputes of each, whoever is surer of what.

    An object that was asked about is not asked about again while it stays where it was: the same answer to the same
    question proves nothing more.

    Args:
        at_most: Questions in all.
        frames: How many frames the trial takes; in a longer one the questions that are left may come at any time.
    """

    def __init__(self, at_most: int, frames: int) -> None:
        self._at_most = at_most
        self._frames = max(1, frames)
        self._seen = 0
        self._chosen: list[Dispute] = []

    def of(self, camera: str, current: list[Object], candidate: list[Object]) -> list[Dispute]:
        """Of the next frame, what is to be asked."""
        self._seen += 1
        due = min(self._at_most, math.ceil(self._at_most * self._seen / self._frames)) - len(self._chosen)
        if due <= 0:
            return []
        fresh = [one for one in disputes(camera, current, candidate) if not self._known(one)]
        first = int(len(fresh) * (self._seen * GOLDEN % 1.0))
        chosen = (fresh[first:] + fresh[:first])[:due]
        self._chosen += chosen
        return chosen

    def _known(self, dispute: Dispute) -> bool:
        return any(
            (one.camera, one.side, one.found.label) == (dispute.camera, dispute.side, dispute.found.label)
            and overlap(one.found.box, dispute.found.box) >= MIN_IOU
            for one in self._chosen
        )


def clearly_more(some: int, others: int) -> bool:
    """Whether so many answers on one side, against so many on the other, are more than chance would give."""
    answers = some + others
    as_many_or_more = sum(math.comb(answers, count) for count in range(some, answers + 1))
    return as_many_or_more / (1 << answers) <= LEVEL
