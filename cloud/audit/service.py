"""An audit from its receipt to its outcome: kept first, looked at when no question waits, counted once.

One frame is looked at at a time. What has no outcome is found in the store, so a crash costs nothing but time, and a
device that waits is woken when its own is there.
"""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections import Counter
from collections.abc import Callable
from types import TracebackType
from typing import Any, Final, Self

import cv2

from cloud.audit.errors import AuditNotYours, AuditsBehind, AuditsStopped
from cloud.audit.match import compare
from cloud.audit.ports import AuditKeeper, PatientJudge
from cloud.audit.settings import AuditSettings
from cloud.errors import BlobMissing, NotFound
from cloud.infer.errors import Overloaded
from cloud.offload.pictures import Decoding
from cloud.offload.ports import Blobs
from cloud.ports import Clock
from vision.detections import Image
from wire.audits import Audit, AuditOutcome
from wire.errors import VedetteError

log = logging.getLogger(__name__)

AT_A_TIME: Final = 50
"""Of the open audits, how many are read from the store at once."""


def audit_picture_key(audit: Audit) -> str:
    """Where the frame lies; device and audit ids hold only what is harmless in a path."""
    return f"audits/{audit.device}/{audit.message_id}.jpg"


class AuditService:
    """Looks at what is kept while it is open as an async context manager."""

    def __init__(
        self,
        *,
        judge: PatientJudge,
        model: str,
        store: AuditKeeper,
        blobs: Blobs,
        clock: Clock,
        decoding: Decoding,
        settings: AuditSettings,
        new_id: Callable[[], str] = lambda: uuid.uuid4().hex,
    ) -> None:
        self._judge = judge
        self._model = model
        self._store = store
        self._blobs = blobs
        self._clock = clock
        self._decoding = decoding
        self._settings = settings
        self._new_id = new_id
        self._news = asyncio.Event()
        self._failures: Counter[str] = Counter()
        self._awaited: dict[str, asyncio.Future[AuditOutcome]] = {}
        self._waiting = 0
        self._stopped = False
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._look_for_ever(), name="audits")
        self._task.add_done_callback(_tell_of_end)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopped = True
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        for future in self._awaited.values():
            future.cancel()

    # --- taken in ------------------------------------------------------------------------------------------------

    async def take(self, audit: Audit, picture: bytes, received_at: float) -> AuditOutcome | None:
        """Keep the audit; its outcome, or None where it is not there by the audit's deadline.

        Args:
            audit: Checked to be the sending device's own.
            picture: JPEG of the whole frame.
            received_at: When it came in, by the clock's `monotonic`.

        Raises:
            AuditsBehind: Send it again later; nothing was kept.
            AuditNotYours: The id is another device's audit.
            vision.errors.PictureUnreadable: Nothing was kept.
            AuditsStopped: The cloud stops; what was kept is looked at after its restart.
            VedetteError: Store or blobs failed; send it again.
        """
        if self._stopped:
            raise _stopping()
        # From before it is kept: it may be looked at as soon as it is. A repeat waits for the same outcome.
        awaited = self._awaited.setdefault(audit.message_id, asyncio.get_running_loop().create_future())
        try:
            kept = await self._store.find(audit.message_id)
            if kept is None:
                await self._keep(audit, picture)
            elif kept[0] != audit.device:
                raise AuditNotYours(
                    f"audit {audit.message_id} is another device's", "Give each audit an id of its own."
                )
            elif kept[1] is not None:
                return kept[1]
            return await self._in_time(awaited, received_at + audit.deadline_ms / 1000)
        finally:
            if self._awaited.get(audit.message_id) is awaited:
                del self._awaited[audit.message_id]

    async def outcome(self, audit_id: str, device: str) -> AuditOutcome | None:
        """What came of an audit that the device brought; None where it was not looked at yet.

        Raises:
            NotFound: There is none, or not any more.
            AuditNotYours: It is another device's.
            StoreError: The store can't say.
        """
        kept = await self._store.find(audit_id)
        if kept is None:
            raise NotFound(f"there is no audit {audit_id}", "It was never sent, or is too old to be kept.")
        if kept[0] != device:
            raise AuditNotYours(f"audit {audit_id} is another device's", "Ask for this device's own audits.")
        return kept[1]

    async def _keep(self, audit: Audit, picture: bytes) -> None:
        if self._waiting >= self._settings.max_waiting:
            raise AuditsBehind(f"{self._waiting} frames wait to be looked at already", "Send it again later.")
        await self._decoding.check(picture)
        key = audit_picture_key(audit)
        await self._blobs.put(key, picture)
        await self._store.add(audit, key, len(picture))
        self._waiting += 1
        self._news.set()

    async def _in_time(self, awaited: asyncio.Future[AuditOutcome], deadline: float) -> AuditOutcome | None:
        alarm = asyncio.create_task(self._clock.sleep(deadline - self._clock.monotonic()))
        either: set[asyncio.Future[Any]] = {awaited, alarm}
        try:
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        finally:
            alarm.cancel()
        if awaited.cancelled():
            raise _stopping()
        return awaited.result() if awaited.done() else None

    # --- looked at -----------------------------------------------------------------------------------------------

    async def _look_for_ever(self) -> None:
        while True:
            self._news.clear()
            try:
                more = await self.look()
            except VedetteError as failed:
                log.warning("audits wait for the store: %s", failed)
                more = False
            if not more:
                await self._until_news()

    async def _until_news(self) -> None:
        alarm = asyncio.create_task(self._clock.sleep(self._settings.resume_every_s))
        news = asyncio.create_task(self._news.wait())
        either: set[asyncio.Future[Any]] = {alarm, news}
        try:
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        finally:
            alarm.cancel()
            news.cancel()

    async def look(self) -> bool:
        """Look at some of what is open, one after the other; whether there may be more to do at once.

        Raises:
            VedetteError: The store can't say what is open, or not take an outcome.
        """
        self._waiting = await self._store.waiting()
        found = await self._store.open(AT_A_TIME + len(self._failures))
        self._failures = Counter({audit.message_id: self._failures[audit.message_id] for audit, _ in found})
        self._failures += Counter()  # drops the zeros
        worth_it = [(a, key) for a, key in found if self._failures[a.message_id] < self._settings.attempts]
        concluded = 0
        try:
            for audit, key in worth_it[:AT_A_TIME]:
                concluded += await self._looked_at(audit, key)
        except Overloaded:
            return False
        return concluded > 0

    async def _looked_at(self, audit: Audit, key: str) -> bool:
        try:
            image = await self._decoding.decode(await self._blobs.get(key))
            image = await asyncio.to_thread(enlarged, image, self._settings.view_px)
            seen = await self._judge.detect_when_idle(image, self._settings.min_score)
        except Overloaded:
            raise
        except VedetteError as failed:
            # A picture that is gone, or that the model fails on, must not hold up the others.
            attempts = self._settings.attempts if isinstance(failed, BlobMissing) else 1
            self._failures[audit.message_id] += attempts
            log.warning(
                "an audit could not be looked at: %s: %s", failed.name, failed, extra={"id": audit.message_id}
            )
            return False
        finding = compare(audit, seen, self._settings.min_score)
        outcome = AuditOutcome(
            message_id=self._new_id(),
            device=audit.device,
            made_at=self._clock.wall(),
            audit_id=audit.message_id,
            model=self._model,
            counts=finding.counts,
            missed=finding.missed,
        )
        await self._store.conclude(outcome, finding.total)
        self._waiting = max(0, self._waiting - 1)
        awaited = self._awaited.pop(audit.message_id, None)
        if awaited is not None and not awaited.done():
            awaited.set_result(outcome)
        return True


def _tell_of_end(task: asyncio.Task[None]) -> None:
    """It ends by being cancelled; anything else is a fault of ours, and nobody would see that audits stand still."""
    if not task.cancelled() and (error := task.exception()) is not None:
        log.error("%s failed: nothing is audited until the service is started again", task.get_name(), exc_info=error)


def _stopping() -> AuditsStopped:
    return AuditsStopped("the cloud is shutting down", "Send it again in a few seconds.")


def enlarged(image: Image, least_px: int) -> Image:
    """`image`, its longer side at least `least_px`."""
    height, width = image.shape[:2]
    if max(width, height) >= least_px:
        return image
    scale = least_px / max(width, height)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return cv2.resize(image, size, interpolation=cv2.INTER_LINEAR).astype(image.dtype, copy=False)
