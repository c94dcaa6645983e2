"""A device's real link and desk before the real service; what its commands do is counted."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from agent.adapters.command_desk import CommandDesk
from agent.adapters.command_journal import SqliteJournal
from agent.adapters.mqtt_link import MqttLink
from agent.adapters.sqlite_outbox import SqliteOutbox
from agent.adapters.system_clock import SystemClock
from agent.command.ports import Task
from agent.deliver.faults import Faults
from agent.deliver.ledger import Ledger
from agent.deliver.link import LinkSettings
from agent.deliver.messages import Boot
from agent.deliver.outbox import OutboxSettings
from agent.deliver.telemetry import Snapshot, TelemetrySettings


class _NoFigures:
    def snapshot(self) -> Snapshot:
        return Snapshot(uptime_s=1.0, rss_mib=50.0, cpu_s=0.5)


@dataclass
class RealDevice:
    faults: Faults
    ledger: Ledger
    effects: list[Task] = field(default_factory=list)

    async def effect(self, task: Task) -> dict[str, object]:
        self.effects.append(task)
        task.progress(0.5, "half way")
        return {"times": len(self.effects)}


@asynccontextmanager
async def real_device(folder: Path, address: str, name: str, token: str) -> AsyncIterator[RealDevice]:
    clock, faults, ledger = SystemClock(), Faults(), Ledger()
    device = RealDevice(faults, ledger)
    boot = Boot(name, secrets.token_hex(16), "0.1.0", datetime.now(UTC), "sha256:" + "ab" * 32)
    outbox = SqliteOutbox(folder / "outbox.db", settings=OutboxSettings(), boot=boot, clock=clock, faults=faults)
    journal = SqliteJournal(folder / "commands.db", faults=faults)
    actions = dict.fromkeys(("ping", "mute"), device.effect)
    desk = CommandDesk(journal=journal, actions=actions, boot=boot, clock=clock, faults=faults)
    desk.open()
    link = MqttLink(
        LinkSettings.model_validate({"url": address, "reconnect_min_s": 0.05, "reconnect_max_s": 0.2}),
        telemetry=TelemetrySettings(),
        boot=boot,
        outbox=outbox,
        figures=_NoFigures(),
        password=lambda: token,
        on_answer=lambda _: None,
        clock=clock,
        faults=faults,
        ledger=ledger,
        desk=desk,
    )
    stop = asyncio.Event()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(link.run(stop))
        tasks.create_task(desk.run(stop))
        try:
            yield device
        finally:
            stop.set()
    journal.close()
    outbox.close()
