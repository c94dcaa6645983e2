"""A broker that somebody else runs: a process of its own, started with what `prepare_broker` wrote."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from cloud.adapters.clock import SystemClock
from cloud.adapters.data_dir import DataDir
from cloud.adapters.nats_process import find_program
from cloud.brokers import CONFIG_FILE, prepare_broker
from tests.cloud.running import settings_for
from tests.cloud.samples import BOUND_S
from tests.ports import free_port


class ExternalBroker:
    """`options` are for `running`: with them the service uses this broker."""

    def __init__(self, folder: Path, data_dir: Path, **more: object) -> None:
        self.folder = folder
        broker = {
            "host": "127.0.0.1",
            "client_port": free_port(),
            "folder": str(folder / "broker"),
            "sessions": str(folder / "sessions"),
        }
        self.options: dict[str, object] = {"broker": broker, "mqtt_port": free_port(), **more}
        self.data_dir = data_dir
        self._process: asyncio.subprocess.Process | None = None
        self._drain: asyncio.Task[bytes] | None = None

    async def prepare(self) -> None:
        data = DataDir(self.data_dir)
        data.make()
        settings = settings_for(self.data_dir, **self.options)
        await asyncio.to_thread(prepare_broker, settings, data, SystemClock())
        # Each test's broker would want the same port for its health.
        config = self.folder / "broker" / CONFIG_FILE
        text = config.read_text().replace("http: 127.0.0.1:8222", f"http: 127.0.0.1:{free_port()}")
        self._started_with = self.folder / "started.conf"
        self._started_with.write_text(text)

    async def start(self) -> None:
        self._process = await asyncio.create_subprocess_exec(
            find_program(), "-c", self._started_with, stderr=asyncio.subprocess.PIPE
        )
        assert self._process.stderr is not None
        said = b""
        async with asyncio.timeout(BOUND_S):
            while b"Server is ready" not in (line := await self._process.stderr.readline()):
                assert line, said
                said += line
        self._drain = asyncio.create_task(self._process.stderr.read())

    async def kill(self) -> None:
        if self._process is not None and self._process.returncode is None:
            self._process.kill()
            await self._process.wait()
        if self._drain is not None:
            await self._drain


@asynccontextmanager
async def external_broker(folder: Path, data_dir: Path, **more: object) -> AsyncIterator[ExternalBroker]:
    broker = ExternalBroker(folder, data_dir, **more)
    await broker.prepare()
    with contextlib.suppress(FileExistsError):
        (folder / "sessions").mkdir()
    await broker.start()
    try:
        yield broker
    finally:
        await broker.kill()
