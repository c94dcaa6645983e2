from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator

import pytest

from cloud.audit.errors import AuditNotYours, AuditsBehind, AuditsStopped
from cloud.audit.service import AuditService, audit_picture_key
from cloud.audit.settings import AuditSettings
from cloud.offload.pictures import Decoding
from tests.cloud.audit.fakes import OVERLOADED, Keeper, PatientJudge, TellingClock, audit
from tests.cloud.offload.fakes import BOUND_S, Blobs, hex_id, jpeg
from vision.errors import InferenceFailed, PictureUnreadable
from vision.estimates import Counts

PICTURE = jpeg()


class World:
    """Everything around the service; `service` makes a new process over what was kept."""

    def __init__(self) -> None:
        self.clock = TellingClock()
        self.judge = PatientJudge()
        self.keeper = Keeper()
        self.blobs = Blobs()
        self.ids = itertools.count(5000)

    def service(self, **settings: object) -> AuditService:
        return AuditService(
            judge=self.judge,
            model="ensemble 1",
            store=self.keeper,
            blobs=self.blobs,
            clock=self.clock,
            decoding=Decoding(),
            settings=AuditSettings.model_validate(settings),
            new_id=lambda: hex_id(next(self.ids)),
        )

    async def begun(self) -> None:
        await asyncio.wait_for(self.judge.begun.acquire(), BOUND_S)


@pytest.fixture
async def world() -> World:
    return World()


@pytest.fixture
async def service(world: World) -> AsyncIterator[AuditService]:
    async with world.service() as running:
        yield running


async def take(service: AuditService, world: World, number: int = 1, **changes: object) -> object:
    return await asyncio.wait_for(service.take(audit(number, **changes), PICTURE, world.clock.now), BOUND_S)


async def test_a_frame_is_kept_looked_at_enlarged_and_answered(world: World, service: AuditService) -> None:
    outcome = await take(service, world)
    [(kept, total)] = world.keeper.outcomes.values()
    assert outcome == kept
    assert (kept.audit_id, kept.model, kept.device) == (hex_id(1), "ensemble 1", "cam-1")
    assert total == Counts(matched=1, shown=2, there=1)
    assert world.blobs.kept == {audit_picture_key(audit()): PICTURE}
    assert world.judge.shown == [(576, 768, 3)], "so that it is cut into tiles"


async def test_a_repeat_gets_the_same_outcome_and_is_counted_once(world: World, service: AuditService) -> None:
    first = await take(service, world)
    assert await take(service, world) == first
    assert len(world.judge.shown) == 1


async def test_a_repeat_while_it_is_looked_at_waits_for_the_same(world: World, service: AuditService) -> None:
    world.judge.gate.clear()
    tasks = [asyncio.create_task(take(service, world)) for _ in range(2)]
    await world.begun()
    world.judge.gate.set()
    first, second = await asyncio.gather(*tasks)
    assert first == second is not None
    assert len(world.judge.shown) == 1


async def test_who_waited_long_enough_is_told_so_and_the_frame_counts_all_the_same(
    world: World, service: AuditService
) -> None:
    world.judge.gate.clear()
    asked = asyncio.create_task(take(service, world))
    await world.begun()
    world.clock.advance(1.5)
    assert await asked is None
    world.judge.gate.set()
    assert await take(service, world, deadline_ms=600_000) is not None
    assert len(world.keeper.outcomes) == 1


async def test_another_device_s_audit_is_not_touched(world: World, service: AuditService) -> None:
    await take(service, world)
    with pytest.raises(AuditNotYours):
        await take(service, world, device="cam-2")


async def test_what_is_no_picture_is_not_kept(world: World, service: AuditService) -> None:
    with pytest.raises(PictureUnreadable):
        await service.take(audit(), PICTURE[:-9], world.clock.now)
    assert world.keeper.audits == {}
    assert world.blobs.kept == {}


async def test_too_many_are_refused(world: World) -> None:
    world.judge.gate.clear()
    async with world.service(max_waiting=1) as service:
        first = asyncio.create_task(take(service, world))
        await world.begun()
        with pytest.raises(AuditsBehind):
            await take(service, world, 2)
        world.judge.gate.set()
        assert await first is not None
        assert await take(service, world, 3) is not None


async def test_a_crash_costs_time_only(world: World) -> None:
    world.judge.gate.clear()
    async with world.service() as service:
        asked = asyncio.create_task(take(service, world))
        await world.begun()
    with pytest.raises(AuditsStopped):
        await asked
    with pytest.raises(AuditsStopped):
        await service.take(audit(2), PICTURE, world.clock.now)
    world.judge.gate.set()
    async with world.service() as service:
        assert await take(service, world, deadline_ms=600_000) is not None
    assert list(world.keeper.audits) == [hex_id(1)]


async def test_a_frame_on_which_the_model_fails_holds_up_no_other(world: World, service: AuditService) -> None:
    world.judge.failures = [InferenceFailed("NaN")]
    bad = asyncio.create_task(take(service, world, deadline_ms=600_000))
    await world.begun()
    assert await take(service, world, 2) is not None
    assert await asyncio.wait_for(bad, BOUND_S) is not None, "it is tried again"


async def test_it_is_tried_only_so_often(world: World) -> None:
    world.judge.failures = [InferenceFailed("NaN")] * 9
    async with world.service(attempts=2, resume_every_s=7.0) as service:
        await world.clock.asleep(7.0)
        bad = asyncio.create_task(take(service, world, deadline_ms=600_000))
        for _ in range(3):
            await world.clock.asleep(7.0)
            world.clock.advance(7.0)
        await world.clock.asleep(7.0)
        assert len(world.judge.shown) == 2
        world.judge.failures.clear()
        assert await take(service, world, 2) is not None, "the others go on"
        assert not bad.done()
        world.clock.advance(600)
        assert await bad is None
    async with world.service(resume_every_s=7.0) as service:
        assert await take(service, world, deadline_ms=600_000) is not None, "a new start tries again"


async def test_a_picture_that_is_gone_is_not_tried_again(world: World) -> None:
    world.keeper.audits = {hex_id(1): (audit(), "nowhere")}
    async with world.service(attempts=2, resume_every_s=7.0):
        await world.clock.asleep(7.0)
        world.clock.advance(7.0)
        await world.clock.asleep(7.0)
    assert world.judge.shown == []


async def test_a_model_with_too_much_to_do_is_no_failure_of_the_frame(world: World) -> None:
    world.judge.failures = [OVERLOADED] * 3
    async with world.service(attempts=1, resume_every_s=7.0) as service:
        await world.clock.asleep(7.0)
        asked = asyncio.create_task(take(service, world, deadline_ms=600_000))
        for _ in range(3):
            await world.clock.asleep(7.0)
            world.clock.advance(7.0)
        assert await asyncio.wait_for(asked, BOUND_S) is not None
    assert len(world.judge.shown) == 4


async def test_a_fault_of_ours_that_ends_the_audits_is_told(world: World, caplog: pytest.LogCaptureFixture) -> None:
    world.judge.failures = [RuntimeError("a fault")]
    async with world.service() as service:
        asked = asyncio.create_task(take(service, world, deadline_ms=500))
        await world.begun()
        await world.clock.asleep(0.5)
        world.clock.advance(0.5)
        assert await asyncio.wait_for(asked, BOUND_S) is None
    assert "audits failed: nothing is audited until the service is started again" in caplog.text


async def test_a_store_that_refuses_is_tried_again(world: World) -> None:
    world.keeper.refuses = True
    async with world.service(resume_every_s=7.0) as service:
        await world.clock.asleep(7.0)
        asked = asyncio.create_task(take(service, world, deadline_ms=600_000))
        await world.clock.asleep(7.0)
        world.keeper.refuses = False
        world.clock.advance(7.0)
        assert await asyncio.wait_for(asked, BOUND_S) is not None
