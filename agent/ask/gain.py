"""What an answer is likely to be worth. Pure.

A gain of 1 is an object set right that was wrong, for as long as an answer holds: found or dropped, named, or its box
put straight. A model's manifest may bring weights that were learnt from recorded answers (`vedette gain train`); a
device without goes by figures that were set by hand on the first half of PETS09-S2L1. Either only ranks questions:
how many of them are asked is a matter of the budget.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from agent.appearance import difference
from agent.boxes import area, covered, cut_off, distance, overlap
from agent.domain import STANDS_FROM, Appearance, Box, Found, Track
from wire.messages import AskReason
from wire.model import GAIN_FEATURES, Gain

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

REASONS: Final = (AskReason.NEW, AskReason.REFRESH, AskReason.LOST, AskReason.WEAK, AskReason.MOTION)
FORM: Final = 1
"""Of the features here; see `wire.model.GAIN_FEATURES`."""
MANY_HITS: Final = 30.0
TALL: Final = 0.5
"""Of the frame's height, and of its width: beyond, an object is as large as any."""
SURELY: Final = 30.0
"""Beyond, a likelihood is 0 or 1; the largest weights that there may be add up to 1,700, where exp overflows."""
RIGHT: Final = 0.5
"""Overlap (intersection over union) from which a box is in its place."""


@dataclass(frozen=True, slots=True)
class Case:
    """A candidate question, as far as that says what its answer is worth.

    Attributes:
        belief, hits: 0 of a place.
        stands: The device stands behind an object there.
        age_s: How old the last answer is; 0 where there was none.
        changed: It is another picture by now than the one that was asked about.
        others: All objects that are followed, this one's own `box` among them.
    """

    reason: AskReason
    box: Box
    score: float
    belief: float = 0.0
    hits: int = 0
    seen: bool = True
    stands: bool = False
    age_s: float = 0.0
    changed: bool = False
    others: Sequence[Box] = ()


Gains = Callable[[Case], float]


def by_hand(case: Case) -> float:
    """The gain by figures that were set by hand."""
    if case.reason in OF_SUSPECT:
        return OF_SUSPECT[case.reason]
    if case.reason is AskReason.NEW:
        return NEW if case.belief < SURE else NEW_SURE
    per_s = REFRESH_PER_S if case.seen else UNSEEN_PER_S
    if case.seen and case.score < WEAK_SCORE:
        per_s *= DOUBTED
    return per_s * (LONGEST_S if case.changed else min(case.age_s, LONGEST_S))


class Learnt:
    """The gain by weights that a model's manifest brings: how likely it is that the device is wrong.

    Args:
        gain: Of the form that is known here; see `gains_of`.
    """

    __slots__ = ("_weights",)

    def __init__(self, gain: Gain) -> None:
        self._weights = gain.weights

    def __call__(self, case: Case) -> float:
        """See `Gains`."""
        at = sum(map(float.__mul__, self._weights, features(case)))
        return 1.0 / (1.0 + math.exp(-min(max(at, -SURELY), SURELY)))


def gains_of(gain: Gain | None) -> Gains:
    """By what a device weighs whose model brings this; by hand, where that is nothing, or newer than this program."""
    return by_hand if gain is None or gain.features != FORM else Learnt(gain)


def features(case: Case) -> tuple[float, ...]:
    """What the weights are of, each between 0 and 1, in the order of `wire.model.GAIN_FEATURES`.

    - one for each reason: 1 for the case's own;
    - `doubt`: 1 at even odds, 0 where the device is sure either way; `doubt_of_score` the same of the last score;
    - `age` of the last answer, as a share of LONGEST_S; `unseen_age` the same where the object is not seen;
    - `hits` as a share of MANY_HITS, `height` and `width` as shares of half a frame's;
    - `crowd`: how much of it other objects cover, at the most.
    """
    age = min(case.age_s / LONGEST_S, 1.0)
    x1, y1, x2, y2 = case.box
    return (
        *(float(case.reason is reason) for reason in REASONS),
        1.0 - abs(2.0 * case.belief - 1.0),
        case.score,
        1.0 - abs(2.0 * case.score - 1.0),
        float(case.stands),
        age,
        0.0 if case.seen else age,
        float(case.changed),
        min(case.hits / MANY_HITS, 1.0),
        float(cut_off(case.box)),
        min((y2 - y1) / TALL, 1.0),
        min((x2 - x1) / TALL, 1.0),
        _crowd(case.box, case.others),
    )


def _crowd(box: Box, others: Sequence[Box]) -> float:
    x1, y1, x2, y2 = box
    most = 0.0
    for other in others:
        # Most of them lie elsewhere, and a call costs more than these comparisons.
        if other is not box and other[0] < x2 and other[2] > x1 and other[1] < y2 and other[3] > y1:
            most = max(most, covered(box, other))
    return most


NAMES: Final = GAIN_FEATURES[FORM]


def was_wrong(case: Case, label: str, found: Sequence[Found]) -> bool:
    """Whether the device was wrong about what it asked, by what the cloud found: what a question could gain.

    Where it stood behind an object, that is not in its place, or is something else; elsewhere, there is one.
    """
    there = [one.box for one in found if one.label == label and one.score >= STANDS_FROM]
    if case.stands:
        return not any(overlap(box, case.box) >= RIGHT for box in there)
    return any(covered(box, case.box) >= RIGHT for box in there)


def changed(box: Box, score: float, looks: Appearance | None, track: Track) -> bool:
    """Whether an object is another picture by now than it was with this box, score and looks.

    Of one that the device sees well by itself, an answer says the name alone: that may be another one for other
    looks, or from nearer, and not for a few steps.
    """
    before, now = area(box), area(track.box)
    if difference(looks, track.appearance) >= OTHER_LOOKS or before > OTHER_SIZE * now or now > OTHER_SIZE * before:
        return True
    if track.seen_well:
        return False
    return abs(track.score - score) >= OTHER_SCORE or distance(box, track.box) >= MOVED
