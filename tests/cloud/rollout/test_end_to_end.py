"""Devices on the real broker take what is retained for them, and report."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cloud.adapters.clock import SystemClock
from cloud.adapters.data_dir import DataDir
from cloud.cli import app as cli
from cloud.deployment import Phase, Policy, Rollout
from cloud.registry import service as registry
from cloud.rollout.start import start
from cloud.store.database import open_database
from cloud.store.rollouts import RolloutStore
from tests.cloud.rollout.fleets import NEW, OLD
from tests.cloud.rollout.signers import FakeSigner, Release
from tests.cloud.running import Service, eventually, running
from tests.cloud.samples import Device, connected, new_id, status
from wire.topics import Channel
from wire.updates import Desired, Reported, UpdateState

pytestmark = pytest.mark.parts

BOOT = "b1" * 16


async def report(device: Device, state: UpdateState, desired: Desired | None = None) -> None:
    done = state is UpdateState.COMMITTED
    message = {
        "message_id": new_id(),
        "device": device.name,
        "made_at": SystemClock().wall(),
        "boot_id": BOOT,
        "boot_seq": 1 if desired is None else 1 + desired.version,
        "desired_version": 0 if desired is None else desired.version,
        "deployment_id": None if desired is None else desired.deployment_id,
        "state": state,
        "running": desired.model if done and desired is not None else OLD,
        "reason": "it detects nothing" if state is UpdateState.REJECTED else "",
    }
    await device.say(Channel.REPORTED, Reported.model_validate(message))


@asynccontextmanager
async def agent(service: Service, name: str, token: str, end: UpdateState) -> AsyncIterator[Device]:
    """A device that ends every update so."""
    async with connected(service.addresses.mqtt, name, token) as device:

        async def work() -> None:
            await device.say(Channel.STATUS, status(name))
            if not any(isinstance(message, Desired) for message in device.heard):
                await report(device, UpdateState.IDLE)
            desired = await device.until_heard(Desired)
            assert isinstance(desired, Desired)
            await report(device, end, desired)

        working = asyncio.create_task(work())
        try:
            yield device
        finally:
            working.cancel()
            await asyncio.gather(working, return_exceptions=True)


@pytest.fixture
def signer(monkeypatch: pytest.MonkeyPatch) -> FakeSigner:
    """In the place of the signed repository, which needs a key ceremony and has tests of its own."""
    fake = FakeSigner([Release(OLD), Release(NEW)])
    for name in ("releases", "group", "set_group"):
        method = getattr(fake, name)
        monkeypatch.setattr(registry.Registry, name, lambda _self, *args, call=method: call(*args))
    return fake


async def begin(service: Service, signer: FakeSigner, **policy: object) -> Rollout:
    async with open_database(DataDir(service.data_dir).database_url) as database:
        return await start(
            store=RolloutStore(database),
            signer=signer,
            clock=SystemClock(),
            model="nanodet@2.0.0",
            group="default",
            policy=Policy.model_validate({"soak_s": 0} | policy),
        )


async def reaches(service: Service, phase: Phase) -> dict[str, object]:
    shown: list[dict[str, object]] = []

    async def there() -> bool:
        listed = await service.get("/api/rollouts")
        assert isinstance(listed, list)
        shown[:] = listed
        return shown[0]["phase"] == phase

    await eventually(there)
    detail = await service.get(f"/api/rollouts/{shown[0]['id']}")
    assert isinstance(detail, dict)
    return detail


async def all_known(service: Service, online: int) -> None:
    async def known() -> bool:
        devices = await service.get("/api/devices")
        assert isinstance(devices, list)
        there = [one for one in devices if one["presence"] == "online" and one["reported"] is not None]
        return len(there) == online

    await eventually(known)


async def test_rollout_completes_and_who_was_away_catches_up(tmp_path: Path, signer: FakeSigner) -> None:
    async with running(tmp_path) as service:
        tokens = {f"cam-{number}": await service.enroll(f"cam-{number}") for number in range(3)}
        here = [agent(service, name, tokens[name], UpdateState.COMMITTED) for name in ("cam-0", "cam-1")]
        async with here[0] as one, here[1]:
            await all_known(service, 2)
            await begin(service, signer, stages=(50, 100))
            detail = await reaches(service, Phase.FINISHED)
            assert detail["counts"] == {
                "eligible": 3, "away": 1, "pending": 0, "committed": 2, "failed": 0, "excused": 0,
            }  # fmt: skip
            desired = await one.until_heard(Desired)
            assert isinstance(desired, Desired)
            assert desired.model == NEW
        async with agent(service, "cam-2", tokens["cam-2"], UpdateState.COMMITTED) as late:
            desired = await late.until_heard(Desired)
            assert isinstance(desired, Desired)
            assert desired.model == NEW

            async def runs_it() -> bool:
                shown = await service.get("/api/devices/cam-2")
                assert isinstance(shown, dict)
                return shown["reported"] is not None and shown["reported"]["running"]["version"] == "2.0.0"

            await eventually(runs_it)


async def test_failed_canary_halts_it_and_leaves_the_others_untouched(tmp_path: Path, signer: FakeSigner) -> None:
    async with running(tmp_path) as service:
        tokens = {f"cam-{number}": await service.enroll(f"cam-{number}") for number in range(3)}
        async with (
            agent(service, "cam-0", tokens["cam-0"], UpdateState.COMMITTED) as one,
            agent(service, "cam-1", tokens["cam-1"], UpdateState.COMMITTED) as two,
            agent(service, "cam-2", tokens["cam-2"], UpdateState.REJECTED),
        ):
            await all_known(service, 3)
            rollout = await begin(service, signer, canaries=("cam-2",))
            detail = await reaches(service, Phase.HALTED)
            assert "it detects nothing" in str(detail["reason"])
            assert [device["device"] for device in detail["devices"]] == ["cam-2"]  # type: ignore[attr-defined]
            assert not any(isinstance(message, Desired) for device in (one, two) for message in device.heard)
        where = ["--data-dir", str(tmp_path)]
        watched = await asyncio.to_thread(CliRunner().invoke, cli, ["rollout", "watch", "--json", *where])
        assert watched.exit_code == 9
        assert json.loads(watched.stdout.splitlines()[-1])["phase"] == "halted"
        aborted = await asyncio.to_thread(CliRunner().invoke, cli, ["rollout", "abort", rollout.id[:6], *where])
        assert aborted.exit_code == 0
        await reaches(service, Phase.ABORTED)
