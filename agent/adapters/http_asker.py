"""The asker: takes questions and pictures from the judging thread, and gets them to the cloud.

Each is cut out of its frame at once (`cutter`), encoded in a thread, kept on disk, and sent when its turn comes
(`agent.ask.schedule`). It leaves the disk when the cloud has taken or refused it, or when it has become too old.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final, TypeVar

from agent.adapters.cloud_http import CloudHttp, TryAgain
from agent.adapters.crops import Cutting, CuttingQueue
from agent.adapters.cutter import LEAST_WAIT_S, Cutter
from agent.adapters.wakeup import Wakeup
from agent.ask.audit import AuditSettings, FrameAudit
from agent.ask.schedule import Schedule, Waiting
from agent.ask.settings import AskSettings
from agent.ask.uploads import Key, Kind, Upload, Uploads
from agent.deliver.faults import Faults
from agent.deliver.ledger import Ledger
from agent.deliver.link import OnAnswer
from agent.deliver.messages import Boot, Moment, answer_of
from agent.deliver.receipts import Receipts
from agent.domain import AlertChange, Ask, Clock, Frame
from agent.errors import AskRefused, OutboxUnwritable, PictureWithheld
from agent.redact.door import PictureDoor
from wire.audits import Audit, AuditOutcome
from wire.codec import decode
from wire.errors import WireError
from wire.messages import Message, PictureNote, Question, Verdict

M = TypeVar("M", bound=Message)
log = logging.getLogger(__name__)

SLACK_S: Final = 0.5
"""How much longer than the deadline an answer is waited for: the cloud counts from the arrival of the question, and
says at the deadline that the verdict will come over MQTT."""
HTTP_BYTES: Final = 300
"""Of a request beside message and picture: its line and headers, a token among them."""
RESTORE_AGAIN_S: Final = 5.0
"""Where the disk does not say what an earlier run left: nobody waits for it any more."""
COMMIT_TIMEOUT_S: Final = 30.0
"""How long the consequences of an answer may take to be committed before the question is asked again."""


@dataclass(frozen=True, slots=True)
class AskCounts:
    """Since the agent started; see `wire.messages.Telemetry`.

    Attributes:
        asks: Questions handed in.
        answers: Verdicts that came in time, over HTTP.
        answers_late: Verdicts that came later, over HTTP.
        asks_failed: Questions dropped, refused or given up.
        pictures_failed: The same of alerts' pictures.
        audits: Frames handed in for audit.
        audits_failed: Those of them that were dropped, refused or given up.
    """

    asks: int = 0
    answers: int = 0
    answers_late: int = 0
    asks_failed: int = 0
    pictures_failed: int = 0
    audits: int = 0
    audits_failed: int = 0


OnOutcome = Callable[[Audit, AuditOutcome], None]
OnPaid = Callable[[str, str, int], object]
"""Told that a question left, by its id and camera, and with about how many bytes; ahead of its answer."""
OnUnsent = Callable[[str], object]
"""Told that a question will not leave any more, by its id."""


def _unheard(_audit: Audit, _outcome: AuditOutcome) -> None:
    """Nobody wants to know."""


def _unpaid(_question_id: str, _camera: str, _size: int) -> None:
    """Nobody counts."""


def _given_up(_question_id: str) -> None:
    """Nobody counts."""


class _Stopped(Exception):
    """The agent stops; nothing went wrong."""


class _NotYet(Exception):
    """The cloud has not looked at an audit yet."""


class HttpAsker:
    """`run` is its one task; all else may be called from any thread."""

    def __init__(
        self,
        settings: AskSettings,
        *,
        boot: Boot,
        uploads: Uploads,
        token: Callable[[], str | None],
        on_answer: OnAnswer,
        clock: Clock,
        faults: Faults,
        ledger: Ledger,
        receipts: Receipts,
        door: PictureDoor,
        jitter: Callable[[], float] = random.random,
        audit: AuditSettings | None = None,
        on_outcome: OnOutcome = _unheard,
        on_paid: OnPaid = _unpaid,
        on_unsent: OnUnsent = _given_up,
    ) -> None:
        self._settings = settings
        self._uploads = uploads
        self._token = token
        self._on_answer = on_answer
        self._clock = clock
        self._faults = faults
        self._ledger = ledger
        self._receipts = receipts
        self._jitter = jitter
        self._audit = audit or AuditSettings()
        self._on_outcome = on_outcome
        self._on_paid = on_paid
        self._on_unsent = on_unsent
        self._cutter = Cutter(settings, self._audit, boot=boot, door=door, clock=clock)
        self._cuttings = CuttingQueue(settings.max_waiting)
        self._arrived = Wakeup()
        self._changed = Wakeup()
        self._schedule = Schedule(
            max_concurrent=settings.max_concurrent,
            give_up_after_s=settings.give_up_after_s,
            retry_min_s=settings.retry_min_s,
            retry_max_s=settings.retry_max_s,
            outcomes_for_s=self._audit.ask_again_for_s,
        )
        # Written by the judging thread alone …
        self._asks = 0
        self._asks_unheard = 0
        self._pictures_unheard = 0
        self._audits = 0
        self._audits_unheard = 0
        # … and these by the event loop alone.
        self._answers = 0
        self._answers_late = 0
        self._failed = dict.fromkeys(Kind, 0)

    def counts(self) -> AskCounts:
        """The figures now."""
        return AskCounts(
            asks=self._asks,
            answers=self._answers,
            answers_late=self._answers_late,
            asks_failed=self._asks_unheard + self._failed[Kind.QUESTION] + self._failed[Kind.OBJECT],
            pictures_failed=self._pictures_unheard + self._failed[Kind.PICTURE],
            audits=self._audits,
            audits_failed=self._audits_unheard + self._failed[Kind.AUDIT],
        )

    def submit(self, ask: Ask, frame: Frame) -> bool:
        """Ask about an object of `frame`; False, and counted, where there is no room or the question is invalid."""
        self._asks += 1
        taken = self._take(lambda: self._cutter.of_question(ask, frame))
        if not taken:
            self._asks_unheard += 1
            self._on_unsent(ask.id)
        return taken

    def submit_picture(self, change: AlertChange, frame: Frame) -> bool:
        """Send a picture of an alert's object; False, and counted, where there is no room or it may not leave."""
        taken = self._take(lambda: self._cutter.of_alert(change, frame))
        self._pictures_unheard += not taken
        return taken

    def submit_audit(self, audit: FrameAudit, frame: Frame) -> bool:
        """Send `frame` whole; False, and counted, where there is no room or what is said of it is invalid."""
        self._audits += 1
        taken = self._take(lambda: self._cutter.of_audit(audit, frame))
        self._audits_unheard += not taken
        return taken

    async def run(self, stop: asyncio.Event) -> None:
        """Send what is handed in and what earlier runs left, until `stop` is set; the rest stays on disk.

        Raises:
            ConfigInvalid: A file named in the settings can't be used.
        """
        self._arrived.bind()
        self._changed.bind()
        cloud = await asyncio.to_thread(
            CloudHttp, self._settings, token=self._token, ledger=self._ledger, receipts=self._receipts
        )
        try:
            restored = await self._restore()
            async with asyncio.TaskGroup() as tasks:
                if not restored:
                    tasks.create_task(self._restore_later(), name="ask-restore")
                tasks.create_task(self._keep_arrivals(), name="ask-keep")
                tasks.create_task(self._send_in_turn(cloud, tasks), name="ask-send")
                await stop.wait()
                raise _Stopped  # noqa: TRY301 - ends the group's tasks
        except* _Stopped:
            await self._keep_what_arrived()
        finally:
            await cloud.close()

    def _take(self, cut: Callable[[], Cutting]) -> bool:
        try:
            cutting = cut()
        except (WireError, PictureWithheld) as refused:
            self._faults.note(refused)
            return False
        taken = self._cuttings.put(cutting)
        if taken:
            self._arrived.set()
        return taken

    # --- from the judging thread to the disk ------------------------------------------------------------------

    async def _restore(self) -> bool:
        """Take up what an earlier run left; its deadlines are over. Whether the disk said what that is."""
        moment = Moment.now(self._clock)
        try:
            left = await asyncio.to_thread(self._uploads.waiting)
        except OutboxUnwritable as refused:
            self._faults.note(refused)
            return False
        for key, made_at in left:
            # A wall clock that was set back must not keep an upload for ever.
            at = min(moment.monotonic_at(made_at), moment.monotonic)
            if key not in self._schedule:  # where it was asked later, this run has left some by now
                self._schedule.add(Waiting(key, at))
        self._changed.set()
        return True

    async def _restore_later(self) -> None:
        while True:
            await asyncio.sleep(RESTORE_AGAIN_S)
            if await self._restore():
                return

    async def _keep_arrivals(self) -> None:
        while True:
            await self._keep_what_arrived()
            await self._arrived.wait()

    async def _keep_what_arrived(self) -> None:
        while (cutting := self._cuttings.take()) is not None:
            dropped = await asyncio.to_thread(self._keep, cutting)
            self._schedule.add(Waiting(cutting.key, cutting.made_at, cutting.deadline_at))
            self._drop(dropped)
            self._changed.set()

    def _drop(self, dropped: list[Key]) -> None:
        for key in dropped:
            self._fail(key, lost=self._schedule.drop(key))

    def _fail(self, key: Key, *, lost: bool = True) -> None:
        self._failed[key.kind] += lost
        if lost and key.kind in {Kind.QUESTION, Kind.OBJECT}:
            self._on_unsent(key.id)

    def _keep(self, cutting: Cutting) -> list[Key]:
        return self._uploads.put(self._cutter.packed(cutting))

    # --- from the disk to the cloud ---------------------------------------------------------------------------

    async def _send_in_turn(self, cloud: CloudHttp, tasks: asyncio.TaskGroup) -> None:
        while True:
            now = self._clock.monotonic()
            for key in self._schedule.give_up(now):
                if key.kind not in {Kind.OBJECT, Kind.OUTCOME}:
                    ids = {"question_id" if key.kind is Kind.QUESTION else "alert_id": key.id}
                    log.warning("gave up a %s: it is too old", key.kind, extra=ids)
                self._fail(key)
                await asyncio.to_thread(self._uploads.remove, key)
            while (waiting := self._schedule.take(now)) is not None:
                tasks.create_task(self._send(cloud, waiting), name=f"ask-{waiting.key.id}")
            at = self._schedule.next_at(now)
            await self._changed.wait(None if at is None else max(0.0, at - now))

    async def _send(self, cloud: CloudHttp, waiting: Waiting) -> None:
        try:
            upload = await asyncio.to_thread(self._uploads.get, waiting.key)
        except OutboxUnwritable as refused:
            self._faults.note(refused)
            self._fail(waiting.key, lost=self._schedule.unread(waiting, self._clock.monotonic()))
            self._changed.set()
            return
        try:
            if upload is not None:
                await self._exchange(cloud, waiting, upload)
        except AskRefused as refused:
            self._faults.note(refused)
            self._fail(waiting.key)
        except TryAgain as later:
            self._faults.note(later.error)
            lost = self._schedule.failed(
                waiting, self._clock.monotonic(), jitter=self._jitter(), at_least_s=later.at_least_s
            )
            self._fail(waiting.key, lost=lost)
            self._changed.set()
            return
        except _NotYet:
            pause_s = self._audit.ask_again_after_s
            self._failed[waiting.key.kind] += self._schedule.not_yet(
                waiting, self._clock.monotonic(), pause_s=pause_s
            )
            self._changed.set()
            return
        await asyncio.to_thread(self._uploads.remove, waiting.key)
        self._schedule.done(waiting)
        self._changed.set()

    async def _exchange(self, cloud: CloudHttp, waiting: Waiting, upload: Upload) -> None:
        later_s = self._settings.retry_timeout_s
        if waiting.key.kind is Kind.PICTURE:
            # An agent before this one may have left a picture without a note.
            note = _read(PictureNote, upload) if upload.question else None
            await cloud.put_picture(waiting.key.id, upload.jpeg, note, timeout_s=later_s)
            return
        if waiting.key.kind is Kind.AUDIT:
            await self._exchange_audit(cloud, waiting, upload)
            return
        if waiting.key.kind is Kind.OUTCOME:
            await self._ask_for_outcome(cloud, upload)
            return
        question = _read(Question, upload)
        timeout_s = later_s
        if waiting.deadline_at is not None:
            left_s = max(LEAST_WAIT_S, waiting.deadline_at - self._clock.monotonic())
            question = question.model_copy(update={"deadline_ms": round(left_s * 1000)})
            timeout_s = left_s + SLACK_S
        size = len(upload.question) + len(upload.jpeg) + HTTP_BYTES
        verdict = await cloud.ask(
            question,
            upload.jpeg,
            timeout_s=timeout_s,
            left=lambda: self._on_paid(question.message_id, question.camera, size),
        )
        if verdict is not None:
            await self._hand_over(verdict, waiting)

    async def _exchange_audit(self, cloud: CloudHttp, waiting: Waiting, upload: Upload) -> None:
        audit = _read(Audit, upload)
        timeout_s = self._settings.retry_timeout_s + audit.deadline_ms / 1000
        outcome = await cloud.audit(audit, upload.jpeg, timeout_s=timeout_s)
        if outcome is not None:
            self._on_outcome(audit, outcome)
        elif self._audit.ask_again_for_s:
            # Beside the audit, which goes afterwards: a crash in between has it sent again, and nothing is lost.
            key = Key(Kind.OUTCOME, upload.key.id)
            self._drop(await asyncio.to_thread(self._uploads.put, replace(upload, key=key, jpeg=b"")))
            not_before = self._clock.monotonic() + self._audit.ask_again_after_s
            self._schedule.add(Waiting(key, waiting.made_at, not_before=not_before))

    async def _ask_for_outcome(self, cloud: CloudHttp, upload: Upload) -> None:
        audit = _read(Audit, upload)
        outcome = await cloud.audit_outcome(audit, timeout_s=self._settings.retry_timeout_s)
        if outcome is None:
            raise _NotYet
        self._on_outcome(audit, outcome)

    async def _hand_over(self, verdict: Verdict, waiting: Waiting) -> None:
        if waiting.deadline_at is not None and self._clock.monotonic() <= waiting.deadline_at:
            self._answers += 1
        else:
            self._answers_late += 1
        committed = self._on_answer(answer_of(verdict))
        if committed is None:
            return
        waiting_for = asyncio.wrap_future(committed)
        await asyncio.wait((waiting_for,), timeout=COMMIT_TIMEOUT_S)
        if not waiting_for.done() or waiting_for.cancelled() or waiting_for.exception() is not None:
            raise TryAgain(OutboxUnwritable("what followed from an answer was not committed: it will be asked again"))


def _read(kind: type[M], upload: Upload) -> M:
    try:
        return decode(kind, upload.question)
    except WireError as damaged:
        raise AskRefused(f"a message kept on disk can't be read any more ({damaged})") from damaged
