"""The service and agents as processes of their own: taken in, started, told where to find each other."""

from __future__ import annotations

import asyncio
import json
import os
import select
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final

from cloud.adapters.clock import SystemClock
from cloud.adapters.data_dir import Addresses, DataDir
from cloud.fleet.enrolment import Enrolment
from cloud.store.database import open_database
from cloud.store.devices import DeviceStore
from workbench.demo.processes import Child, Children
from workbench.errors import DemoFailed

READY_S: Final = 30.0
"""Loading two models on a slow disk takes a few seconds; more than this is a fault worth showing."""


def cloud_folder(folder: Path) -> DataDir:
    """The service's part of the folder in which all is kept."""
    return DataDir(folder / "cloud")


def agent_folder(folder: Path, name: str) -> Path:
    """An agent's part of it."""
    return folder / name


def token_file(folder: Path, name: str) -> Path:
    """Where an agent finds its token."""
    return agent_folder(folder, name) / "token"


def start_service(
    children: Children, folder: Path, options: Sequence[str] = (), environment: Mapping[str, str] | None = None
) -> tuple[Child, Addresses]:
    """Start `vedette serve`, and return once devices can connect.

    Raises:
        DemoFailed: It ended instead, or took too long.
    """
    reading, writing = os.pipe()
    command = [sys.executable, "-m", "workbench", "serve", "--json", "--data-dir", str(cloud_folder(folder).root)]
    command += ["--http-port", "0", "--mqtt-port", "0", *options]
    try:
        child = children.start("cloud", command, environment or {}, stdout=writing)
    finally:
        os.close(writing)
    with os.fdopen(reading, "rb") as said:
        ready, _, _ = select.select([said], [], [], READY_S)
        line = said.readline() if ready else b""
    if not line:
        children.check()
        raise DemoFailed(f"the service was not ready within {READY_S:.0f} s", f"See {child.log}.")
    return child, Addresses(**json.loads(line))


def start_agent(children: Children, folder: Path, name: str, told: str) -> Child:
    """Start `vedette-agent run` with the TOML `told`."""
    config = agent_folder(folder, name) / "agent.toml"
    config.write_text(told, "utf-8")
    return children.start(name, [sys.executable, "-m", "agent", "run", "--config", str(config)], {})


def enrol(folder: Path, names: Iterable[str]) -> None:
    """Take in the devices that have no token yet; a kept data folder has them."""
    asyncio.run(_enrol(folder, names))


async def _enrol(folder: Path, names: Iterable[str]) -> None:
    data = cloud_folder(folder)
    data.make()
    async with open_database(data.database_url) as database:
        enrolment = Enrolment(DeviceStore(database), SystemClock())
        for name in names:
            file = token_file(folder, name)
            if file.is_file():
                continue
            file.parent.mkdir(exist_ok=True)
            token = await enrolment.enroll(name)
            file.touch(mode=0o600)
            file.write_text(token)
