from __future__ import annotations

import asyncio
import hashlib
import sqlite3
from collections.abc import AsyncIterator
from concurrent.futures import Future
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
import pytest

from agent.adapters import http_asker
from agent.adapters.http_asker import AskCounts, HttpAsker
from agent.adapters.sqlite_uploads import SqliteUploads
from agent.adapters.system_clock import SystemClock
from agent.adapters.wakeup import Wakeup
from agent.ask.audit import AuditSettings, Drawn, FrameAudit, Said
from agent.ask.settings import AskSettings
from agent.deliver.faults import Faults
from agent.deliver.ledger import Ledger
from agent.domain import Answer, Ask, Frame
from agent.errors import ConfigInvalid, OutboxUnwritable
from agent.redact.door import PictureDoor
from tests.agent.ask.scripted_cloud import (
    ScriptedCloud,
    always,
    audited,
    audited_later,
    hang_up,
    in_time,
    later,
    never,
    response,
    verdict_for,
)
from tests.agent.deliver.kept_receipts import KeptReceipts
from tests.agent.deliver.samples import boot, change
from tests.agent.redact.doors import plain_door
from wire.audits import Audit, AuditOutcome, FrameKind
from wire.messages import AskReason, Decision, PictureNote, Refusal

BOUND_S = 60.0
PATIENT_S = 60.0
"""Until when an answer is in time, unless a test says otherwise: on a busy machine, too."""
BUSY = response(503, Refusal(error="Overloaded", message="too busy").model_dump_json().encode())
REFUSED = response(422, Refusal(error="PictureUnreadable", message="no JPEG").model_dump_json().encode())


class HurriedClock(SystemClock):
    """Real time, and what a test adds to it."""

    ahead_s = 0.0

    def monotonic(self):
        return super().monotonic() + self.ahead_s


class AnnouncingFaults(Faults):
    """Wakes a test that waits for a fault."""

    def __init__(self, happened: Wakeup) -> None:
        super().__init__()
        self._happened = happened

    def note(self, error):
        super().note(error)
        self._happened.set()


class AnnouncingUploads(SqliteUploads):
    """Wakes a test that waits for an upload to leave."""

    happened: Wakeup
    removed = 0
    stored = 0

    def put(self, upload):
        dropped = super().put(upload)
        self.stored += 1
        self.happened.set()
        return dropped

    def remove(self, key):
        super().remove(key)
        self.removed += 1
        self.happened.set()


@dataclass
class Rig:
    """An asker on a real store, before a scripted cloud."""

    cloud: ScriptedCloud
    path: Path
    settings: dict[str, object] = field(default_factory=dict)
    answers: list[Answer] = field(default_factory=list)
    token: str | None = "secret"
    hold: Future[None] | None = None
    taken: int = 0
    outcomes: list[tuple[Audit, AuditOutcome]] = field(default_factory=list)
    door: PictureDoor = field(default_factory=plain_door)
    paid: list[tuple[str, int]] = field(default_factory=list)
    unsent: list[str] = field(default_factory=list)
    ask_again_for_s: float = 600.0

    def __post_init__(self) -> None:
        self.happened = Wakeup()
        self.happened.bind()
        self.cloud.heard = self.happened.set
        self.clock = HurriedClock()
        self.faults = AnnouncingFaults(self.happened)
        self.ledger = Ledger()
        self.receipts = KeptReceipts()
        given: dict[str, object] = {
            "url": f"http://127.0.0.1:{self.cloud.port}", "retry_min_s": 0.02, "retry_max_s": 0.05,
            "retry_timeout_s": 30.0,
        }  # fmt: skip
        settings = AskSettings.model_validate(given | self.settings)
        self.uploads = AnnouncingUploads(
            self.path, max_stored=settings.max_stored, max_stored_mib=settings.max_stored_mib, faults=self.faults
        )
        self.uploads.happened = self.happened
        self.asker = HttpAsker(
            settings, boot=boot(), uploads=self.uploads, token=lambda: self.token, on_answer=self._keep,
            clock=self.clock, faults=self.faults, ledger=self.ledger,
            receipts=self.receipts, door=self.door, on_outcome=self._learn,
            audit=AuditSettings(
                answer_within_s=PATIENT_S, ask_again_after_s=0.02, ask_again_for_s=self.ask_again_for_s
            ),
            on_paid=lambda question_id, camera, size: self.paid.append((question_id, size)),
            on_unsent=self.unsent.append,
        )  # fmt: skip
        self.stop = asyncio.Event()

    def _keep(self, answer: Answer) -> Future[None] | None:
        self.answers.append(answer)
        self.happened.set()
        return self.hold

    def _learn(self, audit: Audit, outcome: AuditOutcome) -> None:
        self.outcomes.append((audit, outcome))
        self.happened.set()

    def start(self) -> None:
        self.task = asyncio.create_task(self.asker.run(self.stop))

    async def end(self) -> None:
        self.stop.set()
        async with asyncio.timeout(BOUND_S):
            await self.task
        self.uploads.close()

    async def until(self, true) -> None:
        async with asyncio.timeout(BOUND_S):
            while not true():
                await self.happened.wait()

    async def done(self) -> None:
        """All questions that were taken have left the disk."""
        await self.until(lambda: self.uploads.removed == self.taken)

    def ask(self, number: int = 1, deadline_s: float = PATIENT_S, **fields: object) -> bool:
        given: dict[str, object] = {
            "id": f"{number:032x}", "alert_id": f"{number + 100:032x}", "camera": "yard", "track": number,
            "label": "pérson", "score": 0.5, "box": (0.4, 0.4, 0.6, 0.6), "reason": AskReason.UNCERTAIN,
            "asked_at": self.clock.monotonic(), "deadline_s": deadline_s,
        }  # fmt: skip
        taken = self.asker.submit(Ask(**(given | fields)), self.frame())  # type: ignore[arg-type]
        self.taken += taken
        return taken

    def audit(self, number: int = 1, **changes: object) -> bool:
        given: dict[str, object] = {
            "kind": FrameKind.EMPTY, "labels": ("person",), "shown": (), "weaker": (), "detections": (),
            "left_out": 0, "model_digest": "sha256:" + "0" * 64, "model": "tiny 1",
        }  # fmt: skip
        said = Said(**(given | changes))  # type: ignore[arg-type]
        frame = self.frame()
        audit = FrameAudit(f"{number:032x}", "yard", frame.at, Drawn(0.25, number, 10 * number), said, ())
        taken = self.asker.submit_audit(audit, frame)
        self.taken += taken
        return taken

    def frame(self, height: int = 480, width: int = 640) -> Frame:
        image = np.zeros((height, width, 3), np.uint8)
        image[:, width // 2 :] = 255
        return Frame("yard", 0, image, self.clock.monotonic())


@pytest.fixture
async def cloud() -> AsyncIterator[ScriptedCloud]:
    made = ScriptedCloud()
    await made.start()
    yield made
    await made.stop()


@pytest.fixture
async def rig(cloud: ScriptedCloud, tmp_path: Path) -> AsyncIterator[Rig]:
    made = Rig(cloud, tmp_path / "uploads.db")
    made.start()
    yield made
    await made.end()


async def test_a_question_shows_the_object_and_its_answer_comes_back(cloud, rig):
    assert rig.ask()
    await rig.done()
    [request] = cloud.requests
    assert (request.method, request.path) == ("POST", "/v1/questions")
    assert request.headers["authorization"] == "Bearer secret"
    assert request.headers["content-type"] == "image/jpeg"
    assert request.headers["vedette-question"].isascii()
    question = request.question
    assert (question.label, question.message_id, question.device) == ("pérson", f"{1:032x}", "cam-1")
    assert 0 < question.deadline_ms <= 1000 * PATIENT_S
    picture = cv2.imdecode(np.frombuffer(request.body, np.uint8), cv2.IMREAD_COLOR)
    assert picture is not None
    x1, y1, x2, y2 = question.region
    assert picture.shape[:2] == (round((y2 - y1) * 480), round((x2 - x1) * 640))
    assert picture[:, :5].mean() < 10
    assert picture[:, -5:].mean() > 245
    [answer] = rig.answers
    assert (answer.question_id, answer.decision) == (f"{1:032x}", Decision.CONFIRMED)
    assert rig.asker.counts() == AskCounts(asks=1, answers=1)


RIGHT = ((0.55, 0.0), (1.0, 0.0), (1.0, 1.0), (0.55, 1.0))


@pytest.fixture
async def masked(cloud: ScriptedCloud, tmp_path: Path) -> AsyncIterator[Rig]:
    made = Rig(cloud, tmp_path / "uploads.db", door=plain_door(RIGHT))
    made.start()
    yield made
    await made.end()


def shown(request) -> np.ndarray:
    return cv2.imdecode(np.frombuffer(request.body, np.uint8), cv2.IMREAD_COLOR)


async def as_asked(request) -> bytes:
    if request.method == "PUT":
        return response(204)
    return await (audited if "vedette-audit" in request.headers else in_time)(request)


async def test_everything_that_leaves_is_painted_over_and_says_so(cloud, masked):
    cloud.otherwise = as_asked
    assert masked.ask(box=(0.4, 0.4, 0.56, 0.6))
    assert masked.audit()
    seen = change(7, camera="yard", box=(0.4, 0.4, 0.56, 0.6))
    masked.taken += masked.asker.submit_picture(seen, masked.frame())
    await masked.done()
    by_path = {request.path: request for request in cloud.requests}
    picture = PictureNote.model_validate_json(by_path[f"/v1/pictures/{seen.id}"].headers["vedette-picture"])
    assert (picture.message_id, picture.camera) == (seen.id, "yard")
    for redaction in (
        by_path["/v1/questions"].question.redaction,
        Audit.model_validate_json(by_path["/v1/audits"].headers["vedette-audit"]).redaction,
        picture.redaction,
    ):
        assert redaction is not None
        assert 0.3 < redaction.masked < 0.5
    for request in cloud.requests:
        assert shown(request)[:, -20:].max() < 12, "white, if it were not masked"
        assert shown(request).max() > 240


async def test_an_object_behind_paint_is_not_asked_about_and_is_counted(cloud, masked):
    assert not masked.ask(box=(0.5, 0.4, 0.9, 0.6))
    assert masked.asker.counts() == AskCounts(asks=1, asks_failed=1)
    assert masked.faults.counts() == {"PictureWithheld": 1}
    assert cloud.requests == []


async def test_each_upload_has_a_receipt_before_it_leaves(cloud, rig):
    rig.ask()
    await rig.done()
    [request] = cloud.requests
    [sending] = rig.receipts.begun
    assert (sending.why, sending.what, sending.camera) == ("questions", f"{1:032x}", "yard")
    assert sending.host == f"127.0.0.1:{cloud.port}"
    assert (sending.body, sending.sha256) == (len(request.body), hashlib.sha256(request.body).hexdigest())
    assert rig.receipts.ended == [(1, "status 200", sending.size)]
    assert rig.ledger.bytes_by_reason() == {"questions": sending.size}


async def test_what_can_not_be_written_down_waits(cloud, rig):
    rig.receipts.full = True
    rig.ask()
    await rig.until(lambda: rig.faults.counts().get("EgressUnwritable", 0) >= 2)
    assert cloud.requests == []
    assert rig.ledger.bytes_by_reason() == {}
    rig.receipts.full = False
    await rig.done()
    assert len(cloud.requests) == 1


async def test_bytes_are_counted_as_they_were_sent(cloud, rig):
    rig.ask()
    await rig.done()
    [request] = cloud.requests
    head = sum(len(name) + len(value) + 4 for name, value in request.headers.items())
    assert rig.ledger.bytes_by_reason() == {
        "questions": len("POST /v1/questions HTTP/1.1\r\n") + head + 2 + len(request.body)
    }


async def test_connections_are_kept_alive(cloud, rig):
    for number in range(1, 6):
        rig.ask(number)
        await rig.done()
    assert (len(cloud.requests), cloud.connections) == (5, 1)


async def test_a_pending_answer_comes_over_mqtt_and_the_question_is_done(cloud, rig):
    cloud.script = [later]
    rig.ask()
    await rig.done()
    assert (rig.answers, rig.asker.counts()) == ([], AskCounts(asks=1))
    assert not rig.faults.counts()


@pytest.mark.parametrize(
    ("trouble", "fault"),
    [
        (always(BUSY), "AskUnreachable"),
        (always(response(500, b"oops")), "AskUnreachable"),
        (always(response(429)), "AskUnreachable"),
        (always(response(302, Location="http://portal/")), "AskUnreachable"),
        (hang_up, "AskUnreachable"),
        (always(b"not HTTP at all\r\n\r\n"), "AskUnreachable"),
        (always(response(200, b"<html>log in here</html>")), "AnswerInvalid"),
        (always(response(200, b"x" * 20_000)), "AnswerInvalid"),
        (always(response(204)), "AnswerInvalid"),
        (always(response(200, b"\x1f\x8b", Content_Encoding="gzip")), "AnswerInvalid"),
        (always(response(202, b"{}")), "AnswerInvalid"),
    ],
)
async def test_trouble_is_named_and_the_question_put_again(cloud, rig, trouble, fault):
    cloud.script = [trouble]
    rig.ask()
    await rig.done()
    assert rig.faults.counts() == {fault: 1}
    assert [request.question.message_id for request in cloud.requests] == [f"{1:032x}"] * 2
    assert len(rig.answers) == 1


async def test_an_answer_to_another_question_is_none(cloud, rig):
    async def wrong(request):
        return response(200, verdict_for(request.question, question_id="f" * 32))

    cloud.script = [wrong]
    rig.ask()
    await rig.done()
    assert rig.faults.counts() == {"AnswerInvalid": 1}
    assert [answer.question_id for answer in rig.answers] == [f"{1:032x}"]


async def test_an_endless_answer_is_not_read_to_its_end(cloud, rig):
    part = b"4000\r\n" + b"x" * 0x4000 + b"\r\n"
    cloud.script = [always(b"HTTP/1.1 200 X\r\nTransfer-Encoding: chunked\r\n\r\n" + 3 * part)]
    rig.ask()
    await rig.done()
    assert rig.faults.counts() == {"AnswerInvalid": 1}


async def test_a_refused_question_is_forgotten_and_counted(cloud, rig):
    cloud.script = [always(REFUSED)]
    rig.ask()
    await rig.done()
    assert rig.faults.counts() == {"AskRefused": 1}
    assert rig.asker.counts() == AskCounts(asks=1, asks_failed=1)
    assert len(cloud.requests) == 1


async def test_a_slow_answer_is_asked_for_again_and_counts_as_late(cloud, rig):
    cloud.script = [never]
    # Long enough for a busy machine to bring the question there, where it is not answered.
    rig.ask(deadline_s=1.0)
    await rig.done()
    assert rig.faults.counts() == {"AskUnreachable": 1}
    assert rig.asker.counts() == AskCounts(asks=1, answers_late=1)


async def test_a_question_survives_that_the_disk_does_not_give_it_back_at_once(cloud, rig):
    locked = sqlite3.connect(rig.path, isolation_level=None, check_same_thread=False)
    read, refusals = rig.uploads.get, []

    def get(key):
        if refusals:
            return read(key)
        locked.execute("BEGIN IMMEDIATE")
        try:
            return read(key)
        except OutboxUnwritable as refused:
            refusals.append(refused)
            raise
        finally:
            locked.execute("ROLLBACK")

    rig.uploads.get = get
    rig.ask()
    await rig.done()
    locked.close()
    assert len(rig.answers) == 1
    assert refusals
    assert rig.asker.counts().asks_failed == 0
    assert rig.faults.counts()["OutboxUnwritable"] == 1


async def test_questions_survive_an_outage(cloud, tmp_path):
    await cloud.stop()
    rig = Rig(cloud, tmp_path / "uploads.db")
    rig.start()
    for number in range(1, 4):
        rig.ask(number, deadline_s=0.05)
    await rig.until(lambda: rig.faults.counts().get("AskUnreachable", 0) >= 3)
    assert rig.ledger.bytes_by_reason() == {}
    await cloud.start()
    await rig.until(lambda: len(rig.answers) == 3)
    assert sorted(answer.question_id for answer in rig.answers) == [f"{n:032x}" for n in (1, 2, 3)]
    await rig.end()


async def test_questions_survive_a_restart(cloud, tmp_path):
    await cloud.stop()
    before = Rig(cloud, tmp_path / "uploads.db")
    before.start()
    before.ask(1)
    await before.until(lambda: "AskUnreachable" in before.faults.counts())
    await before.end()
    await cloud.start()
    after = Rig(cloud, tmp_path / "uploads.db")
    after.start()
    await after.until(lambda: after.uploads.removed)
    assert [answer.question_id for answer in after.answers] == [f"{1:032x}"]
    assert after.asker.counts() == AskCounts(answers_late=1)
    await after.end()


async def test_what_the_disk_did_not_give_back_at_the_start_is_taken_up_later(cloud, tmp_path, monkeypatch):
    monkeypatch.setattr(http_asker, "RESTORE_AGAIN_S", 0.01)
    cloud.otherwise = never
    before = Rig(cloud, tmp_path / "uploads.db")
    before.start()
    before.ask(1)
    await before.until(lambda: cloud.requests)
    await before.end()
    cloud.otherwise = in_time
    after = Rig(cloud, tmp_path / "uploads.db")
    with closing(sqlite3.connect(after.path, isolation_level=None)) as somebody:
        somebody.execute("BEGIN IMMEDIATE")
        after.start()
        await after.until(lambda: "OutboxUnwritable" in after.faults.counts())
        somebody.execute("ROLLBACK")
    after.ask(2)
    await after.until(lambda: after.uploads.removed == 2)
    assert sorted(answer.question_id for answer in after.answers) == [f"{n:032x}" for n in (1, 2)]
    await after.end()


async def test_what_is_handed_in_at_the_end_is_on_disk_for_the_next_run(cloud, tmp_path):
    rig = Rig(cloud, tmp_path / "uploads.db")
    cloud.otherwise = never
    rig.start()
    await asyncio.to_thread(rig.ask, 1)
    await rig.until(lambda: cloud.requests)
    rig.ask(2)
    await rig.end()
    kept = SqliteUploads(tmp_path / "uploads.db", max_stored=9, max_stored_mib=9, faults=Faults()).waiting()
    assert [key.id for key, _ in kept] == [f"{1:032x}", f"{2:032x}"]


async def test_an_old_question_is_given_up_and_counted(cloud, tmp_path):
    cloud.otherwise = always(BUSY)
    rig = Rig(cloud, tmp_path / "uploads.db", {"give_up_after_s": 0.2})
    rig.start()
    rig.ask(deadline_s=0.05)
    await rig.done()
    assert rig.asker.counts().asks_failed == 1
    assert not rig.uploads.waiting()
    await rig.end()


async def test_an_answer_counts_only_when_what_follows_from_it_is_committed(cloud, rig):
    rig.hold = Future()
    rig.ask()
    await rig.until(lambda: rig.answers)
    assert rig.uploads.waiting()
    rig.hold.set_result(None)
    await rig.done()
    assert len(cloud.requests) == 1


async def test_a_failed_commit_asks_again(cloud, rig):
    rig.hold = Future()
    rig.hold.set_exception(RuntimeError("disk"))
    rig.ask()
    await rig.until(lambda: rig.answers)
    rig.hold = None
    await rig.done()
    assert (len(cloud.requests), len(rig.answers)) == (2, 2)
    assert rig.faults.counts() == {"OutboxUnwritable": 1}


async def test_pictures_go_after_questions(cloud, tmp_path):
    rig = Rig(cloud, tmp_path / "uploads.db", {"max_concurrent": 1})
    release = asyncio.Event()

    async def by_method(request):
        await release.wait()
        return response(204) if request.method == "PUT" else await in_time(request)

    cloud.otherwise = by_method
    rig.start()
    rig.ask(1)
    await rig.until(lambda: cloud.requests)
    for number in (7, 8):
        assert rig.asker.submit_picture(change(number, wants_picture=True), rig.frame())
    rig.ask(2)
    await rig.until(lambda: rig.uploads.stored == 4)
    release.set()
    await rig.until(lambda: rig.uploads.removed == 4)
    assert [request.method for request in cloud.requests] == ["POST", "POST", "PUT", "PUT"]
    assert [request.path for request in cloud.requests[2:]] == [f"/v1/pictures/{n:032x}" for n in (7, 8)]
    assert set(rig.ledger.bytes_by_reason()) == {"questions", "pictures"}
    await rig.end()


async def test_a_full_inbox_drops_and_counts(cloud, tmp_path):
    rig = Rig(cloud, tmp_path / "uploads.db", {"max_waiting": 2})
    assert [rig.ask(1), rig.ask(2), rig.ask(3)] == [True, True, False]
    assert not rig.asker.submit_picture(change(1), rig.frame())
    assert rig.asker.counts() == AskCounts(asks=3, asks_failed=1, pictures_failed=1)
    rig.start()
    await rig.until(lambda: len(rig.answers) == 2)
    await rig.end()


async def test_large_crops_are_bounded_in_memory_and_scaled_down(cloud, tmp_path):
    rig = Rig(cloud, tmp_path / "uploads.db")
    big = rig.frame(2000, 3000)
    changes = [change(n, box=(0.0, 0.0, 1.0, 1.0)) for n in range(1, 3)]
    assert [rig.asker.submit_picture(made, big) for made in changes] == [True, False]
    cloud.otherwise = always(response(204))
    rig.start()
    await rig.until(lambda: cloud.requests)
    picture = cv2.imdecode(np.frombuffer(cloud.requests[0].body, np.uint8), cv2.IMREAD_COLOR)
    assert picture is not None
    assert picture.shape == (427, 640, 3)
    await rig.end()


async def test_a_question_that_breaks_the_contract_is_counted_and_not_sent(cloud, rig):
    assert not rig.ask(1, label="")
    assert rig.faults.counts() == {"MessageInvalid": 1}
    assert rig.asker.counts() == AskCounts(asks=1, asks_failed=1)


async def test_the_cloud_may_ask_to_be_left_alone_for_a_while(cloud, rig):
    cloud.script = [always(response(429, Retry_After="1000000"))]
    rig.ask()
    await rig.until(rig.faults.counts)
    assert rig.uploads.waiting()
    rig.ask(2)
    await rig.until(lambda: len(rig.answers) == 2)


async def test_a_refused_token_keeps_the_question_for_a_new_one(cloud, rig):
    cloud.script = [always(response(401, b"{}"))]
    rig.ask()
    await rig.until(rig.faults.counts)
    assert rig.faults.counts() == {"AskRefused": 1}
    assert [key.id for key, _ in rig.uploads.waiting()] == [f"{1:032x}"]
    rig.ask(2)
    await rig.until(lambda: len(rig.answers) == 2)


async def test_a_token_file_that_is_missing_is_named_and_nothing_is_sent(cloud, tmp_path):
    rig = Rig(cloud, tmp_path / "uploads.db")

    def missing():
        raise ConfigInvalid("token_file: it is empty")

    rig.asker._token = missing
    rig.start()
    rig.ask()
    await rig.until(lambda: "ConfigInvalid" in rig.faults.counts())
    assert not cloud.requests
    await rig.end()


async def test_a_ca_file_that_cannot_be_read_stops_the_asker_at_once(cloud, tmp_path):
    settings = {"url": "https://127.0.0.1:1", "ca_file": tmp_path / "none.pem"}
    rig = Rig(cloud, tmp_path / "uploads.db", settings)
    with pytest.raises(ConfigInvalid, match="ca_file"):
        await rig.asker.run(rig.stop)


async def test_a_question_about_what_a_model_on_trial_found_names_that_model_and_no_alert(cloud, rig):
    found_by = "sha256:" + "c" * 64
    assert rig.ask(alert_id=None, track=None, reason=AskReason.DISAGREEMENT, model_digest=found_by)
    await rig.done()
    [request] = cloud.requests
    asked = request.question
    assert (asked.alert_id, asked.track, asked.reason) == (None, None, AskReason.DISAGREEMENT)
    assert asked.model_digest == found_by
    [answer] = rig.answers
    assert (answer.question_id, answer.alert_id) == (f"{1:032x}", None)


async def test_a_question_about_an_uncertain_object_must_name_its_alert(cloud, rig):
    assert not rig.ask(alert_id=None)
    assert rig.faults.counts() == {"MessageInvalid": 1}
    assert cloud.requests == []


async def test_a_frame_for_audit_goes_whole_at_half_size_and_its_outcome_comes_back(cloud, rig):
    cloud.script = [audited]
    assert rig.audit()
    await rig.done()
    [request] = cloud.requests
    assert (request.method, request.path) == ("POST", "/v1/audits")
    picture = cv2.imdecode(np.frombuffer(request.body, np.uint8), cv2.IMREAD_COLOR)
    assert picture is not None
    assert picture.shape == (240, 320, 3)
    [(audit, outcome)] = rig.outcomes
    assert (audit.probability, audit.number, audit.walked, audit.deadline_ms) == (0.25, 1, 10, 1000 * PATIENT_S)
    assert outcome.audit_id == audit.message_id == f"{1:032x}"
    assert rig.asker.counts() == AskCounts(audits=1)
    assert set(rig.ledger.bytes_by_reason()) == {"audits"}


async def test_what_the_cloud_looks_at_later_is_asked_for_until_it_is_there(cloud, rig):
    cloud.script = [audited_later, audited_later, hang_up, audited]
    rig.audit()
    await rig.until(lambda: rig.outcomes and not rig.uploads.waiting())
    sent = [(request.method, request.path, bool(request.body)) for request in cloud.requests]
    assert sent == [("POST", "/v1/audits", True)] + [("GET", f"/v1/audits/{1:032x}", False)] * 3
    [(audit, outcome)] = rig.outcomes
    assert (audit.probability, audit.number, outcome.audit_id) == (0.25, 1, audit.message_id)
    assert rig.asker.counts() == AskCounts(audits=1)
    assert rig.faults.counts() == {"AskUnreachable": 1}
    assert set(rig.ledger.bytes_by_reason()) == {"audits"}
    assert [sending.body for sending in rig.receipts.begun][1:] == [0] * 3


async def test_a_late_outcome_is_asked_for_after_a_restart_as_well(cloud, tmp_path):
    before = Rig(cloud, tmp_path / "uploads.db")
    before.start()
    cloud.otherwise = audited_later
    before.audit()
    await before.until(lambda: len(cloud.requests) > 1)
    await before.end()
    after = Rig(cloud, tmp_path / "uploads.db")
    cloud.otherwise = audited
    after.start()
    await after.until(lambda: after.outcomes and not after.uploads.waiting())
    assert [audit.message_id for audit, _ in after.outcomes] == [f"{1:032x}"]
    await after.end()


async def test_a_question_does_not_wait_for_an_outcome(cloud, rig):
    cloud.script = [audited_later]
    cloud.otherwise = as_asked_or_later
    rig.audit()
    await rig.until(lambda: len(cloud.requests) > 1)
    rig.ask()
    await rig.until(lambda: rig.answers)
    assert rig.asker.counts() == AskCounts(asks=1, answers=1, audits=1)


async def as_asked_or_later(request):
    return await (audited_later if "audits" in request.path else in_time)(request)


@pytest.mark.parametrize("ask_again_for_s", [0.0, 600.0])
async def test_an_outcome_is_asked_for_no_longer_than_was_said(cloud, tmp_path, ask_again_for_s):
    rig = Rig(cloud, tmp_path / "uploads.db", ask_again_for_s=ask_again_for_s)
    rig.start()
    cloud.otherwise = audited_later
    rig.audit()
    if ask_again_for_s:
        await rig.until(lambda: len(cloud.requests) > 2)
        rig.clock.ahead_s = ask_again_for_s
    await rig.until(lambda: rig.uploads.removed and not rig.uploads.waiting())
    assert (len(cloud.requests) > 1) == (ask_again_for_s > 0)
    assert rig.outcomes == []
    assert rig.asker.counts() == AskCounts(audits=1), "the frame itself was not lost"
    await rig.end()


async def test_an_outcome_that_the_cloud_does_not_know_is_given_up(cloud, rig):
    cloud.script = [
        audited_later,
        always(response(404, Refusal(error="NotFound", message="?").model_dump_json().encode())),
    ]
    rig.audit()
    await rig.until(lambda: rig.uploads.removed and not rig.uploads.waiting())
    assert len(cloud.requests) == 2
    assert rig.faults.counts() == {"AskRefused": 1}


async def test_a_question_about_a_drawn_object_is_kept_until_it_is_answered(cloud, rig):
    cloud.script = [hang_up, always(BUSY)]
    rig.ask(alert_id=None, reason=AskReason.DRAWN, deadline_s=0.001)
    await rig.done()
    assert [answer.question_id for answer in rig.answers] == [f"{1:032x}"]


async def test_an_audit_waits_for_the_link_and_keeps_its_number(cloud, rig):
    cloud.script = [hang_up, always(BUSY), audited]
    rig.audit()
    await rig.done()
    assert [request.path for request in cloud.requests] == ["/v1/audits"] * 3
    assert len(rig.outcomes) == 1


async def test_an_audit_that_is_lost_is_counted(cloud, rig):
    cloud.script = [always(REFUSED)]
    rig.audit()
    await rig.done()
    assert not rig.audit(2, labels=("",)), "what breaks the contract is never sent"
    assert rig.asker.counts() == AskCounts(audits=2, audits_failed=2)
    assert set(rig.faults.counts()) == {"AskRefused", "MessageInvalid"}


async def test_who_may_send_one_thing_at_a_time_does_not_wait_for_an_outcome(cloud, tmp_path):
    rig = Rig(cloud, tmp_path / "one.db", settings={"max_concurrent": 1})
    rig.start()
    cloud.script = [audited]
    rig.audit()
    await rig.done()
    assert rig.outcomes[0][0].deadline_ms == 50
    await rig.end()


async def test_what_a_question_cost_is_told_each_time_it_is_sent(cloud, rig):
    cloud.script = [always(BUSY)]
    rig.ask()
    await rig.done()
    assert [question_id for question_id, _ in rig.paid] == [f"{1:032x}"] * 2
    sent = rig.ledger.bytes_by_reason()["questions"]
    assert abs(sum(size for _, size in rig.paid) - sent) < 0.1 * sent


async def test_what_does_not_leave_costs_nothing(cloud, tmp_path):
    await cloud.stop()
    rig = Rig(cloud, tmp_path / "uploads.db")
    rig.start()
    rig.ask(1)
    rig.ask(2, alert_id=None, reason=AskReason.NEW)
    await rig.until(lambda: rig.faults.counts().get("AskUnreachable", 0) >= 5)
    assert rig.paid == []
    assert rig.unsent == [f"{2:032x}"]
    assert rig.ledger.bytes_by_reason() == {}
    await cloud.start()
    await rig.done()
    assert [question_id for question_id, _ in rig.paid] == [f"{1:032x}"]
    await rig.end()


async def test_what_is_not_taken_or_refused_for_good_is_told_not_to_leave(cloud, rig):
    assert not rig.ask(1, label="unprintable \x07")
    assert rig.unsent == [f"{1:032x}"]
    cloud.script = [always(response(400))]
    rig.ask(2)
    await rig.done()
    assert rig.unsent == [f"{number:032x}" for number in (1, 2)]


async def test_a_question_about_an_object_that_did_not_get_through_is_not_sent_again(cloud, rig):
    cloud.script = [hang_up]
    rig.ask(1, alert_id=None, reason=AskReason.REFRESH)
    await rig.done()
    assert len(cloud.requests) == 1
    assert rig.answers == []
    assert rig.asker.counts().asks_failed == 1


async def test_questions_about_objects_that_an_earlier_run_left_are_not_sent(cloud, tmp_path):
    cloud.otherwise = never
    first = Rig(cloud, tmp_path / "uploads.db")
    first.start()
    first.ask(1, alert_id=None, reason=AskReason.NEW)
    await first.until(lambda: len(cloud.requests) == 1)
    await first.end()
    cloud.otherwise = in_time
    again = Rig(cloud, tmp_path / "uploads.db")
    again.start()
    await again.until(lambda: again.uploads.removed == 1)
    await again.end()
    assert len(cloud.requests) == 1


async def test_questions_are_smaller_than_pictures_for_people(cloud, rig):
    rig.ask()
    await rig.done()
    rig.asker.submit_picture(change(1, box=(0.4, 0.4, 0.6, 0.6)), rig.frame())
    await rig.until(lambda: len(cloud.requests) == 2)
    question, picture = cloud.requests
    assert len(question.body) < len(picture.body)


async def test_a_question_with_context_shows_the_whole_frame_scaled_down(cloud, tmp_path):
    rig = Rig(cloud, tmp_path / "uploads.db", settings={"max_crop_px": 200, "context_px": 320})
    rig.start()
    rig.ask(context=True)
    await rig.done()
    [request] = cloud.requests
    question = request.question
    assert (question.context, question.region, question.box) == (True, (0.0, 0.0, 1.0, 1.0), (0.4, 0.4, 0.6, 0.6))
    assert shown(request).shape == (240, 320, 3)
    await rig.end()


async def test_a_whole_frame_is_painted_over_as_ever(cloud, masked):
    masked.ask(box=(0.3, 0.4, 0.5, 0.6), context=True)
    await masked.done()
    [request] = cloud.requests
    assert request.question.redaction.masked == pytest.approx(0.45, abs=0.01)
    picture = shown(request)
    assert picture.shape == (480, 640, 3)
    assert picture[:, 380:].max() < 12, "white, if it were not masked"
    assert picture.max() > 240
