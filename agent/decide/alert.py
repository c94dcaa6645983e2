"""One alert while it is remembered, and the sightings that lead to it."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from agent.boxes import area, cut_off, distance, overlap
from agent.decide.lifecycle import Phase, move
from agent.decide.settings import RuleSettings
from agent.domain import AlertChange, Answer, Box, Track
from wire.messages import AlertEvent, AlertState, DecidedBy


class Alert:
    """An alert, or the intention to raise one once the cloud has answered.

    Attributes:
        rule: None where a restored alert's rule is not configured any more.
        told: The latest change that was told; before the first, what it will be made of, with revision -1.
        track: The latest sighting.
        seen_at: When that was.
        question: The id of the latest question asked about it; None where none was, or it is not known any more.
        asked: Where its object was in the first one.
        doubt: The answer to that, which stands unless the answer about the whole frame says otherwise.
        asked_again: It was asked about with the whole frame, or is not to be.
        word: The id of the latest question about its object whose answer was taken for it.
        waits_until: The deadline of the question about it while it is open.
        answered_by: Whose verdict was taken in last.
        certain: The device is sure by itself by now.
        left: Its object went, so that the next sighting is a new event.
        held_back: With what state, by whom, why and as what it will be raised once the cooldown is over.
    """

    __slots__ = (
        "_scored_elsewhere",
        "answered_by",
        "asked",
        "asked_again",
        "certain",
        "doubt",
        "held_back",
        "left",
        "phase",
        "question",
        "rule",
        "seen_at",
        "told",
        "told_at",
        "track",
        "waits_until",
        "word",
    )

    def __init__(self, rule: RuleSettings | None, told: AlertChange, phase: Phase, seen_at: float) -> None:
        self.rule = rule
        self.told = told
        self.told_at = told.decided_at
        self.phase = phase
        self.seen_at = seen_at
        self.track: Track | None = None
        self.question: str | None = None
        self.asked: Box | None = None
        self.doubt: Answer | None = None
        self.asked_again = False
        self.word: str | None = None
        self.waits_until: float | None = None
        self.answered_by: DecidedBy | None = None
        self.certain = False
        self.left = False
        self.held_back: tuple[AlertState, DecidedBy, str, str | None] | None = None
        self._scored_elsewhere = False

    @property
    def id(self) -> str:
        """The alert's id."""
        return self.told.id

    @property
    def state(self) -> AlertState:
        """What it claims by now."""
        return self.told.state

    def see(self, track: Track, now: float) -> None:
        """Follow its object."""
        self.track = track
        self.seen_at = now

    def take_score(self, score: float) -> None:
        """From here on the score is the cloud's."""
        self.told = replace(self.told, score=score)
        self._scored_elsewhere = True

    def tell(
        self,
        event: AlertEvent,
        now: float,
        state: AlertState,
        decided_by: DecidedBy,
        reason: str,
        *,
        label: str | None = None,
        zone: str | None = None,
    ) -> AlertChange:
        """Make the next change; None leaves the label or the zone as it is.

        Raises:
            LifecycleBroken: The alert can't make this move; it is left as it was.
        """
        before = self.told
        phase = move(self.phase, before.state, event, state)
        decided = event is AlertEvent.NEW or state is not before.state or decided_by is not before.decided_by
        change = replace(
            before,
            event=event,
            revision=before.revision + 1,
            state=state,
            label=before.label if label is None else label,
            zone=before.zone if zone is None else zone,
            decided_at=now if decided else before.decided_at,
            decided_by=decided_by,
            reason=reason,
        )
        if self.track is not None:
            change = replace(
                change,
                track=self.track.id,
                score=change.score if self._scored_elsewhere else self.track.score,
                box=self.track.box,
                last_at=max(self.seen_at, before.last_at),
            )
        self.told, self.told_at, self.phase = change, now, phase
        return change


class Sightings:
    """What one rule has seen of one track, since it came or since its last alert left."""

    __slots__ = ("alert", "certain", "counted", "first_at", "first_box", "zone", "zone_seen")

    def __init__(self, track: Track, now: float) -> None:
        self.first_at = now
        self.first_box = track.box
        self.counted = 0
        self.certain = 0
        self.alert: Alert | None = None
        self.zone: str | None = None
        self.zone_seen = 0

    def count(self, *, certain: bool) -> None:
        """One more detection that is good enough for the rule."""
        self.counted += 1
        self.certain += certain

    def stand_in(self, zone: str | None) -> None:
        """Note the zone, and for how many sightings in a row it has been this one."""
        self.zone_seen = self.zone_seen + 1 if zone == self.zone else 1
        self.zone = zone


# In box sizes. The tracker has already looked for whom it lost: what is left are those who were hidden for longer
# than it remembers. Farther reaches saved hardly a duplicate more on PETS09-S2L1, and took newcomers for them.
NEAR: Final = 0.5
NEAR_PER_S: Final = 0.2
FARTHEST: Final = 1.0
OTHER_SIZE: Final = 2.5
SAME_MOMENT_S: Final = 0.5
"""A tracker begins the new object while the old one may still be matched to a box or two."""
TWICE: Final = 0.7
"""Two boxes that share this much (intersection over union) are one object under two names, say car and truck."""


def likeness(alert: Alert, sightings: Sightings, track: Track, frame_before: float) -> float:
    """Above 0 where the track follows the object of an earlier alert under a new number; higher is likelier.

    Args:
        alert: The earlier one.
        sightings: Those of the track.
        track: As it is now.
        frame_before: When the frame before this one was; an alert that was seen then is not lost.
    """
    before = alert.track
    if before is None:
        return 0.0
    together = overlap(before.box, track.box)
    if before.label != track.label or alert.seen_at >= frame_before:
        return together if together >= TWICE else 0.0
    gap_s = sightings.first_at - alert.seen_at
    if gap_s < -SAME_MOMENT_S or cut_off(sightings.first_box) or not _alike(before.box, sightings.first_box):
        return 0.0
    reach = min(NEAR + NEAR_PER_S * max(gap_s, 0.0), FARTHEST)
    return reach - distance(before.box, sightings.first_box)


def _alike(one: Box, other: Box) -> bool:
    small, large = sorted((area(one), area(other)))
    return large < OTHER_SIZE * small
