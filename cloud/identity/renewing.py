"""Having the service's own certificates renewed long before they end, while it runs."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Final

from cloud.errors import LinkError, StartRefused
from cloud.identity.errors import AuthorityUnusable
from cloud.ports import Clock

log = logging.getLogger(__name__)

EVERY_S: Final = 3600.0


class ServiceCertificates:
    """Looks every hour; a failure is told, and tried again while a third of the life is left.

    Args:
        certify: Has certificates made where they are due; whether any was. Waits for the disk.
        renewed: Has whoever serves under them read them again.
        clock: The service's.
    """

    def __init__(self, certify: Callable[[], bool], renewed: Callable[[], Awaitable[None]], clock: Clock) -> None:
        self._certify = certify
        self._renewed = renewed
        self._clock = clock
        self._working = True

    async def working(self) -> bool:
        """Whether the last look went well."""
        return self._working

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            await self._clock.sleep(EVERY_S)
            await self.look()

    async def look(self) -> None:
        """Renew what is due."""
        try:
            made = await asyncio.to_thread(self._certify)
        except (AuthorityUnusable, StartRefused) as refused:
            self._working = False
            log.error("the service's certificate is not renewed: %s", refused)  # noqa: TRY400 - an error of ours
            return
        self._working = True
        if made:
            log.info("the service's certificates were renewed")
            try:
                await self._renewed()
            except LinkError as failed:
                self._working = False
                log.error("the broker goes on under its old certificate: %s", failed)  # noqa: TRY400 - as above
