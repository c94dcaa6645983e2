"""Reading and writing operators, their sessions and their tokens. Secrets are kept as digests only."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import delete, insert, or_, select, update
from sqlalchemy.exc import IntegrityError

from cloud.store.database import Database
from cloud.store.schema import operator_sessions, operator_tokens, operators


@dataclass(frozen=True, slots=True)
class TokenRecord:
    """A program's token.

    Attributes:
        purpose: What the operator calls it.
    """

    purpose: str
    made_at: datetime
    used_at: datetime | None


@dataclass(frozen=True, slots=True)
class OperatorRecord:
    """An operator.

    Attributes:
        changed_at: When the password was set last.
        seen_at: When they logged in last.
    """

    name: str
    added_at: datetime
    changed_at: datetime
    seen_at: datetime | None
    tokens: tuple[TokenRecord, ...] = ()


@dataclass(frozen=True, slots=True)
class SessionRecord:
    """A session that was begun, and not ended by anyone so far."""

    token_sha256: str
    operator: str
    begun_at: datetime
    used_at: datetime


class OperatorStore:
    """The three tables."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, name: str, password: str, now: datetime) -> bool:
        """Commit an operator; whether there was none of that name."""
        row = {"name": name, "password": password, "added_at": now, "changed_at": now}
        try:
            async with self._database.writing() as connection:
                await connection.execute(insert(operators), [row])
        except IntegrityError:
            return False
        return True

    async def change_password(self, name: str, password: str, now: datetime) -> bool:
        """Commit another password, and the end of all sessions; whether there is such an operator."""
        async with self._database.writing() as connection:
            changed = await connection.execute(
                update(operators).where(operators.c.name == name).values(password=password, changed_at=now)
            )
            await connection.execute(delete(operator_sessions).where(operator_sessions.c.operator == name))
        return changed.rowcount == 1

    async def remove(self, name: str) -> bool:
        """Commit that the operator is gone, with sessions and tokens; whether there was one."""
        async with self._database.writing() as connection:
            removed = await connection.execute(delete(operators).where(operators.c.name == name))
            await connection.execute(delete(operator_sessions).where(operator_sessions.c.operator == name))
            await connection.execute(delete(operator_tokens).where(operator_tokens.c.operator == name))
        return removed.rowcount == 1

    async def all(self) -> list[OperatorRecord]:
        """Every operator with their tokens, by name."""
        async with self._database.reading() as connection:
            people = (await connection.execute(select(operators).order_by(operators.c.name))).all()
            made = (await connection.execute(select(operator_tokens).order_by(operator_tokens.c.purpose))).all()
        return [
            OperatorRecord(
                one.name,
                one.added_at,
                one.changed_at,
                one.seen_at,
                tuple(TokenRecord(of.purpose, of.made_at, of.used_at) for of in made if of.operator == one.name),
            )
            for one in people
        ]

    async def password(self, name: str) -> str | None:
        """What is kept of the operator's password."""
        async with self._database.reading() as connection:
            found = await connection.execute(select(operators.c.password).where(operators.c.name == name))
            return found.scalar_one_or_none()

    async def changes(self) -> dict[str, datetime]:
        """Every operator's name, and when their password was set last."""
        async with self._database.reading() as connection:
            found = await connection.execute(
                select(operators.c.name, operators.c.changed_at).order_by(operators.c.name)
            )
            return {row.name: row.changed_at for row in found}

    # --- sessions ---------------------------------------------------------------------------------------------------

    async def begin_session(self, session: SessionRecord, password: str, over_if: tuple[datetime, datetime]) -> bool:
        """Commit a session; whether the password that was given for it still is the operator's.

        Args:
            session: The new one.
            password: What was kept of it when it was compared.
            over_if: Sessions begun before the first, or last used before the second, are over, and forgotten here.
        """
        begun, used = over_if
        async with self._database.writing() as connection:
            seen = await connection.execute(
                update(operators)
                .where(operators.c.name == session.operator, operators.c.password == password)
                .values(seen_at=session.begun_at)
            )
            if seen.rowcount != 1:
                return False
            await connection.execute(
                delete(operator_sessions).where(
                    or_(operator_sessions.c.begun_at <= begun, operator_sessions.c.used_at <= used)
                )
            )
            row = {
                "token_sha256": session.token_sha256,
                "operator": session.operator,
                "begun_at": session.begun_at,
                "used_at": session.used_at,
            }
            await connection.execute(insert(operator_sessions), [row])
        return True

    async def sessions(self, digests: Collection[str]) -> list[SessionRecord]:
        """Those of them that there are."""
        async with self._database.reading() as connection:
            found = await connection.execute(
                select(operator_sessions).where(operator_sessions.c.token_sha256.in_(digests))
            )
            return [SessionRecord(row.token_sha256, row.operator, row.begun_at, row.used_at) for row in found]

    async def use_sessions(self, digests: Collection[str], now: datetime) -> None:
        """Commit that they were used."""
        async with self._database.writing() as connection:
            await connection.execute(
                update(operator_sessions).where(operator_sessions.c.token_sha256.in_(digests)).values(used_at=now)
            )

    async def end_session(self, digest: str) -> None:
        """Commit that it is over."""
        async with self._database.writing() as connection:
            await connection.execute(delete(operator_sessions).where(operator_sessions.c.token_sha256 == digest))

    # --- tokens -----------------------------------------------------------------------------------------------------

    async def add_token(self, digest: str, operator: str, purpose: str, now: datetime) -> bool:
        """Commit a token, in the place of the one for the same purpose; whether there is such an operator."""
        async with self._database.writing() as connection:
            known = await connection.execute(
                select(operators.c.name).where(operators.c.name == operator).with_for_update()
            )
            if known.one_or_none() is None:
                return False
            await connection.execute(
                delete(operator_tokens).where(
                    operator_tokens.c.operator == operator, operator_tokens.c.purpose == purpose
                )
            )
            row = {"token_sha256": digest, "operator": operator, "purpose": purpose, "made_at": now}
            await connection.execute(insert(operator_tokens), [row])
        return True

    async def remove_token(self, operator: str, purpose: str) -> bool:
        """Commit that a token is of no use any more; whether there was one."""
        async with self._database.writing() as connection:
            removed = await connection.execute(
                delete(operator_tokens).where(
                    operator_tokens.c.operator == operator, operator_tokens.c.purpose == purpose
                )
            )
        return removed.rowcount == 1

    async def tokens(self, digests: Collection[str]) -> dict[str, tuple[str, datetime | None]]:
        """By digest, of those that there are: whose it is, and when it was used last."""
        async with self._database.reading() as connection:
            found = await connection.execute(
                select(operator_tokens).where(operator_tokens.c.token_sha256.in_(digests))
            )
            return {row.token_sha256: (row.operator, row.used_at) for row in found}

    async def use_tokens(self, digests: Collection[str], now: datetime) -> None:
        """Commit that they were used."""
        async with self._database.writing() as connection:
            await connection.execute(
                update(operator_tokens).where(operator_tokens.c.token_sha256.in_(digests)).values(used_at=now)
            )
