"""The service on the real store: what is signed, committed and published, and that it survives a restart."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path

import pytest

from cloud.bus import Bus, Change, Kind
from cloud.cli.rollout_watching import followed
from cloud.deployment import Member, Phase, Policy, Rollout, Wish
from cloud.domain import Arrival
from cloud.errors import NotFound, RolloutOpen, RolloutRefused, StoreFailed
from cloud.ingest.plan import plan
from cloud.rollout.service import LOOK_EVERY_S, RolloutService
from cloud.rollout.start import start
from cloud.store.batches import BatchStore
from cloud.store.database import Database, open_database
from cloud.store.devices import DeviceStore
from cloud.store.rollouts import RolloutStore, Standing
from tests.cloud.migrated import migrated
from tests.cloud.rollout.fleets import NEW, OLD, ref
from tests.cloud.rollout.signers import FakeLink, FakeSigner, Release
from tests.cloud.samples import BOOT, ManualClock, new_id, status
from vision.estimates import Drop
from wire.messages import UpMessage
from wire.updates import Desired, ModelRef, Reported, UpdateState


def reported(device: str, state: UpdateState, running: ModelRef, version: int, sequence: int = 1) -> Reported:
    return Reported.model_validate(
        {
            "message_id": new_id(),
            "device": device,
            "made_at": ManualClock().wall(),
            "boot_id": BOOT,
            "boot_seq": sequence,
            "desired_version": version,
            "state": state,
            "running": running,
        }
    )


@dataclass
class Rig:
    database: Database
    store: RolloutStore
    clock: ManualClock = field(default_factory=ManualClock)
    bus: Bus = field(default_factory=Bus)
    signer: FakeSigner = field(default_factory=lambda: FakeSigner([Release(OLD), Release(NEW)]))
    link: FakeLink = field(default_factory=FakeLink)
    sequence: int = 1
    service: RolloutService = field(init=False)

    def __post_init__(self) -> None:
        self.restart()

    def restart(self) -> None:
        self.store = RolloutStore(self.database)
        self.service = RolloutService(
            store=self.store, signer=self.signer, link=self.link, bus=self.bus, clock=self.clock
        )

    async def say(self, *messages: UpMessage) -> None:
        arrivals = [Arrival(message, self.clock.wall()) for message in messages]
        await BatchStore(self.database).commit(arrivals, partial(plan, arrivals))

    async def begin(self, **policy: object) -> Rollout:
        values = {"stages": (50, 100), "soak_s": 0} | policy
        return await start(
            store=self.store,
            signer=self.signer,
            clock=self.clock,
            model="nanodet",
            group="default",
            policy=Policy.model_validate(values),
        )

    async def look(self) -> list[Desired]:
        """One round; what was published in it."""
        before = len(self.link.sent)
        self.clock.now += timedelta(seconds=1)
        await self.service.look()
        return self.link.sent[before:]

    async def obey(self, messages: list[Desired], state: UpdateState = UpdateState.COMMITTED) -> None:
        self.sequence += 1
        for message in messages:
            running = message.model if state is UpdateState.COMMITTED and message.model is not None else OLD
            await self.say(reported(message.device, state, running, message.version, self.sequence))

    async def phase(self) -> Phase:
        return (await self.store.find("")).phase


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[Rig]:
    async with open_database(await migrated(tmp_path / "db")) as database:
        rig = Rig(database, RolloutStore(database))
        for number in range(4):
            name = f"cam-{number}"
            await DeviceStore(database).add(name, str(number), rig.clock.wall())
            await rig.say(status(name), reported(name, UpdateState.IDLE, OLD, 0))
        yield rig


async def test_rollout_is_signed_told_in_stages_and_finishes(rig: Rig) -> None:
    rollout = await rig.begin()
    assert rollout.back_to == OLD
    with rig.bus.subscribe("test") as changes:
        first = await rig.look()
        assert Change(Kind.ROLLOUT, rollout.id) in await anext(changes.batches())
    assert [document.allowed for document in rig.signer.documents] == [(NEW, OLD)]
    assert len(first) == 2
    assert {(one.model, one.version, one.deployment_id, one.paused) for one in first} == {(NEW, 1, rollout.id, False)}
    assert await rig.look() == []
    await rig.obey(first)
    await rig.look()
    second = rig.link.sent[2:]
    assert {one.device for one in first} | {one.device for one in second} == {f"cam-{n}" for n in range(4)}
    await rig.obey(second)
    await rig.look()
    assert await rig.phase() is Phase.FINISHED
    assert len(rig.signer.documents) == 1


async def test_failures_halt_it_and_the_others_hear_nothing(rig: Rig) -> None:
    await rig.begin()
    first = await rig.look()
    await rig.obey(first, UpdateState.REJECTED)
    assert await rig.look() == []
    assert await rig.phase() is Phase.HALTED
    for _ in range(5):
        assert await rig.look() == []


async def test_rollback_signs_the_older_release_alone_and_points_there(rig: Rig) -> None:
    rollout = await rig.begin()
    first = await rig.look()
    await rig.obey(first)
    await rig.store.want(rollout.id, Wish.ROLLBACK)
    await rig.look()
    told = await rig.look()
    assert rig.signer.documents[-1].allowed == (OLD,)
    assert rig.signer.documents[-1].sequence == 2
    assert {one.device for one in told} == {one.device for one in first}
    assert {(one.model, one.version, one.gates.shadow_frames) for one in told} == {(OLD, 2, 0)}
    await rig.obey(told)
    await rig.look()
    assert await rig.phase() is Phase.ROLLED_BACK


async def test_finished_rollout_can_be_rolled_back_unless_another_came_after(rig: Rig) -> None:
    rollout = await rig.begin(stages=(100,))
    await rig.obey(await rig.look())
    await rig.look()
    assert await rig.phase() is Phase.FINISHED
    later = await rig.begin()
    with pytest.raises(RolloutRefused, match="not the latest"):
        await rig.store.want(rollout.id, Wish.ROLLBACK)
    await rig.store.want(later.id, Wish.ABORT)
    await rig.look()
    assert await rig.phase() is Phase.ABORTED


async def test_restarted_service_goes_on_where_it_was(rig: Rig) -> None:
    await rig.begin()
    first = await rig.look()
    await rig.obey(first[:1])
    rig.restart()
    assert await rig.look() == []
    rig.restart()
    await rig.obey(first[1:])
    assert len(await rig.look()) == 2
    assert [one.version for one in rig.link.sent] == [1, 1, 1, 1]


async def test_what_the_broker_did_not_take_is_published_later_once(rig: Rig) -> None:
    await rig.begin()
    rig.link.broken = True
    assert await rig.look() == []
    rig.link.broken = False
    rig.restart()
    assert len(await rig.look()) == 2
    assert await rig.look() == []


async def test_store_that_refuses_is_told_of_once_and_when_it_is_over(
    rig: Rig, caplog: pytest.LogCaptureFixture
) -> None:
    refusing = iter((True, True, True, False, False))

    class Store(RolloutStore):
        async def active(self) -> list[Standing]:
            if next(refusing):
                raise StoreFailed("locked")
            return await super().active()

    caplog.set_level("INFO")
    clock = ManualClock()
    service = RolloutService(store=Store(rig.database), signer=rig.signer, link=rig.link, bus=rig.bus, clock=clock)
    running = asyncio.create_task(service.run())
    for _ in range(5):
        async with asyncio.timeout(60):
            await clock.asleep.wait()
        clock.asleep.clear()
        clock.turn(LOOK_EVERY_S)
    running.cancel()
    told = [record.getMessage() for record in caplog.records if record.name == "cloud.rollout.service"]
    assert told == ["rollouts wait for the store: locked", "rollouts go on"]


async def test_nobody_is_told_before_the_group_is_signed_and_the_reason_is_shown(rig: Rig) -> None:
    await rig.begin()
    rig.signer.broken = True
    assert await rig.look() == []
    assert "the key is missing" in (await rig.store.find("")).reason
    rig.signer.broken = False
    assert len(await rig.look()) == 2
    assert "the key" not in (await rig.store.find("")).reason


async def test_pause_and_resume_keep_the_same_deployment_with_higher_versions(rig: Rig) -> None:
    rollout = await rig.begin()
    await rig.look()
    await rig.store.want(rollout.id, Wish.PAUSE)
    assert {(one.paused, one.version) for one in await rig.look()} == {(True, 2)}
    await rig.store.want(rollout.id, Wish.RESUME)
    resumed = await rig.look()
    assert {(one.paused, one.version, one.deployment_id) for one in resumed} == {(False, 3, rollout.id)}


async def test_second_rollout_of_a_group_waits_for_the_first(rig: Rig) -> None:
    await rig.begin()
    with pytest.raises(RolloutOpen, match="not over"):
        await rig.begin()


async def test_next_rollout_begins_behind_one_that_is_to_be_aborted(rig: Rig) -> None:
    first = await rig.begin(stages=(100,))
    await rig.look()
    await rig.store.want(first.id, Wish.ABORT)
    second = await rig.begin(stages=(50, 100))
    told = await rig.look()
    assert (await rig.store.find(first.id)).phase is Phase.ABORTED
    orders = {(one.deployment_id, one.model) for one in told}
    assert orders == {(second.id, NEW), (first.id, None)}
    # The first rollout's devices were told of it as version 1, and its end takes one of its own.
    assert {one.version for one in told if one.deployment_id == second.id} == {3}
    assert {one.version for one in told if one.deployment_id == first.id} == {2}


async def test_abort_is_for_good_but_can_still_become_a_rollback(rig: Rig) -> None:
    rollout = await rig.begin()
    await rig.look()
    await rig.store.want(rollout.id, Wish.PAUSE)
    await rig.look()
    await rig.store.want(rollout.id, Wish.ABORT)
    for wish in (Wish.RESUME, Wish.ABORT):
        with pytest.raises(RolloutRefused, match=f"is aborted: it can't {wish}"):
            await rig.store.want(rollout.id, wish)
    await rig.store.want(rollout.id, Wish.ROLLBACK)
    with pytest.raises(RolloutOpen, match="not over"):
        await rig.begin()
    await rig.look()
    assert await rig.phase() is Phase.ROLLING_BACK


WISHED_TWICE = [
    ((), Wish.PAUSE, Wish.RESUME, Phase.RUNNING),
    ((Wish.PAUSE,), Wish.RESUME, Wish.PAUSE, Phase.PAUSED),
    ((Wish.ABORT,), Wish.ROLLBACK, Wish.ABORT, Phase.ABORTED),
    ((Wish.ROLLBACK,), Wish.ABORT, Wish.ROLLBACK, Phase.ROLLING_BACK),
]


@pytest.mark.parametrize(("before", "wish", "opposite", "stays"), WISHED_TWICE)
async def test_wish_is_taken_back_before_the_service_has_seen_it(
    rig: Rig, before: tuple[Wish, ...], wish: Wish, opposite: Wish, stays: Phase
) -> None:
    rollout = await rig.begin()
    await rig.look()
    for earlier in before:
        await rig.store.want(rollout.id, earlier)
        await rig.look()
    await rig.look()
    assert (await rig.store.want(rollout.id, wish)).wish is wish
    assert (await rig.store.want(rollout.id, opposite)).wish is None
    assert await rig.look() == []
    assert await rig.phase() is stays


async def test_halt_stays_where_a_resumption_is_taken_back(rig: Rig) -> None:
    rollout = await rig.begin()
    await rig.obey(await rig.look(), UpdateState.REJECTED)
    await rig.look()
    await rig.store.want(rollout.id, Wish.RESUME)
    await rig.store.want(rollout.id, Wish.PAUSE)
    assert await rig.look() == []
    assert await rig.phase() is Phase.HALTED
    assert not any(order.excused for order in (await rig.store.orders(rollout.id)).values())


async def test_the_same_wish_twice_is_refused_whether_or_not_the_service_has_seen_it(rig: Rig) -> None:
    rollout = await rig.begin()
    await rig.store.want(rollout.id, Wish.PAUSE)
    for _ in range(2):
        with pytest.raises(RolloutRefused, match="is paused: it can't pause"):
            await rig.store.want(rollout.id, Wish.PAUSE)
        await rig.look()


async def test_pause_does_not_take_the_place_of_a_rollback(rig: Rig) -> None:
    rollout = await rig.begin()
    await rig.look()
    await rig.store.want(rollout.id, Wish.ROLLBACK)
    with pytest.raises(RolloutRefused, match="is rolling_back: it can't pause"):
        await rig.store.want(rollout.id, Wish.PAUSE)
    await rig.look()
    assert await rig.phase() is Phase.ROLLING_BACK


@pytest.mark.parametrize(
    ("wishes", "ends"),
    [
        ((Wish.PAUSE,), Phase.PAUSED),
        ((Wish.ABORT,), Phase.ABORTED),
        ((Wish.PAUSE, Wish.RESUME), Phase.RUNNING),
    ],
)
async def test_wish_that_comes_while_the_service_decides_tells_nobody_new(
    rig: Rig, wishes: tuple[Wish, ...], ends: Phase
) -> None:
    rollout = await rig.begin()
    first = await rig.look()
    await rig.obey(first)

    class Store(RolloutStore):
        async def members(self, online_since: datetime) -> list[Member]:
            for wish in wishes_left:
                await self.want(rollout.id, wish)
            wishes_left.clear()
            return await super().members(online_since)

    wishes_left = list(wishes)
    rig.service = RolloutService(
        store=Store(rig.database), signer=rig.signer, link=rig.link, bus=rig.bus, clock=rig.clock
    )
    await rig.look()
    assert await rig.phase() is Phase.RUNNING
    await rig.look()
    assert await rig.phase() is ends
    others = {one.device for one in rig.link.sent} - {one.device for one in first}
    assert len(others) == (2 if ends is Phase.RUNNING else 0)


async def test_pause_that_is_seen_while_it_is_taken_back_holds_nobody_back(rig: Rig) -> None:
    rollout = await rig.begin()
    await rig.look()
    await rig.store.want(rollout.id, Wish.PAUSE)

    class Store(RolloutStore):
        async def members(self, online_since: datetime) -> list[Member]:
            with suppress(RolloutRefused):
                await self.want(rollout.id, Wish.RESUME)
            return await super().members(online_since)

    rig.service = RolloutService(
        store=Store(rig.database), signer=rig.signer, link=rig.link, bus=rig.bus, clock=rig.clock
    )
    assert await rig.look() == []
    assert await rig.look() == []
    assert await rig.phase() is Phase.RUNNING


async def test_watching_waits_for_a_wish_that_the_service_has_not_seen(rig: Rig) -> None:
    rollout = await rig.begin(stages=(100,))
    await rig.obey(await rig.look())
    await rig.look()
    await rig.store.want(rollout.id, Wish.ROLLBACK)
    watching = followed(rig.store, rollout.id[:6], _Unhurried(rig))
    seen = [(watched.view.phase, watched.wish) async for watched in watching]
    assert seen[0] == (Phase.FINISHED, Wish.ROLLBACK)
    assert seen[-1] == (Phase.ROLLED_BACK, None)


class _Unhurried(ManualClock):
    """While it is slept by, the service looks, and the devices obey."""

    def __init__(self, rig: Rig) -> None:
        super().__init__()
        self._rig = rig

    async def sleep(self, seconds: float) -> None:
        await self._rig.obey(await self._rig.look())


async def test_finished_rollout_that_is_to_be_rolled_back_is_not_over(rig: Rig) -> None:
    rollout = await rig.begin(stages=(100,))
    await rig.obey(await rig.look())
    await rig.look()
    assert await rig.phase() is Phase.FINISHED
    await rig.store.want(rollout.id, Wish.ROLLBACK)
    with pytest.raises(RolloutOpen, match="not over"):
        await rig.begin()


@pytest.mark.parametrize(
    ("known", "why"), [([], "no release"), ([Release(NEW, published=False)], "not published"), ([Release(OLD)], "")]
)
async def test_only_a_published_release_can_be_rolled_out(rig: Rig, known: list[Release], why: str) -> None:
    rig.signer.known = known
    if why:
        with pytest.raises(RolloutRefused, match=why):
            await rig.begin()
    else:
        assert (await rig.begin()).back_to is None


async def test_rollback_to_a_model_that_devices_were_born_with(rig: Rig) -> None:
    born = ref("0.9.0", 0, "ssdlite")
    for number in range(4):
        await rig.say(reported(f"cam-{number}", UpdateState.IDLE, born, 0, 2))
    assert (await rig.begin()).back_to == born


async def test_claim_of_a_release_that_is_not_genuine_is_nothing_to_return_to(rig: Rig) -> None:
    for number in range(4):
        await rig.say(reported(f"cam-{number}", UpdateState.IDLE, ref("6.6.6", 66), 0, 2))
    assert (await rig.begin()).back_to is None


async def test_placement_decides_who_is_in_and_canaries_must_be(rig: Rig) -> None:
    await rig.store.place("cam-0", {"group_name": "yard"}, {"site": "north"})
    await rig.store.place("cam-1", {"pinned": True}, {})
    with pytest.raises(RolloutRefused, match="cam-0, cam-1 can't be canaries"):
        await rig.begin(canaries=("cam-0", "cam-1", "cam-2"))
    with pytest.raises(RolloutRefused, match="no device"):
        await rig.begin(labels={"site": "north"})
    await rig.begin(stages=(100,))
    assert {one.device for one in await rig.look()} == {"cam-2", "cam-3"}
    placed = await rig.store.place("cam-0", {}, {"site": None, "row": "2"})
    assert (placed.group, placed.labels) == ("yard", {"row": "2"})


async def test_unknown_rollout_and_wish_out_of_place_are_refused(rig: Rig) -> None:
    with pytest.raises(NotFound, match="no rollout"):
        await rig.store.find("abc")
    rollout = await rig.begin()
    with pytest.raises(RolloutRefused, match="is running: it can't resume"):
        await rig.store.want(rollout.id, Wish.RESUME)


async def test_older_report_of_the_same_boot_does_not_take_the_place_of_a_newer_one(rig: Rig) -> None:
    await rig.say(reported("cam-0", UpdateState.PROVING, OLD, 1, 9))
    await rig.say(reported("cam-0", UpdateState.QUEUED, OLD, 1, 8))
    latest = (await DeviceStore(rig.database).find("cam-0")).reported
    assert latest is not None
    assert latest.state is UpdateState.PROVING


class Audits:
    """Says what it is told to of any two models, and remembers which."""

    def __init__(self, drop: Drop | None) -> None:
        self.found = drop
        self.asked: set[tuple[str, str]] = set()

    async def drop(self, before: str, now: str) -> Drop | None:
        self.asked.add((before, now))
        return self.found


async def test_audits_that_show_a_drop_halt_a_rollout(rig: Rig) -> None:
    audits = Audits(None)
    rig.service = RolloutService(
        store=rig.store, signer=rig.signer, link=rig.link, bus=rig.bus, clock=rig.clock, accuracy=audits
    )
    await rig.begin()
    await rig.look()
    assert await rig.phase() is Phase.RUNNING
    assert audits.asked == {(OLD.digest, NEW.digest)}
    audits.found = Drop(before=0.8, now=0.5, low=0.1, frames_before=90, frames_now=30)
    await rig.look()
    halted = await rig.store.find("")
    assert halted.phase is Phase.HALTED
    assert halted.reason == "the audited accuracy fell from 0.800 (90 frames) to 0.500 (30 frames)"
