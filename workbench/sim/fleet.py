"""The simulated devices on their connections: brought up, brought to rest, sent home."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from agent.deliver.link import Address
from agent.domain import Clock
from workbench.sim.connection import CONNECTING_AT_ONCE, Dialling, Line
from workbench.sim.device import Device, Life
from workbench.sim.figures import Tally
from workbench.sim.looking import Looking, Releases
from workbench.sim.personality import TRAITS, Personality

CANARY_SHARE: Final = 0.05


@dataclass(frozen=True, slots=True)
class Credential:
    """How a device shows who it is: a token, or over TLS a certificate in the folder that its enrolment made."""

    device: str
    token: str | None = None
    identity: Path | None = None


class Fleet:
    """All devices of a simulation."""

    def __init__(
        self,
        credentials: Sequence[Credential],
        kinds: Sequence[Personality],
        *,
        life: Life,
        address: Address,
        seed: int,
        clock: Clock,
        trust: Releases | None,
    ) -> None:
        self.tally = Tally([one.device for one in credentials], seed)
        obedient = [one.device for one, kind in zip(credentials, kinds, strict=True) if kind is Personality.STEADY]
        self.canaries = obedient[: math.ceil(len(kinds) * CANARY_SHARE)]
        """Whom an operator would try first: devices of which no trouble is known."""
        self._looking = Looking(trust, self.tally, lambda device: self._lines[device.name].look_again())
        self._moved = asyncio.Event()
        turn = asyncio.Semaphore(CONNECTING_AT_ONCE)
        dialling = Dialling(address, turn, self._looking.begin, self._moved.set, self.tally.refused)
        self._lines: dict[str, Line] = {}
        for credential, kind in zip(credentials, kinds, strict=True):
            device = Device(
                credential.device,
                credential.token,
                TRAITS[kind],
                life,
                seed=seed,
                clock=clock,
                witness=self.tally,
            )
            self._lines[device.name] = Line(device, dialling, credential.identity)

    @property
    def devices(self) -> Sequence[Device]:
        """All of them."""
        return [line.device for line in self._lines.values()]

    @property
    def waiting(self) -> int:
        """Messages that the cloud has not acked."""
        return sum(line.device.waiting for line in self._lines.values())

    def begin(self) -> None:
        """Connect them all; they keep themselves connected."""
        for line in self._lines.values():
            line.begin()

    async def all_there(self, within_s: float) -> bool:
        """Wait until each of them has been online; False where that takes too long."""
        return await self._until(lambda: self.tally.arrived == len(self._lines), within_s)

    async def come_to_rest(self, within_s: float) -> bool:
        """Let what is under way come to its end: all online, everything acked. False where that takes too long."""
        for line in self._lines.values():
            line.device.calm_down()
            line.look_again()
        return await self._until(lambda: all(line.device.at_rest for line in self._lines.values()), within_s)

    async def end(self, *, politely: bool) -> None:
        """Close all connections for good."""
        await self._looking.end()
        await asyncio.gather(*(line.end(politely=politely) for line in self._lines.values()))

    async def _until(self, so: Callable[[], bool], within_s: float) -> bool:
        try:
            async with asyncio.timeout(within_s):
                while not so():
                    self._moved.clear()
                    try:
                        # What the cloud acks moves no line's presence, so nobody says when the last one came.
                        async with asyncio.timeout(0.2):
                            await self._moved.wait()
                    except TimeoutError:
                        continue
        except TimeoutError:
            return so()
        return True

    def states(self) -> Mapping[str, int]:
        """How many devices' updates are in which state."""
        return {str(state): count for state, count in self.tally.states.items() if count}
