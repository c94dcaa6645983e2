"""A desk on a real journal, a clock turned by hand, and a cloud that acks or does not."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Self

from agent.adapters.command_desk import CommandDesk
from agent.adapters.command_journal import SqliteJournal
from agent.command.ports import Task
from agent.deliver.faults import Faults
from agent.deliver.messages import Boot
from wire.codec import decode
from wire.commands import Command, Phase, Response

CLOUD = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
BOUND_S = 60.0
_ids = count(1)


def new_id() -> str:
    return f"{next(_ids):032x}"


class ManualClock:
    def __init__(self, wall: datetime = CLOUD) -> None:
        self.at = 1000.0
        self.time = wall

    def monotonic(self) -> float:
        return self.at

    def wall(self) -> datetime:
        return self.time

    def turn(self, seconds: float) -> None:
        self.at += seconds
        self.time += timedelta(seconds=seconds)


def command(name: str = "ping", *, life_s: float = 300.0, made_at: datetime = CLOUD, **changes: object) -> Command:
    fields: dict[str, object] = {
        "message_id": new_id(),
        "device": "cam-1",
        "made_at": made_at,
        "expires_at": made_at + timedelta(seconds=life_s),
        "name": name,
    }
    return Command.model_validate(fields | changes)


class Rig:
    """The device's side, and of the cloud's what acks."""

    def __init__(self, path: Path, *, wall: datetime = CLOUD, acks: bool = True, **parts: object) -> None:
        self.clock = ManualClock(wall)
        self.faults = Faults()
        self.journal = SqliteJournal(path, faults=self.faults)
        self.effects: list[Task] = []
        self.acks = acks
        self.skew = timedelta()
        self.said: list[Response] = []
        self.news = asyncio.Event()
        actions = dict.fromkeys(("ping", "mute", "restart", "diagnose"), self.effect)
        boot = Boot("cam-1", new_id(), "0.1.0", CLOUD, "sha256:" + "ab" * 32)
        given: dict[str, object] = {
            "journal": self.journal, "actions": actions, "boot": boot, "clock": self.clock, "faults": self.faults,
        }  # fmt: skip
        self.desk = CommandDesk(**(given | parts))  # type: ignore[arg-type]
        self.stop = asyncio.Event()

    async def effect(self, task: Task) -> dict[str, object] | None:
        self.effects.append(task)
        return {"times": len(self.effects)}

    async def __aenter__(self) -> Self:
        self.desk.open()
        self.running = asyncio.create_task(self.desk.run(self.stop))
        self.begin_connection()
        return self

    async def __aexit__(self, *_: object) -> None:
        self.stop.set()
        self.end_connection()
        await asyncio.gather(self.running, self.connection, return_exceptions=True)
        self.journal.close()

    def begin_connection(self) -> None:
        self.connection = asyncio.create_task(self._link())

    def end_connection(self) -> None:
        self.connection.cancel()

    async def _link(self) -> None:
        await self.desk.connected()
        while True:
            response = decode(Response, await self.desk.next_answer())
            self.said.append(response)
            if self.acks:
                self.desk.acked([response.message_id], self.cloud_time())
            self.news.set()

    def cloud_time(self) -> datetime:
        return CLOUD + timedelta(seconds=self.clock.at - 1000.0)

    async def until(self, true) -> None:
        async with asyncio.timeout(BOUND_S):
            while not true():
                self.news.clear()
                await self.news.wait()

    async def done(self, asked: Command, times: int = 1) -> Response:
        def found() -> list[Response]:
            return [one for one in self.said if one.command_id == asked.message_id and one.phase is Phase.DONE]

        await self.until(lambda: len(found()) >= times)
        return found()[-1]
