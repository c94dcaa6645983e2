"""What kinds of devices there are, and which device is of which kind. Pure.

| | |
|---|---|
| steady | connected, prompt, obedient |
| flaky | its connection breaks off again and again, in the middle of whatever is under way |
| slow | acknowledges and answers late, and downloads slowly |
| old | an agent of before updates: fewer fields, knows `ping` only, refuses a release |
| lying | a steady device that also says what is not so, to whom it should not |
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from wire.commands import CommandName
from workbench.errors import SimOptionsInvalid
from workbench.sim.dice import Dice


class Personality(StrEnum):
    """A kind of device; see the table above."""

    STEADY = "steady"
    FLAKY = "flaky"
    SLOW = "slow"
    OLD = "old"
    LYING = "lying"


@dataclass(frozen=True, slots=True)
class Traits:
    """What makes a kind of device what it is.

    Attributes:
        cut_every_s: Mean time between two breaks of its connection; None is never.
        away_s: How long it stays away then, at most.
        ack_after_s: How long it takes to acknowledge a message to the broker.
        answer_after_s: How long a command lies before it is taken up.
        bytes_per_s: Of its downloads.
        lie_every_s: Mean time between two lies; None is never.
        commands: What it can do; anything else is refused in words.
        updates: Whether it can be given another model.
    """

    cut_every_s: float | None = None
    away_s: float = 0.0
    ack_after_s: float = 0.0
    answer_after_s: float = 0.0
    bytes_per_s: float = 2e6
    lie_every_s: float | None = None
    agent_version: str = "0.1.0"
    commands: frozenset[str] = frozenset({CommandName.PING, CommandName.MUTE, CommandName.DIAGNOSE})
    updates: bool = True


TRAITS: Final[Mapping[Personality, Traits]] = {
    Personality.STEADY: Traits(),
    Personality.FLAKY: Traits(cut_every_s=20.0, away_s=4.0),
    Personality.SLOW: Traits(ack_after_s=0.7, answer_after_s=2.0, bytes_per_s=5e5),
    Personality.OLD: Traits(agent_version="0.0.9", commands=frozenset({CommandName.PING}), updates=False),
    Personality.LYING: Traits(lie_every_s=4.0),
}
DEFAULT_MIX: Final = "steady=80,flaky=10,slow=10"
EVERY_KIND: Final = "steady=60,flaky=10,slow=10,old=10,lying=10"
_SHARE: Final = re.compile(r"([a-z]+)=(\d{1,6})")


def read_mix(text: str) -> dict[Personality, int]:
    """Read `steady=80,flaky=20`; the numbers are parts of the whole, whatever they add up to. `all` is some of each.

    Raises:
        SimOptionsInvalid: It is no such thing.
    """
    mend = f"Write parts of {', '.join(Personality)}, such as {DEFAULT_MIX}, or `all`."
    mix: dict[Personality, int] = {}
    for word in (EVERY_KIND if text == "all" else text).split(","):
        found = _SHARE.fullmatch(word.strip())
        if found is None or found[1] not in set(Personality) or Personality(found[1]) in mix:
            raise SimOptionsInvalid(f"--mix: {word.strip()!r} is no part of a mix, or comes twice", mend)
        mix[Personality(found[1])] = int(found[2])
    if not sum(mix.values()):
        raise SimOptionsInvalid(f"--mix {text!r} is a mix of nothing", mend)
    return mix


def assign(mix: Mapping[Personality, int], count: int, seed: int) -> list[Personality]:
    """The kinds of `count` devices, in a random order; the shares are kept to within one device."""
    whole, taken, so_far = sum(mix.values()), 0, 0
    kinds: list[Personality] = []
    for kind, share in mix.items():
        so_far += share
        upto = round(count * so_far / whole)
        kinds += [kind] * (upto - taken)
        taken = upto
    dice = Dice(seed, "kinds")
    for last in range(count - 1, 0, -1):
        other = dice.bits() % (last + 1)
        kinds[last], kinds[other] = kinds[other], kinds[last]
    return kinds
