"""Claims of many devices, redeemed at a real service."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from tests.cloud.identity.certified import claim_for
from tests.cloud.running import running
from workbench.sim.service import read_credentials

pytestmark = pytest.mark.parts

DEVICES = 12
DOOR = {"enrolments_per_s": 20, "enrolments_at_once": 5}


async def test_each_claim_is_redeemed_once_in_the_order_of_the_list_and_waits_where_it_must(tmp_path: Path) -> None:
    async with running(tmp_path / "data", tls=True, device_port=0, door=DOOR) as service:
        claims = [await claim_for(service, f"sim-{number:02}") for number in range(DEVICES)]
        file, kept = tmp_path / "credentials", tmp_path / "identities"
        file.write_text("".join(f"{json.dumps({'device': one.device, 'claim': one.spell()})}\n" for one in claims))
        for _ in range(2):  # the second time from what was kept: a claim works once
            credentials, broker = await asyncio.to_thread(read_credentials, file, DEVICES, kept)
            assert [credential.device for credential in credentials] == [claim.device for claim in claims]
            assert all(credential.identity is not None for credential in credentials)
            assert broker == service.addresses.mqtt
