"""The outbox in SQLite: a commit is on the disk before `record` returns.

Where the file turns out to be damaged it is set aside and a new one begun: what waited in it is lost to delivery. A
running agent goes on with each camera's sequence; one that finds the damage when it starts begins again at 1, and the
boot id and the times tell the cloud that it did.
"""

from __future__ import annotations

import logging
import secrets
import shutil
import sqlite3
import threading
from collections import deque
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, TypeVar

from agent.adapters.sqlite_file import SqliteFile
from agent.deliver.faults import Faults
from agent.deliver.messages import Boot, Moment, alert_message, change_of
from agent.deliver.outbox import OutboxSettings, Queued
from agent.domain import AlertChange, Clock
from agent.errors import OutboxCorrupt, OutboxUnwritable
from wire.codec import decode, encode
from wire.errors import WireError
from wire.messages import Alert, AlertEvent

log = logging.getLogger(__name__)
T = TypeVar("T")

SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS outbox (
  row INTEGER PRIMARY KEY AUTOINCREMENT,
  message_id TEXT NOT NULL UNIQUE,
  payload BLOB NOT NULL
);
CREATE TABLE IF NOT EXISTS camera (
  name TEXT PRIMARY KEY,
  sequence INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS alert (
  id TEXT NOT NULL UNIQUE,
  latest BLOB NOT NULL,
  ended INTEGER NOT NULL,
  changed INTEGER NOT NULL,
  changed_at REAL NOT NULL
);
CREATE INDEX IF NOT EXISTS alert_changed ON alert (changed)
"""
KEEP_SEQUENCE: Final = (
    "INSERT INTO camera (name, sequence) VALUES (?, ?) ON CONFLICT DO UPDATE SET sequence = excluded.sequence"
)
MAX_RECORDS: Final = 10_000
"""Alerts remembered for a restart; at 700 bytes each they take 7 MB."""
PURGE_EVERY: Final = 1_000
"""Messages between two clean-ups of old alert records: a scan of 10,000 rows then costs next to nothing."""
MIB: Final = 1024 * 1024


class SqliteOutbox:
    """Implements `agent.deliver.outbox.Outbox`."""

    def __init__(
        self,
        path: Path,
        *,
        settings: OutboxSettings,
        boot: Boot,
        clock: Clock,
        faults: Faults,
        new_id: Callable[[], str] = lambda: secrets.token_hex(16),
        free_bytes: Callable[[Path], int] = lambda folder: shutil.disk_usage(folder).free,
    ) -> None:
        self._settings = settings
        self._boot = boot
        self._clock = clock
        self._faults = faults
        self._new_id = new_id
        self._free_bytes = free_bytes
        self._file = SqliteFile(path, schema=SCHEMA, synchronous="FULL", opened=self._opened)
        self._lock = threading.Lock()
        self._held: deque[AlertChange] = deque()
        self._depth = 0
        self._dropped = 0
        self._since_purge = 0
        self._last_row = 0
        self._sequences: dict[str, int] = {}
        self._wakes: list[Callable[[], None]] = []

    def open(self) -> None:
        """Open the file now instead of at its first use.

        Raises:
            OutboxUnwritable: The disk refuses.
        """
        with self._lock:
            self._transact(lambda _: None)

    def close(self) -> None:
        """Let go of the file, after a last try to commit what is held."""
        self.flush()
        with self._lock:
            self._file.close()

    def call_when_recorded(self, wake: Callable[[], None]) -> None:
        """Have `wake` called after each commit, from whichever thread recorded."""
        self._wakes.append(wake)

    def record(self, changes: Sequence[AlertChange]) -> list[Alert]:
        """Commit the changes after those still held; see the port."""
        with self._lock:
            self._held.extend(changes)
            alerts = self._commit_held()
            self._bound_held()
        return self._announced(alerts)

    def flush(self) -> list[Alert]:
        """Try again to commit what is held in memory."""
        with self._lock:
            alerts = self._commit_held()
        return self._announced(alerts)

    def held(self) -> int:
        """How many changes wait in memory for the disk."""
        return len(self._held)

    def depth(self) -> int:
        """How many messages wait for an ack, as of the last use of the file."""
        return self._depth

    def dropped(self) -> int:
        """How many changes were lost to the bounds or to corruption since the start."""
        return self._dropped

    def after(self, row: int, limit: int) -> list[Queued]:
        """The oldest messages beyond `row`, in order; see the port."""
        sql = "SELECT row, message_id, payload FROM outbox WHERE row > ? ORDER BY row LIMIT ?"
        with self._lock:
            found = self._transact(lambda db: db.execute(sql, (row, limit)).fetchall())
        return [Queued(*columns) for columns in found]

    def forget(self, message_ids: Collection[str]) -> int:
        """Drop what the cloud has committed; see the port."""
        ids = [(message_id,) for message_id in message_ids]
        with self._lock:
            gone = self._transact(lambda db: db.executemany("DELETE FROM outbox WHERE message_id = ?", ids).rowcount)
            self._depth -= gone
            self._give_back_space()
        return gone

    def records(self) -> list[AlertChange]:
        """The latest change of each alert that is open or ended lately; an ended one's event is always `end`.

        Raises:
            OutboxUnwritable: The disk refuses.
        """
        with self._lock:
            rows = self._transact(
                lambda db: db.execute("SELECT latest, ended FROM alert ORDER BY changed").fetchall()
            )
        moment = Moment.now(self._clock)
        changes = []
        for latest, ended in rows:
            try:
                change = change_of(decode(Alert, latest), moment)
            except WireError as refused:
                self._faults.note(refused)
                continue
            changes.append(replace(change, event=AlertEvent.END) if ended else change)
        return changes

    # --- under the lock ---------------------------------------------------------------------------------------

    def _bound_held(self) -> None:
        while len(self._held) > self._settings.max_held:
            self._held.popleft()
            self._dropped += 1

    def _commit_held(self) -> list[Alert]:
        if not self._held:
            return []
        batch = list(self._held)
        try:
            alerts, trimmed = self._transact(lambda db: self._insert(db, batch))
        except OutboxUnwritable as refused:
            self._faults.note(refused)
            return []
        self._held.clear()
        self._sequences.update((alert.camera, alert.sequence) for alert in alerts)
        self._depth += len(alerts) - trimmed
        self._dropped += trimmed
        return alerts

    def _insert(self, db: sqlite3.Connection, changes: list[AlertChange]) -> tuple[list[Alert], int]:
        moment = Moment.now(self._clock)
        alerts = []
        for change in changes:
            sequence = _last_sequence(db, change.camera) + 1
            try:
                alert = alert_message(
                    change, boot=self._boot, moment=moment, message_id=self._new_id(), sequence=sequence
                )
                payload = encode(alert)
            except WireError as refused:
                self._faults.note(refused)
                self._dropped += 1
                continue
            cursor = db.execute("INSERT INTO outbox (message_id, payload) VALUES (?, ?)", (alert.message_id, payload))
            db.execute(KEEP_SEQUENCE, (change.camera, sequence))
            self._last_row = cursor.lastrowid or self._last_row
            _remember(db, alert, payload, self._last_row)
            alerts.append(alert)
        self._since_purge += len(alerts)
        if self._since_purge >= PURGE_EVERY:
            self._purge(db)
        return alerts, self._trim(db, len(alerts))

    def _trim(self, db: sqlite3.Connection, added: int) -> int:
        """Drop the oldest messages over the bounds; how many."""
        over = self._depth + added - self._settings.max_messages
        if self._free_bytes(self._file.path.parent) < self._settings.min_free_disk_mib * MIB:
            over = max(over, min(added, self._depth))
        if over <= 0:
            return 0
        return db.execute(
            "DELETE FROM outbox WHERE row IN (SELECT row FROM outbox ORDER BY row LIMIT ?)", (over,)
        ).rowcount

    def _purge(self, db: sqlite3.Connection) -> None:
        """Forget alert records that no late answer can reach any more."""
        self._since_purge = 0
        ended_before = self._clock.wall().timestamp() - self._settings.keep_records_s
        db.execute("DELETE FROM alert WHERE ended AND changed_at < ?", (ended_before,))
        db.execute(
            "DELETE FROM alert WHERE changed <= (SELECT changed FROM alert ORDER BY changed DESC LIMIT 1 OFFSET ?)",
            (MAX_RECORDS,),
        )

    def _opened(self, db: sqlite3.Connection) -> None:
        self._depth = int(db.execute("SELECT COUNT(*) FROM outbox").fetchone()[0])
        self._go_on_counting(db)
        self._purge(db)

    def _go_on_counting(self, db: sqlite3.Connection) -> None:
        """A file begun anew under a running agent goes on where the damaged one stopped."""
        found = db.execute("SELECT seq FROM sqlite_sequence WHERE name = 'outbox'").fetchone()
        if found is None:
            db.execute("INSERT INTO sqlite_sequence (name, seq) VALUES ('outbox', ?)", (self._last_row,))
        else:
            self._last_row = int(found[0])
        for camera, sequence in self._sequences.items():
            db.execute(f"{KEEP_SEQUENCE} WHERE excluded.sequence > sequence", (camera, sequence))
        self._sequences.update(db.execute("SELECT name, sequence FROM camera").fetchall())

    def _give_back_space(self) -> None:
        """A wish, not a duty: what is wrong with the file shows again at its next use."""
        try:
            self._file.give_back_space()
        except (OutboxUnwritable, OutboxCorrupt) as refused:
            self._faults.note(refused)

    def _transact(self, work: Callable[[sqlite3.Connection], T]) -> T:
        return self._file.transact(work, self._lost)

    def _lost(self, damaged: OutboxCorrupt) -> None:
        self._faults.note(damaged)
        self._dropped += self._depth
        self._depth = 0

    def _announced(self, alerts: list[Alert]) -> list[Alert]:
        if alerts:
            for wake in self._wakes:
                wake()
        return alerts


def _last_sequence(db: sqlite3.Connection, camera: str) -> int:
    row = db.execute("SELECT sequence FROM camera WHERE name = ?", (camera,)).fetchone()
    return int(row[0]) if row else 0


def _remember(db: sqlite3.Connection, alert: Alert, payload: bytes, row: int) -> None:
    ended = alert.event is AlertEvent.END
    made_at: datetime = alert.made_at.astimezone(UTC)
    db.execute(
        "INSERT INTO alert (id, latest, ended, changed, changed_at) VALUES (?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET"
        " latest = excluded.latest, ended = MAX(ended, excluded.ended), changed = excluded.changed,"
        " changed_at = excluded.changed_at",
        (alert.id, payload, ended, row, made_at.timestamp()),
    )
