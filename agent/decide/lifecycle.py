"""The life of an alert, as a table; a move that the table does not name is refused.

A retraction ends an open alert: there is nothing to follow any more. After the end only amendments come: a late
answer or a reviewer may still confirm or retract, and correct the label of what is confirmed.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from agent.errors import LifecycleBroken
from wire.messages import AlertEvent, AlertState


class Phase(StrEnum):
    """How far an alert's life has gone."""

    UNRAISED = "unraised"
    """An answer is awaited before anything is told."""
    OPEN = "open"
    ENDED = "ended"


Move = tuple[Phase, AlertState, AlertEvent, AlertState]
"""The phase and state before, the event, and the state after. An unraised alert is provisional."""

_UNRAISED, _OPEN, _ENDED = Phase.UNRAISED, Phase.OPEN, Phase.ENDED
_NEW, _UPDATE, _END = AlertEvent.NEW, AlertEvent.UPDATE, AlertEvent.END
_PROVISIONAL, _CONFIRMED, _RETRACTED = AlertState.PROVISIONAL, AlertState.CONFIRMED, AlertState.RETRACTED

MOVES: Final[dict[Move, Phase]] = {
    (_UNRAISED, _PROVISIONAL, _NEW, _PROVISIONAL): _OPEN,
    (_UNRAISED, _PROVISIONAL, _NEW, _CONFIRMED): _OPEN,
    (_OPEN, _PROVISIONAL, _UPDATE, _PROVISIONAL): _OPEN,
    (_OPEN, _PROVISIONAL, _UPDATE, _CONFIRMED): _OPEN,
    (_OPEN, _CONFIRMED, _UPDATE, _CONFIRMED): _OPEN,
    (_OPEN, _PROVISIONAL, _END, _PROVISIONAL): _ENDED,
    (_OPEN, _PROVISIONAL, _END, _RETRACTED): _ENDED,
    (_OPEN, _CONFIRMED, _END, _CONFIRMED): _ENDED,
    (_OPEN, _CONFIRMED, _END, _RETRACTED): _ENDED,
    (_ENDED, _PROVISIONAL, _UPDATE, _CONFIRMED): _ENDED,
    (_ENDED, _PROVISIONAL, _UPDATE, _RETRACTED): _ENDED,
    (_ENDED, _CONFIRMED, _UPDATE, _CONFIRMED): _ENDED,
    (_ENDED, _CONFIRMED, _UPDATE, _RETRACTED): _ENDED,
    (_ENDED, _RETRACTED, _UPDATE, _CONFIRMED): _ENDED,
}


def move(phase: Phase, state: AlertState, event: AlertEvent, to: AlertState) -> Phase:
    """The phase after the event.

    Raises:
        LifecycleBroken: The table does not name this move.
    """
    try:
        return MOVES[phase, state, event, to]
    except KeyError:
        raise LifecycleBroken(
            f"an alert that is {phase} and {state} can't have the event {event} with state {to}",
            "This is a fault of Vedette; please report it with the log.",
        ) from None
