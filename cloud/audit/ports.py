"""What auditing needs from the rest of the cloud, beside a clock and blobs."""

from __future__ import annotations

from typing import Protocol

from vision.detections import Detections, Image
from vision.estimates import Counts
from wire.audits import Audit, AuditOutcome


class PatientJudge(Protocol):
    """A detector that looks when nobody else needs it."""

    async def detect_when_idle(self, image: Image, min_score: float) -> Detections:
        """As `cloud.offload.ports.Judge.detect`."""


class AuditKeeper(Protocol):
    """Audits and their outcomes, kept by the audit's id. Failures are `VedetteError`s."""

    async def find(self, audit_id: str) -> tuple[str, AuditOutcome | None] | None:
        """Whose it is, and its outcome, if there is one; None where no such audit is kept."""

    async def add(self, audit: Audit, picture_key: str, picture_bytes: int) -> None:
        """Commit the audit; one of the same id that is there already stays as it is."""

    async def conclude(self, outcome: AuditOutcome, total: Counts) -> None:
        """Commit the outcome; one of the same audit that is there already stays as it is."""

    async def open(self, limit: int) -> list[tuple[Audit, str]]:
        """At most `limit` audits without an outcome, oldest first, each with the key of its picture."""

    async def waiting(self) -> int:
        """How many have no outcome yet."""
