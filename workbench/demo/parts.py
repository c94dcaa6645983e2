"""The service and agents as processes of their own: taken in, started, told where to find each other."""

from __future__ import annotations

import asyncio
import json
import os
import select
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from agent.adapters.identity_folder import IdentityFolder
from agent.app.enrol import enroll
from cloud.adapters.clock import SystemClock
from cloud.adapters.data_dir import Addresses, DataDir
from cloud.config import Settings
from cloud.doors import open_authority, open_identities
from cloud.fleet.enrolment import Enrolment
from cloud.store.database import open_database
from cloud.store.devices import DeviceStore
from wire.identity import Claim
from workbench.demo.processes import Child, Children
from workbench.errors import DemoFailed

READY_S: Final = 90.0
"""Loading two models takes a few seconds on a slow disk, and more on a machine that does other things; what takes
longer than this is a fault worth showing."""


def cloud_folder(folder: Path) -> DataDir:
    """The service's part of the folder in which all is kept."""
    return DataDir(folder / "cloud")


def agent_folder(folder: Path, name: str) -> Path:
    """An agent's part of it."""
    return folder / name


def token_file(folder: Path, name: str) -> Path:
    """Where an agent finds its token."""
    return agent_folder(folder, name) / "token"


def identity_folder(folder: Path, name: str) -> Path:
    """What an agent's enrolment made."""
    return agent_folder(folder, name) / "identity"


def served_over_tls(folder: Path) -> Sequence[str]:
    """Options with which the service knows devices by certificates, on any free ports."""
    file = folder / "service.toml"
    file.write_text("tls = true\ndevice_port = 0\n", "utf-8")
    return ["--config", str(file)]


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


def enrol_over_tls(folder: Path, names: Iterable[str], addresses: Addresses) -> None:
    """Have the devices get certificates from the running service.

    Those of a kept folder are enrolled anew: the service has other ports each time, and an enrolment names them.

    Raises:
        VedetteError: The service does not give one out.
    """
    for claim in asyncio.run(_claims(folder, names, addresses)):
        enroll(claim.spell(), IdentityFolder(identity_folder(folder, claim.device)), lambda: datetime.now(UTC))


async def _claims(folder: Path, names: Iterable[str], addresses: Addresses) -> list[Claim]:
    data, clock, settings = cloud_folder(folder), SystemClock(), Settings()
    async with open_database(data.database_url) as database:
        devices = DeviceStore(database)
        known = {device.id for device in await devices.all()}
        identities = open_identities(settings, open_authority(settings, data, clock), database, clock)
        claims = []
        for name in names:
            if name not in known:
                await Enrolment(devices, clock).enroll(name)
            claims.append(await identities.claim(name, http=addresses.devices, mqtt=addresses.mqtt))
        return claims


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
