"""A mosquitto that somebody else runs, started with what `prepare_broker` wrote."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from pathlib import Path

import pytest

from cloud.adapters.clock import SystemClock
from cloud.adapters.data_dir import DataDir
from cloud.brokers import prepare_broker
from tests.cloud.running import Service, running, settings_for
from tests.cloud.samples import BOUND_S
from tests.ports import free_port


def program() -> str:
    found = shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin")
    if found is None:
        what = "mosquitto is not installed: apt-get install mosquitto"
        if os.environ.get("VEDETTE_REQUIRE_ENGINES") == "1":
            pytest.fail(what)
        pytest.skip(what)
    return found


class Mosquitto:
    """`options` are for `running`: with them the service uses this broker, and signals it if `signalled`."""

    def __init__(self, folder: Path, data_dir: Path, *, signalled: bool = True, **more: object) -> None:
        self.folder = folder / "broker"
        self._sessions = folder / "sessions"
        broker = {
            "kind": "mosquitto",
            "host": "127.0.0.1",
            "folder": str(self.folder),
            "sessions": str(self._sessions),
        }
        if signalled:
            broker["pid_file"] = str(self._sessions / "mosquitto.pid")
        options: dict[str, object] = {"broker": broker, "mqtt_port": free_port(), "tls": True, "device_port": 0}
        self.options = options | more
        self._data_dir = data_dir
        self._process: asyncio.subprocess.Process | None = None
        self._drain: asyncio.Task[bytes] | None = None
        self._keeping: asyncio.Task[None] | None = None

    async def prepare(self) -> None:
        data = DataDir(self._data_dir)
        data.make()
        settings = settings_for(self._data_dir, **self.options)
        await asyncio.to_thread(prepare_broker, settings, data, SystemClock())
        self._sessions.mkdir(exist_ok=True)
        file = self.folder / "mosquitto.conf"
        text = file.read_text()
        # Started by root it would become another user, who may not read the test's folder.
        self._config = self.folder.with_name("started.conf")
        self._config.write_text(("user root\n" if os.geteuid() == 0 else "") + text + "log_type information\n")

    async def start(self) -> None:
        """Run it, and again if it ends by itself, as Debian's unit does: once it was gone after a reload."""
        await self._start()
        self._keeping = asyncio.create_task(self._keep())

    async def _keep(self) -> None:
        while True:
            assert self._process is not None
            code = await self._process.wait()
            print(f"mosquitto ended by itself with {code}, and is started again")  # noqa: T201 - for whoever reads a failure
            await self._start()

    async def _start(self) -> None:
        self._process = await asyncio.create_subprocess_exec(
            program(), "-c", self._config, stderr=asyncio.subprocess.PIPE
        )
        assert self._process.stderr is not None
        said = b""
        async with asyncio.timeout(BOUND_S):
            while not (line := await self._process.stderr.readline()).endswith(b" running\n"):
                assert line, said
                said += line
        self._drain = asyncio.create_task(self._process.stderr.read())

    def reload(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGHUP)

    async def kill(self) -> bytes:
        """What it said."""
        if self._keeping is not None:
            self._keeping.cancel()
            await asyncio.wait({self._keeping})
            self._keeping = None
        if self._process is not None and self._process.returncode is None:
            self._process.send_signal(signal.SIGKILL)
            await self._process.wait()
        return b"" if self._drain is None else await self._drain


@asynccontextmanager
async def mosquitto(
    folder: Path, data_dir: Path, *, signalled: bool = True, **more: object
) -> AsyncIterator[Mosquitto]:
    program()
    broker = Mosquitto(folder, data_dir, signalled=signalled, **more)
    await broker.prepare()
    try:
        await broker.start()
        yield broker
    finally:
        await broker.kill()


Serving = Callable[[], AbstractAsyncContextManager[Service]]
KINDS = ("nats", "mosquitto")


@asynccontextmanager
async def served_by(kind: str, folder: Path) -> AsyncIterator[Serving]:
    """Starts the service over TLS, again and again if need be; mosquitto runs on meanwhile."""
    data = folder / "data"
    if kind == "nats":
        yield partial(running, data, tls=True, device_port=0)
    else:
        async with mosquitto(folder, data) as broker:
            yield partial(running, data, **broker.options)
