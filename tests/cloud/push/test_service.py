"""Delivery at least once, over restarts, outages and refusals, on the real tables."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from sqlalchemy import delete

from cloud.bus import Bus, Change, Kind
from cloud.domain import Arrival
from cloud.errors import PushFailed
from cloud.ingest.counters import Counters
from cloud.ingest.plan import plan
from cloud.push.request import Request
from cloud.push.service import PushService
from cloud.push.settings import PushSettings
from cloud.store.batches import BatchStore
from cloud.store.database import Database, open_database
from cloud.store.devices import DeviceStore
from cloud.store.push import PushStore
from cloud.store.schema import alert_events
from tests.cloud.migrated import migrated
from tests.cloud.push.made import push
from tests.cloud.samples import BOUND_S, NOW, ManualClock, alert
from wire.messages import Alert, AlertState


class Receiver:
    """Answers as it is told, one answer a request; with the last one from then on."""

    def __init__(self) -> None:
        self.answers: list[int | PushFailed] = [200]
        self.requests: list[tuple[str, str]] = []
        self._changed = asyncio.Condition()

    async def send(self, push: PushSettings, request: Request) -> int:
        async with self._changed:
            self.requests.append((push.name, json.loads(request.body)["alert"]["id"]))
            self._changed.notify_all()
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, PushFailed):
            raise answer
        return answer

    async def until(self, count: int) -> None:
        async with asyncio.timeout(BOUND_S), self._changed:
            await self._changed.wait_for(lambda: len(self.requests) >= count)


class Pushing:
    def __init__(self, database: Database) -> None:
        self.database, self.store = database, PushStore(database)
        self.receiver, self.clock, self.bus = Receiver(), ManualClock(), Bus()
        self.counters = Counters()
        self._sequence = 0

    @asynccontextmanager
    async def running(self, *pushes: PushSettings) -> AsyncIterator[None]:
        for one in pushes:
            await self.store.place(one.name)
        service = PushService(
            pushes=pushes,
            store=self.store,
            sender=self.receiver,
            bus=self.bus,
            counter=self.counters,
            clock=self.clock,
        )
        task = asyncio.create_task(service.run())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def raise_alerts(self, count: int = 1, **changes: object) -> list[str]:
        made: list[Alert] = []
        for _ in range(count):
            self._sequence += 1
            made.append(alert(**({"state": AlertState.CONFIRMED, "sequence": self._sequence} | changes)))
        arrivals = [Arrival(one, self.clock.wall()) for one in made]
        await BatchStore(self.database).commit(arrivals, lambda known: plan(arrivals, known))
        for one in made:
            self.bus.publish(Change(Kind.ALERT, one.id))
        return [one.id for one in made]

    async def turn_until(self, so: Callable[[], Awaitable[bool]]) -> None:
        """Turn the clock to when the service wakes, again and again, until it is so."""
        async with asyncio.timeout(BOUND_S):
            while not await so():
                if self.clock.sleeping:
                    self.clock.turn(min(until for until, _ in self.clock.sleeping) - self.clock.passed)

    async def turn_until_requested(self, count: int) -> None:
        async def so() -> bool:
            await asyncio.sleep(0.001)  # The tables are read by a thread, which no clock turns.
            return len(self.receiver.requests) >= count

        await self.turn_until(so)

    async def dropped(self) -> bool:
        return (await self.store.progress(["phone"]))[0].dropped > 0

    async def stands(self, name: str = "phone", **wanted: object) -> None:
        """Wait for another task's commit, which tells nobody."""
        async with asyncio.timeout(BOUND_S):
            while True:
                (one,) = await self.store.progress([name])
                if {key: getattr(one, key) for key in wanted} == wanted:
                    return
                await asyncio.sleep(0.005)

    @property
    def ids(self) -> list[str]:
        return [id_ for _, id_ in self.receiver.requests]


@pytest.fixture
async def pushing(tmp_path: Path) -> AsyncIterator[Pushing]:
    async with open_database(await migrated(tmp_path / "db")) as database:
        await DeviceStore(database).add("cam-1", "x" * 64, NOW)
        yield Pushing(database)


async def test_each_alert_is_pushed_once_and_in_order(pushing: Pushing) -> None:
    async with pushing.running(push()):
        ids = [*await pushing.raise_alerts(3), *await pushing.raise_alerts(2)]
        await pushing.receiver.until(5)
        await pushing.stands(delivered=5, waiting=0)
    assert pushing.ids == ids


async def test_a_new_receiver_is_not_told_of_the_past(pushing: Pushing) -> None:
    await pushing.raise_alerts(3)
    async with pushing.running(push()):
        (new,) = await pushing.raise_alerts()
        await pushing.receiver.until(1)
    assert pushing.ids == [new]


async def test_a_history_that_begins_anew_is_pushed_from_its_beginning(pushing: Pushing) -> None:
    """SQLite gives numbers again once all rows are gone, as after a year without alerts."""
    async with pushing.running(push()):
        await pushing.raise_alerts(3)
        await pushing.stands(delivered=3)
    async with pushing.database.writing() as connection:
        await connection.execute(delete(alert_events))
    async with pushing.running(push()):
        (new,) = await pushing.raise_alerts()
        await pushing.stands(delivered=4, waiting=0)
    assert pushing.ids[-1] == new


async def test_what_came_while_nothing_ran_is_pushed_at_the_next_start(pushing: Pushing) -> None:
    async with pushing.running(push()):
        before = await pushing.raise_alerts()
        await pushing.stands(delivered=1)
    meanwhile = await pushing.raise_alerts(120)
    async with pushing.running(push(max_per_minute=6000)):
        await pushing.receiver.until(121)
        await pushing.stands(delivered=121, waiting=0)
    assert pushing.ids == [*before, *meanwhile]


async def test_an_outage_delays_and_loses_nothing(pushing: Pushing, caplog: pytest.LogCaptureFixture) -> None:
    pushing.receiver.answers = [PushFailed("it can't be reached"), 503, 429, 404, 302, 500, 200]
    async with pushing.running(push()):
        first, second = await pushing.raise_alerts(2)
        await pushing.turn_until_requested(8)
        await pushing.stands(delivered=2, dropped=0, failing="")
    assert pushing.ids == [first] * 7 + [second]
    assert (pushing.counters["push.failed"], pushing.counters["push.delivered"]) == (6, 2)
    assert caplog.text.count("not delivered yet") == 1


async def test_a_stop_in_the_middle_of_an_outage_sends_it_at_the_next_start(pushing: Pushing) -> None:
    pushing.receiver.answers = [503]
    async with pushing.running(push()):
        ids = await pushing.raise_alerts()
        await pushing.stands(failing="it answers 503", waiting=1)
    pushing.receiver.answers = [200]
    async with pushing.running(push()):
        await pushing.stands(delivered=1, failing="", waiting=0)
    assert set(pushing.ids) == set(ids)


async def test_what_a_receiver_refuses_is_dropped_and_the_next_comes(pushing: Pushing) -> None:
    pushing.receiver.answers = [422, 200]
    async with pushing.running(push()):
        ids = await pushing.raise_alerts(2)
        await pushing.stands(delivered=1, dropped=1, waiting=0)
    assert pushing.ids == ids


async def test_a_message_over_which_a_receiver_stumbles_does_not_block_it_for_ever(pushing: Pushing) -> None:
    pushing.receiver.answers = [500] * 5 + [200]
    async with pushing.running(push()):
        bad, good = await pushing.raise_alerts(2)
        await pushing.turn_until_requested(6)
        await pushing.stands(delivered=1, dropped=1)
    assert pushing.ids == [bad] * 5 + [good]


async def test_nothing_is_tried_for_longer_than_it_may_be(pushing: Pushing) -> None:
    pushing.receiver.answers = [503]
    async with pushing.running(push(give_up_after_s=60, retry_max_s=10)):
        await pushing.raise_alerts()
        await pushing.turn_until(pushing.dropped)
    tried = len(pushing.receiver.requests)
    assert tried == 9  # 1, 2, 4, 8 and then each 10 s within a minute
    pushing.receiver.answers = [200]
    async with pushing.running(push(give_up_after_s=60)):
        (fresh,) = await pushing.raise_alerts()
        await pushing.receiver.until(tried + 1)
    assert pushing.ids[-1] == fresh


async def test_more_than_may_be_sent_in_a_minute_waits_its_turn(pushing: Pushing) -> None:
    async with pushing.running(push(max_per_minute=3)):
        ids = await pushing.raise_alerts(5)
        await pushing.receiver.until(3)
        await pushing.stands(delivered=3)
        assert len(pushing.receiver.requests) == 3
        await pushing.turn_until_requested(5)
        assert pushing.clock.passed >= 60
    assert pushing.ids == ids


async def test_receivers_do_not_wait_for_each_other(pushing: Pushing) -> None:
    class OneIsDown(Receiver):
        async def send(self, push: PushSettings, request: Request) -> int:
            await super().send(push, request)
            return 503 if push.name == "down" else 200

    pushing.receiver = OneIsDown()
    async with pushing.running(push(name="down"), push(name="up")):
        await pushing.raise_alerts(2)
        await pushing.stands("up", delivered=2)
        await pushing.stands("down", delivered=0, waiting=2, failing="it answers 503")


async def test_what_is_not_for_a_receiver_is_passed_over_for_good(pushing: Pushing) -> None:
    async with pushing.running(push(labels=["dog"])):
        await pushing.raise_alerts(3)
        (dog,) = await pushing.raise_alerts(label="dog")
        await pushing.stands(delivered=1, waiting=0)
    assert pushing.ids == [dog]
