"""The whole service, on real parts, in this event loop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil

from cloud.adapters.clock import SystemClock
from cloud.adapters.data_dir import Addresses, DataDir
from cloud.app import serve
from cloud.config import Settings
from cloud.fleet.enrolment import Enrolment
from cloud.store.database import open_database
from cloud.store.devices import DeviceStore
from tests.cloud.samples import BOUND_S


@dataclass
class Service:
    addresses: Addresses
    data_dir: Path
    http: httpx.AsyncClient

    async def enroll(self, name: str) -> str:
        async with open_database(DataDir(self.data_dir).database_url) as database:
            return await Enrolment(DeviceStore(database), SystemClock()).enroll(name)

    async def revoke(self, name: str) -> None:
        async with open_database(DataDir(self.data_dir).database_url) as database:
            await Enrolment(DeviceStore(database), SystemClock()).revoke(name)

    async def get(self, path: str) -> object:
        answer = await self.http.get(path)
        answer.raise_for_status()
        return answer.json()

    async def counts(self) -> dict[str, int]:
        return (await self.http.get("/readyz")).json()["counts"]

    def broker(self) -> psutil.Process:
        """The child."""
        return next(
            child
            for child in psutil.Process().children()
            if child.name() == "nats-server" and str(self.data_dir) in " ".join(child.cmdline())
        )


def settings_for(data_dir: Path, **changes: object) -> Settings:
    fields: dict[str, object] = {"data_dir": data_dir, "http_port": 0, "mqtt_port": 0, "answer_questions": False}
    return Settings.model_validate(fields | changes)


@asynccontextmanager
async def running(data_dir: Path, **changes: object) -> AsyncIterator[Service]:
    ready: asyncio.Future[Addresses] = asyncio.get_running_loop().create_future()
    stop = asyncio.Event()
    task = asyncio.create_task(serve(settings_for(data_dir, **changes), on_ready=ready.set_result, stop=stop))
    await asyncio.wait({task, ready}, timeout=BOUND_S, return_when=asyncio.FIRST_COMPLETED)
    if task.done():
        await task
    try:
        async with httpx.AsyncClient(base_url=ready.result().http, timeout=BOUND_S) as http:
            yield Service(ready.result(), data_dir, http)
    finally:
        stop.set()
        async with asyncio.timeout(BOUND_S):
            await task


async def eventually(condition: Callable[[], Awaitable[bool]]) -> None:
    """Ask what can't tell us by itself, another process or the API, until it is so."""
    async with asyncio.timeout(BOUND_S):
        while not await condition():  # noqa: ASYNC110 - nothing there to be woken by
            await asyncio.sleep(0.02)
