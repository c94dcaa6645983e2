"""What devices sent, as rows."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime

from wire.audits import Audit, AuditOutcome
from wire.messages import Question, Verdict


@dataclass(frozen=True, slots=True)
class Received:
    """Pictures or clips of one camera, for one reason, on one day (UTC); `size` in bytes, of the files alone.

    Attributes:
        camera: None where nothing says it.
        reason: As in the devices' ledger.
    """

    device: str
    camera: str | None
    reason: str
    day: date
    count: int
    size: int


@dataclass(frozen=True, slots=True)
class Answered:
    """A question with its verdict and its picture's key."""

    question: Question
    verdict: Verdict
    key: str
    received_at: datetime


@dataclass(frozen=True, slots=True)
class Concluded:
    """An audit with its outcome and its picture's key."""

    audit: Audit
    outcome: AuditOutcome
    key: str
    received_at: datetime
