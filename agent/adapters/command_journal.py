"""Commands and what was answered, on disk: an id that stands here is never done again."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Collection
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, TypeVar

from agent.adapters.sqlite_file import SqliteFile
from agent.command.dispatch import Stage
from agent.command.ports import Answer, Entry
from agent.deliver.faults import Faults
from wire.commands import Command

T = TypeVar("T")

SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS command (
  row INTEGER PRIMARY KEY AUTOINCREMENT,
  id TEXT NOT NULL UNIQUE,
  name TEXT NOT NULL,
  stage TEXT NOT NULL,
  made_at REAL NOT NULL,
  expires_at REAL NOT NULL,
  answer_id TEXT NOT NULL,
  answer BLOB NOT NULL,
  acked INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX IF NOT EXISTS answer ON command (answer_id);
CREATE TABLE IF NOT EXISTS floor (one INTEGER PRIMARY KEY CHECK (one = 1), made_at REAL NOT NULL)
"""
MAX_KEPT: Final = 1000
"""Each with an answer of up to 16 KiB; ids beyond are forgotten, the oldest that are done first."""
KEPT_AFTER_EXPIRY_S: Final = 30 * 86_400.0
"""By the cloud's clock. A copy that comes after its expiry is not done anyway; this is for its answer."""
LAST_MOMENT: Final = datetime.max.replace(tzinfo=UTC).timestamp() - 86_400.0
"""A floor above, from a hostile year 9999, is no time that Python can hold in every zone."""


class SqliteJournal:
    """Implements `agent.command.ports.Journal`. Safe to use from any thread."""

    def __init__(self, path: Path, *, faults: Faults) -> None:
        self._faults = faults
        self._file = SqliteFile(path, schema=SCHEMA, synchronous="FULL", opened=lambda _: None)
        self._lock = threading.Lock()

    def close(self) -> None:
        """Let go of the file."""
        with self._lock:
            self._file.close()

    def floor(self) -> datetime | None:
        """The newest `made_at` of a command; see the port."""
        row = self._transact(lambda db: db.execute("SELECT made_at FROM floor").fetchone())
        return None if row is None else datetime.fromtimestamp(min(row[0], LAST_MOMENT), UTC)

    def find(self, command_id: str) -> Entry | None:
        """The command, if it came before; see the port."""
        sql = "SELECT id, name, stage, answer_id, answer FROM command WHERE id = ?"
        row = self._transact(lambda db: db.execute(sql, (command_id,)).fetchone())
        return None if row is None else _entry(row)

    def accept(self, command: Command, answer: Answer) -> None:
        """A new command; see the port."""
        self._transact(lambda db: _insert(db, command, Stage.ACCEPTED, answer))

    def begin(self, command_id: str) -> None:
        """From here on it may have had its effect."""
        sql = "UPDATE command SET stage = ? WHERE id = ?"
        self._transact(lambda db: db.execute(sql, (Stage.BEGUN, command_id)).rowcount)

    def finish(self, entry: Entry, command: Command | None) -> None:
        """It is done; see the port."""
        sql = "UPDATE command SET stage = ?, answer_id = ?, answer = ?, acked = 0 WHERE id = ?"
        answer = entry.answer

        def work(db: sqlite3.Connection) -> None:
            done = db.execute(sql, (Stage.DONE, answer.message_id, answer.payload, entry.id)).rowcount
            if not done and command is not None:
                _insert(db, command, Stage.DONE, answer)

        self._transact(work)

    def unfinished(self) -> list[Entry]:
        """What an earlier run left."""
        sql = "SELECT id, name, stage, answer_id, answer FROM command WHERE stage != ? ORDER BY row"
        return [_entry(row) for row in self._transact(lambda db: db.execute(sql, (Stage.DONE,)).fetchall())]

    def unacked(self) -> list[Answer]:
        """Answers that the cloud has not acked, in their order."""
        sql = "SELECT answer_id, answer FROM command WHERE NOT acked ORDER BY row"
        return [Answer(*row) for row in self._transact(lambda db: db.execute(sql).fetchall())]

    def acked(self, message_ids: Collection[str]) -> None:
        """The cloud has these answers."""
        sql = "UPDATE command SET acked = 1 WHERE answer_id = ?"
        self._transact(lambda db: db.executemany(sql, [(id_,) for id_ in message_ids]).rowcount)

    def _transact(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Do `work` in a transaction.

        Raises:
            OutboxUnwritable: The disk refuses.
        """
        with self._lock:
            return self._file.transact(work, self._faults.note)


def _insert(db: sqlite3.Connection, command: Command, stage: Stage, answer: Answer) -> None:
    made_at, expires_at = command.made_at.timestamp(), command.expires_at.timestamp()
    db.execute(
        "INSERT INTO command (id, name, stage, made_at, expires_at, answer_id, answer) VALUES (?, ?, ?, ?, ?, ?, ?)",
        (command.message_id, command.name, stage, made_at, expires_at, answer.message_id, answer.payload),
    )
    db.execute(
        "INSERT INTO floor VALUES (1, ?) ON CONFLICT (one) DO UPDATE SET made_at = max(made_at, excluded.made_at)",
        (made_at,),
    )
    db.execute("DELETE FROM command WHERE stage = ? AND expires_at < ?", (Stage.DONE, made_at - KEPT_AFTER_EXPIRY_S))
    db.execute(
        "DELETE FROM command WHERE stage = ? AND row <= (SELECT row FROM command ORDER BY row DESC LIMIT 1 OFFSET ?)",
        (Stage.DONE, MAX_KEPT),
    )


def _entry(row: tuple[str, str, str, str, bytes]) -> Entry:
    return Entry(row[0], row[1], Stage(row[2]), Answer(row[3], row[4]))
