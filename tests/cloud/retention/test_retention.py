"""What is too old goes, picture first, and nothing else does: on the real database and real files."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest
from pydantic import ValidationError

from cloud.domain import Arrival
from cloud.errors import BlobMissing, NotFound
from cloud.ingest.counters import Counters
from cloud.ingest.plan import plan
from cloud.retention.service import ROWS, Retention
from cloud.retention.settings import RetentionSettings
from cloud.store.alerts import AlertFilter, AlertStore
from cloud.store.audits import AuditStore
from cloud.store.batches import BatchStore
from cloud.store.blobs import LocalBlobs
from cloud.store.commands import CommandRecord, CommandStore, State
from cloud.store.database import Database, open_database
from cloud.store.devices import DeviceStore
from cloud.store.questions import QuestionStore
from cloud.store.retention import RetentionStore
from cloud.web.clips import clip_keys
from cloud.web.commands import snapshot_key
from tests.cloud.audit.fakes import audit
from tests.cloud.migrated import migrated
from tests.cloud.samples import JPEG, NOW, ManualClock, alert, new_id, question, verdict
from vision.estimates import Counts
from wire.audits import AuditOutcome
from wire.messages import Alert

EVERYTHING = AlertFilter()
FEW = 10


class Restless(ManualClock):
    """Does not let anyone sleep: time goes on instead."""

    async def sleep(self, seconds: float) -> None:
        self.turn(seconds)


@dataclass
class Rig:
    database: Database
    files: LocalBlobs
    folder: Path
    clock: Restless
    counters: Counters

    async def keeps(self, key: str) -> bool:
        try:
            return await self.files.get(key) == JPEG
        except BlobMissing:
            return False

    def jam(self, key: str) -> Path:
        """Make of the file what can't be deleted as one, whoever tries."""
        place = self.folder / key
        place.unlink()
        place.mkdir()
        return place

    def retention(self, **changes: float) -> Retention:
        return Retention(
            archive=RetentionStore(self.database),
            files=self.files,
            keys=lambda command: [snapshot_key(command), *clip_keys(command)],
            settings=RetentionSettings.model_validate(changes),
            count=self.counters.count,
            clock=self.clock,
        )

    async def take(self, *alerts: Alert) -> None:
        arrivals = [Arrival(one, self.clock.now) for one in alerts]
        await BatchStore(self.database).commit(arrivals, lambda known: plan(arrivals, known))

    async def alerts(self) -> int:
        return (await AlertStore(self.database).audit()).alerts

    async def shown(self, about: Alert, key: str) -> None:
        await self.files.put(key, JPEG)
        await QuestionStore(self.database, self.clock).add_picture(about.device, about.id, key, len(JPEG))

    async def audited(self, number: int, key: str, *, concluded: bool) -> None:
        store, counts = AuditStore(self.database, self.clock), Counts(1, 1, 1)
        await self.files.put(key, JPEG)
        await store.add(audit(number), key, len(JPEG))
        if concluded:
            found = AuditOutcome(
                message_id=new_id(), device="cam-1", made_at=NOW, audit_id=audit(number).message_id, model="big"
            )
            await store.conclude(found, counts)

    async def filmed(self, name: str = "snapshot", state: State = State.DONE) -> CommandRecord:
        issued, expires = self.clock.now, self.clock.now + timedelta(minutes=5)
        command = CommandRecord(new_id(), new_id(), "cam-1", name, {}, "anna", issued, expires, state=state)
        await CommandStore(self.database).add([command])
        key = snapshot_key(command) if name == "snapshot" else clip_keys(command)[0]
        await self.files.put(key, JPEG)
        return command


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[Rig]:
    async with open_database(await migrated(tmp_path / "db")) as database:
        await DeviceStore(database).add("cam-1", "x" * 64, NOW)
        blobs = tmp_path / "blobs"
        yield Rig(database, LocalBlobs(blobs), blobs, Restless(), Counters())


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small batches, so that there are several."""
    monkeypatch.setattr("cloud.retention.service.ROWS", FEW)


async def test_pictures_go_first_and_alerts_stay_without_them(rig: Rig) -> None:
    about = alert()
    asked = question(about)
    await rig.take(about)
    await rig.shown(about, "alerts/1.jpg")
    await rig.files.put("questions/1.jpg", JPEG)
    questions = QuestionStore(rig.database, rig.clock)
    await questions.add_question(asked, "questions/1.jpg", len(JPEG))
    await questions.add_verdict(verdict(asked))
    alerts = AlertStore(rig.database)

    rig.clock.turn(29 * 86400)
    await rig.retention().look()
    assert await rig.keeps("alerts/1.jpg")
    assert await rig.keeps("questions/1.jpg")
    assert (await alerts.some([about.id]))[0].has_picture

    rig.clock.turn(2 * 86400)
    await rig.retention().look()
    assert not await rig.keeps("alerts/1.jpg")
    assert not await rig.keeps("questions/1.jpg")
    (left,) = await alerts.some([about.id])
    assert not left.has_picture
    assert left.verdict is not None
    for look_for in (alerts.picture_key(about.id), alerts.question_picture_key(asked.message_id)):
        with pytest.raises(NotFound):
            await look_for
    assert rig.counters["retention.pictures"] == 2


async def test_what_waits_for_an_answer_keeps_its_picture(rig: Rig) -> None:
    about = alert()
    await rig.take(about)
    await rig.files.put("questions/1.jpg", JPEG)
    await QuestionStore(rig.database, rig.clock).add_question(question(about), "questions/1.jpg", len(JPEG))
    await rig.audited(1, "audits/1.jpg", concluded=False)
    await rig.audited(2, "audits/2.jpg", concluded=True)
    sent = await rig.filmed(state=State.SENT)
    rig.clock.turn(100 * 86400)
    await rig.retention().look()
    assert await rig.keeps("questions/1.jpg")
    assert await rig.keeps("audits/1.jpg")
    assert not await rig.keeps("audits/2.jpg")
    assert await rig.keeps(snapshot_key(sent))


async def test_a_year_later_all_of_an_alert_is_gone_and_its_neighbours_are_not(rig: Rig) -> None:
    old, young = alert(), alert(sequence=2)
    asked = question(old)
    questions = QuestionStore(rig.database, rig.clock)
    await rig.take(old)
    await rig.shown(old, "alerts/old.jpg")
    await questions.add_question(asked, "questions/1.jpg", 1)
    await questions.add_verdict(verdict(asked))
    snapshot, clip = await rig.filmed(), await rig.filmed("capture-clip")
    rig.clock.turn(360 * 86400)
    await rig.take(young)
    await rig.shown(young, "alerts/young.jpg")
    later = await rig.filmed()
    rig.clock.turn(6 * 86400)
    await rig.retention().look()

    (left,) = await AlertStore(rig.database).page(EVERYTHING, None, 10)
    assert left.record.alert.id == young.id
    assert left.has_picture
    assert await AlertStore(rig.database).history(old.id) == []
    assert (await AlertStore(rig.database).sums()).asks == 0
    assert not any([await rig.keeps(snapshot_key(snapshot)), await rig.keeps(clip_keys(clip)[0])])
    assert await rig.keeps(snapshot_key(later))
    commands = CommandStore(rig.database)
    assert await commands.find(later.id)
    for gone in (snapshot, clip):
        with pytest.raises(NotFound):
            await commands.find(gone.id)


async def test_an_old_alert_that_was_amended_lately_stays(rig: Rig) -> None:
    first = alert()
    await rig.take(first)
    rig.clock.turn(300 * 86400)
    await rig.take(alert(id=first.id, revision=1, sequence=2))
    rig.clock.turn(100 * 86400)
    await rig.retention().look()
    assert await rig.alerts() == 1


async def test_many_go_batch_by_batch(rig: Rig) -> None:
    await rig.take(*(alert(sequence=number) for number in range(1, 2 * ROWS + 6)))
    rig.clock.turn(366 * 86400)
    at = rig.clock.passed
    await rig.retention().look()
    assert await rig.alerts() == 0
    assert rig.counters["retention.alerts"] == 2 * ROWS + 5
    assert rig.clock.passed > at, "others had their turn in between"


async def test_zero_is_for_ever(rig: Rig) -> None:
    about = alert()
    await rig.take(about)
    await rig.shown(about, "alerts/1.jpg")
    await rig.audited(1, "audits/1.jpg", concluded=True)
    rig.clock.turn(3000 * 86400)
    await rig.retention(pictures_days=0, alerts_days=0, audits_days=0).look()
    assert await rig.keeps("alerts/1.jpg")
    assert await rig.keeps("audits/1.jpg")
    assert await rig.alerts() == 1


async def test_a_picture_that_can_t_be_deleted_holds_up_no_other(
    rig: Rig, few: None, caplog: pytest.LogCaptureFixture
) -> None:
    shown = [alert(sequence=number) for number in range(1, FEW + 11)]
    await rig.take(*shown)
    for number, about in enumerate(shown):
        await rig.shown(about, f"alerts/{number}.jpg")
    asked = question(shown[0])
    await rig.files.put("questions/1.jpg", JPEG)
    questions = QuestionStore(rig.database, rig.clock)
    await questions.add_question(asked, "questions/1.jpg", len(JPEG))
    await questions.add_verdict(verdict(asked))
    await rig.audited(1, "audits/1.jpg", concluded=True)
    await rig.audited(2, "audits/2.jpg", concluded=True)
    snapshot, clip = await rig.filmed(), await rig.filmed("capture-clip")
    jammed = ["alerts/7.jpg", "questions/1.jpg", "audits/1.jpg", snapshot_key(snapshot)]
    places = [rig.jam(key) for key in jammed]

    rig.clock.turn(366 * 86400)
    await rig.retention().look()
    left = [f"alerts/{number}.jpg" for number in range(FEW + 10)] + ["audits/2.jpg", clip_keys(clip)[0]]
    assert not [key for key in left if await rig.keeps(key)]
    assert rig.counters["retention.pictures"] == FEW + 9 + 1
    assert rig.counters["retention.refused"] == len(jammed)
    (told,) = caplog.messages
    assert "4 files that are too old can't be deleted" in told
    assert "alerts/7.jpg" in told

    # Whoever names a file that is still there is kept for it, and nobody else.
    kept = await AlertStore(rig.database).page(EVERYTHING, None, FEW)
    assert {one.record.alert.id for one in kept} == {shown[0].id, shown[7].id}
    assert await AlertStore(rig.database).picture_key(shown[7].id) == "alerts/7.jpg"
    assert (await CommandStore(rig.database).find(snapshot.id)).id == snapshot.id
    with pytest.raises(NotFound):
        await CommandStore(rig.database).find(clip.id)
    assert rig.counters["retention.audits"] == 1

    for place in places:
        place.rmdir()
    await rig.retention().look()
    assert await rig.alerts() == 0
    with pytest.raises(NotFound):
        await CommandStore(rig.database).find(snapshot.id)
    assert rig.counters["retention.audits"] == 2
    assert rig.counters["retention.refused"] == len(jammed)


async def test_more_than_a_batch_that_can_t_be_deleted_holds_up_no_other(rig: Rig, few: None) -> None:
    shown = [alert(sequence=number) for number in range(1, 2 * FEW + 2)]
    await rig.take(*shown)
    for number, about in enumerate(sorted(shown, key=lambda one: one.id)):
        await rig.shown(about, f"alerts/{number}.jpg")
        if number < 2 * FEW:
            rig.jam(f"alerts/{number}.jpg")
    rig.clock.turn(31 * 86400)
    await rig.retention().look()
    assert not await rig.keeps(f"alerts/{2 * FEW}.jpg")
    assert rig.counters["retention.pictures"] == 1
    assert rig.counters["retention.refused"] == 2 * FEW


async def test_a_crash_between_file_and_row_is_made_good(rig: Rig) -> None:
    about = alert()
    await rig.take(about)
    await rig.shown(about, "alerts/1.jpg")
    rig.clock.turn(31 * 86400)
    await rig.files.delete(["alerts/1.jpg"])
    await rig.retention().look()
    with pytest.raises(NotFound):
        await AlertStore(rig.database).picture_key(about.id)


@pytest.mark.parametrize(
    "wrong",
    [{"pictures_days": 0}, {"alerts_days": 7}, {"pictures_days": 90, "audits_days": 60}, {"pictures_days": -1}],
)
def test_no_picture_outlives_what_it_shows(wrong: dict[str, float]) -> None:
    with pytest.raises(ValidationError):
        RetentionSettings.model_validate(wrong)
