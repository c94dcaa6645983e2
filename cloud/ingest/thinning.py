"""Keeping the charts' history within bounds."""

from __future__ import annotations

import logging
from datetime import datetime
from typing import Final, Protocol

from cloud.errors import StoreError
from cloud.ports import Clock

log = logging.getLogger(__name__)

EVERY_S: Final = 300.0


class History(Protocol):
    """What grows with time."""

    async def thin(self, now: datetime) -> None:
        """Delete what is too old, or too close for its age."""


async def thin_for_ever(history: History, clock: Clock) -> None:
    """Thin it out every few minutes."""
    while True:
        try:
            await history.thin(clock.wall())
        except StoreError as failed:
            log.warning("the charts' history was not thinned out: %s", failed)
        await clock.sleep(EVERY_S)
