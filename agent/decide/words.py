"""What the cloud said of an object, asked for the object's own sake, as a verdict on the alert about it."""

from __future__ import annotations

from typing import Final

from agent.decide.alert import Alert
from agent.decide.lifecycle import Phase
from agent.domain import Answer, Track
from wire.messages import AlertState, DecidedBy, Decision

HOLDS_S: Final = 10.0
"""After so long, what was said decides no alert any more, and the rule asks by itself."""


def vouched(track: Track, now: float) -> bool:
    """Whether the cloud stands behind the object, and the device too, seen or not."""
    word = track.word
    return word is not None and word.vouches and track.stands and now - word.at <= HOLDS_S


def verdict(alert: Alert, track: Track, now: float) -> Answer | None:
    """What was said, where it decides the alert; None where it does not, or not again.

    It confirms, and it denies what was neither certain nor answered yet; what is confirmed stays so, since an object
    that a later question does not show may be hidden. While the rule's own question is open, its verdict decides.
    """
    word = track.word
    settled = alert.phase is not Phase.UNRAISED and alert.state is AlertState.CONFIRMED
    if word is None or now - word.at > HOLDS_S or settled or alert.waits_until is not None:
        return None
    if word.question_id in (alert.question, alert.word) or alert.answered_by is DecidedBy.REVIEWER:
        return None
    if not word.vouches and (alert.answered_by is not None or alert.certain):
        return None
    return Answer(
        question_id=word.question_id,
        alert_id=alert.id,
        decision=Decision.CONFIRMED if word.vouches else Decision.RETRACTED,
        label=word.label if word.vouches else None,
        score=word.score if word.vouches else None,
        box=None,
        decided_by=DecidedBy.CLOUD,
        model="",
        reason=(
            f"the cloud sees {word.label} ({word.score:.2f})"
            if word.vouches
            else f"the cloud does not see the {track.label}"
        ),
    )
