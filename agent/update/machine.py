"""The states of a model update, as a table; a move that the table does not name is refused. Pure.

Everything before `installing` changes nothing that runs. From `installing` on, what judges frames is always either
the candidate, which has passed its proof, or a model that has served before.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from typing import Final

from agent.errors import UpdateMoveRefused
from wire.updates import UpdateState


class Event(StrEnum):
    """What happens to an update."""

    QUEUE = "queue"
    """Another release is desired, or the same one again."""
    BEGIN = "begin"
    """The signed document allows it."""
    FOUND_INSTALLED = "found_installed"
    FETCHED = "fetched"
    VERIFIED = "verified"
    PROVEN = "proven"
    INSTALL = "install"
    SWITCHED = "switched"
    PASSED = "passed"
    HARM = "harm"
    RESTORED = "restored"
    RESTORE_FAILED = "restore_failed"
    ROLL_BACK = "roll_back"
    """Somebody asks for the model before, or a start finds that it must come back."""
    RETRY = "retry"
    FAIL = "fail"
    REJECT = "reject"
    CANCEL = "cancel"
    TIME_OUT = "time_out"
    PAUSE = "pause"
    RESUME = "resume"


_S = UpdateState
BEFORE_SWITCH: Final = frozenset({_S.QUEUED, _S.DOWNLOADING, _S.VERIFYING, _S.PROVING, _S.SHADOWING})
"""Nothing that runs has changed: it can be dropped at any time."""
ENDS: Final = frozenset(
    {
        _S.COMMITTED,
        _S.FAILED,
        _S.ROLLED_BACK,
        _S.ROLLBACK_FAILED,
        _S.REJECTED,
        _S.CANCELED,
        _S.TIMED_OUT,
        _S.ALREADY_INSTALLED,
    }
)
"""How an update can end."""
RESTING: Final = ENDS | {_S.IDLE, _S.PAUSED}
"""The worker waits for somebody to ask for something."""

TABLE: Final[dict[tuple[UpdateState, Event], UpdateState]] = {
    (_S.QUEUED, Event.BEGIN): _S.DOWNLOADING,
    (_S.QUEUED, Event.FOUND_INSTALLED): _S.ALREADY_INSTALLED,
    (_S.DOWNLOADING, Event.FETCHED): _S.VERIFYING,
    (_S.VERIFYING, Event.VERIFIED): _S.PROVING,
    (_S.PROVING, Event.PROVEN): _S.SHADOWING,
    (_S.PROVING, Event.INSTALL): _S.INSTALLING,
    (_S.SHADOWING, Event.INSTALL): _S.INSTALLING,
    (_S.INSTALLING, Event.SWITCHED): _S.PROBATION,
    (_S.INSTALLING, Event.RETRY): _S.QUEUED,
    (_S.INSTALLING, Event.FAIL): _S.FAILED,
    (_S.INSTALLING, Event.HARM): _S.ROLLING_BACK,
    (_S.PROBATION, Event.PASSED): _S.COMMITTED,
    (_S.PROBATION, Event.HARM): _S.ROLLING_BACK,
    (_S.PROBATION, Event.ROLL_BACK): _S.ROLLING_BACK,
    (_S.ROLLING_BACK, Event.RESTORED): _S.ROLLED_BACK,
    (_S.ROLLING_BACK, Event.RESTORE_FAILED): _S.ROLLBACK_FAILED,
    (_S.PAUSED, Event.RESUME): _S.QUEUED,
    (_S.PAUSED, Event.CANCEL): _S.CANCELED,
    **{(state, Event.QUEUE): _S.QUEUED for state in sorted(RESTING | BEFORE_SWITCH)},
    **{(state, Event.ROLL_BACK): _S.ROLLING_BACK for state in sorted(RESTING - {_S.PAUSED})},
    **{(state, Event.RETRY): _S.QUEUED for state in sorted(BEFORE_SWITCH)},
    **{(state, Event.FAIL): _S.FAILED for state in sorted(BEFORE_SWITCH)},
    **{(state, Event.REJECT): _S.REJECTED for state in sorted(BEFORE_SWITCH)},
    **{(state, Event.CANCEL): _S.CANCELED for state in sorted(BEFORE_SWITCH)},
    **{(state, Event.TIME_OUT): _S.TIMED_OUT for state in sorted(BEFORE_SWITCH)},
    **{(state, Event.PAUSE): _S.PAUSED for state in sorted(BEFORE_SWITCH)},
}


def move(state: UpdateState, event: Event) -> UpdateState:
    """The state after the event.

    Raises:
        UpdateMoveRefused: The table does not name this move.
    """
    try:
        return TABLE[state, event]
    except KeyError:
        raise UpdateMoveRefused(
            f"an update that is {state} can't take the event {event}",
            "Ask again when it has come to rest; `vedette device show` tells where it stands.",
        ) from None


class Recovery(StrEnum):
    """What the start of the agent does about the update that it finds."""

    REST = "rest"
    """Nothing was under way; what is queued waits on, however often the power is cut meanwhile."""
    REQUEUE = "requeue"
    """Begin again, as one attempt more; too many attempts end in `failed`."""
    LOOK = "look"
    """Where the pointer names the candidate already: a crash in probation. Otherwise begin again."""
    STRIKE = "strike"
    """The candidate was running when the agent went down; too often, and the model before comes back."""
    RESTORE = "restore"
    """Put the model before back, now."""


RECOVERY: Final[dict[UpdateState, Recovery]] = {
    **dict.fromkeys(sorted((RESTING | {_S.QUEUED}) - {_S.ROLLBACK_FAILED}), Recovery.REST),
    **dict.fromkeys(sorted(BEFORE_SWITCH - {_S.QUEUED}), Recovery.REQUEUE),
    _S.INSTALLING: Recovery.LOOK,
    _S.PROBATION: Recovery.STRIKE,
    _S.ROLLING_BACK: Recovery.RESTORE,
    _S.ROLLBACK_FAILED: Recovery.RESTORE,
}


_DONE: Final[dict[Recovery, str]] = {
    Recovery.REST: "nothing",
    Recovery.REQUEUE: "back to `queued`, as one attempt more; too many end in `failed`",
    Recovery.LOOK: "if the pointer names the candidate, as in `probation`; otherwise back to `queued`",
    Recovery.STRIKE: "counted; after too many the model before comes back, and the candidate is quarantined",
    Recovery.RESTORE: "the pointer is put back to the model before",
}


def recover(state: UpdateState) -> Recovery:
    """What the start of the agent does about an update in this state."""
    return RECOVERY[state]


def diagram() -> str:
    """The table as a Mermaid state diagram; moves that all resting states share are drawn from one box."""
    lines = ["stateDiagram-v2", "    [*] --> idle"]
    shared = {(Event.QUEUE, _S.QUEUED), (Event.ROLL_BACK, _S.ROLLING_BACK)}
    drawn = [(a, e, b) for (a, e), b in TABLE.items() if not (a in RESTING and (e, b) in shared) and a is not b]
    for before, after in dict.fromkeys((a, b) for a, _, b in drawn):
        events = " / ".join(event for a, event, b in drawn if (a, b) == (before, after))
        lines.append(f"    {before} --> {after}: {events}")
    lines += [
        "    state resting {",
        *(f"        {state}" for state in _in_order(RESTING)),
        "    }",
        "    resting --> queued: queue",
        "    resting --> rolling_back: roll_back (not from paused)",
    ]
    return "\n".join(lines) + "\n"


def recovery_table() -> str:
    """`RECOVERY` as a Markdown table."""
    rows = [f"| {', '.join(f'`{s}`' for s in _found(r))} | {_DONE[r]} |" for r in Recovery]
    return "\n".join(["| Found at the start | Done |", "|---|---|", *rows]) + "\n"


def _found(recovery: Recovery) -> list[UpdateState]:
    return [state for state in UpdateState if RECOVERY[state] is recovery]


def _in_order(states: Iterable[UpdateState]) -> list[UpdateState]:
    wanted = set(states)
    return [state for state in UpdateState if state in wanted]
