"""From answers and an objective to a band of scores, with its reasons. Pure: time comes in.

1. The lower end is the highest from which on the miss rate is proven to be allowed, going up from the lowest that
   there can be and stopping at the first that is not: a higher one misses more in every sample.
2. The upper end is the lowest down to which the false alerts are proven to be allowed, going down from 1.
3. Enough answers, and nothing is proven: the lower end goes where least is missed. Above some upper end there are
   always fewer objects than false alerts allowed, so that end is always found.
4. The lower end stands above the upper one: nothing needs to be asked. They meet at the one that is preferred.
5. An end moves by a bounded step a day, and not at all on too few answers.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from agent.tune.evidence import BINS, DAY_S, Census, Evidence, FrameAnswer, ObjectAnswer, hundredths
from agent.tune.risk import (
    MOST_OBJECTS,
    Floats,
    at_most,
    proven_above,
    proven_below,
    relative,
    share,
)
from agent.tune.settings import Objective, PinnedBand, Prefer
from wire.messages import BandState

Band = tuple[float, float]

MOST_ANSWERS: Final = 2000
"""Of each kind, the newest: two weeks of the default audits. A decision then takes a few hundredths of a second."""
ALLOWED_WATCH_S: Final = DAY_S
"""For so long a camera is watched before few objects alone are taken for few false alerts."""


@dataclass(frozen=True, slots=True)
class Held:
    """Where a band stands, and where it stood when the day of its latest step began.

    Attributes:
        day_began_at: Seconds of the epoch.
    """

    lower: float
    upper: float
    day_began_at: float
    day_lower: float
    day_upper: float

    @property
    def band(self) -> Band:
        """Where it stands."""
        return self.lower, self.upper

    @classmethod
    def at(cls, band: Band, now: float) -> Held:
        """It has not moved yet."""
        return cls(*band, now, *band)


@dataclass(frozen=True, slots=True)
class Figures:
    """What the answers say; see `wire.messages.TunedBand`."""

    frames: int = 0
    objects: int = 0
    miss_rate: float | None = None
    miss_rate_at_most: float | None = None
    best_miss_rate: float | None = None
    false_per_day: float | None = None
    false_per_day_at_most: float | None = None
    asked_share: float | None = None


@dataclass(frozen=True, slots=True)
class Tuned:
    """A band, and how it came about."""

    held: Held
    state: BandState
    reason: str
    figures: Figures

    @property
    def band(self) -> Band:
        """Where it stands."""
        return self.held.band


@dataclass(frozen=True, slots=True)
class _End:
    """Where an end of the band should go; None: it stays."""

    target: float | None
    state: BandState
    reason: str


def pinned(pin: PinnedBand, evidence: Evidence, *, confidence: float, floor: float, now: float) -> Tuned:
    """The band that a person set, and what the answers say of it."""
    band = (pin.lower, pin.upper)
    return Tuned(Held.at(band, now), BandState.PINNED, "set by a person", _figures(evidence, confidence, band, floor))


def stuck(held: Held) -> Tuned:
    """The band stays where it stands: the disk does not give what it would be moved by, or keep where it is."""
    return Tuned(held, BandState.GATHERING, "it stays there: the disk refuses the answers that it goes by", Figures())


def tune(objective: Objective, evidence: Evidence, held: Held, *, start: Band, floor: float, now: float) -> Tuned:
    """Where the band stands from now on.

    Args:
        objective: What is wanted.
        evidence: Of this scene, not older than the objective's window.
        held: Where it stands.
        start: Where it stood before any answer: what the model, or the table `asking`, says.
        floor: The lowest lower end that there can be; nothing below is followed.
        now: Seconds of the epoch.
    """
    lower = _lower(objective, evidence.frames, start, floor)
    upper = _upper(objective, evidence, floor)
    target = [
        held.lower if lower.target is None else lower.target,
        held.upper if upper.target is None else upper.target,
    ]
    if target[0] > target[1]:
        # An end that stays stops the other.
        to_lower = upper.target is not None and (lower.target is None or objective.prefer is Prefer.FALSE_ALERTS)
        target = [target[0]] * 2 if to_lower else [target[1]] * 2
    moved = _step(held, (target[0], target[1]), objective.max_step_per_day, now)
    arrived = (moved.lower, moved.upper) == (target[0], target[1])
    state, reason = _state(lower, upper)
    if not arrived:
        state, reason = BandState.MOVING, f"on its way to {target[0]:.2f} and {target[1]:.2f}; {reason}"
    return Tuned(moved, state, reason, _figures(evidence, objective.confidence, (moved.lower, moved.upper), floor))


def _lower(objective: Objective, answers: tuple[FrameAnswer, ...], start: Band, floor: float) -> _End:
    limit, needed = objective.max_miss_rate, objective.fewest_answers
    if limit is None:
        return _End(None, BandState.MET, "")
    if len(answers) < needed:
        return _End(None, BandState.GATHERING, f"{len(answers)} of {needed} audited frames with something there")
    delta = 1.0 - objective.confidence
    frames = _Frames(answers)
    lowest, highest = _ceiling(floor), BINS
    if not proven_below(*frames.missed(lowest / BINS), limit, delta):
        preferred = floor if objective.prefer is Prefer.MISSES else start[0]
        bad = frames.missed(lowest / BINS)
        best = share(*bad) or 0.0
        if proven_above(*bad, limit, delta):
            return _End(
                preferred,
                BandState.INFEASIBLE,
                f"no band misses {limit:.0%} or less: even from {floor:.2f} on, {best:.0%} are missed",
            )
        bound = at_most(*bad, delta)
        return _End(
            preferred,
            BandState.UNPROVEN,
            f"a miss rate of {limit:.0%} is not proven yet: from {floor:.2f} on, {best:.0%} are missed, at most"
            f" {bound:.0%}",
        )
    while lowest < highest:
        middle = (lowest + highest + 1) // 2
        if proven_below(*frames.missed(middle / BINS), limit, delta):
            lowest = middle
        else:
            highest = middle - 1
    return _End(max(floor, lowest / BINS), BandState.MET, "")


def _upper(objective: Objective, evidence: Evidence, floor: float) -> _End:
    limit, needed = objective.max_false_alerts_per_day, objective.fewest_answers
    if limit is None:
        return _End(None, BandState.MET, "")
    census, answers = evidence.census, evidence.objects
    if len(answers) < needed and census.watched_s < ALLOWED_WATCH_S:
        return _End(None, BandState.GATHERING, f"{len(answers)} of {needed} drawn objects, and not a day watched")
    objects = _Objects(answers)
    allowed = limit * census.watched_s / DAY_S
    found = BINS
    for upper in range(BINS, -1, -1):
        if not _few(objects, census, upper / BINS, allowed, 1.0 - objective.confidence, needed):
            break
        found = upper
    return _End(max(floor, found / BINS), BandState.MET, "")


def _few(objects: _Objects, census: Census, upper: float, allowed: float, delta: float, needed: int) -> bool:
    """Whether no more than `allowed` objects with this upper end are proven to be wrong."""
    certain = census.certain(upper)
    if certain <= allowed:
        return True
    if len(objects) < needed or allowed <= 0.0:
        return False
    return proven_below(*objects.wrong(upper), allowed / certain, delta)


def _state(lower: _End, upper: _End) -> tuple[BandState, str]:
    """The worse of two, and what is to be said of both."""
    worst = max((lower, upper), key=lambda end: _ORDER.index(end.state))
    reason = "; ".join(end.reason for end in (lower, upper) if end.reason)
    return worst.state, reason or "the answers prove it"


_ORDER: Final = (BandState.MET, BandState.GATHERING, BandState.UNPROVEN, BandState.INFEASIBLE)


def _step(held: Held, target: Band, most: float, now: float) -> Held:
    """Towards the target, within `most` of where the band stood when the day began."""
    # A clock that was set back begins a new day: the alternative is to wait until it has caught up.
    if not 0.0 <= now - held.day_began_at < DAY_S:
        held = replace(held, day_began_at=now, day_lower=held.lower, day_upper=held.upper)
    lower = min(max(target[0], held.day_lower - most), held.day_lower + most)
    upper = min(max(target[1], held.day_upper - most), held.day_upper + most)
    lower, upper = round(min(max(lower, 0.0), 1.0), 4), round(min(max(upper, 0.0), 1.0), 4)
    return replace(held, lower=min(lower, upper), upper=upper)


def _figures(evidence: Evidence, confidence: float, band: Band, floor: float) -> Figures:
    delta = 1.0 - confidence
    figures = Figures(frames=len(evidence.frames), objects=len(evidence.objects))
    if evidence.frames:
        frames = _Frames(evidence.frames)
        missed = frames.missed(band[0])
        figures = replace(
            figures,
            miss_rate=share(*missed),
            miss_rate_at_most=at_most(*missed, delta),
            best_miss_rate=share(*frames.missed(floor)),
        )
    census = evidence.census
    if census.watched_s > 0.0 and census.objects:
        certain, kept = census.certain(band[1]), census.certain(band[0])
        per_day = DAY_S / census.watched_s
        figures = replace(figures, asked_share=(kept - certain) / kept if kept else 0.0)
        if certain == 0:
            figures = replace(figures, false_per_day=0.0, false_per_day_at_most=0.0)
        elif evidence.objects:
            wrong = _Objects(evidence.objects).wrong(band[1])
            estimate = share(*wrong)
            figures = replace(
                figures,
                false_per_day=None if estimate is None else estimate * certain * per_day,
                false_per_day_at_most=at_most(*wrong, delta) * certain * per_day,
            )
    return figures


class _Frames:
    """Audited frames as arrays."""

    def __init__(self, answers: tuple[FrameAnswer, ...]) -> None:
        answers = answers[-MOST_ANSWERS:]
        self._weights = relative(np.array([one.probability for one in answers], np.float64))
        self._there = np.array([one.there for one in answers], np.float64)
        most = max(len(one.found) for one in answers)
        # Scores in ascending order, (N, most); what was not found has none, and is below every band.
        self._found = np.full((len(answers), most), -1.0)
        for row, one in enumerate(answers):
            self._found[row, : len(one.found)] = one.found

    def missed(self, lower: float) -> tuple[Floats, Floats, Floats]:
        """Missed with this lower end, and there, both as shares of `MOST_OBJECTS`; and the frames' weights."""
        found = (self._found >= lower - 1e-9).sum(axis=1)
        counted = np.minimum(self._there, MOST_OBJECTS) / MOST_OBJECTS
        missed = np.maximum(0.0, self._there - found) / self._there
        return missed * counted, counted, self._weights


class _Objects:
    """Drawn objects as arrays."""

    def __init__(self, answers: tuple[ObjectAnswer, ...]) -> None:
        answers = answers[-MOST_ANSWERS:]
        self._weights = relative(np.array([one.probability for one in answers], np.float64))
        self._certain = np.array([hundredths(one.certain_to) for one in answers], np.int64)
        self._wrong = np.array([one.wrong for one in answers], np.float64)

    def __len__(self) -> int:
        return len(self._wrong)

    def wrong(self, upper: float) -> tuple[Floats, Floats, Floats]:
        """Of the objects that would be certain: wrong, all, and their weights."""
        there = self._certain >= hundredths(upper)
        return self._wrong[there], np.ones(int(there.sum())), self._weights[there]


def _ceiling(score: float) -> int:
    return min(BINS, int(np.ceil(score * BINS - 1e-9)))
