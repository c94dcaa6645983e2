"""A question from its receipt to its verdict: once, in time or late, also over a crash.

A question is stored with its picture before the model sees it, so whatever stops the cloud, it is answered in the
end: what has no verdict is taken up again at the start and now and then. A verdict in time is the response's. A
late one goes down to the device before it is stored, so that a crash between the two repeats the message, which is
harmless, instead of losing it.
"""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import Callable, Coroutine
from types import TracebackType
from typing import Any, Final, Self, TypeVar

from cloud.errors import BlobFailed, BlobMissing, CloudError
from cloud.offload.decide import Judgement, decide, look_at
from cloud.offload.errors import OffloadStopped, QuestionNotYours, TooManyQuestions
from cloud.offload.pictures import Decoding, question_picture_key
from cloud.offload.ports import Blobs, DownLink, Judge, QuestionStore, Witness
from cloud.offload.settings import OffloadSettings
from cloud.offload.squaring import in_picture, squared
from cloud.ports import Clock
from wire.errors import VedetteError
from wire.messages import Question, Verdict
from wire.topics import Channel

T = TypeVar("T")
log = logging.getLogger(__name__)

# The deadline is the device's, and runs while question and answer travel. A verdict that took more of it than this
# may reach a device that has just given up, so it goes down as a message as well; twice is harmless.
SURE_SHARE: Final = 0.5
SURVEY_FROM: Final = 0.1
"""The lowest score that the model is asked for; what of it counts is decided afterwards."""
SWEEP_ROWS: Final = 200
SWEEP_BATCH: Final = 8


class _Open:
    """A question under way.

    Attributes:
        kept: Set once question and picture are stored; before that, nobody may be told that an answer will come.
        promised: Somebody was told that the verdict comes as a message.
        in_time: A verdict was reached before that; it is only being stored, and worth the wait.
        task: Ends with the verdict, or why there is none.
    """

    task: asyncio.Task[Verdict]

    def __init__(self, question: Question, received_at: float, *, promised: bool) -> None:
        self.question = question
        self.received_at = received_at
        self.promised = promised
        self.in_time = False
        self.kept = asyncio.Event()


class OffloadService:
    """Answers questions while it is open as an async context manager."""

    def __init__(
        self,
        *,
        judge: Judge,
        model: str,
        store: QuestionStore,
        blobs: Blobs,
        link: DownLink,
        witness: Witness,
        clock: Clock,
        decoding: Decoding,
        settings: OffloadSettings,
        new_id: Callable[[], str] = lambda: uuid.uuid4().hex,
    ) -> None:
        self._judge = judge
        self._model = model
        self._store = store
        self._blobs = blobs
        self._link = link
        self._witness = witness
        self._clock = clock
        self._decoding = decoding
        self._settings = settings
        self._new_id = new_id
        self._at_once = asyncio.Semaphore(settings.at_once)
        self._open: dict[str, _Open] = {}
        self._failures: dict[str, int] = {}
        self._tasks: set[asyncio.Task[object]] = set()

    async def __aenter__(self) -> Self:
        self._spawn(self._sweep_for_ever(), "offload-sweep")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        tasks = tuple(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    # --- asked ---------------------------------------------------------------------------------------------------

    async def answer(self, question: Question, picture: bytes, received_at: float) -> Verdict | None:
        """The verdict, or None when it is not there by the question's deadline and goes down to the device later.

        Args:
            question: Checked to be the asking device's own.
            picture: JPEG of the question's region.
            received_at: When the question came in, by the clock's `monotonic`.

        Raises:
            TooManyQuestions: Ask again later; nothing was kept.
            QuestionNotYours: The id is another device's question.
            vision.errors.PictureUnreadable: Nothing was kept.
            OffloadStopped: The cloud stops; what was kept is answered after its restart.
            VedetteError: Store, blobs or model failed; what was kept is tried again.
        """
        under_way = self._open.get(question.message_id)
        if under_way is None:
            if len(self._open) >= self._settings.max_open:
                raise TooManyQuestions(
                    f"{self._settings.max_open} questions are under way already", "Ask again in a second."
                )
            under_way = _Open(question, received_at, promised=False)
            self._begin(under_way, self._first_answer(under_way, picture))
        elif under_way.question.device != question.device:
            raise _not_yours(question)
        return await self._in_time(under_way, received_at + question.deadline_ms / 1000)

    async def _in_time(self, under_way: _Open, deadline: float) -> Verdict | None:
        task = under_way.task
        alarm = asyncio.create_task(self._clock.sleep(deadline - self._clock.monotonic()))
        kept = asyncio.create_task(under_way.kept.wait())
        try:
            await asyncio.wait({task, alarm}, return_when=asyncio.FIRST_COMPLETED)
            await asyncio.wait({task, kept}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            alarm.cancel()
            kept.cancel()
        if under_way.in_time:
            await asyncio.wait({task})
        if not task.done():
            under_way.promised = True
            return None
        if task.cancelled():
            raise OffloadStopped("the cloud is shutting down", "Ask again in a few seconds.")
        return task.result()

    async def _first_answer(self, under_way: _Open, picture: bytes) -> Verdict:
        question = under_way.question
        known = await self._store.find_verdict(question.message_id)
        if known is not None:
            if known.device != question.device:
                raise _not_yours(question)
            return known
        await self._decoding.check(picture)
        key = question_picture_key(question)
        await self._blobs.put(key, picture)
        await self._store.add_question(question, key, len(picture))
        self._witness.asked(question, key)
        under_way.kept.set()
        return await self._settle(under_way, picture)

    # --- decided -------------------------------------------------------------------------------------------------

    async def _settle(self, under_way: _Open, picture: bytes) -> Verdict:
        """Judge, then send and store, in the order that loses nothing."""
        question = under_way.question
        judgement = await self._judged(question, picture)
        took_s = self._clock.monotonic() - under_way.received_at
        deadline_s = question.deadline_ms / 1000
        late = under_way.promised or took_s > deadline_s
        under_way.in_time = not late
        verdict = self._verdict(question, judgement, took_s, late=late)
        if late:
            await self._link.publish(question.device, Channel.VERDICTS, verdict)
        await self._store.add_verdict(verdict)
        self._witness.decided(question, verdict)
        log.info(
            "%s%s: %s in %.0f ms",
            "late, " if late else "",
            verdict.decision,
            verdict.reason,
            verdict.took_ms,
            extra={
                "device": question.device,
                "boot_id": question.boot_id,
                "alert_id": question.alert_id,
                "question_id": question.message_id,
            },
        )
        if not late and took_s > SURE_SHARE * deadline_s:
            self._spawn(self._echo(verdict), f"offload-echo-{question.message_id}")
        return verdict

    async def _judged(self, question: Question, picture: bytes) -> Judgement:
        rules = self._settings.decide
        async with self._at_once:
            image = await self._decoding.decode(picture)
            view = look_at(question, image.shape[1], image.shape[0], rules)
            part = squared(image[view.top : view.bottom, view.left : view.right])
            seen = await self._judge.detect(part.image, min(SURVEY_FROM, rules.min_score))
        return decide(question, in_picture(seen, part), view.region, rules)

    def _verdict(self, question: Question, judgement: Judgement, took_s: float, *, late: bool) -> Verdict:
        return Verdict(
            message_id=self._new_id(),
            device=question.device,
            made_at=self._clock.wall(),
            question_id=question.message_id,
            alert_id=question.alert_id,
            decision=judgement.decision,
            label=judgement.label,
            score=judgement.score,
            box=judgement.box,
            looked=judgement.looked,
            found=judgement.found,
            model=self._model,
            reason=judgement.reason,
            took_ms=round(took_s * 1000, 1),
            late=late,
        )

    async def _echo(self, verdict: Verdict) -> None:
        try:
            await self._link.publish(verdict.device, Channel.VERDICTS, verdict)
        except VedetteError as lost:
            log.info("the second copy of verdict %s was not sent: %s", verdict.message_id, lost)

    # --- left over -----------------------------------------------------------------------------------------------

    async def _sweep_for_ever(self) -> None:
        while True:
            try:
                await self.sweep()
            except VedetteError as failed:
                log.warning("questions without a verdict could not be looked for: %s", failed)
            await self._clock.sleep(self._settings.resume_every_s)

    async def sweep(self) -> int:
        """Answer what was left without a verdict, by a crash or a failure; returns how many were.

        Raises:
            VedetteError: The store can't say which.
        """
        # Those that were given up stay in the way, being the oldest.
        left = await self._store.unanswered(SWEEP_ROWS + len(self._failures))
        self._failures = {
            question.message_id: self._failures[question.message_id]
            for question, _ in left
            if question.message_id in self._failures
        }
        answered = 0
        for start in range(0, len(left), SWEEP_BATCH):
            tasks = [self._resume(question, key) for question, key in left[start : start + SWEEP_BATCH]]
            waited = {task for task in tasks if task is not None}
            if waited:
                done, _ = await asyncio.wait(waited)
                failures = [task.exception() for task in done if not task.cancelled()]
                answered += failures.count(None)
                if any(failed is not None and _passes(failed) for failed in failures):
                    break  # Those behind would be looked at in vain.
        return answered

    def _resume(self, question: Question, key: str) -> asyncio.Task[Verdict] | None:
        given_up = self._failures.get(question.message_id, 0) >= self._settings.attempts
        if given_up or question.message_id in self._open:
            return None
        under_way = _Open(question, self._clock.monotonic(), promised=True)
        under_way.kept.set()
        return self._begin(under_way, self._late_answer(under_way, key))

    async def _late_answer(self, under_way: _Open, key: str) -> Verdict:
        return await self._settle(under_way, await self._blobs.get(key))

    # --- tasks ---------------------------------------------------------------------------------------------------

    def _begin(self, under_way: _Open, answering: Coroutine[Any, Any, Verdict]) -> asyncio.Task[Verdict]:
        question_id = under_way.question.message_id
        self._open[question_id] = under_way
        task = self._spawn(answering, f"offload-{question_id}")
        under_way.task = task
        task.add_done_callback(lambda done: self._ended(under_way, done))
        return task

    def _ended(self, under_way: _Open, task: asyncio.Task[Verdict]) -> None:
        question_id = under_way.question.message_id
        del self._open[question_id]
        if task.cancelled() or task.exception() is None:
            self._failures.pop(question_id, None)
        elif under_way.kept.is_set() and not _passes(task.exception()):
            self._failures[question_id] = self._failures.get(question_id, 0) + 1

    def _spawn(self, work: Coroutine[Any, Any, T], name: str) -> asyncio.Task[T]:
        task = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._forget)
        return task

    def _forget(self, task: asyncio.Task[object]) -> None:
        self._tasks.discard(task)
        if task.cancelled() or (error := task.exception()) is None:
            return
        if isinstance(error, VedetteError):
            log.warning("%s: %s: %s", task.get_name(), error.name, error)
        else:
            log.error("%s failed", task.get_name(), exc_info=error)


def _passes(failed: BaseException | None) -> bool:
    """Whether it is no fault of the question's own picture: the broker or store is away, or the model too busy."""
    return isinstance(failed, CloudError) and not isinstance(failed, BlobMissing | BlobFailed)


def _not_yours(question: Question) -> QuestionNotYours:
    return QuestionNotYours(
        f"question {question.message_id} was asked by another device", "Give each question an id of its own."
    )
