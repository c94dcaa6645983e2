"""Logging in, and telling who a request is from.

A session is a random token in the browser's cookie. The database keeps its digest: so it outlives a restart of the
service, and ends at once where the command line ends it. Ages are compared when a session is used: a setting that was
made shorter counts for those that were begun before.
"""

from __future__ import annotations

import asyncio
import logging
import re
import secrets
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from cloud.errors import StoreError
from cloud.operators.accounts import TOKEN_BYTES, TOKEN_CHARACTERS, TOKEN_PREFIX, digest
from cloud.operators.errors import LoginRefused, TooManyLogins
from cloud.operators.passwords import NOBODYS, Hashed
from cloud.operators.settings import LoginSettings
from cloud.ports import Clock
from cloud.store.operators import OperatorStore, SessionRecord

log = logging.getLogger(__name__)

# Comparing takes 32 MiB and a core for some tenths of a second each.
_AT_ONCE: Final = 2
_WAITING: Final = 16
_NOTE_EVERY: Final = timedelta(minutes=1)
"""Use is committed no more often, or ten times in `idle_minutes`, where that is less."""
_SESSION: Final = re.compile(rf"[A-Za-z0-9_-]{{{TOKEN_CHARACTERS}}}")
_TOKEN: Final = re.compile(rf"{TOKEN_PREFIX}[A-Za-z0-9_-]{{{TOKEN_CHARACTERS}}}")


@dataclass(frozen=True, slots=True)
class Viewer:
    """Whom a request is from.

    Attributes:
        operator: Their name.
        digest: Of the session or token that they showed.
        by_session: A browser's session, not a program's token.
    """

    operator: str
    digest: str
    by_session: bool


class Sessions:
    """Begins, recognises and ends them."""

    def __init__(self, store: OperatorStore, clock: Clock, settings: LoginSettings) -> None:
        self._store = store
        self._clock = clock
        self._life = timedelta(hours=settings.session_hours)
        self._idle = timedelta(minutes=settings.idle_minutes)
        self._note_every = min(_NOTE_EVERY, self._idle / 10)
        self._turn = asyncio.Semaphore(_AT_ONCE)
        self._waiting = 0

    @property
    def life(self) -> timedelta:
        """How long a session lives at most."""
        return self._life

    async def begin(self, name: str, password: str) -> tuple[str, Viewer]:
        """Log in: the session's token, and whose it is. An unknown name takes as long as a wrong password.

        Args:
            name: As it is written here.
            password: Of a length that is bounded by whoever took it.

        Raises:
            LoginRefused: Name or password is wrong.
            TooManyLogins: Too many passwords wait to be compared.
        """
        kept = await self._store.password(name)
        found = NOBODYS if kept is None else Hashed.read(kept)
        right = await self._compared(found, password)
        if kept is None or not right:
            raise LoginRefused("name or password is wrong")
        token = secrets.token_urlsafe(TOKEN_BYTES)
        now = self._clock.wall()
        session = SessionRecord(digest(token), name, now, now)
        if not await self._store.begin_session(session, kept, (now - self._life, now - self._idle)):
            raise LoginRefused("name or password is wrong")
        return token, Viewer(name, session.token_sha256, by_session=True)

    async def known(self, name: str) -> bool:
        """Whether there is an operator of that name; not for whoever is not one."""
        return await self._store.password(name) is not None

    async def by_session(self, token: str) -> Viewer | None:
        """Whose session it is, if it is not over."""
        if not _SESSION.fullmatch(token):
            return None
        shown = digest(token)
        owner = (await self.living((shown,))).get(shown)
        return None if owner is None else Viewer(owner, shown, by_session=True)

    async def by_token(self, token: str) -> Viewer | None:
        """Whose program's token it is."""
        if not _TOKEN.fullmatch(token):
            return None
        shown = digest(token)
        owner = (await self.living((shown,))).get(shown)
        return None if owner is None else Viewer(owner, shown, by_session=False)

    async def living(self, digests: Collection[str]) -> dict[str, str]:
        """Whose they are, of those sessions and tokens that are good now; that they were used is noted."""
        now = self._clock.wall()
        sessions = [
            found
            for found in await self._store.sessions(digests)
            if now < found.begun_at + self._life and now < found.used_at + self._idle
        ]
        tokens = await self._store.tokens(digests)
        await self._note(
            [found.token_sha256 for found in sessions if now >= found.used_at + self._note_every],
            [shown for shown, (_, used) in tokens.items() if used is None or now >= used + self._note_every],
            now,
        )
        owners = {shown: owner for shown, (owner, _) in tokens.items()}
        return owners | {found.token_sha256: found.operator for found in sessions}

    async def end(self, viewer: Viewer) -> None:
        """Log out."""
        await self._store.end_session(viewer.digest)

    async def _note(self, sessions: list[str], tokens: list[str], now: datetime) -> None:
        try:
            if sessions:
                await self._store.use_sessions(sessions, now)
            if tokens:
                await self._store.use_tokens(tokens, now)
        except StoreError as failed:  # a full disk must not keep out who wants to see why
            log.warning("that a session is used can't be noted: %s", failed)

    async def _compared(self, kept: Hashed, password: str) -> bool:
        if self._waiting >= _WAITING:
            raise TooManyLogins(1.0)
        self._waiting += 1
        try:
            async with self._turn:
                return await asyncio.to_thread(kept.is_of, password)
        finally:
            self._waiting -= 1
