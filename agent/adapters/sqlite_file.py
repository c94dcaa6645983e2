"""One SQLite file that survives what happens to files on devices."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Literal, TypeVar

from agent.errors import OutboxCorrupt, OutboxUnwritable

log = logging.getLogger(__name__)
T = TypeVar("T")

_DAMAGED: Final = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
_REFUSED: Final = {
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_NOMEM,
    sqlite3.SQLITE_PERM,
}
_PRIMARY: Final = 0xFF
"""SQLite's extended result codes carry the primary one in their lowest byte."""
BUSY_TIMEOUT_S: Final = 1.0
WAL_LIMIT_BYTES: Final = 4 * 1024 * 1024
"""What a checkpoint leaves of the log: SQLite checkpoints at 1,000 pages of 4 KiB, so it rarely grows beyond."""
CACHE_KIB: Final = 256
"""Pages kept in memory, of each file. By default it is 2 MiB, which a device with four files has no use for: what was
written is read once more, soon, and in order."""
MAX_SET_ASIDE: Final = 5
"""How many damaged files are kept: a failing card must not fill itself with them."""
SPARE_PAGES: Final = 1024
"""Free pages (4 MiB) kept for reuse; beyond them, space goes back to the disk."""


class SqliteFile:
    """Opens on demand, and again after trouble. Not safe for use from two threads at once."""

    def __init__(
        self,
        path: Path,
        *,
        schema: str,
        synchronous: Literal["FULL", "NORMAL"],
        opened: Callable[[sqlite3.Connection], None],
    ) -> None:
        """Take note of the file; nothing is opened yet.

        Args:
            path: The database; its folder is made when needed.
            schema: Statements that make the tables where they are missing.
            synchronous: FULL where a commit must survive a power cut, NORMAL where surviving a crash is enough.
            opened: Called with each new connection.
        """
        self.path = path
        self._schema = schema
        self._synchronous = synchronous
        self._opened = opened
        self._db: sqlite3.Connection | None = None

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """A connection inside a write transaction; commits at the end, rolls back on any error.

        Raises:
            OutboxUnwritable: The disk refuses; nothing of the transaction was kept.
            OutboxCorrupt: The file is no usable database.
        """
        with self._named_errors():
            db = self._db or self._open()
            try:
                db.execute("BEGIN IMMEDIATE")
                yield db
                db.execute("COMMIT")
            except BaseException:
                if db.in_transaction:
                    db.execute("ROLLBACK")
                raise

    def transact(self, work: Callable[[sqlite3.Connection], T], damaged: Callable[[OutboxCorrupt], None]) -> T:
        """Do `work` in a transaction; where the file is damaged it is set aside, and `work` is done in a new one.

        Args:
            work: Rolled back where it raises.
            damaged: Told of each damage, before a new file is opened.

        Raises:
            OutboxUnwritable: The disk refuses, or damages the new file as well.
        """
        try:
            with self.transaction() as db:
                return work(db)
        except OutboxCorrupt as found:
            damaged(found)
            self.set_aside()
        try:
            with self.transaction() as db:
                return work(db)
        except OutboxCorrupt as again:
            damaged(again)
            raise OutboxUnwritable(f"{self.path} is damaged again at once", "Replace the disk or card.") from None

    def give_back_space(self) -> None:
        """Shorten the file where deletions left much of it empty.

        Raises:
            OutboxUnwritable, OutboxCorrupt: as `transaction`.
        """
        with self._named_errors():
            if self._db is not None and self._db.execute("PRAGMA freelist_count").fetchone()[0] > SPARE_PAGES:
                # `execute` would stop after the first page: the pragma steps once for each and returns no row.
                self._db.executescript(f"PRAGMA incremental_vacuum({SPARE_PAGES})")

    def set_aside(self) -> Path:
        """Move the damaged file out of the way, so that the next use begins a new one.

        Raises:
            OutboxUnwritable: The disk refuses that too.
        """
        self.close()
        numbers = sorted(self._set_aside_numbers())
        target = self.path.with_name(f"{self.path.name}.corrupt-{numbers[-1] + 1 if numbers else 1}")
        try:
            for ending in ("-wal", "-shm", ""):
                part = self.path.with_name(self.path.name + ending)
                if part.exists():
                    part.rename(target.with_name(target.name + ending))
            for number in numbers[: max(0, len(numbers) + 1 - MAX_SET_ASIDE)]:
                for ending in ("-wal", "-shm", ""):
                    self.path.with_name(f"{self.path.name}.corrupt-{number}{ending}").unlink(missing_ok=True)
        except OSError as refused:
            raise _unwritable(self.path, refused) from refused
        log.error("%s was damaged: set aside as %s, a new one is begun", self.path, target.name)
        return target

    def close(self) -> None:
        """Let go of the file; the next use opens it again."""
        if self._db is not None:
            self._db.close()
            self._db = None

    def _set_aside_numbers(self) -> list[int]:
        endings = (path.name.rpartition("-")[2] for path in self.path.parent.glob(f"{self.path.name}.corrupt-*"))
        return [int(ending) for ending in endings if ending.isdecimal()]

    def _open(self) -> sqlite3.Connection:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as refused:
            raise _unwritable(self.path, refused) from refused
        db = sqlite3.connect(self.path, timeout=BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False)
        try:
            # auto_vacuum takes effect only before the first page is written, which journal_mode does.
            db.execute("PRAGMA auto_vacuum = INCREMENTAL")
            db.execute("PRAGMA journal_mode = WAL")
            db.execute(f"PRAGMA synchronous = {self._synchronous}")
            db.execute(f"PRAGMA journal_size_limit = {WAL_LIMIT_BYTES}")
            db.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
            self._check(db)
            for statement in self._schema.split(";"):
                db.execute(statement)
            self._opened(db)
        except BaseException:
            db.close()
            raise
        self._db = db
        return db

    def _check(self, db: sqlite3.Connection) -> None:
        found = db.execute("PRAGMA quick_check(1)").fetchone()[0]
        if found != "ok":
            raise _corrupt(self.path, str(found))

    @contextmanager
    def _named_errors(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as raised:
            code = getattr(raised, "sqlite_errorcode", sqlite3.SQLITE_MISUSE) & _PRIMARY
            if code in _DAMAGED:
                self.close()
                raise _corrupt(self.path, str(raised)) from raised
            if code not in _REFUSED:
                raise
            if code != sqlite3.SQLITE_FULL:  # a connection is of no more use after most I/O errors
                self.close()
            raise _unwritable(self.path, raised) from raised


def _unwritable(path: Path, reason: Exception) -> OutboxUnwritable:
    return OutboxUnwritable(f"{path} can't be written ({reason})", "Free some space, or look after the disk.")


def _corrupt(path: Path, reason: str) -> OutboxCorrupt:
    return OutboxCorrupt(
        f"{path} is no usable database ({reason})", "It is set aside for inspection; check the disk or card."
    )
