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


USED_ONCE_FREED = {"MALLOC_PERTURB_": "165"}
"""Has the C library overwrite memory that was given back: whoever goes on using it fails, and not now and then."""


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
        self._drain: asyncio.Task[None] | None = None
        self._said: list[bytes] = []
        self._says = asyncio.Condition()

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
        self._process = await asyncio.create_subprocess_exec(
            program(), "-c", self._config, stderr=asyncio.subprocess.PIPE, env=os.environ | USED_ONCE_FREED
        )
        assert self._process.stderr is not None
        self._said.clear()
        self._drain = asyncio.create_task(self._read(self._process.stderr))
        await self._until(lambda: any(line.endswith(b" running\n") for line in self._said))

    async def _read(self, stream: asyncio.StreamReader) -> None:
        while line := await stream.readline():
            async with self._says:
                self._said.append(line)
                self._says.notify_all()
        async with self._says:
            self._says.notify_all()

    async def _until(self, so: Callable[[], bool]) -> None:
        assert self._process is not None
        assert self._drain is not None
        drain = self._drain
        async with asyncio.timeout(BOUND_S), self._says:
            await self._says.wait_for(lambda: so() or drain.done())
        assert so(), b"".join(self._said)

    async def reload(self) -> None:
        """Returns once it does so."""
        assert self._process is not None
        before = self._reloads
        self._process.send_signal(signal.SIGHUP)
        await self._until(lambda: self._reloads > before)

    @property
    def _reloads(self) -> int:
        return sum(line.endswith(b": Reloading config.\n") for line in self._said)

    async def kill(self) -> bytes:
        """What it said. It must not have ended by itself."""
        if self._process is None or self._drain is None:
            return b""
        ended = self._process.returncode
        if ended is None:
            self._process.send_signal(signal.SIGKILL)
            await self._process.wait()
        await self._drain
        self._process = None
        said = b"".join(self._said)
        assert ended is None, f"mosquitto ended by itself with {ended}: {said[-4000:].decode()}"
        return said


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
