"""What is done about a command that comes, and about one that a crash interrupted. Pure.

A command's stages are `accepted → begun → done`, each on disk before what follows. An id that is on disk is never
done again, whatever else the copy says; so a hundred copies have one effect. A crash after `begun` may or may not
have had the effect: the command is answered as failed rather than done twice.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from agent.command.arguments import Arguments, read_arguments
from agent.command.errors import CommandRefused
from wire.commands import Command, CommandName, Outcome

MAX_WAITING: Final = 32
"""Commands are done one after the other; more than so many at once is a fault of whoever sends them."""


class Stage(StrEnum):
    """How far a command has come, on disk."""

    ACCEPTED = "accepted"
    BEGUN = "begun"
    DONE = "done"


@dataclass(frozen=True, slots=True)
class Repeat:
    """It is known: say again what was said."""


@dataclass(frozen=True, slots=True)
class Refuse:
    """It is not done."""

    reason: str


@dataclass(frozen=True, slots=True)
class Accept:
    """It is to be done once its time is proved."""

    arguments: Arguments


Admission = Repeat | Refuse | Accept


def admit(command: Command, stage: Stage | None, waiting: int) -> Admission:
    """Decide on a command.

    Args:
        command: As it came; it is for this device.
        stage: How far this id has come before; None where it is new.
        waiting: How many are accepted and not done.
    """
    if stage is not None:
        return Repeat()
    if waiting >= MAX_WAITING:
        return Refuse(f"{waiting} commands wait already; send it again once they are done")
    try:
        return Accept(read_arguments(command.name, command.arguments))
    except CommandRefused as refused:
        return Refuse(str(refused))


def after_restart(name: str, stage: Stage) -> tuple[Outcome, str]:
    """How a command ends that was not done when the agent ended."""
    if stage is Stage.BEGUN and name == CommandName.RESTART:
        return Outcome.OK, ""
    if stage is Stage.BEGUN:
        return Outcome.FAILED, "the agent was restarted while it was done; whether it took effect is not known"
    return Outcome.FAILED, "the agent was restarted before it was begun; nothing was done"
