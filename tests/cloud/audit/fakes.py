"""The audit service's ports, in memory."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import numpy as np

from cloud.errors import StoreFailed
from cloud.infer.errors import Overloaded
from tests.cloud.offload.fakes import BOUND_S, BOX, LABELS, ManualClock, hex_id
from vision.detections import Detections, Image
from vision.estimates import Counts
from wire.audits import Audit, AuditOutcome, FrameKind
from wire.fields import Sighting

AT = datetime(2026, 1, 1, tzinfo=UTC)
AWAY = (0.0, 0.0, 0.1, 0.1)


def audit(number: int = 1, device: str = "cam-1", **changes: object) -> Audit:
    fields: dict[str, object] = {
        "message_id": hex_id(number),
        "device": device,
        "made_at": AT,
        "boot_id": hex_id(7),
        "boot_seq": number,
        "camera": "yard",
        "kind": FrameKind.CONFIDENT,
        "probability": 0.01,
        "number": number,
        "walked": 100 * number,
        "labels": ("person",),
        "shown": (Sighting("person", 0.8, BOX), Sighting("person", 0.7, AWAY)),
        "seen_at": AT,
        "deadline_ms": 1000,
        "model_digest": "sha256:" + "0" * 64,
        "model": "tiny 1",
    }
    return Audit.model_validate(fields | changes)


def seen(*found: tuple[int, float, tuple[float, float, float, float]]) -> Detections:
    return Detections(
        np.array([box for *_, box in found], np.float32).reshape(-1, 4),
        np.array([score for _, score, _ in found], np.float32),
        np.array([index for index, *_ in found], np.int32),
        LABELS,
    )


class TellingClock(ManualClock):
    """Says when somebody begins to wait."""

    def __init__(self) -> None:
        super().__init__()
        self._slept: asyncio.Queue[float] = asyncio.Queue()

    async def sleep(self, seconds: float) -> None:
        self._slept.put_nowait(seconds)
        await super().sleep(seconds)

    async def asleep(self, seconds: float) -> None:
        """Until somebody begins to wait for so long."""
        async with asyncio.timeout(BOUND_S):
            while await self._slept.get() != seconds:
                pass


class PatientJudge:
    """Sees a person in `BOX`, when the gate is open."""

    def __init__(self) -> None:
        self.gate = asyncio.Event()
        self.gate.set()
        self.begun = asyncio.Semaphore(0)
        self.shown: list[tuple[int, ...]] = []
        self.failures: list[Exception] = []

    async def detect_when_idle(self, image: Image, min_score: float) -> Detections:
        self.shown.append(image.shape)
        self.begun.release()
        await self.gate.wait()
        if self.failures:
            raise self.failures.pop(0)
        return seen((0, 0.9, BOX))


OVERLOADED = Overloaded("32 pictures wait")


class Keeper:
    """Audits, as the database would keep them."""

    def __init__(self) -> None:
        self.audits: dict[str, tuple[Audit, str]] = {}
        self.outcomes: dict[str, tuple[AuditOutcome, Counts]] = {}
        self.refuses = False

    async def find(self, audit_id: str) -> tuple[str, AuditOutcome | None] | None:
        if audit_id not in self.audits:
            return None
        outcome = self.outcomes.get(audit_id)
        return self.audits[audit_id][0].device, None if outcome is None else outcome[0]

    async def add(self, audit: Audit, picture_key: str, picture_bytes: int) -> None:
        self.audits.setdefault(audit.message_id, (audit, picture_key))

    async def conclude(self, outcome: AuditOutcome, total: Counts) -> None:
        if self.refuses:
            raise StoreFailed("the database refused")
        self.outcomes.setdefault(outcome.audit_id, (outcome, total))

    async def open(self, limit: int) -> list[tuple[Audit, str]]:
        return [kept for audit_id, kept in self.audits.items() if audit_id not in self.outcomes][:limit]

    async def waiting(self) -> int:
        return len(self.audits) - len(self.outcomes)
