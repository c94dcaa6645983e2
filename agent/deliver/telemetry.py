"""The small figures that a device reports every half minute or so."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Annotated, Final, Protocol

from pydantic import Field

from agent.deliver.messages import Boot
from agent.settings import Settings
from wire.codec import encode
from wire.errors import MessageTooLarge
from wire.messages import AlertState, BudgetLeft, CameraTelemetry, EgressMark, Telemetry, TunedBand

MAX_CAMERAS: Final = 64
MAX_REASONS: Final = 32
MAX_ERRORS: Final = 64
MAX_BANDS: Final = 64
MAX_BUDGETS: Final = 65
"""The contract's bounds; beyond them the rarest are left out rather than the whole message refused."""


class TelemetrySettings(Settings):
    """When telemetry is sent.

    Attributes:
        every_s: Pause between two messages.
        first_after_s: How soon after a connection the first one is sent.
    """

    every_s: Annotated[float, Field(ge=1.0, le=86_400.0)] = 30.0
    first_after_s: Annotated[float, Field(ge=0.0, le=3_600.0)] = 5.0


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The agent's figures at one moment; counters run since its start. See `wire.messages.Telemetry`."""

    uptime_s: float
    rss_mib: float
    cpu_s: float
    cameras: tuple[CameraTelemetry, ...] = ()
    alerts: Mapping[AlertState, int] = field(default_factory=dict)
    outbox_depth: int = 0
    alerts_dropped: int = 0
    asks: int = 0
    asks_again: int = 0
    answers: int = 0
    answers_late: int = 0
    asks_failed: int = 0
    audits: int = 0
    audits_failed: int = 0
    bytes_by_reason: Mapping[str, int] = field(default_factory=dict)
    errors: Mapping[str, int] = field(default_factory=dict)
    egress: EgressMark | None = None
    bands: tuple[TunedBand, ...] = ()
    budgets: tuple[BudgetLeft, ...] = ()


class Figures(Protocol):
    """Where the figures come from."""

    def snapshot(self) -> Snapshot:
        """The figures now; must not wait for the disk or the network."""


def telemetry_message(snapshot: Snapshot, *, boot: Boot, made_at: datetime, message_id: str) -> Telemetry:
    """The message that reports `snapshot`; of the bands, then of the cameras' budgets, as many as fit."""
    message = _message(snapshot, boot=boot, made_at=made_at, message_id=message_id)
    while message.bands and not _fits(message):
        message = message.model_copy(update={"bands": message.bands[: len(message.bands) // 2]})
    while len(message.budgets) > 1 and not _fits(message):
        message = message.model_copy(update={"budgets": message.budgets[: len(message.budgets) // 2]})
    return message


def _fits(message: Telemetry) -> bool:
    try:
        encode(message)
    except MessageTooLarge:
        return False
    return True


def _message(snapshot: Snapshot, *, boot: Boot, made_at: datetime, message_id: str) -> Telemetry:
    return Telemetry(
        message_id=message_id,
        device=boot.device,
        made_at=made_at,
        boot_id=boot.boot_id,
        boot_seq=boot.next_seq(),
        uptime_s=snapshot.uptime_s,
        rss_mib=snapshot.rss_mib,
        cpu_s=snapshot.cpu_s,
        cameras=snapshot.cameras[:MAX_CAMERAS],
        alerts=dict(snapshot.alerts),
        outbox_depth=snapshot.outbox_depth,
        alerts_dropped=snapshot.alerts_dropped,
        asks=snapshot.asks,
        asks_again=snapshot.asks_again,
        answers=snapshot.answers,
        answers_late=snapshot.answers_late,
        asks_failed=snapshot.asks_failed,
        audits=snapshot.audits,
        audits_failed=snapshot.audits_failed,
        bytes_by_reason=_largest(snapshot.bytes_by_reason, MAX_REASONS),
        errors=_largest(snapshot.errors, MAX_ERRORS),
        egress=snapshot.egress,
        bands=snapshot.bands[:MAX_BANDS],
        budgets=snapshot.budgets[:MAX_BUDGETS],
    )


def _largest(counts: Mapping[str, int], limit: int) -> dict[str, int]:
    by_count = sorted(counts.items(), key=lambda item: item[1], reverse=True)
    return dict(by_count[:limit])
