"""Values and fakes that the delivery tests share."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from agent.adapters.sqlite_outbox import SqliteOutbox
from agent.deliver.faults import Faults
from agent.deliver.messages import Boot
from agent.deliver.outbox import OutboxSettings
from agent.deliver.telemetry import Snapshot
from agent.domain import AlertChange
from wire.messages import AlertEvent, AlertState, DecidedBy

DIGEST = "sha256:" + "ab" * 32
WALL = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
PLENTY = 1 << 50


class ManualClock:
    """A clock turned by hand."""

    def __init__(self, monotonic: float = 1000.0, wall: datetime = WALL) -> None:
        self._monotonic = monotonic
        self._wall = wall

    def monotonic(self) -> float:
        return self._monotonic

    def wall(self) -> datetime:
        return self._wall

    def advance(self, seconds: float) -> None:
        self._monotonic += seconds
        self._wall += timedelta(seconds=seconds)

    def set_wall(self, wall: datetime) -> None:
        self._wall = wall


class FixedFigures:
    """Figures that never change."""

    def snapshot(self) -> Snapshot:
        return Snapshot(uptime_s=1.0, rss_mib=50.0, cpu_s=0.5, errors={"LinkLost": 2})


def boot(number: int = 1, device: str = "cam-1") -> Boot:
    return Boot(device, f"{number:032x}", "0.1.0", WALL, DIGEST)


def change(number: int = 1, camera: str = "yard", **fields: object) -> AlertChange:
    made = AlertChange(
        id=f"{number:032x}",
        event=AlertEvent.NEW,
        revision=0,
        state=AlertState.PROVISIONAL,
        camera=camera,
        rule="people",
        zone=None,
        label="person",
        track=number,
        score=0.5,
        box=(0.1, 0.2, 0.3, 0.4),
        first_at=990.0,
        last_at=999.0,
        decided_at=999.5,
        decided_by=DecidedBy.DEVICE,
        reason="seen in 3 frames",
    )
    return replace(made, **fields)  # type: ignore[arg-type]


def outbox(path: Path, **parts: object) -> SqliteOutbox:
    given: dict[str, object] = {
        "settings": OutboxSettings(),
        "boot": boot(),
        "clock": ManualClock(),
        "faults": Faults(),
        "free_bytes": lambda _: PLENTY,
    }
    return SqliteOutbox(path, **(given | parts))  # type: ignore[arg-type]
