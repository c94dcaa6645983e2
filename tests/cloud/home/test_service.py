"""The service against a broker that keeps what is retained, on the real tables, and a clock turned by hand."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import pytest

from cloud.adapters.clock import SystemClock
from cloud.bus import Bus, Change, Kind
from cloud.domain import Arrival
from cloud.errors import BlobMissing, HomeLost, HomeRefused, StoreFailed
from cloud.fleet.enrolment import Enrolment
from cloud.home.facts import ISSUER
from cloud.home.ports import Heard
from cloud.home.service import HomeService
from cloud.home.settings import HomeAssistantSettings
from cloud.ingest.counters import Counters
from cloud.ingest.plan import plan
from cloud.store.alerts import AlertStore
from cloud.store.batches import BatchStore
from cloud.store.commands import CommandStore
from cloud.store.database import Database, open_database
from cloud.store.devices import DeviceStore
from cloud.store.home import HomeStore
from cloud.store.questions import QuestionStore
from tests.cloud.home.made import command, settings
from tests.cloud.migrated import migrated
from tests.cloud.samples import BOUND_S, JPEG, NOW, ManualClock, alert, new_id, question, status
from wire.commands import Outcome, Phase, Response
from wire.messages import Alert, AlertEvent, AlertState, UpMessage

ON = "vedette/cam-1/camera/yard/label/person/on"
ALERT = "vedette/cam-1/camera/yard/alert"
SETTLED = 20
"""Rounds of the event loop in which nothing was under way: more than any step of the service takes."""
PICTURE = "vedette/cam-1/camera/yard/picture"


class FakeBroker:
    """Keeps what is retained, over connections too."""

    def __init__(self) -> None:
        self.kept: dict[str, bytes] = {}
        self.said: list[tuple[str, bytes]] = []
        self.connections = 0
        self.refuses: list[Exception] = []
        self._heard: asyncio.Queue[Heard | None] = asyncio.Queue()
        self._changed = asyncio.Condition()

    @asynccontextmanager
    async def session(self) -> AsyncIterator[FakeBroker]:
        self.connections += 1
        async with self._changed:
            self._changed.notify_all()
        if self.refuses:
            raise self.refuses.pop(0)
        self._heard = asyncio.Queue()
        self.found: Mapping[str, bytes] = dict(self.kept)
        try:
            yield self
        finally:
            if "vedette/bridge" in self.kept:
                self.kept["vedette/bridge"] = b"offline"

    async def say(self, topic: str, payload: bytes) -> None:
        async with self._changed:
            self.said.append((topic, payload))
            if payload:
                self.kept[topic] = payload
            else:
                self.kept.pop(topic, None)
            self._changed.notify_all()

    async def heard(self) -> Heard:
        one = await self._heard.get()
        if one is None:
            raise HomeLost("the broker went away")
        return one

    def tell(self, topic: str, payload: bytes, *, retained: bool = False) -> None:
        self._heard.put_nowait(Heard(topic, payload, retained))

    def break_off(self) -> None:
        self._heard.put_nowait(None)

    async def until(self, so: Callable[[], bool]) -> None:
        async with asyncio.timeout(BOUND_S), self._changed:
            await self._changed.wait_for(so)


class Pictures:
    def __init__(self) -> None:
        self.there: dict[str, bytes] = {}

    async def get(self, key: str) -> bytes:
        if key not in self.there:
            raise BlobMissing(f"there is no picture {key}")
        return self.there[key]


class Watched:
    """Counts the calls that are under way, which wait for a thread that no clock turns."""

    def __init__(self, inner: object, home: Home) -> None:
        self._inner, self._home = inner, home

    def __getattr__(self, name: str) -> Callable[..., Awaitable[object]]:
        async def call(*arguments: object) -> object:
            self._home.under_way += 1
            try:
                if (first := self._home.before.pop(name, None)) is not None:
                    await first()
                return await getattr(self._inner, name)(*arguments)
            finally:
                self._home.under_way -= 1

        return call


class Home:
    """Everything about it, and what makes time pass."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.broker, self.clock, self.bus, self.pictures = FakeBroker(), ManualClock(), Bus(), Pictures()
        self.commands = CommandStore(database)
        self.counters = Counters()
        self.under_way = 0
        self.before: dict[str, Callable[[], Awaitable[object]]] = {}
        """What happens before a store's method does its work, once."""

    def service(self, wanted: HomeAssistantSettings) -> HomeService:
        return HomeService(
            settings=wanted,
            broker=self.broker,
            store=Watched(HomeStore(self.database, ISSUER), self),  # type: ignore[arg-type]
            commands=Watched(self.commands, self),  # type: ignore[arg-type]
            pictures=Watched(AlertStore(self.database), self),  # type: ignore[arg-type]
            blobs=self.pictures,
            bus=self.bus,
            counter=self.counters,
            clock=self.clock,
            software="0.1.0",
            jitter=lambda: 0.5,
        )

    @asynccontextmanager
    async def running(self, **changes: object) -> AsyncIterator[HomeService]:
        service = self.service(settings(**changes))
        task = asyncio.create_task(service.run())
        try:
            await self.broker.until(lambda: self.broker.kept.get("vedette/bridge") == b"online")
            yield service
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def takes(self, *messages: UpMessage) -> None:
        arrivals = [Arrival(message, self.clock.wall()) for message in messages]
        decided = await BatchStore(self.database).commit(arrivals, lambda known: plan(arrivals, known))
        for standing in decided.writes.alerts:
            self.bus.publish(Change(Kind.ALERT, standing.alert.id))
        for device in decided.writes.devices:
            self.bus.publish(Change(Kind.DEVICE, device.id))

    async def becomes(self, so: Callable[[], bool]) -> None:
        """Turn the clock, a quarter of a second after the other, until it is so."""
        async with asyncio.timeout(BOUND_S):
            await self._comes_to_rest()
            while not so():
                self.clock.turn(0.25)
                await self._comes_to_rest()

    async def _comes_to_rest(self) -> None:
        quiet = 0
        while quiet < SETTLED:
            await asyncio.sleep(0.001 if self.under_way else 0)
            quiet = 0 if self.under_way else quiet + 1


@pytest.fixture
async def home(tmp_path: Path) -> AsyncIterator[Home]:
    async with open_database(await migrated(tmp_path / "db")) as database:
        for name in ("cam-1", "cam-2"):
            await DeviceStore(database).add(name, name * 8, NOW)
        home = Home(database)
        await home.takes(status(), status("cam-2"))
        yield home


def kept(home: Home, topic: str) -> object:
    payload = home.broker.kept.get(topic)
    return None if payload is None else json.loads(payload)


def documents(home: Home, device: str = "cam-1") -> set[str]:
    return {
        topic for topic in home.broker.kept if topic.startswith("homeassistant/") and f"/vedette_{device}/" in topic
    }


async def test_states_stand_before_they_are_said_to_hold(home: Home) -> None:
    async with home.running():
        said = [topic for topic, _ in home.broker.said]
        assert said[-1] == "vedette/bridge"
        first_state = said.index("vedette/cam-1/presence")
        assert {topic for topic in said[:first_state] if "cam-1" in topic} == documents(home)
        assert documents(home, "cam-2")


async def test_an_alert_shows_with_its_picture_and_goes_off_in_time(home: Home) -> None:
    async with home.running():
        seen = alert(state=AlertState.CONFIRMED)
        asked = question(seen)
        await QuestionStore(home.database, home.clock).add_question(asked, "questions/one", 10)
        home.pictures.there["questions/one"] = JPEG
        await home.takes(seen)
        await home.becomes(lambda: PICTURE in home.broker.kept)
        assert home.broker.kept[ON] == b"ON"
        assert home.broker.kept[PICTURE] == JPEG
        told = kept(home, ALERT)
        assert isinstance(told, dict)
        assert (told["alert_id"], told["alert_state"], told["ended"]) == (seen.id, "confirmed", False)
        ends = alert(id=seen.id, state=AlertState.CONFIRMED, revision=1, event=AlertEvent.END, sequence=2)
        await home.takes(ends)
        await home.becomes(lambda: kept(home, ALERT)["ended"] is True)  # type: ignore[index]
        assert home.broker.kept[ON] == b"ON"
        ended_at = home.clock.wall()
        await home.becomes(lambda: home.broker.kept[ON] == b"OFF")
        assert timedelta(seconds=25) < home.clock.wall() - ended_at < timedelta(seconds=45)


async def test_a_picture_stays_until_a_later_alert_has_one_and_goes_with_its_alert(home: Home) -> None:
    async def pictured(name: str) -> Alert:
        seen = alert(state=AlertState.CONFIRMED, sequence=next(sequences))
        await QuestionStore(home.database, home.clock).add_question(question(seen), name, 10)
        home.pictures.there[name] = name.encode()
        await home.takes(seen)
        return seen

    sequences = itertools.count(1)
    async with home.running():
        await pictured("first")
        await home.becomes(lambda: home.broker.kept.get(PICTURE) == b"first")
        bare = alert(state=AlertState.CONFIRMED, sequence=next(sequences))
        await home.takes(bare)
        await home.becomes(lambda: kept(home, ALERT)["alert_id"] == bare.id)  # type: ignore[index]
        later = await pictured("second")
        await home.becomes(lambda: home.broker.kept[PICTURE] == b"second")
        await home.takes(alert(id=later.id, state=AlertState.RETRACTED, revision=1, sequence=next(sequences)))
        await home.becomes(lambda: home.broker.kept[PICTURE] == b"first")
    assert [payload for topic, payload in home.broker.said if topic == PICTURE] == [b"first", b"second", b"first"]


async def test_what_lasts_is_said_again_before_home_assistant_s_delay_is_over(home: Home) -> None:
    async with home.running(off_delay_s=20):
        await home.takes(alert(state=AlertState.CONFIRMED))
        await home.becomes(lambda: home.broker.said.count((ON, b"ON")) == 1)
        began = home.clock.passed
        await home.becomes(lambda: home.broker.said.count((ON, b"ON")) == 4)
        assert home.clock.passed - began < 3 * 20


async def test_a_retracted_alert_was_none(home: Home) -> None:
    async with home.running():
        seen = alert(state=AlertState.CONFIRMED)
        await home.takes(seen)
        await home.becomes(lambda: home.broker.kept.get(ON) == b"ON")
        await home.takes(alert(id=seen.id, state=AlertState.RETRACTED, revision=1, sequence=2))
        await home.becomes(lambda: home.broker.kept[ON] == b"OFF")
        assert kept(home, ALERT) == {"label": None}
        assert kept(home, "vedette/cam-1/camera/yard/state")["alerts"] == 0  # type: ignore[index]


async def test_all_is_said_again_once_after_a_while_when_home_assistant_is_born(home: Home) -> None:
    async with home.running(birth_jitter_s=8):
        first = dict(home.broker.kept)
        home.broker.said.clear()
        for _ in range(3):
            home.broker.tell("homeassistant/status", b"online")
        home.broker.tell("homeassistant/status", b"offline")
        born = home.clock.passed
        await home.becomes(lambda: len(home.broker.said) >= len(first) - 1)
        assert home.clock.passed - born >= 4
        await home.becomes(lambda: home.clock.passed - born > 30)
        assert sorted(topic for topic, _ in home.broker.said) == sorted(set(first) - {"vedette/bridge"})
        assert home.broker.kept == first


async def test_a_birth_while_the_store_can_t_be_read_is_remembered(home: Home) -> None:
    async with home.running(birth_jitter_s=0):
        first = dict(home.broker.kept)
        home.broker.said.clear()

        async def fails() -> None:
            home.broker.tell("homeassistant/status", b"online")
            for _ in range(2):
                for _ in range(SETTLED):
                    await asyncio.sleep(0)
                home.clock.turn(0.0)
            for _ in range(SETTLED):
                await asyncio.sleep(0)
            raise StoreFailed("the disk is full")

        home.before["fleet"] = fails
        await home.becomes(lambda: len(home.broker.said) >= len(first) - 1)
        assert {topic for topic, _ in home.broker.said} >= set(first) - {"vedette/bridge"}


async def test_nothing_is_said_twice_for_nothing(home: Home) -> None:
    async with home.running():
        home.broker.said.clear()
        await home.becomes(lambda: home.clock.passed > 60)
        assert home.broker.said == []


async def test_a_revoked_device_is_taken_back(home: Home) -> None:
    async with home.running():
        assert documents(home)
        await Enrolment(DeviceStore(home.database), SystemClock()).revoke("cam-1")
        await home.becomes(lambda: not any("cam-1" in topic for topic in home.broker.kept))
        assert documents(home, "cam-2")


async def test_what_was_left_from_before_is_taken_back_or_known_again(home: Home) -> None:
    async with home.running():
        await home.takes(alert(state=AlertState.CONFIRMED))
        await home.becomes(lambda: home.broker.kept.get(ON) == b"ON")
        before = documents(home)
    foreign = "homeassistant/sensor/other_cam-1/temperature/config"
    gone = "homeassistant/sensor/vedette_cam-9/waiting/config"
    home.broker.kept |= {gone: b"{}", "vedette/cam-9/presence": b"online"}
    home.clock.now += timedelta(days=30)
    await home.takes(status(), status("cam-2"))
    async with home.running():
        assert documents(home) == before
        assert home.broker.kept[ON] == b"OFF"
        assert not any("cam-9" in topic for topic in home.broker.kept)
    home.broker.kept[foreign] = b"{}"
    async with home.running(devices=["cam-2"]):
        assert documents(home) == set()
        assert documents(home, "cam-2")


async def test_not_wanted_any_more_takes_all_back_and_ends(home: Home) -> None:
    async with home.running():
        pass
    assert home.broker.kept
    await asyncio.wait_for(home.service(settings(enabled=False)).run(), BOUND_S)
    assert home.broker.kept == {}


async def test_a_press_becomes_a_command_and_its_outcome_shows(home: Home) -> None:
    async with home.running():
        home.broker.tell("vedette/cam-1/command/ping", b"PRESS")
        answers = lambda: kept(home, "vedette/cam-1/device")["answer"]  # noqa: E731
        await home.becomes(lambda: answers() == "ping: queued")
        (queued,) = await home.commands.waiting()
        assert (queued.device, queued.name, queued.issued_by) == ("cam-1", "ping", "Home Assistant")
        assert queued.expires_at - queued.issued_at == timedelta(minutes=5)
        await home.commands.close(queued.id, "ok", "", home.clock.wall())  # type: ignore[arg-type]
        home.bus.publish(Change(Kind.COMMANDS, ""))
        await home.becomes(lambda: answers() == "ping: ok")


async def test_what_may_not_be_asked_is_said_once_a_minute_and_not_done(
    home: Home, caplog: pytest.LogCaptureFixture
) -> None:
    async with home.running():
        for _ in range(5):
            home.broker.tell("vedette/cam-1/command/set-config", b"PRESS")
            home.broker.tell("vedette/cam-1/command/ping", b"PRESS", retained=True)
        home.broker.tell("vedette/cam-1/command/ping", b"PRESS")
        await home.becomes(lambda: kept(home, "vedette/cam-1/device")["answer"] == "ping: queued")  # type: ignore[index]
        assert len(await home.commands.waiting()) == 1
        assert caplog.text.count("a command from Home Assistant is not taken") == 1


async def test_a_lost_connection_is_made_again_with_growing_pauses(home: Home) -> None:
    async with home.running():
        home.broker.refuses = [HomeLost("away"), HomeRefused("a wrong password"), HomeLost("away")]
        home.broker.kept.clear()
        home.broker.break_off()
        began = home.clock.passed
        await home.becomes(lambda: home.broker.connections == 5 and "vedette/bridge" in home.broker.kept)
        assert home.clock.passed - began >= 1 + 1 + 2 + 4
        assert home.counters["home.reconnects"] == 4
        assert documents(home)


async def test_labels_outlast_a_broker_that_keeps_nothing(home: Home) -> None:
    async with home.running():
        await home.takes(alert(state=AlertState.CONFIRMED))
        await home.becomes(lambda: ON in home.broker.kept)
        home.clock.now += timedelta(days=30)
        await home.takes(status())
        home.broker.kept.clear()
        home.broker.break_off()
        await home.becomes(lambda: "vedette/bridge" in home.broker.kept)
        assert home.broker.kept[ON] == b"OFF"


async def test_a_snapshot_shows_for_a_day_and_is_gone_when_the_service_has_forgotten_it(home: Home) -> None:
    topic = "vedette/cam-1/camera/yard/snapshot"
    asked = command("snapshot", result={"camera": "yard"})
    await home.commands.add([asked])
    home.pictures.there[f"snapshots/cam-1/{asked.id}.jpg"] = JPEG
    answer = Response(
        message_id=new_id(), device="cam-1", made_at=NOW, boot_id=new_id(), boot_seq=1, command_id=asked.id,
        name="snapshot", phase=Phase.DONE, outcome=Outcome.OK, result={"camera": "yard"},
    )  # fmt: skip
    await home.takes(answer)
    async with home.running():
        assert home.broker.kept[topic] == JPEG
        home.clock.now += timedelta(days=1)
        await home.becomes(lambda: topic not in home.broker.kept)
        home.clock.now -= timedelta(days=1)
        await home.becomes(lambda: topic in home.broker.kept)
    home.pictures.there.clear()
    async with home.running():
        assert topic not in home.broker.kept


async def test_a_picture_that_can_t_be_had_keeps_nothing_else_back(home: Home) -> None:
    async with home.running():
        seen = alert(state=AlertState.CONFIRMED)
        await QuestionStore(home.database, home.clock).add_question(question(seen), "questions/lost", 10)
        await home.takes(seen)
        await home.becomes(lambda: home.broker.kept.get(ON) == b"ON")
        assert PICTURE not in home.broker.kept
