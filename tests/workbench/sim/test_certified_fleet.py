"""Simulated devices at the real service over TLS, each under its own certificate, though they share a context."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from agent.adapters.identity_folder import IdentityFolder
from agent.adapters.system_clock import SystemClock
from agent.app.enrol import renew
from agent.deliver.link import address_of
from tests.cloud.identity.certified import claim_for
from tests.cloud.running import Service, eventually, running
from tests.workbench.sim.rig import BORN_WITH
from workbench.sim.device import Life
from workbench.sim.fleet import Credential, Fleet
from workbench.sim.personality import Personality
from workbench.sim.service import read_credentials

pytestmark = pytest.mark.parts

DEVICES = 6
ROOMY = {"enrolments_per_s": 500, "enrolments_at_once": 500}
WITHIN_S = 60.0


async def enrolled(service: Service, folder: Path) -> list[Credential]:
    claims = [await claim_for(service, f"sim-{number}") for number in range(DEVICES)]
    file = folder / "credentials"
    file.write_text("".join(f"{json.dumps({'device': one.device, 'claim': one.spell()})}\n" for one in claims))
    found, _ = await asyncio.to_thread(read_credentials, file, DEVICES, folder / "identities")
    return found


@asynccontextmanager
async def connecting(service: Service, credentials: Sequence[Credential]) -> AsyncIterator[Fleet]:
    fleet = Fleet(
        credentials, [Personality.STEADY] * len(credentials), life=Life(2.0, BORN_WITH, trusts=False),
        address=address_of(service.addresses.mqtt), seed=1, clock=SystemClock(), trust=None,
    )  # fmt: skip
    fleet.begin()
    try:
        yield fleet
    finally:
        await fleet.end(politely=True)


async def present(service: Service) -> set[str]:
    shown = await service.get("/api/devices")
    assert isinstance(shown, list)
    return {one["device"] for one in shown if one["presence"] == "online"}


async def test_each_is_known_by_its_own_certificate_and_comes_back_with_a_renewed_one(tmp_path: Path) -> None:
    async with running(tmp_path / "data", tls=True, device_port=0, door=ROOMY) as service:
        credentials = await enrolled(service, tmp_path)
        names = {one.device for one in credentials}

        async def all_online() -> bool:
            return await present(service) == names

        async def none_online() -> bool:
            return not await present(service)

        async with connecting(service, credentials) as fleet:
            assert await fleet.all_there(WITHIN_S), fleet.tally.refusals
            await eventually(all_online)
            assert await fleet.come_to_rest(WITHIN_S)
            assert "IdentityUnusable" not in fleet.tally.refusals
        await eventually(none_online)

        before = [(one.identity / "device.pem").read_bytes() for one in credentials if one.identity]
        for one in credentials:
            assert one.identity is not None
            await asyncio.to_thread(renew, IdentityFolder(one.identity), SystemClock().wall)
        after = [(one.identity / "device.pem").read_bytes() for one in credentials if one.identity]
        assert not set(before) & set(after)
        async with connecting(service, credentials) as fleet:
            assert await fleet.all_there(WITHIN_S), fleet.tally.refusals
            await eventually(all_online)


async def test_who_shows_another_s_certificate_or_none_stays_out_until_it_has_its_own(tmp_path: Path) -> None:
    async with running(tmp_path / "data", tls=True, device_port=0, door=ROOMY) as service:
        credentials = await enrolled(service, tmp_path)
        good, impostor, damaged = (Path(str(one.identity)) for one in credentials[:3])
        kept = tmp_path / "kept"
        shutil.copytree(tmp_path / "identities", kept)
        shutil.copy(good / "device.pem", impostor / "device.pem")
        (damaged / "device.pem").write_bytes(b"")

        async def the_impostor_was_refused() -> bool:
            counts = await service.counts()
            return any(name.startswith("auth.refused.") and count for name, count in counts.items())

        async with connecting(service, credentials) as fleet:
            await eventually(the_impostor_was_refused)
            await eventually(lambda: the_damaged_came_to_nothing(fleet))
            await eventually(lambda: others_are_there(fleet))
            assert not any(one.online for one in fleet.devices if one.name in {impostor.name, damaged.name})
            for folder in (impostor, damaged):
                shutil.copy(kept / folder.name / "device.pem", folder / "device.pem")
            assert await fleet.all_there(WITHIN_S), fleet.tally.refusals


async def others_are_there(fleet: Fleet) -> bool:
    return fleet.tally.arrived == DEVICES - 2


async def the_damaged_came_to_nothing(fleet: Fleet) -> bool:
    return fleet.tally.refusals["IdentityUnusable"] > 0
