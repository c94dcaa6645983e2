"""Which commands to send now, and which are over. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from cloud.store.commands import CommandRecord, State
from wire.commands import Outcome

AGAIN_AFTER: Final = timedelta(seconds=15)
"""An online device answers within a round trip; one that did not may have lost it with its session."""
FINISH_WITHIN: Final = timedelta(minutes=20)
"""After its expiry an accepted command may still be at work; a device gives up after 15 minutes."""
SETTLE: Final = timedelta(seconds=5)
"""An answer that was given in time may still be on its way."""


@dataclass(frozen=True, slots=True)
class Over:
    """A command that gets no answer any more."""

    command: CommandRecord
    outcome: Outcome
    reason: str


@dataclass(frozen=True, slots=True)
class Round:
    """What to do now."""

    send: tuple[CommandRecord, ...]
    over: tuple[Over, ...]


def look(commands: Sequence[CommandRecord], online: AbstractSet[str], came: AbstractSet[str], now: datetime) -> Round:
    """Decide on the open commands.

    Args:
        commands: Those without an outcome, oldest first.
        online: The devices that are there.
        came: Those of them that were not at the last look: what they had may be gone.
        now: The time.
    """
    send: list[CommandRecord] = []
    over: list[Over] = []
    for command in commands:
        ending = _ending(command, now)
        if ending is not None:
            over.append(ending)
        elif now < command.expires_at and command.device in online and _due(command, came, now):
            send.append(command)
    return Round(tuple(send), tuple(over))


def _due(command: CommandRecord, came: AbstractSet[str], now: datetime) -> bool:
    if command.sent_at is None or command.device in came:
        return True
    return command.state is State.SENT and now - command.sent_at >= AGAIN_AFTER


def _ending(command: CommandRecord, now: datetime) -> Over | None:
    if command.state is State.QUEUED and now >= command.expires_at:
        return Over(command, Outcome.EXPIRED, "the device was not there before it expired")
    if command.state is State.SENT and now >= command.expires_at + SETTLE:
        return Over(command, Outcome.EXPIRED, "the device did not answer before it expired")
    if now >= command.expires_at + FINISH_WITHIN:
        return Over(command, Outcome.FAILED, "the device took it up, and never said what came of it")
    return None
