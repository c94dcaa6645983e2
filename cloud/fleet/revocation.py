"""Cutting off devices that were revoked while they were connected.

The command line revokes in the database, whether or not a service runs; from then on no new connection is let in.
The service looks every second whom that concerns and closes the connection that is still open.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from typing import Final, Protocol

from cloud.errors import LinkError, StoreError
from cloud.log import Trouble
from cloud.ports import Clock

log = logging.getLogger(__name__)

EVERY_S: Final = 1.0


class Revocations(Protocol):
    """Who was revoked."""

    async def revoked(self) -> set[str]:
        """The ids of all that were revoked."""


class Door(Protocol):
    """Where devices are connected."""

    async def cut_off(self, device: str) -> None:
        """Close the device's connection, if it has one."""


class RevocationWatch:
    """Compares who is revoked with who was, and cuts off the difference."""

    def __init__(self, revocations: Revocations, door: Door, clock: Clock) -> None:
        self._revocations = revocations
        self._door = door
        self._clock = clock
        self._done: set[str] = set()
        self._trouble = Trouble()
        self._in_trouble: defaultdict[str, Trouble] = defaultdict(Trouble)

    async def run(self) -> None:
        """Look every second, until cancelled."""
        while True:
            await self.look()
            await self._clock.sleep(EVERY_S)

    async def look(self) -> None:
        """Cut off who was revoked since the last look; who could not be is tried again at the next."""
        try:
            revoked = await self._revocations.revoked()
        except StoreError as failed:
            if self._trouble.begins(failed):
                log.warning("revocations could not be read: %s", failed)
            return
        if self._trouble.ends():
            log.info("revocations can be read again")
        for device in sorted(revoked - self._done):
            try:
                await self._door.cut_off(device)
            except LinkError as failed:
                if self._in_trouble[device].begins(failed):
                    log.warning("revoked device not cut off yet: %s", failed, extra={"device": device})
                continue
            self._done.add(device)
            self._in_trouble.pop(device, None)
