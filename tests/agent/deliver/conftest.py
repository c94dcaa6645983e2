from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import pytest

from agent.adapters.mqtt_link import MqttLink
from agent.adapters.sqlite_outbox import SqliteOutbox
from agent.adapters.system_clock import SystemClock
from agent.adapters.wakeup import Wakeup
from agent.deliver.faults import Faults
from agent.deliver.ledger import Ledger
from agent.deliver.link import LinkSettings, OnAnswer
from agent.deliver.telemetry import TelemetrySettings
from agent.domain import Answer

from .network import BOUND_S, PASSWORDS, Broker, Cloud, Mosquitto, Nats, Proxy
from .samples import FixedFigures, boot, outbox

T = TypeVar("T")
IMPATIENT: dict[str, object] = {"ack_timeout_s": 0.5}


def announcing(part: T, name: str, happened: Wakeup) -> T:
    """Have a call of `part.name` announced after it is done."""
    real = getattr(part, name)

    def call(*arguments):
        try:
            return real(*arguments)
        finally:
            happened.set()

    setattr(part, name, call)
    return part


@dataclass
class Device:
    """A link on a real outbox, with what a test wants to see of it.

    It is patient: what is to be said once is said twice by a link that waits for an ack no longer than a busy machine
    takes. Tests of what is said again have it `IMPATIENT`.
    """

    port: int
    path: Path
    settings: dict[str, object]
    on_answer: OnAnswer | None = None
    password: str | None = PASSWORDS["cam-1"]
    boot_number: int = 1
    answers: list[Answer] = field(default_factory=list)
    happened: Wakeup = field(default_factory=Wakeup)
    stop: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.faults = announcing(Faults(), "note", self.happened)
        self.ledger = announcing(Ledger(), "spend", self.happened)
        box = outbox(self.path, boot=boot(self.boot_number), clock=SystemClock())
        self.box: SqliteOutbox = announcing(box, "forget", self.happened)
        quick: dict[str, object] = {
            "url": f"mqtt://127.0.0.1:{self.port}", "reconnect_min_s": 0.05, "reconnect_max_s": 0.2,
            "ack_timeout_s": 60.0, "connect_timeout_s": BOUND_S, "stop_timeout_s": BOUND_S,
        }  # fmt: skip
        self.link = MqttLink(
            LinkSettings.model_validate(quick | self.settings),
            telemetry=TelemetrySettings(first_after_s=0.0),
            boot=boot(self.boot_number),
            outbox=self.box,
            figures=FixedFigures(),
            password=lambda: self.password,
            on_answer=self._take,
            clock=SystemClock(),
            faults=self.faults,
            ledger=self.ledger,
        )

    def _take(self, answer: Answer) -> Future[None] | None:
        self.answers.append(answer)
        self.happened.set()
        return self.on_answer(answer) if self.on_answer else None

    def start(self) -> None:
        self.task = asyncio.create_task(self.link.run(self.stop))

    async def end(self) -> None:
        self.stop.set()
        async with asyncio.timeout(BOUND_S):
            await self.task
        self.box.close()

    async def record(self, *changes) -> None:
        """From another thread, as judging does."""
        done = threading.Event()

        def judge() -> None:
            self.box.record(list(changes))
            done.set()

        thread = threading.Thread(target=judge)
        thread.start()
        await asyncio.to_thread(done.wait, BOUND_S)
        thread.join()

    async def until(self, true) -> None:
        """Wait until it holds; checked whenever something was sent, heard, forgotten or went wrong."""
        self.happened.bind()
        async with asyncio.timeout(BOUND_S):
            while not true():
                await self.happened.wait()


@pytest.fixture(params=["nats", pytest.param("mosquitto", marks=pytest.mark.system)])
async def broker(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Broker]:
    folder = tmp_path / request.param
    folder.mkdir()
    made = {"nats": Nats, "mosquitto": Mosquitto}[request.param](folder)
    await made.start()
    yield made
    await made.kill()


@pytest.fixture
async def proxy(broker: Broker) -> AsyncIterator[Proxy]:
    made = Proxy(broker.port)
    await made.mend()
    yield made
    await made.end()


@pytest.fixture
async def cloud(broker: Broker) -> AsyncIterator[Cloud]:
    made = Cloud(broker.port)
    made.start()
    async with asyncio.timeout(BOUND_S):
        await made.listening.wait()
    yield made
    await made.stop()


@pytest.fixture
def settings() -> dict[str, object]:
    """Of the device's link, where they are not the rig's own."""
    return {}


@pytest.fixture
async def device(proxy: Proxy, tmp_path: Path, settings: dict[str, object]) -> AsyncIterator[Device]:
    made = Device(proxy.port, tmp_path / "outbox.db", settings)
    made.start()
    yield made
    if not made.task.done():
        await made.end()
