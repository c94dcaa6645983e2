"""The connection to the database: opening, migrating, reading and writing, and its errors made ours."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final, TypeVar

from sqlalchemy import Connection, Engine, create_engine, select, text
from sqlalchemy.exc import DBAPIError, IntegrityError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from cloud.errors import StoreFailed
from cloud.store.sqlite import WRITES, prepare_sqlite

T = TypeVar("T")

_VERSIONS: Final = Path(__file__).parent / "migrations" / "versions"


def sqlite_url(path: Path) -> str:
    """The address of a database file."""
    return f"sqlite+aiosqlite:///{path}"


class Database:
    """One database, for one event loop. Open it with `open_database`."""

    def __init__(self, engine: AsyncEngine, apart: Apart | None = None) -> None:
        self._engine = engine
        self._apart = apart
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

    async def transact(self, work: Callable[[Connection], T]) -> T:
        """Do `work` in one transaction, committed at its end, undone if an error leaves it.

        For what has many statements and comes often. Where there is a thread for it, all of it is done there: one
        that comes back to the event loop after each statement waits each time for whatever the loop has to do.
        Cancelled meanwhile, it may be committed all the same.

        Raises:
            StoreFailed: The database refused.
        """
        if self._apart is None:
            async with self.writing() as connection:
                return await connection.run_sync(work)
        async with self._turn:
            return await asyncio.get_running_loop().run_in_executor(self._apart.thread, self._apart.transact, work)

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
        """Let go of the connections, once what is under way apart is done."""
        if self._apart is not None:
            await asyncio.to_thread(self._apart.close)
        await self._engine.dispose()


class Apart:
    """A connection for writing with a thread of its own."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine.execution_options(**{WRITES: True})
        self.thread = ThreadPoolExecutor(1, thread_name_prefix="database")

    def transact(self, work: Callable[[Connection], T]) -> T:
        """See `Database.transact`; called in the thread."""
        with _Named(), self._engine.begin() as connection:
            return work(connection)

    def close(self) -> None:
        """Once what is under way is done."""
        self.thread.shutdown()
        self._engine.dispose()


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
    apart = None
    if engine.dialect.name == "sqlite":
        prepare_sqlite(engine.sync_engine)
        same = create_engine(engine.url.set(drivername="sqlite"))
        prepare_sqlite(same)
        apart = Apart(same)
    database = Database(engine, apart)
    try:
        await database.migrate()
        yield database
    finally:
        await database.close()
