"""`vedette cost` and `vedette export coco`, as a person or a program calls them."""

from __future__ import annotations

import asyncio
import json
from datetime import timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from cloud.adapters.data_dir import DataDir
from cloud.cli import app
from cloud.fleet.enrolment import Enrolment
from cloud.store.audits import AuditStore
from cloud.store.blobs import LocalBlobs
from cloud.store.database import open_database
from cloud.store.devices import DeviceStore
from cloud.store.questions import QuestionStore
from tests.cloud.audit.fakes import audit
from tests.cloud.registry.labelled import picture
from tests.cloud.samples import NOW, ManualClock, alert, question, telemetry, verdict
from tests.cloud.store.test_store import take
from vision.estimates import Counts
from wire.audits import AuditOutcome, LabelCounts, Sighting
from wire.messages import PictureNote


class Person:
    def __init__(self, data_dir: Path) -> None:
        self.data_dir = data_dir

    def types(self, *words: str) -> Result:
        return CliRunner().invoke(app, [*words, "--data-dir", str(self.data_dir)])

    def reads(self, *words: str) -> dict:
        result = self.types(*words, "--json")
        assert result.exit_code == 0, result.output
        return json.loads(result.stdout)


@pytest.fixture
def person(tmp_path: Path) -> Person:
    person = Person(tmp_path / "data")
    asyncio.run(fill(person.data_dir))
    return person


async def fill(data_dir: Path) -> None:
    """Two devices' figures, two questions, an alert's picture and two audits."""
    data = DataDir(data_dir)
    data.make()
    clock, blobs = ManualClock(), LocalBlobs(data.blobs)
    async with open_database(data.database_url) as database:
        for device in ("cam-1", "cam-2"):
            await Enrolment(DeviceStore(database), clock).enroll(device)
        about = alert()
        await take(
            database,
            about,
            telemetry(bytes_by_reason={"alerts": 300, "questions": 2_000}),
            telemetry("cam-2", bytes_by_reason={"alerts": 100}),
        )
        questions = QuestionStore(database, clock)
        for number, changes in enumerate(({}, {"decision": "retracted", "label": None, "score": None, "box": None})):
            asked = question(about, message_id=f"{number:032x}", camera=("yard", "gate")[number])
            await blobs.put(f"q/{number}.jpg", picture())
            await questions.add_question(asked, f"q/{number}.jpg", 700 + number)
            await questions.add_verdict(verdict(asked, **changes))
            clock.turn(86_400)
        note = PictureNote(message_id=about.id, device="cam-1", made_at=NOW, camera="yard", region=(0, 0, 1, 1))
        await questions.add_picture("cam-1", about.id, "a/1.jpg", 500, note)
        audits = AuditStore(database, clock)
        box = (0.1, 0.1, 0.5, 0.9)
        for number, missed in enumerate(((Sighting("person", 0.9, box),), ()), 1):
            await blobs.put(f"audits/{number}.jpg", picture())
            drawn = audit(number, shown=())
            await audits.add(drawn, f"audits/{number}.jpg", 1_000)
            counts = (LabelCounts(label="person", matched=0, shown=0, there=len(missed)),) if missed else ()
            outcome = AuditOutcome(
                message_id=f"{90 + number:032x}", device="cam-1", made_at=NOW, audit_id=drawn.message_id,
                model="big 1", counts=counts, missed=missed,
            )  # fmt: skip
            await audits.conclude(outcome, Counts(0, 0, len(missed)))


def test_what_was_sent_is_held_against_streaming_everything(person: Person) -> None:
    said = person.reads("cost", "--per-gb", "90")
    assert said["total"]["bytes_sent"] == 2_400
    assert said["total"]["bytes_if_streamed"] == 10_000
    assert said["total"]["share"] == 0.24
    assert said["total"]["price"] == pytest.approx(2_400 / 1e9 * 90)
    assert [(one["device"], one["bytes_by_reason"]) for one in said["devices"]] == [
        ("cam-1", {"alerts": 300, "questions": 2_000}),
        ("cam-2", {"alerts": 100}),
    ]


def test_what_arrived_is_told_by_camera_reason_and_day(person: Person) -> None:
    received = person.reads("cost")["received"]
    day, next_day, third = (f"{NOW + timedelta(days=days):%Y-%m-%d}" for days in range(3))
    assert [(one["camera"], one["reason"], one["day"], one["pictures"], one["bytes"]) for one in received] == [
        ("gate", "questions", next_day, 1, 701),
        ("yard", "audits", third, 2, 2_000),
        ("yard", "pictures", third, 1, 500),
        ("yard", "questions", day, 1, 700),
    ]


@pytest.mark.parametrize(
    ("by", "rows"),
    [
        ("device", ["cam-1   2.30 kB      5.00 kB  46.00%", "all     2.40 kB     10.00 kB  24.00%"]),
        ("reason", ["questions  2.00 kB", "all"]),
        ("camera", ["cam-1   gate    questions", "yard    audits"]),
        ("day", ["2026-05-01  questions", "701 B"]),
    ],
)
def test_the_ledger_is_a_table_for_people(person: Person, by: str, rows: list[str]) -> None:
    shown = person.types("cost", "--by", by).stdout
    assert all(row in shown for row in rows), shown


def test_one_device_is_told_alone_and_an_unknown_one_is_refused(person: Person) -> None:
    said = person.reads("cost", "--device", "cam-2")
    assert (said["total"]["bytes_sent"], said["received"]) == (100, [])
    refused = person.types("cost", "--device", "cam-9")
    assert refused.exit_code == 4
    assert "no device called cam-9" in refused.output


def test_hard_examples_are_exported_and_filtered(person: Person, tmp_path: Path) -> None:
    everything = person.reads("export", "coco", str(tmp_path / "all"))
    assert everything["reasons"] == {"retracted": 1, "corrected": 0, "uncertain": 1, "missed": 1}
    assert everything["images"] == 3
    files = sorted(one.name for one in (tmp_path / "all" / "images").iterdir())
    assert files == [f"audit-cam-1-{1:032x}.jpg", f"question-cam-1-{0:032x}.jpg", f"question-cam-1-{1:032x}.jpg"]
    for words, images in (
        (("--reason", "retracted"), 1),
        (("--reason", "retracted", "--reason", "missed"), 2),
        (("--camera", "gate"), 1),
        (("--device", "cam-2"), 0),
        (("--label", "person"), 3),
        (("--since", "2026-05-02T00:00"), 2),
    ):
        folder = tmp_path / "-".join(words).replace(":", "")
        assert person.reads("export", "coco", str(folder), *words)["images"] == images, words


def test_an_export_tells_people_what_it_did_and_what_they_answer_for(person: Person, tmp_path: Path) -> None:
    shown = person.types("export", "coco", str(tmp_path / "set")).stdout
    assert "3 pictures" in shown
    assert "1 retracted, 1 uncertain, 1 missed" in shown
    assert "may show people" in shown


def test_what_can_not_be_exported_is_refused_by_name(person: Person, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("")
    assert person.types("export", "coco", str(tmp_path)).exit_code == 12
    assert person.types("export", "coco", str(tmp_path / "x"), "--since", "soon").exit_code == 2
    assert person.types("export", "coco", str(tmp_path / "x"), "--reason", "pretty").exit_code == 2


@pytest.mark.parametrize(
    "words",
    [
        ("export", "coco", "set", "--since", "9999999999d"),
        ("export", "coco", "set", "--since", "99999999h"),
        ("export", "coco", "set", "--since", "9" * 5000 + "d"),
        ("cost", "--days", "1e12"),
        ("audit", "--days", "1e12"),
        ("device", "enroll", "gate-9", "--minutes", "1e12"),
    ],
)
def test_times_that_no_calendar_holds_are_refused(
    person: Person, words: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    refused = person.types(*words)
    assert refused.exit_code == 2, refused.exception
    assert words[-2] in refused.stderr
    assert not (tmp_path / "set").exists()
    assert "gate-9" not in person.types("devices").stdout
