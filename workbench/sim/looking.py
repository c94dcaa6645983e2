"""Devices' looks at the signed repository: one task each while it is asked, and always an answer for the device."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Final, Protocol

from agent.errors import RepositoryUnreachable, TrustError, UpdateError
from wire.updates import ModelRef
from workbench.sim import updating
from workbench.sim.device import Device
from workbench.sim.witness import Witness

LOOK_AGAIN_S: Final = 5.0
LONGEST_REASON: Final = 500


class Releases(Protocol):
    """The signed repository, as devices ask it."""

    async def look(self, group: str, wanted: ModelRef) -> int:
        """One device's look; the model's size in bytes.

        Raises:
            UpdateError: It may not run, or can't be had now.
        """


class Looking:
    """Looks that are under way."""

    def __init__(self, releases: Releases | None, witness: Witness, answered: Callable[[Device], None]) -> None:
        """Nothing is asked yet.

        Args:
            releases: Who is asked; None where devices have no root of trust, and so never look.
            witness: Told by name of what went wrong.
            answered: Called when a device has its answer.
        """
        self._releases = releases
        self._witness = witness
        self._answered = answered
        self._looks: set[asyncio.Task[None]] = set()

    def begin(self, device: Device) -> None:
        """Ask for what the device's update is about."""
        looking = asyncio.get_running_loop().create_task(self._look(device), name=f"look-{device.name}")
        self._looks.add(looking)
        looking.add_done_callback(self._looks.discard)

    async def settle(self) -> None:
        """Wait for the answers to all that is asked by now."""
        await asyncio.gather(*self._looks)

    async def end(self) -> None:
        """Ask no more."""
        for look in tuple(self._looks):
            look.cancel()
        await asyncio.gather(*self._looks, return_exceptions=True)

    async def _look(self, device: Device) -> None:
        update = device.update
        wanted, target = update.wanted, update.target
        if self._releases is None or wanted is None or target is None:
            return
        try:
            size = await self._releases.look(wanted.group, target)
        except UpdateError as refused:
            self._witness.refused(refused.name)
            step = _came_to_nothing(refused)
        else:
            step = partial(updating.fetched, took_s=size / device.traits.bytes_per_s)
        device.looked(update.turn, step)
        self._answered(device)


def _came_to_nothing(refused: UpdateError) -> Callable[[updating.Update], updating.Step]:
    why = f"{refused.name}: {refused.what}"[:LONGEST_REASON]
    match refused:
        case RepositoryUnreachable():
            return partial(updating.unreachable, why=why, again_s=LOOK_AGAIN_S)
        case TrustError():
            return partial(updating.refused, why=why)
        case _:
            return partial(updating.failed, why=why, again_s=LOOK_AGAIN_S)
