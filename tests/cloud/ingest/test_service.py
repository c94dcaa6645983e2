"""The order of things: commit, ack to the device, acknowledge to the broker."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from cloud.bus import Bus, Change, Kind
from cloud.domain import Arrival, Known
from cloud.errors import LinkLost, StoreFailed
from cloud.ingest.counters import Counters, RefusalLog
from cloud.ingest.plan import Plan
from cloud.ingest.ports import Received
from cloud.ingest.service import ACKED_AT_ONCE, IngestService
from cloud.store.alerts import AlertFilter, AlertStore
from cloud.store.batches import BatchStore
from cloud.store.database import Database, open_database
from cloud.store.devices import DeviceStore
from tests.cloud.migrated import migrated
from tests.cloud.samples import BOUND_S, NOW, ManualClock, alert, status
from wire.codec import encode
from wire.errors import MessageInvalid, NotOurs
from wire.messages import Acks, Message, UpMessage
from wire.topics import Channel, topic


class Story(list[str]):
    """What happened, in order; can be waited for."""

    def __init__(self) -> None:
        super().__init__()
        self._went_on = asyncio.Event()

    def append(self, line: str) -> None:
        super().append(line)
        self._went_on.set()

    async def reaches(self, line: str, times: int = 1) -> None:
        async with asyncio.timeout(BOUND_S):
            while self.count(line) < times:
                self._went_on.clear()
                await self._went_on.wait()


@dataclass
class ScriptedBatch:
    received: Sequence[Received]
    story: Story

    def acknowledge(self) -> None:
        self.story.append("broker acknowledged")


@dataclass
class ScriptedLink:
    """Gives the batches it is fed, and writes down in which order it is used."""

    story: Story = field(default_factory=Story)
    acks: list[tuple[str, Acks]] = field(default_factory=list)
    broken: bool = False
    slow: asyncio.Event | None = None
    _waiting: asyncio.Queue[ScriptedBatch] = field(default_factory=asyncio.Queue)

    def feed(self, *received: Received) -> None:
        self._waiting.put_nowait(ScriptedBatch(received, self.story))

    async def batch(self, limit: int) -> ScriptedBatch:
        batch = await self._waiting.get()
        self._waiting.task_done()
        self.story.append("asked for more")
        return batch

    async def publish(self, device: str, channel: Channel, message: Message) -> None:
        assert channel is Channel.ACKS
        assert isinstance(message, Acks)
        if self.broken:
            self.story.append("device not acked")
            raise LinkLost("the broker went away")
        if self.slow is not None:
            self.story.append(f"acks for {message.message_ids[0]} are under way")
            await self.slow.wait()
        self.story.append("device acked")
        self.acks.append((device, message))


class WatchedStore:
    """The real store, seen by the story; fails as often as it is told."""

    def __init__(self, store: BatchStore, story: Story) -> None:
        self._store = store
        self._story = story
        self.failures = 0
        self.failed = asyncio.Event()

    async def commit(self, arrivals: Sequence[Arrival], decide: Callable[[Known], Plan]) -> Plan:
        if self.failures:
            self.failures -= 1
            self.failed.set()
            raise StoreFailed("the disk is full")
        decided = await self._store.commit(arrivals, decide)
        self._story.append("committed")
        return decided


@dataclass
class Rig:
    link: ScriptedLink
    store: WatchedStore
    database: Database
    service: IngestService
    counters: Counters
    clock: ManualClock
    bus: Bus

    async def settled(self, last: str = "broker acknowledged") -> None:
        await self.link.story.reaches(last)

    async def stored(self) -> int:
        return len(await AlertStore(self.database).page(AlertFilter(), None, 100))


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[Rig]:
    clock, bus, counters, link = ManualClock(), Bus(), Counters(), ScriptedLink()
    async with open_database(await migrated(tmp_path / "db")) as database:
        await DeviceStore(database).add("cam-1", "x", NOW)
        store = WatchedStore(BatchStore(database), link.story)
        service = IngestService(link=link, store=store, bus=bus, counter=counters, clock=clock)
        running = asyncio.create_task(service.run())
        yield Rig(link, store, database, service, counters, clock, bus)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


def received(message: UpMessage, channel: Channel = Channel.ALERTS, number: int = 1) -> Received:
    return raw(topic(message.device, channel), encode(message), number)


def raw(where: str, payload: bytes, number: int = 1) -> Received:
    return Received(where, payload, qos=1, retained=False, number=number, at=NOW)


async def test_commit_comes_before_the_device_s_ack_and_that_before_the_broker_s(rig: Rig) -> None:
    message = alert()
    with rig.bus.subscribe("test") as changes:
        rig.link.feed(received(message))
        await rig.settled()
        assert rig.link.story == ["asked for more", "committed", "device acked", "broker acknowledged"]
        assert rig.link.acks[0][1].message_ids == (message.message_id,)
        told = await anext(changes.batches())
    assert Change(Kind.ALERT, message.id) in told
    assert Change(Kind.DEVICE, "cam-1") in told


async def test_while_the_store_fails_nobody_is_acked_and_nothing_is_lost(rig: Rig) -> None:
    rig.store.failures = 1
    rig.link.feed(received(alert()))
    async with asyncio.timeout(BOUND_S):
        await rig.store.failed.wait()
        await rig.clock.asleep.wait()
    assert rig.link.story == ["asked for more"]
    assert not rig.service.working
    rig.clock.turn(10)
    await rig.settled()
    assert rig.link.story[1:] == ["committed", "device acked", "broker acknowledged"]
    assert rig.service.working
    assert await rig.stored() == 1
    assert rig.counters["ingest.StoreFailed"] == 1


async def test_acks_that_could_not_be_sent_leave_the_batch_to_come_again(rig: Rig) -> None:
    message = alert()
    rig.link.broken = True
    rig.link.feed(received(message))
    await rig.settled("device not acked")
    rig.link.broken = False
    rig.link.feed(received(message))
    await rig.settled()
    assert rig.link.story == [
        "asked for more",
        "committed",
        "device not acked",
        "asked for more",
        "committed",
        "device acked",
        "broker acknowledged",
    ]
    assert await rig.stored() == 1
    assert rig.counters["ingest.repeats"] == 1


async def test_a_broker_that_is_slow_to_take_acks_holds_up_no_commit_until_too_many_wait(rig: Rig) -> None:
    rig.link.slow = asyncio.Event()
    messages = [alert(sequence=number) for number in range(1, ACKED_AT_ONCE + 2)]
    for number, message in enumerate(messages, 1):
        rig.link.feed(received(message, number=number))
    for message in messages[:-1]:
        await rig.link.story.reaches(f"acks for {message.message_id} are under way")
    assert rig.link.story.count("committed") == rig.link.story.count("asked for more") == ACKED_AT_ONCE
    assert "broker acknowledged" not in rig.link.story
    rig.link.slow.set()
    await rig.link.story.reaches(f"acks for {messages[-1].message_id} are under way")
    await rig.link.story.reaches("broker acknowledged", ACKED_AT_ONCE + 1)
    assert rig.link.story.count("device acked") == ACKED_AT_ONCE + 1
    assert await rig.stored() == ACKED_AT_ONCE + 1


async def test_acks_that_could_not_be_sent_hold_up_none_that_can_be(rig: Rig) -> None:
    lost, kept = alert(sequence=1), alert(sequence=2)
    rig.link.broken = True
    rig.link.feed(received(lost))
    await rig.settled("device not acked")
    rig.link.broken = False
    rig.link.feed(received(kept, number=2))
    await rig.settled()
    assert [acks.message_ids for _, acks in rig.link.acks] == [(kept.message_id,)]
    assert rig.link.story.count("broker acknowledged") == 1


def _newer() -> bytes:
    return encode(alert()).replace(b'"protocol":1', b'"protocol":2')


@pytest.mark.parametrize(
    ("where", "payload", "name"),
    [
        ("vedette/v1/cam-1/up/alerts", b"\x00\xff", "NotOurs"),
        ("vedette/v1/cam-1/up/alerts", b"[]", "NotOurs"),
        ("homeassistant/x", b"{}", "NotOurs"),
        ("vedette/v1/cam-1/up/nonsense", b"{}", "NotOurs"),
        ("vedette/v1/cam-1/up/alerts", b'{"protocol":1}', "MessageInvalid"),
        ("vedette/v1/cam-1/up/alerts", b"x" * 5000, "MessageTooLarge"),
        ("vedette/v1/cam-1/up/alerts", _newer(), "NewerProtocol"),
        ("vedette/v2/cam-1/up/alerts", b"{}", "NewerProtocol"),
        ("vedette/v1/cam-1/up/alerts", encode(alert("cam-2")), "MessageInvalid"),
        ("vedette/v1/cam-1/down/acks", b"{}", "NotOurs"),
    ],
)
async def test_what_can_t_be_taken_is_counted_not_acked_and_keeps_nothing_else_out(
    rig: Rig, where: str, payload: bytes, name: str
) -> None:
    good = alert()
    rig.link.feed(raw(where, payload), received(good, number=2))
    await rig.settled()
    assert rig.counters[f"ingest.refused.{name}"] == 1
    assert [acks.message_ids for _, acks in rig.link.acks] == [(good.message_id,)]
    assert await rig.stored() == 1


async def test_batch_with_nothing_to_ack_is_acknowledged_to_the_broker(rig: Rig) -> None:
    rig.link.feed(received(status(), Channel.STATUS))
    await rig.settled()
    assert rig.link.acks == []


def test_refusals_are_logged_once_a_minute_for_each_device_and_kind(caplog: pytest.LogCaptureFixture) -> None:
    clock = ManualClock()
    log = RefusalLog(clock)
    for _ in range(50):
        log.refused("cam-1", NotOurs("not ours"))
    log.refused("cam-1", MessageInvalid("broken"))
    assert len(caplog.records) == 2
    clock.turn(61)
    log.refused("cam-1", NotOurs("not ours"))
    assert caplog.records[-1].more == 49  # type: ignore[attr-defined]


def test_refusals_of_endless_devices_stay_bounded(caplog: pytest.LogCaptureFixture) -> None:
    log = RefusalLog(ManualClock())
    for number in range(5000):
        log.refused(f"cam-{number}", NotOurs("not ours"))
    assert len(caplog.records) <= 1001
