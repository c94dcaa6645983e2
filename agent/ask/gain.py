"""What an answer is likely to be worth. Pure.

A gain of 1 is an object set right that was wrong, for as long as an answer holds: found or dropped, named, or its box
put straight. The figures were set by hand on the first half of PETS09-S2L1: they only rank questions, and how many of
them are asked is a matter of the budget.
"""

from __future__ import annotations

from typing import Final

from agent.appearance import difference
from agent.ask.suspects import Suspect
from agent.boxes import area, distance
from agent.domain import Appearance, Box, Track
from wire.messages import AskReason

NEW: Final = 1.0
"""Of an object that was never asked about, and of which the device is not sure."""
NEW_SURE: Final = 0.5
"""The same where it is: what is left to gain is mostly the box."""
SURE: Final = 0.7
"""From this belief on."""
REFRESH_PER_S: Final = 0.35
"""A box drifts, and a word is worth less, the older it is."""
UNSEEN_PER_S: Final = 0.8
"""The same of an object that the device does not see: it may be gone."""
WEAK_SCORE: Final = 0.4
DOUBTED: Final = 2.0
"""By how much more it is worth to ask again about what the device sees with a score below WEAK_SCORE."""
LONGEST_S: Final = 2.0
"""After so long, an answer is worth as much as it ever will be."""
OF_SUSPECT: Final = {AskReason.WEAK: 0.5, AskReason.MOTION: 0.25}
"""Of places: weak signs are likelier an object than mere movement."""
OTHERS: Final = 0.8
"""What an object that is only in the picture counts: the cloud may see it less well, at the edge."""

# From which change on an object is another picture than the one that was asked about.
MOVED: Final = 1.0
"""In box sizes."""
OTHER_SIZE: Final = 1.5
OTHER_SCORE: Final = 0.3
OTHER_LOOKS: Final = 0.1
"""See `agent.track.tracker.UNLIKE`: two people differ by .13 in the median, two sightings of one by .04."""


def of_new(track: Track) -> float:
    """Of asking about an object for the first time."""
    return NEW if track.belief < SURE else NEW_SURE


def of_refresh(track: Track, age_s: float) -> float:
    """Of asking about an object again."""
    per_s = REFRESH_PER_S if track.seen_now else UNSEEN_PER_S
    if track.seen_now and track.score < WEAK_SCORE:
        per_s *= DOUBTED
    return per_s * min(age_s, LONGEST_S)


def of_suspect(suspect: Suspect) -> float:
    """Of asking about a place where something may be."""
    return OF_SUSPECT[suspect.reason]


def changed(box: Box, score: float, looks: Appearance | None, track: Track) -> bool:
    """Whether an object is another picture by now than it was with this box, score and looks."""
    small, large = sorted((area(box), area(track.box)))
    return (
        abs(track.score - score) >= OTHER_SCORE
        or large > OTHER_SIZE * small
        or distance(box, track.box) >= MOVED
        or difference(looks, track.appearance) >= OTHER_LOOKS
    )
