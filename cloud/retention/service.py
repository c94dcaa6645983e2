"""Forgets what is too old, a little at a time: others write to the same database meanwhile.

A file goes before the row that names it. A crash between the two leaves a row whose picture is missing, which the
next round takes away; the other way round would leave files that nobody knows of.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterable, Sequence
from datetime import datetime, timedelta
from typing import Final, Protocol

from cloud.errors import StoreError
from cloud.ports import Clock
from cloud.retention.settings import RetentionSettings
from cloud.store.commands import CommandRecord
from cloud.store.retention import KeptPicture

log = logging.getLogger(__name__)

EVERY_S: Final = 6 * 3600.0
"""All commands that asked for pictures are gone through each time: nothing says whether theirs are still there."""
ROWS: Final = 200
"""At once. A transaction of so many deletions takes some milliseconds, in which ingest waits."""
PAUSE_S: Final = 0.05
"""Between two of them, so that a first round over a year's alerts leaves nine tenths of the time to others."""


class Archive(Protocol):
    """What grows with time."""

    async def pictures(self, before: datetime, limit: int) -> list[KeptPicture]:
        """Pictures that were received before then, and that nothing waits for."""

    async def forget_pictures(self, pictures: Sequence[KeptPicture]) -> None:
        """Name them no more."""

    async def filming_commands(self, after: int, before: datetime, limit: int) -> list[CommandRecord]:
        """Commands that asked for pictures, issued before then, with a number over `after`, in its order."""

    async def forget_alerts(self, before: datetime, limit: int) -> int:
        """Delete alerts of which nothing came since then, with all about them; how many."""

    async def forget_commands(self, before: datetime, limit: int) -> int:
        """Delete commands that were issued before then; how many."""

    async def forget_audits(self, before: datetime, limit: int) -> int:
        """Delete what audits received before then found; how many."""


class Files(Protocol):
    """Where pictures lie."""

    async def delete(self, keys: Iterable[str]) -> None:
        """Delete them; what is missing is deleted already."""


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
        self._filmed = 0
        """Of the commands up to this number, this time's look left no files."""

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
        """Forget all that is too old by now.

        Raises:
            StoreError: Database or disk refused; what was done is done, and the rest is left for the next time.
        """
        keep = self._settings
        self._filmed = 0
        if keep.pictures_days:
            await self._batches("pictures", self._forget_pictures, keep.pictures_days)
            await self._batches("files", self._forget_files, keep.pictures_days)
        if keep.alerts_days:
            await self._batches("alerts", self._archive.forget_alerts, keep.alerts_days)
            await self._batches("commands", self._archive.forget_commands, keep.alerts_days)
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

    async def _forget_pictures(self, before: datetime, limit: int) -> int:
        found = await self._archive.pictures(before, limit)
        await self._files.delete(one.key for one in found)
        await self._archive.forget_pictures(found)
        return len(found)

    async def _forget_files(self, before: datetime, limit: int) -> int:
        found = await self._archive.filming_commands(self._filmed, before, limit)
        await self._files.delete(key for command in found for key in self._keys(command))
        if found:
            self._filmed = found[-1].number
        return len(found)
