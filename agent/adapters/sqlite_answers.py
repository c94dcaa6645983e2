"""Answers of the cloud, what the device counted, and where its bands stand: on disk, over restarts and outages.

They survive a crash and a restart; a power cut may cost the last of them, and with it no more than their numbers.
"""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final, TypeVar

from agent.adapters.sqlite_file import SqliteFile
from agent.deliver.faults import Faults
from agent.errors import OutboxUnwritable
from agent.tune.bands import MOST_ANSWERS, Held
from agent.tune.evidence import DAY_S, Census, Evidence, FrameAnswer, ObjectAnswer, Scene

T = TypeVar("T")

SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS frame (
  audit TEXT NOT NULL, camera TEXT NOT NULL, label TEXT NOT NULL, digest TEXT NOT NULL,
  at REAL NOT NULL, probability REAL NOT NULL, there INTEGER NOT NULL, found TEXT NOT NULL,
  PRIMARY KEY (audit, label)
);
CREATE INDEX IF NOT EXISTS frame_at ON frame (at);
CREATE TABLE IF NOT EXISTS object (
  question TEXT PRIMARY KEY, camera TEXT NOT NULL, label TEXT NOT NULL, digest TEXT NOT NULL,
  at REAL NOT NULL, probability REAL NOT NULL, certain_to REAL NOT NULL, wrong INTEGER
);
CREATE INDEX IF NOT EXISTS object_at ON object (at);
CREATE TABLE IF NOT EXISTS watched (
  camera TEXT NOT NULL, digest TEXT NOT NULL, day INTEGER NOT NULL, seconds REAL NOT NULL,
  PRIMARY KEY (camera, digest, day)
);
CREATE TABLE IF NOT EXISTS census (
  camera TEXT NOT NULL, label TEXT NOT NULL, digest TEXT NOT NULL, day INTEGER NOT NULL,
  hundredth INTEGER NOT NULL, objects INTEGER NOT NULL,
  PRIMARY KEY (camera, label, digest, day, hundredth)
);
CREATE TABLE IF NOT EXISTS held (
  camera TEXT NOT NULL, label TEXT NOT NULL, digest TEXT NOT NULL,
  lower REAL NOT NULL, upper REAL NOT NULL, day_began_at REAL NOT NULL, day_lower REAL NOT NULL,
  day_upper REAL NOT NULL, PRIMARY KEY (camera, label, digest)
)
"""


class SqliteAnswers:
    """Implements `agent.tune.ports.Answers`. Safe to use from any thread; what the disk refuses is only counted."""

    def __init__(self, path: Path, *, faults: Faults) -> None:
        self._faults = faults
        self._file = SqliteFile(path, schema=SCHEMA, synchronous="NORMAL", opened=lambda _: None)
        self._lock = threading.Lock()

    def close(self) -> None:
        """Let go of the file."""
        with self._lock:
            self._file.close()

    def add_frame(self, audit: str, answers: Mapping[Scene, FrameAnswer]) -> None:
        """What an audit said, by label; the same audit twice is kept once."""
        rows = [
            (audit, *scene, one.at, one.probability, one.there, json.dumps(one.found))
            for scene, one in answers.items()
        ]
        sql = "INSERT OR IGNORE INTO frame VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
        self._transact(lambda db: db.executemany(sql, rows).rowcount)

    def add_object(self, question: str, scene: Scene, drawn: ObjectAnswer) -> None:
        """A drawn object that is asked about; what it is, is not known yet."""
        row = (question, *scene, drawn.at, drawn.probability, drawn.certain_to)
        sql = "INSERT OR IGNORE INTO object VALUES (?, ?, ?, ?, ?, ?, ?, NULL)"
        self._transact(lambda db: db.execute(sql, row).rowcount)

    def answer_object(self, question: str, *, wrong: bool) -> None:
        """The cloud has said what it is."""
        sql = "UPDATE object SET wrong = ? WHERE question = ?"
        self._transact(lambda db: db.execute(sql, (wrong, question)).rowcount)

    def unanswered(self) -> set[str]:
        """Questions about drawn objects whose answer has not come."""
        sql = "SELECT question FROM object WHERE wrong IS NULL"
        return {row[0] for row in self._transact(lambda db: db.execute(sql).fetchall()) or ()}

    def count(
        self, camera: str, digest: str, at: float, watched_s: float, objects: Mapping[tuple[str, int], int]
    ) -> None:
        """A camera was watched for so long, and so many objects have gone, by label and hundredth."""
        day = int(at // DAY_S)

        def work(db: sqlite3.Connection) -> None:
            db.execute(
                "INSERT INTO watched VALUES (?, ?, ?, ?)"
                " ON CONFLICT DO UPDATE SET seconds = seconds + excluded.seconds",
                (camera, digest, day, watched_s),
            )
            db.executemany(
                "INSERT INTO census VALUES (?, ?, ?, ?, ?, ?)"
                " ON CONFLICT DO UPDATE SET objects = objects + excluded.objects",
                [(camera, label, digest, day, hundredth, count) for (label, hundredth), count in objects.items()],
            )

        self._transact(work)

    def hold(self, held: Mapping[Scene, Held]) -> None:
        """Where bands stand from now on."""
        rows = [
            (*scene, one.lower, one.upper, one.day_began_at, one.day_lower, one.day_upper)
            for scene, one in held.items()
        ]
        sql = "INSERT OR REPLACE INTO held VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
        self._transact(lambda db: db.executemany(sql, rows).rowcount)

    def held(self) -> dict[Scene, Held] | None:
        """Where all bands stand; see the port."""
        rows = self._transact(lambda db: db.execute("SELECT * FROM held").fetchall())
        return None if rows is None else {Scene(*row[:3]): Held(*row[3:]) for row in rows}

    def evidence(self, scene: Scene, since: float) -> Evidence | None:
        """What is known of a scene from then on; the newest, where it is much. See the port."""
        first = int(since // DAY_S) + 1

        def work(db: sqlite3.Connection) -> Evidence:
            frames = db.execute(
                "SELECT at, probability, there, found FROM frame"
                " WHERE camera = ? AND label = ? AND digest = ? AND at >= ? ORDER BY at DESC LIMIT ?",
                (*scene, since, MOST_ANSWERS),
            ).fetchall()
            objects = db.execute(
                "SELECT at, probability, certain_to, wrong FROM object"
                " WHERE camera = ? AND label = ? AND digest = ? AND at >= ? AND wrong NOT NULL"
                " ORDER BY at DESC LIMIT ?",
                (*scene, since, MOST_ANSWERS),
            ).fetchall()
            watched = db.execute(
                "SELECT TOTAL(seconds) FROM watched WHERE camera = ? AND digest = ? AND day >= ?",
                (scene.camera, scene.model_digest, first),
            ).fetchone()[0]
            counts = db.execute(
                "SELECT hundredth, SUM(objects) FROM census"
                " WHERE camera = ? AND label = ? AND digest = ? AND day >= ? GROUP BY hundredth",
                (*scene, first),
            ).fetchall()
            return Evidence(
                tuple(FrameAnswer(at, p, there, tuple(json.loads(found))) for at, p, there, found in frames[::-1]),
                tuple(ObjectAnswer(at, p, to, bool(wrong)) for at, p, to, wrong in objects[::-1]),
                Census(watched, dict(counts)),
            )

        return self._transact(work)

    def forget(self, before: float) -> None:
        """Drop answers and counts from before then; where the bands stand is kept."""

        def work(db: sqlite3.Connection) -> None:
            for sql, bound in (
                ("DELETE FROM frame WHERE at < ?", before),
                ("DELETE FROM object WHERE at < ?", before),
                ("DELETE FROM watched WHERE day < ?", before // DAY_S),
                ("DELETE FROM census WHERE day < ?", before // DAY_S),
            ):
                db.execute(sql, (bound,))

        self._transact(work)

    def _transact(self, work: Callable[[sqlite3.Connection], T]) -> T | None:
        """Do `work` in a transaction; None where the disk refuses."""
        with self._lock:
            try:
                return self._file.transact(work, self._faults.note)
            except OutboxUnwritable as refused:
                self._faults.note(refused)
                return None
