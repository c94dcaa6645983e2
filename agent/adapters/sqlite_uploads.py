"""Questions and pictures on disk until they are sent.

They survive a crash and a restart; a power cut may cost the last of them, which the alerts they belong to survive.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, TypeVar

from agent.adapters.sqlite_file import SqliteFile
from agent.ask.uploads import Key, Kind, Upload
from agent.deliver.faults import Faults
from agent.errors import OutboxCorrupt, OutboxUnwritable

T = TypeVar("T")

SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS upload (
  row INTEGER PRIMARY KEY AUTOINCREMENT,
  kind TEXT NOT NULL,
  id TEXT NOT NULL,
  question BLOB NOT NULL,
  jpeg BLOB NOT NULL,
  made_at REAL NOT NULL,
  UNIQUE (kind, id)
)
"""
MIB: Final = 1024 * 1024
MAX_IN_MEMORY: Final = 16
"""Uploads kept while the disk refuses: asking goes on without a disk, but does not outlive the process."""


class SqliteUploads:
    """Implements `agent.ask.uploads.Uploads`."""

    def __init__(self, path: Path, *, max_stored: int, max_stored_mib: int, faults: Faults) -> None:
        self._max_stored = max_stored
        self._max_bytes = max_stored_mib * MIB
        self._faults = faults
        self._file = SqliteFile(path, schema=SCHEMA, synchronous="NORMAL", opened=lambda _: None)
        self._lock = threading.Lock()
        self._in_memory: dict[Key, Upload] = {}

    def close(self) -> None:
        """Let go of the file."""
        with self._lock:
            self._file.close()

    def put(self, upload: Upload) -> list[Key]:
        """Keep it; see the port."""
        with self._lock:
            dropped = self._transact(lambda db: self._insert(db, upload))
            if dropped is not None:
                self._in_memory.pop(upload.key, None)
                return dropped
            self._in_memory[upload.key] = upload
            if len(self._in_memory) <= MAX_IN_MEMORY:
                return []
            oldest = next(iter(self._in_memory))
            del self._in_memory[oldest]
            return [oldest]

    def get(self, key: Key) -> Upload | None:
        """The upload, if it is still there; see the port."""
        sql = "SELECT question, jpeg, made_at FROM upload WHERE kind = ? AND id = ?"
        with self._lock:
            if (kept := self._in_memory.get(key)) is not None:
                return kept
            row = self._file.transact(lambda db: db.execute(sql, key).fetchone(), self._faults.note)
        return None if row is None else Upload(key, row[0], row[1], datetime.fromtimestamp(row[2], UTC))

    def remove(self, key: Key) -> None:
        """It was sent, or given up."""
        with self._lock:
            if self._in_memory.pop(key, None) is None:
                self._transact(lambda db: db.execute("DELETE FROM upload WHERE kind = ? AND id = ?", key).rowcount)
                self._give_back_space()

    def waiting(self) -> list[tuple[Key, datetime]]:
        """What is kept, and when it was made; see the port."""

        def work(db: sqlite3.Connection) -> list[tuple[str, str, float]]:
            rows = db.execute("SELECT kind, id, made_at FROM upload ORDER BY row").fetchall()
            # An agent after this one may have left what this one can't send.
            foreign = {(kind,) for kind, *_ in rows} - {(kind.value,) for kind in Kind}
            db.executemany("DELETE FROM upload WHERE kind = ?", foreign)
            return [row for row in rows if (row[0],) not in foreign]

        with self._lock:
            rows = self._file.transact(work, self._faults.note)
        return [(Key(Kind(kind), id_), datetime.fromtimestamp(at, UTC)) for kind, id_, at in rows]

    def _insert(self, db: sqlite3.Connection, upload: Upload) -> list[Key]:
        db.execute(
            "INSERT OR REPLACE INTO upload (kind, id, question, jpeg, made_at) VALUES (?, ?, ?, ?, ?)",
            (*upload.key, upload.question, upload.jpeg, upload.made_at.timestamp()),
        )
        sizes = db.execute(
            "SELECT row, kind, id, LENGTH(jpeg) FROM upload ORDER BY kind <> ?, kind <> ?, row",
            (Kind.OUTCOME, Kind.AUDIT),
        ).fetchall()
        count, total = len(sizes), sum(size for *_, size in sizes)
        dropped = []
        for row, kind, id_, size in sizes:
            if count <= self._max_stored and total <= self._max_bytes:
                break
            db.execute("DELETE FROM upload WHERE row = ?", (row,))
            dropped.append(Key(Kind(kind), id_))
            count, total = count - 1, total - size
        return dropped

    def _give_back_space(self) -> None:
        try:
            self._file.give_back_space()
        except (OutboxUnwritable, OutboxCorrupt) as refused:
            self._faults.note(refused)

    def _transact(self, work: Callable[[sqlite3.Connection], T]) -> T | None:
        """Do `work` in a transaction; None where the disk refuses."""
        try:
            return self._file.transact(work, self._faults.note)
        except OutboxUnwritable as refused:
            self._faults.note(refused)
            return None
