"""What a simulated device makes of a command. Pure; at most once, always answered, never after its expiry."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from pydantic import JsonValue

from wire.commands import Command, CommandName, Outcome
from workbench.sim.personality import Traits

REMEMBERED: Final = 32
"""Commands of which a device knows that it has done them; the cloud repeats one within seconds."""
LONGEST_MUTE_S: Final = 7 * 86_400.0


@dataclass(frozen=True, slots=True)
class Ending:
    """How a command ended."""

    outcome: Outcome
    reason: str = ""
    result: dict[str, JsonValue] = field(default_factory=dict)
    mute_s: float | None = None


class Desk:
    """Knows which commands were done."""

    __slots__ = ("_known",)

    def __init__(self) -> None:
        self._known: OrderedDict[str, Ending | None] = OrderedDict()

    def is_new(self, command_id: str) -> bool:
        """Whether it is to be taken up, which it is from now on."""
        if command_id in self._known:
            return False
        self._known[command_id] = None
        if len(self._known) > REMEMBERED:
            self._known.popitem(last=False)
        return True

    def ended(self, command_id: str) -> Ending | None:
        """How it ended; None while it has not."""
        return self._known.get(command_id)

    def end(self, command_id: str, ending: Ending) -> None:
        """Remember how it ended."""
        self._known[command_id] = ending


def refusal(command: Command, traits: Traits, now: datetime) -> Ending | None:
    """Why it is not taken up at all; None where it is."""
    if now >= command.expires_at:
        return Ending(Outcome.EXPIRED, f"it expired at {command.expires_at:%H:%M:%S} UTC")
    if command.name not in traits.commands:
        known = command.name in set(CommandName)
        why = (
            f"agent {traits.agent_version} does not know it" if traits.agent_version != Traits().agent_version else ""
        )
        return Ending(Outcome.REFUSED, why or ("a simulated device can't" if known else f"no command {command.name}"))
    return None


def done(command: Command, diagnosis: dict[str, JsonValue]) -> Ending:
    """Do it."""
    if command.name == CommandName.MUTE:
        for_s = command.arguments.get("for_s")
        if not isinstance(for_s, int | float) or isinstance(for_s, bool) or not 0 <= for_s <= LONGEST_MUTE_S:
            return Ending(Outcome.REFUSED, "for_s must be seconds, up to a week")
        return Ending(Outcome.OK, mute_s=float(for_s))
    return Ending(Outcome.OK, result=diagnosis if command.name == CommandName.DIAGNOSE else {})
