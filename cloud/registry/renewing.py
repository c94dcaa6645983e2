"""The running service keeps the repository's metadata fresh."""

from __future__ import annotations

import asyncio
import logging
from datetime import datetime
from typing import Final

from cloud.errors import CloudError
from cloud.ports import Clock
from cloud.registry.service import Registry

log = logging.getLogger(__name__)

LOOK_EVERY_S: Final = 600.0
"""The timestamp is renewed with 12 hours left: some seventy attempts before devices notice."""


class Renewing:
    """Renews for ever, and knows whether it succeeds."""

    def __init__(self, registry: Registry, clock: Clock) -> None:
        self._registry = registry
        self._clock = clock
        self._failed = False

    async def working(self) -> bool:
        """Whether the latest attempt did its work; without a repository there is none to do."""
        return not self._failed

    async def run(self) -> None:
        """Look at once, then every ten minutes."""
        while True:
            await self.renew()
            await self._clock.sleep(LOOK_EVERY_S)

    async def renew(self) -> None:
        """One attempt; a failure is logged, and tried again the next time."""
        try:
            if await asyncio.to_thread(lambda: self._registry.exists):
                await self._attempt()
            self._failed = False
        except (CloudError, OSError) as failed:
            self._failed = True
            why = {"error": type(failed).__name__, "why": str(failed)}
            log.error("the signed repository could not be renewed", extra=why)  # noqa: TRY400 - it says what to do

    async def _attempt(self) -> None:
        done = await asyncio.to_thread(self._registry.renew)
        if done.renewed:
            log.info("renewed the signed repository", extra={"roles": list(done.renewed)})
        if done.expiring:
            soonest: datetime = min(done.expiring.values())
            log.warning(
                "offline roles expire soon: vedette model keys renew",
                extra={"roles": sorted(done.expiring)[:5], "at": soonest.isoformat()},
            )
