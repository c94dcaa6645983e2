"""What the command line changed while the service runs: streams are cut off whose session is over, and it is logged.

`vedette operator` works on the database. A request looks there each time; a stream that is open would go on, so the
service looks every second for those who have one.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Final, Protocol

from cloud.errors import StoreError
from cloud.log import Trouble
from cloud.ports import Clock

log = logging.getLogger(__name__)

EVERY_S: Final = 1.0


class Streams(Protocol):
    """Where viewers listen."""

    def owners(self) -> set[str]:
        """The digests under which streams are open."""

    def let_go_of(self, owner: str) -> None:
        """End the streams that were opened under it."""


class Living(Protocol):
    """Who may go on listening."""

    async def living(self, digests: Collection[str]) -> Mapping[str, str]:
        """Of those sessions and tokens, the ones that are good now."""


class People(Protocol):
    """Who may log in."""

    async def changes(self) -> dict[str, datetime]:
        """Every operator, and when their password was set last."""


class OperatorWatch:
    """Looks every second."""

    def __init__(self, *, people: People, sessions: Living, streams: Streams, clock: Clock) -> None:
        self._people = people
        self._sessions = sessions
        self._streams = streams
        self._clock = clock
        self._seen: dict[str, datetime] | None = None
        self._trouble = Trouble()

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            await self.look()
            await self._clock.sleep(EVERY_S)

    async def look(self) -> None:
        """Cut off who may not listen any more, and log what changed; a database that refuses is asked again."""
        try:
            self._tell(await self._people.changes())
            if owners := self._streams.owners():
                for gone in owners - (await self._sessions.living(owners)).keys():
                    self._streams.let_go_of(gone)
        except StoreError as failed:
            if self._trouble.begins(failed):
                log.warning("operators can't be read: %s", failed)
            return
        if self._trouble.ends():
            log.info("operators can be read again")

    def _tell(self, now: dict[str, datetime]) -> None:
        before, self._seen = self._seen, now
        if before is None:
            log.info("operators may log in", extra={"operators": ", ".join(now)})
            return
        for name in now.keys() - before.keys():
            log.info("operator added", extra={"operator": name})
        for name in before.keys() - now.keys():
            log.info("operator removed", extra={"operator": name})
        for name in now.keys() & before.keys():
            if now[name] != before[name]:
                log.info("operator's password changed", extra={"operator": name})
