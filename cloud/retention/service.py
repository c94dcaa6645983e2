"""Forgets what is too old, a little at a time: others write to the same database meanwhile.

A file goes before the row that names it. A crash between the two leaves a row whose picture is missing, which the
next round takes away; the other way round would leave files that nobody knows of. Where the disk refuses to delete a
file, its row stays for that reason, it is told, and all others are forgotten.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from typing import Final, Protocol

from cloud.errors import StoreError
from cloud.ports import Clock
from cloud.retention.settings import RetentionSettings
from cloud.store.commands import CommandRecord
from cloud.store.retention import KeptPicture
from wire.errors import VedetteError

log = logging.getLogger(__name__)

EVERY_S: Final = 6 * 3600.0
"""All commands that asked for pictures are gone through each time: nothing says whether theirs are still there."""
ROWS: Final = 200
"""At once. A transaction of so many deletions takes some milliseconds, in which ingest waits."""
PAUSE_S: Final = 0.05
"""Between two of them, so that a first round over a year's alerts leaves nine tenths of the time to others."""

TOLD: Final = 3
"""Of the files that can't be deleted, in one line of the log: they mostly have one cause."""


class Archive(Protocol):
    """What grows with time."""

    async def pictures(self, after: KeptPicture | None, before: datetime, limit: int) -> list[KeptPicture]:
        """Pictures that were received before then, and that nothing waits for, in an order that does not change.

        Args:
            after: Begin behind this one.
            before: See above.
            limit: How many at most.
        """

    async def forget_pictures(self, pictures: Sequence[KeptPicture]) -> None:
        """Name them no more."""

    async def filming_commands(self, after: int, before: datetime, limit: int) -> list[CommandRecord]:
        """Commands that asked for pictures, issued before then, with a number over `after`, in its order."""

    async def forget_alerts(self, before: datetime, limit: int) -> int:
        """Delete alerts of which nothing came since then, with all about them; how many. With a picture they stay."""

    async def forget_commands(self, before: datetime, limit: int, keeping: Collection[int]) -> int:
        """Delete commands that were issued before then, but for these numbers; how many."""

    async def forget_audits(self, before: datetime, limit: int) -> int:
        """Delete what audits received before then found; how many. With a picture it stays."""


class Files(Protocol):
    """Where pictures lie."""

    async def delete(self, keys: Iterable[str]) -> Mapping[str, VedetteError]:
        """Delete them; what is missing is deleted already. Those that the disk does not let go of, with why."""


@dataclass(slots=True)
class _Look:
    """How far a look has come.

    Attributes:
        picture: The last one that was looked at.
        filmed: The number of the last command whose files were.
        refused: Files that could not be deleted, with why.
        kept: Numbers of the commands that theirs belong to.
    """

    picture: KeptPicture | None = None
    filmed: int = 0
    refused: dict[str, VedetteError] = field(default_factory=dict)
    kept: set[int] = field(default_factory=set)


class Retention:
    """Forgets, as the settings say, for as long as it runs.

    Args:
        keys: Of the files that a command's answer may have left.
    """

    def __init__(
        self,
        *,
        archive: Archive,
        files: Files,
        keys: Callable[[CommandRecord], Iterable[str]],
        settings: RetentionSettings,
        count: Callable[[str, int], None],
        clock: Clock,
    ) -> None:
        self._archive = archive
        self._files = files
        self._keys = keys
        self._settings = settings
        self._count = count
        self._clock = clock

    async def run(self) -> None:
        """Look a few times a day."""
        while True:
            try:
                await self.look()
            except StoreError as failed:
                self._count("retention.failed", 1)
                log.warning("what is too old was not all forgotten: %s", failed)
            await self._clock.sleep(EVERY_S)

    async def look(self) -> None:
        """Forget all that is too old by now; files that can't be deleted are told, and left for the next time.

        Raises:
            StoreError: The database refused; what was done is done, and the rest is left for the next time.
        """
        keep, look = self._settings, _Look()
        try:
            if keep.pictures_days:
                await self._batches("pictures", partial(self._forget_pictures, look), keep.pictures_days)
                await self._batches("files", partial(self._forget_files, look), keep.pictures_days)
        finally:
            self._tell(look.refused)
        if keep.alerts_days:
            await self._batches("alerts", self._archive.forget_alerts, keep.alerts_days)
            of_commands = partial(self._archive.forget_commands, keeping=look.kept)
            await self._batches("commands", of_commands, keep.alerts_days)
        if keep.audits_days:
            await self._batches("audits", self._archive.forget_audits, keep.audits_days)

    async def _batches(self, kind: str, forget: Callable[[datetime, int], Awaitable[int]], days: float) -> None:
        before = self._clock.wall() - timedelta(days=days)
        total = 0
        while forgotten := await forget(before, ROWS):
            total += forgotten
            self._count(f"retention.{kind}", forgotten)
            await self._clock.sleep(PAUSE_S)
        if total:
            log.info("forgot %d %s that were too old", total, kind)

    async def _forget_pictures(self, look: _Look, before: datetime, limit: int) -> int:
        while found := await self._archive.pictures(look.picture, before, limit):
            look.picture = found[-1]
            refused = await self._files.delete(one.key for one in found)
            look.refused.update(refused)
            gone = [one for one in found if one.key not in refused]
            await self._archive.forget_pictures(gone)
            if gone:
                return len(gone)
            await self._clock.sleep(PAUSE_S)
        return 0

    async def _forget_files(self, look: _Look, before: datetime, limit: int) -> int:
        found = await self._archive.filming_commands(look.filmed, before, limit)
        for command in found:
            if refused := await self._files.delete(self._keys(command)):
                look.refused.update(refused)
                look.kept.add(command.number)
        if found:
            look.filmed = found[-1].number
        return len(found)

    def _tell(self, refused: Mapping[str, VedetteError]) -> None:
        if not refused:
            return
        self._count("retention.refused", len(refused))
        some = "; ".join(str(why) for why in list(refused.values())[:TOLD])
        log.warning("%d files that are too old can't be deleted, and are tried again: %s", len(refused), some)
