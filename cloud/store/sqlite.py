"""What SQLite needs to be told; the only place that knows which database it is."""

from __future__ import annotations

from typing import Final, Protocol

from sqlalchemy import Connection, Engine, event
from sqlalchemy.pool import ConnectionPoolEntry

WRITES: Final = "vedette_writes"
"""The execution option of a connection that will write."""

# The command line writes into the same file as the service; both write for milliseconds only.
_BUSY_TIMEOUT_MS: Final = 10_000


class _Cursor(Protocol):
    def execute(self, statement: str) -> object: ...

    def close(self) -> None: ...


class _DbapiConnection(Protocol):
    isolation_level: str | None

    def cursor(self) -> _Cursor: ...


def prepare_sqlite(engine: Engine) -> None:
    """Durable, readable while written, and with transactions that begin where they say.

    The driver would begin a transaction at its first write only: what was read before could have changed by then,
    and SQLite would refuse the write. So we begin ourselves, and a writer takes the lock at its beginning.
    """

    def on_connect(connection: _DbapiConnection, _record: ConnectionPoolEntry) -> None:
        connection.isolation_level = None
        cursor = connection.cursor()
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", f"busy_timeout={_BUSY_TIMEOUT_MS}"):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    def on_begin(connection: Connection) -> None:
        writes = connection.get_execution_options().get(WRITES)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    event.listen(engine, "connect", on_connect)
    event.listen(engine, "begin", on_begin)
