"""The connection to the database: opening, migrating, reading and writing, and its errors made ours."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from sqlalchemy import select, text
from sqlalchemy.exc import DBAPIError, IntegrityError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from cloud.errors import StoreFailed
from cloud.store.sqlite import WRITES, prepare_sqlite

_VERSIONS: Final = Path(__file__).parent / "migrations" / "versions"


def sqlite_url(path: Path) -> str:
    """The address of a database file."""
    return f"sqlite+aiosqlite:///{path}"


class Database:
    """One database, for one event loop. Open it with `open_database`."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._writing_engine = engine.execution_options(**{WRITES: True})
        # SQLite takes one writer at a time and lets the others poll; waiting in line here is fair, polling is not.
        self._turn = asyncio.Semaphore(1 if engine.dialect.name == "sqlite" else 8)

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[AsyncConnection]:
        """A connection for queries, all of which see the same state.

        Raises:
            StoreFailed: The database refused.
        """
        with _Named():
            async with self._engine.connect() as connection:
                yield connection

    @asynccontextmanager
    async def writing(self) -> AsyncIterator[AsyncConnection]:
        """A transaction, committed at the end of the context, undone if an error leaves it.

        Raises:
            StoreFailed: The database refused.
        """
        with _Named():
            async with self._turn, self._writing_engine.begin() as connection:
                yield connection

    async def answers(self) -> bool:
        """Whether it can be asked right now."""
        try:
            async with self.reading() as connection:
                await connection.execute(select(1))
        except StoreFailed:
            return False
        return True

    async def migrate(self) -> None:
        """Bring the tables to the present shape.

        Raises:
            StoreNewer: They are of a shape that this program does not know.
            StoreFailed: The database refused.
        """
        if await self._version() == newest():
            return
        # Alembic is a tenth of what a command takes to start, and most find the tables as they should be.
        from cloud.store.migrating import upgrade  # noqa: PLC0415

        async with self.writing() as connection:
            await connection.run_sync(upgrade)

    async def _version(self) -> str | None:
        """Of the tables; None where there are none, or where this can't tell."""
        with _Named():
            async with self._engine.connect() as connection:
                try:
                    found = await connection.execute(text("SELECT version_num FROM alembic_version"))
                except DBAPIError:
                    return None
                return found.scalars().one_or_none()

    async def close(self) -> None:
        """Let go of the connections."""
        await self._engine.dispose()


class _Named:
    """Makes SQLAlchemy's errors ours; a broken uniqueness stays, its callers expect it."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, SQLAlchemyError) and not isinstance(error, IntegrityError):
            first = str(error).splitlines()[0]
            raise StoreFailed(f"the database refused: {first}", "Look at the disk's space and rights.") from error


def newest() -> str:
    """The version of the tables that this program knows, by the name of the last step that leads there."""
    return max(file.name for file in _VERSIONS.glob("[0-9]*.py")).partition("_")[0]


@asynccontextmanager
async def open_database(url: str) -> AsyncIterator[Database]:
    """The database at `url`, migrated, for as long as the context is open.

    Raises:
        StoreNewer, StoreFailed: as `Database.migrate`.
    """
    engine = create_async_engine(url)
    if engine.dialect.name == "sqlite":
        prepare_sqlite(engine.sync_engine)
    database = Database(engine)
    try:
        await database.migrate()
        yield database
    finally:
        await database.close()
