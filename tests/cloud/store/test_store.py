"""The tables and the blobs, on the real database."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, create_mock_engine, text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import create_async_engine

from cloud.domain import Arrival
from cloud.errors import BlobFailed, BlobMissing, DeviceExists, DeviceUnknown, NotFound, StoreFailed, StoreNewer
from cloud.fleet.enrolment import Enrolment
from cloud.ingest.plan import plan
from cloud.store.alerts import AlertFilter, AlertStore
from cloud.store.batches import BatchStore
from cloud.store.blobs import LocalBlobs
from cloud.store.database import Database, newest, open_database, sqlite_url
from cloud.store.devices import DeviceStore
from cloud.store.documents import Documents
from cloud.store.migrating import MIGRATIONS
from cloud.store.questions import QuestionStore
from cloud.store.schema import metadata
from tests.cloud.samples import JPEG, NOW, ManualClock, alert, new_id, question, telemetry, verdict
from wire.errors import NotOurs
from wire.messages import AlertState, AskReason, UpMessage


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    async with open_database(sqlite_url(tmp_path / "db")) as database:
        await DeviceStore(database).add("cam-1", "x" * 64, NOW)
        await DeviceStore(database).add("cam-2", "y" * 64, NOW)
        yield database


async def take(database: Database, *messages: UpMessage) -> None:
    arrivals = [Arrival(message, NOW) for message in messages]
    await BatchStore(database).commit(arrivals, lambda known: plan(arrivals, known))


async def names(database: Database) -> list[str]:
    return [device.id for device in await DeviceStore(database).all()]


async def test_migrations_lead_to_the_schema(database: Database) -> None:
    def differences(connection: Connection) -> object:
        return compare_metadata(MigrationContext.configure(connection), metadata)

    async with database.reading() as connection:
        assert await connection.run_sync(differences) == []


def test_the_newest_version_is_the_one_that_the_steps_lead_to() -> None:
    assert newest() == ScriptDirectory(str(MIGRATIONS)).get_current_head()


async def test_who_only_reads_waits_for_no_writer_to_open_it(tmp_path: Path, database: Database) -> None:
    async with database.writing() as connection, open_database(sqlite_url(tmp_path / "db")) as other:
        await connection.execute(text("DELETE FROM devices"))
        assert len(await DeviceStore(other).all()) == 2


def test_schema_can_be_made_on_postgresql() -> None:
    said: list[str] = []
    engine = create_mock_engine(
        "postgresql+psycopg://", lambda sql, *_: said.append(str(sql.compile(dialect=engine.dialect)))
    )
    try:
        metadata.create_all(engine, checkfirst=False)
    except ModuleNotFoundError:
        pytest.skip("no PostgreSQL driver is installed")
    assert any("TIMESTAMP WITH TIME ZONE" in statement for statement in said)


async def test_commits_are_durable_and_readable_while_written(database: Database) -> None:
    for pragma, value in (("journal_mode", "wal"), ("synchronous", 2), ("foreign_keys", 1)):
        asked = text(f"PRAGMA {pragma}")
        async with database.reading() as connection:
            assert (await connection.execute(asked)).scalar() == value
        assert await database.transact(lambda connection, asked=asked: connection.execute(asked).scalar()) == value


async def test_a_transaction_apart_leaves_the_event_loop_to_others(database: Database) -> None:
    begun, let_go = asyncio.Event(), threading.Event()
    loop = asyncio.get_running_loop()

    def work(connection: Connection) -> bool:
        connection.execute(text("DELETE FROM devices WHERE id = 'cam-2'"))
        loop.call_soon_threadsafe(begun.set)
        return let_go.wait(60)

    working = asyncio.create_task(database.transact(work))
    await begun.wait()
    assert await names(database) == ["cam-1", "cam-2"], "it is not committed yet, and whoever reads waits for nothing"
    let_go.set()
    assert await working
    assert await names(database) == ["cam-1"]


@pytest.mark.parametrize("apart", [True, False], ids=["apart", "as on a server"])
async def test_a_transaction_that_fails_changes_nothing(database: Database, tmp_path: Path, apart: bool) -> None:
    one = database if apart else Database(create_async_engine(sqlite_url(tmp_path / "db")))

    def work(statement: str) -> Callable[[Connection], None]:
        def delete_and(connection: Connection) -> None:
            connection.execute(text("DELETE FROM devices WHERE id = 'cam-2'"))
            connection.execute(text(statement))

        return delete_and

    try:
        with pytest.raises(StoreFailed, match="no such table: missing"):
            await one.transact(work("DELETE FROM missing"))
        with pytest.raises(IntegrityError):
            await one.transact(work("INSERT INTO devices SELECT * FROM devices"))
        assert await names(database) == ["cam-1", "cam-2"]
        await one.transact(work("SELECT 1"))
        assert await names(database) == ["cam-1"]
    finally:
        if not apart:
            await one.close()


async def test_a_transaction_that_nobody_waits_for_any_more_is_whole_before_the_database_is_closed(
    tmp_path: Path, database: Database
) -> None:
    begun, let_go = asyncio.Event(), threading.Event()
    loop = asyncio.get_running_loop()

    def work(connection: Connection) -> None:
        connection.execute(text("DELETE FROM devices WHERE id = 'cam-1'"))
        loop.call_soon_threadsafe(begun.set)
        let_go.wait(60)
        connection.execute(text("DELETE FROM devices WHERE id = 'cam-2'"))

    async with open_database(sqlite_url(tmp_path / "db")) as other:
        working = asyncio.create_task(other.transact(work))
        await begun.wait()
        working.cancel()
        with pytest.raises(asyncio.CancelledError):
            await working
        assert await names(database) == ["cam-1", "cam-2"]
        let_go.set()
    assert await names(database) == []


async def test_what_a_device_did_not_say_anew_keeps_its_text(database: Database) -> None:
    """Such as fields of a newer release, which this one would leave out."""
    await take(database, telemetry(uptime_s=1))
    async with database.writing() as connection:
        kept = (await connection.execute(text("SELECT telemetry FROM devices WHERE id = 'cam-1'"))).scalar_one()
        newer = f'{kept[:-1]},"of_a_newer_release":true}}'
        await connection.execute(text("UPDATE devices SET telemetry = :newer WHERE id = 'cam-1'"), {"newer": newer})

    async def stored() -> str:
        async with database.reading() as connection:
            found = await connection.execute(text("SELECT telemetry FROM devices WHERE id = 'cam-1'"))
            return str(found.scalar_one())

    await take(database, alert())
    assert await stored() == newer
    await take(database, telemetry(uptime_s=2))
    assert '"uptime_s":2' in await stored()
    assert "newer_release" not in await stored()


async def test_what_another_program_writes_is_seen_by_who_has_read_it_before(database: Database) -> None:
    documents = Documents()
    batches, devices = BatchStore(database, documents), DeviceStore(database, documents)
    for uptime_s in (1, 2):
        arrivals = [Arrival(telemetry(uptime_s=uptime_s), NOW)]
        await BatchStore(database).commit(arrivals, lambda known, batch=arrivals: plan(batch, known))
        [found, _] = await devices.all()
        assert found.telemetry == arrivals[0].message
        again = [Arrival(alert(), NOW)]
        await batches.commit(again, lambda known, batch=again: plan(batch, known))
        assert await devices.find("cam-1") == replace(found, last_seen_at=NOW)


async def test_database_of_a_newer_program_is_refused(tmp_path: Path, database: Database) -> None:
    async with database.writing() as connection:
        await connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(StoreNewer, match="Update this program"):
        async with open_database(sqlite_url(tmp_path / "db")):
            pass


async def test_file_that_is_no_database_is_named_as_such(tmp_path: Path) -> None:
    (tmp_path / "broken").write_bytes(b"not a database, " * 100)
    with pytest.raises(StoreFailed, match="not a database"):
        async with open_database(sqlite_url(tmp_path / "broken")):
            pass


async def test_another_program_s_write_in_between_makes_nobody_fail(tmp_path: Path, database: Database) -> None:
    """The command line and the service write into the same file."""
    async with open_database(sqlite_url(tmp_path / "db")) as other:
        adding = [
            DeviceStore(one).add(f"dev-{number}-{side}", new_id() * 2, NOW)
            for number in range(20)
            for side, one in enumerate((database, other))
        ]
        await asyncio.gather(*adding)
    assert len(await DeviceStore(database).all()) == 42


async def test_token_is_that_of_its_device_until_revoked(database: Database) -> None:
    enrolment = Enrolment(DeviceStore(database), ManualClock())
    token = await enrolment.enroll("cam-3")
    assert await enrolment.device_of(token) == "cam-3"
    assert await enrolment.device_of(token + "x") is None
    assert await enrolment.device_of("") is None
    assert await enrolment.device_of("\ud800" * 10_000) is None
    await enrolment.revoke("cam-3")
    assert await enrolment.device_of(token) is None


async def test_token_is_not_kept(tmp_path: Path, database: Database) -> None:
    token = await Enrolment(DeviceStore(database), ManualClock()).enroll("cam-3")
    kept = b"".join([(tmp_path / name).read_bytes() for name in ("db", "db-wal")])
    assert b"cam-3" in kept
    assert token.encode() not in kept


async def test_enrolling_and_revoking_say_what_is_wrong(database: Database) -> None:
    enrolment = Enrolment(DeviceStore(database), ManualClock())
    with pytest.raises(DeviceExists):
        await enrolment.enroll("cam-1")
    with pytest.raises(NotOurs):
        await enrolment.enroll("Not/An Id")
    with pytest.raises(DeviceUnknown):
        await enrolment.revoke("nobody")


async def test_questions_verdicts_and_pictures_are_kept_once(database: Database) -> None:
    store = QuestionStore(database, ManualClock())
    about = alert()
    await take(database, about)
    asked = question(about)
    answer = verdict(asked, late=True)
    for _ in range(2):
        await store.add_question(asked, "q/1.jpg", 10)
    assert await store.unanswered(10) == [(asked, "q/1.jpg")]
    assert await store.find_verdict(asked.message_id) is None
    for again in (answer, verdict(asked, decision="retracted")):
        await store.add_verdict(again)
    assert await store.unanswered(10) == []
    assert await store.find_verdict(asked.message_id) == answer
    alerts = AlertStore(database)
    assert await alerts.picture_key(about.id) == "q/1.jpg"
    for _ in range(2):
        await store.add_picture("cam-1", about.id, "a/1.jpg", 10)
    assert await alerts.picture_key(about.id) == "a/1.jpg"
    (full,) = await alerts.some([about.id])
    assert full.verdict == (answer, asked)
    sums = await alerts.sums()
    assert (sums.asks, sums.answers, sums.late_answers) == (1, 0, 1)


async def test_unanswered_come_oldest_first_and_no_more_than_wanted(database: Database) -> None:
    store = QuestionStore(database, ManualClock())
    asked = [question(alert()) for _ in range(4)]
    for one in asked:
        await store.add_question(one, "q/x.jpg", 1)
    assert [one for one, _ in await store.unanswered(3)] == asked[:3]


async def test_nothing_that_another_device_hangs_on_an_alert_is_shown_with_it(database: Database) -> None:
    mine = alert("cam-1")
    await take(database, mine)
    store = QuestionStore(database, ManualClock())
    foreign = question(mine, device="cam-2")
    await store.add_question(foreign, "q/foreign.jpg", 1)
    await store.add_verdict(verdict(foreign))
    await store.add_picture("cam-2", mine.id, "a/foreign.jpg", 1)
    (full,) = await AlertStore(database).some([mine.id])
    assert (full.verdict, full.has_picture) == (None, False)
    with pytest.raises(NotFound):
        await AlertStore(database).picture_key(mine.id)


async def test_pages_go_back_without_gap_or_repeat(database: Database) -> None:
    alerts = AlertStore(database)
    messages = [alert(sequence=number + 1) for number in range(7)]
    await take(database, *messages)
    seen: list[str] = []
    before: int | None = None
    while page := await alerts.page(AlertFilter(), before, 3):
        seen += [full.record.alert.id for full in page]
        before = page[-1].record.number
        await take(database, alert(sequence=100 + len(seen)))
    assert seen == [message.id for message in reversed(messages)]


@pytest.mark.parametrize(
    ("which", "count"),
    [
        (AlertFilter(device="cam-2"), 1),
        (AlertFilter(camera="gate"), 1),
        (AlertFilter(state=AlertState.RETRACTED), 1),
        (AlertFilter(device="cam-1", camera="yard"), 2),
        (AlertFilter(device="nobody"), 0),
    ],
)
async def test_filters_choose(database: Database, which: AlertFilter, count: int) -> None:
    await take(database, alert(), alert(state="retracted"), alert(camera="gate"), alert("cam-2", camera="hall"))
    assert len(await AlertStore(database).page(which, None, 10)) == count


async def test_chart_points_thin_out_with_age(database: Database) -> None:
    batches, devices = BatchStore(database), DeviceStore(database)
    for minutes in (0, 1, 90, 91, 95, 26 * 60):
        at = NOW - timedelta(minutes=minutes)
        arrivals = [Arrival(telemetry(uptime_s=minutes), at)]
        await batches.commit(arrivals, lambda known, batch=arrivals: plan(batch, known))
    await batches.thin(NOW)
    assert [point.uptime_s for point in await devices.history("cam-1")] == [95, 90, 1, 0]
    with pytest.raises(DeviceUnknown):
        await devices.history("nobody")


async def test_chart_keeps_the_latest_point_of_a_slot(database: Database) -> None:
    await take(database, telemetry(uptime_s=1))
    await take(database, telemetry(uptime_s=2))
    assert [point.uptime_s for point in await DeviceStore(database).history("cam-1")] == [2]


async def test_blobs_come_back_and_missing_ones_are_named(tmp_path: Path) -> None:
    blobs = LocalBlobs(tmp_path / "blobs")
    await blobs.put("questions/cam-1/a.jpg", b"old")
    await blobs.put("questions/cam-1/a.jpg", JPEG)
    assert await blobs.get("questions/cam-1/a.jpg") == JPEG
    with pytest.raises(BlobMissing):
        await blobs.get("questions/cam-1/b.jpg")


@pytest.mark.parametrize(
    "key", ["../x", "/etc/passwd", "a//b", "", "a/../b", ".hidden", "a\x00b", "a/" * 20 + "b", "x" * 300]
)
async def test_malformed_key_is_refused(tmp_path: Path, key: str) -> None:
    blobs = LocalBlobs(tmp_path / "blobs")
    with pytest.raises(BlobFailed):
        await blobs.put(key, JPEG)
    with pytest.raises(BlobFailed):
        await blobs.get(key)


async def test_blob_that_the_disk_refuses_is_named(tmp_path: Path) -> None:
    blobs = LocalBlobs(tmp_path / "blobs")
    (tmp_path / "blobs" / "questions").write_bytes(b"a file where a folder should be")
    with pytest.raises(BlobFailed):
        await blobs.put("questions/cam-1/a.jpg", JPEG)


async def test_a_question_that_decides_no_alert_is_kept_and_answered_like_any(database: Database) -> None:
    about = alert()
    await take(database, about)
    store = QuestionStore(database, ManualClock())
    asked = question(about).model_copy(update={"alert_id": None, "track": None, "reason": AskReason.DISAGREEMENT})
    await store.add_question(asked, "q/1.jpg", 10)
    assert await store.unanswered(10) == [(asked, "q/1.jpg")]
    answer = verdict(asked)
    await store.add_verdict(answer)
    assert await store.find_verdict(asked.message_id) == answer
    assert answer.alert_id is None
    (shown,) = await AlertStore(database).some([about.id])
    assert (shown.verdict, shown.has_picture) == (None, False)
