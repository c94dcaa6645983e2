"""Who may log in: what `vedette operator` does, on the database, whether or not the service runs."""

from __future__ import annotations

import asyncio
import hashlib
import re
import secrets
from typing import Final

from cloud.operators.errors import OperatorExists, OperatorNameRefused, OperatorUnknown
from cloud.operators.passwords import checked_name, hashed
from cloud.ports import Clock
from cloud.store.operators import OperatorRecord, OperatorStore

TOKEN_PREFIX: Final = "vdo_"  # noqa: S105 - of every one
"""Lets a person, or a scanner of published secrets, see what it is."""
TOKEN_BYTES: Final = 32
TOKEN_CHARACTERS: Final = 43
"""Of so many bytes in base64."""
_PURPOSE: Final = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")


class Accounts:
    """Takes operators in and lets them go; each is one transaction."""

    def __init__(self, store: OperatorStore, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    async def add(self, name: str, password: str) -> None:
        """Take an operator in.

        Raises:
            OperatorNameRefused, PasswordRefused: They can't be had.
            OperatorExists: There is one of that name.
        """
        checked_name(name)
        kept = await asyncio.to_thread(hashed, password)
        if not await self._store.add(name, kept.spell(), self._clock.wall()):
            raise OperatorExists(
                f"there is an operator {name} already", f"Set another password: `vedette operator password {name}`."
            )

    async def change_password(self, name: str, password: str) -> None:
        """Set another password; every session of the operator ends.

        Raises:
            PasswordRefused: It can't be had.
            OperatorUnknown: There is no such operator.
        """
        kept = await asyncio.to_thread(hashed, password)
        if not await self._store.change_password(name, kept.spell(), self._clock.wall()):
            raise _unknown(name)

    async def remove(self, name: str) -> None:
        """Let an operator go; sessions and tokens end.

        Raises:
            OperatorUnknown: There is no such operator.
        """
        if not await self._store.remove(name):
            raise _unknown(name)

    async def need(self, name: str) -> None:
        """Look before asking for a password.

        Raises:
            OperatorUnknown: There is no such operator.
        """
        if await self._store.password(name) is None:
            raise _unknown(name)

    async def all(self) -> list[OperatorRecord]:
        """Every operator, by name."""
        return await self._store.all()

    async def new_token(self, name: str, purpose: str) -> str:
        """A token for a program of the operator's; the one for the same purpose ends.

        Raises:
            OperatorNameRefused: No name for a purpose.
            OperatorUnknown: There is no such operator.
        """
        if not _PURPOSE.fullmatch(purpose):
            raise OperatorNameRefused(
                f"{purpose[:80]!a} can't be a token's name",
                "Take up to 63 lower-case letters, digits and . _ -, beginning with a letter or digit.",
            )
        token = TOKEN_PREFIX + secrets.token_urlsafe(TOKEN_BYTES)
        if not await self._store.add_token(digest(token), name, purpose, self._clock.wall()):
            raise _unknown(name)
        return token

    async def remove_token(self, name: str, purpose: str) -> None:
        """Have a token be of no use from the next request on.

        Raises:
            OperatorUnknown: There is no such token.
        """
        if not await self._store.remove_token(name, purpose):
            raise OperatorUnknown(
                f"{name} has no token {purpose[:80]!a}", "`vedette operator list` shows those that there are."
            )


def digest(token: str) -> str:
    """What is kept of a session's or a program's token, in hex: so many random bits need no slow hash."""
    return hashlib.sha256(token.encode()).hexdigest()


def _unknown(name: str) -> OperatorUnknown:
    return OperatorUnknown(
        f"there is no operator {name[:80]!a}", "`vedette operator list` shows those that there are."
    )
