from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from agent.adapters.sqlite_uploads import SqliteUploads
from agent.ask.uploads import Key, Kind, Upload
from agent.deliver.faults import Faults
from agent.errors import OutboxUnwritable

WALL = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)


def key(number: int, kind: Kind = Kind.QUESTION) -> Key:
    return Key(kind, f"{number:032x}")


def upload(number: int, size: int = 10, kind: Kind = Kind.QUESTION) -> Upload:
    return Upload(key(number, kind), b"{}", b"j" * size, WALL + timedelta(seconds=number))


def store(path: Path, faults: Faults | None = None, **bounds: int) -> SqliteUploads:
    return SqliteUploads(path, **({"max_stored": 100, "max_stored_mib": 10} | bounds), faults=faults or Faults())


def test_uploads_come_back_after_a_restart_oldest_first(tmp_path: Path):
    first = store(tmp_path / "uploads.db")
    first.put(upload(2))
    first.put(upload(1, kind=Kind.PICTURE))
    first.close()
    again = store(tmp_path / "uploads.db")
    assert again.waiting() == [(key(2), upload(2).made_at), (key(1, Kind.PICTURE), upload(1).made_at)]
    assert again.get(key(2)) == upload(2)


def test_what_was_removed_is_gone(tmp_path: Path):
    uploads = store(tmp_path / "uploads.db")
    uploads.put(upload(1))
    uploads.remove(key(1))
    uploads.remove(key(1))
    assert uploads.get(key(1)) is None
    assert uploads.waiting() == []


def test_over_the_count_the_oldest_are_dropped_and_named(tmp_path: Path):
    uploads = store(tmp_path / "uploads.db", max_stored=2)
    assert [uploads.put(upload(n)) for n in range(1, 4)] == [[], [], [key(1)]]


def test_audits_are_dropped_before_anything_that_somebody_waits_for(tmp_path: Path):
    uploads = store(tmp_path / "uploads.db", max_stored=2)
    puts = [uploads.put(upload(n, kind=kind)) for n, kind in enumerate((Kind.QUESTION, Kind.AUDIT, Kind.PICTURE))]
    assert puts == [[], [], [key(1, Kind.AUDIT)]]
    assert uploads.put(upload(3, kind=Kind.AUDIT)) == [key(3, Kind.AUDIT)], "even where it is the newest"


def test_what_only_asks_for_an_outcome_goes_before_an_audit(tmp_path: Path):
    uploads = store(tmp_path / "uploads.db", max_stored=2)
    uploads.put(upload(1, kind=Kind.AUDIT))
    uploads.put(upload(2, size=0, kind=Kind.OUTCOME))
    assert uploads.put(upload(3)) == [key(2, Kind.OUTCOME)]
    assert uploads.put(upload(4)) == [key(1, Kind.AUDIT)]


def test_over_the_size_the_oldest_are_dropped_and_named(tmp_path: Path):
    uploads = store(tmp_path / "uploads.db", max_stored_mib=1)
    uploads.put(upload(1, 400_000))
    uploads.put(upload(2, 400_000))
    assert uploads.put(upload(3, 900_000)) == [key(1), key(2)]


def test_a_second_upload_under_a_key_replaces_the_first(tmp_path: Path):
    uploads = store(tmp_path / "uploads.db")
    uploads.put(upload(1, 10))
    uploads.put(upload(1, 20))
    kept = uploads.get(key(1))
    assert kept is not None
    assert len(kept.jpeg) == 20
    assert len(uploads.waiting()) == 1


def test_asking_goes_on_in_memory_while_the_disk_refuses(tmp_path: Path):
    (tmp_path / "folder").write_text("a file where the folder should be")
    faults = Faults()
    uploads = store(tmp_path / "folder" / "uploads.db", faults)
    dropped = [dropped for n in range(20) for dropped in uploads.put(upload(n))]
    assert dropped == [key(n) for n in range(4)]
    assert uploads.get(key(19)) == upload(19)
    uploads.remove(key(19))
    with pytest.raises(OutboxUnwritable):
        uploads.get(key(19))
    assert faults.counts()["OutboxUnwritable"] >= 20


def test_a_damaged_file_is_set_aside(tmp_path: Path):
    (tmp_path / "uploads.db").write_bytes(b"rubbish" * 1000)
    faults = Faults()
    uploads = store(tmp_path / "uploads.db", faults)
    uploads.put(upload(1))
    assert uploads.get(key(1)) == upload(1)
    assert faults.counts() == {"OutboxCorrupt": 1}
    assert (tmp_path / "uploads.db.corrupt-1").exists()


def test_what_a_later_agent_left_is_dropped(tmp_path: Path):
    uploads = store(tmp_path / "uploads.db")
    uploads.put(upload(1))
    uploads.close()
    with closing(sqlite3.connect(tmp_path / "uploads.db")) as file, file:
        file.execute("INSERT INTO upload (kind, id, question, jpeg, made_at) VALUES ('hologram', 'x', '', '', 1.0)")
    again = store(tmp_path / "uploads.db", max_stored=2)
    assert [kept for kept, _ in again.waiting()] == [key(1)]
    assert again.put(upload(2)) == []
    assert again.put(upload(3)) == [key(1)]
