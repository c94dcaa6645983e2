"""The read API and the doorway, over ASGI, on the real database."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Never

import httpx
import pytest

from cloud.bus import Bus, Change, Kind
from cloud.deployment import Phase
from cloud.domain import Arrival
from cloud.errors import StoreError
from cloud.ingest.plan import plan
from cloud.store.alerts import AlertStore
from cloud.store.batches import BatchStore
from cloud.store.blobs import LocalBlobs
from cloud.store.database import Database, open_database
from cloud.store.devices import DeviceStore
from cloud.store.questions import QuestionStore
from cloud.store.rollouts import RolloutStore
from cloud.web import events as events_module
from cloud.web.api import read_router
from cloud.web.events import Feed, TooManyListeners, pause_s
from cloud.web.health import health_router
from cloud.web.rollouts import RolloutDetail, rollouts_router
from cloud.web.server import make_application
from cloud.web.views import AlertView
from tests.cloud.migrated import migrated
from tests.cloud.rollout.fleets import rollout_of
from tests.cloud.samples import BOUND_S, JPEG, NOW, ManualClock, alert, new_id, question, status, telemetry, verdict
from wire.messages import UpMessage


@dataclass
class Site:
    http: httpx.AsyncClient
    database: Database
    blobs: LocalBlobs
    questions: QuestionStore
    rollouts: RolloutStore
    bus: Bus
    feed: Feed
    clock: ManualClock
    parts: dict[str, bool]
    static: Path

    async def take(self, *messages: UpMessage) -> None:
        arrivals = [Arrival(message, self.clock.wall()) for message in messages]
        await BatchStore(self.database).commit(arrivals, lambda known: plan(arrivals, known))

    async def get(self, path: str, code: int = 200) -> dict[str, object]:
        answer = await self.http.get(path)
        assert answer.status_code == code, answer.text
        return answer.json()


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    clock, bus, parts, static = ManualClock(), Bus(), {"database": True}, tmp_path / "static"
    async with open_database(await migrated(tmp_path / "db")) as database:
        devices, alerts, blobs = DeviceStore(database), AlertStore(database), LocalBlobs(tmp_path / "blobs")
        await devices.add("cam-1", "x", NOW)
        rollouts = RolloutStore(database)
        feed = Feed(bus=bus, alerts=alerts, devices=devices, rollouts=rollouts, clock=clock)

        async def works() -> bool:
            return parts["database"]

        routers = [
            read_router(alerts=alerts, devices=devices, pictures=blobs, feed=feed, clock=clock),
            rollouts_router(rollouts=rollouts, clock=clock),
            health_router({"database": works}, lambda: {"ingest.alerts": 3}),
        ]
        application = make_application(routers, static=static, allowed_hosts=frozenset({"vedette.lan"}))
        transport = httpx.ASGITransport(application, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost:8080") as http:
            questions = QuestionStore(database, clock)
            yield Site(http, database, blobs, questions, rollouts, bus, feed, clock, parts, static)


async def test_empty_service_has_empty_sums(site: Site) -> None:
    assert await site.get("/api/summary") == {
        "devices": 1,
        "online": 0,
        "alerts": {"provisional": 0, "confirmed": 0, "retracted": 0},
        "alerts_total": 0,
        "asks": 0,
        "answers": 0,
        "late_answers": 0,
        "bytes_sent": 0,
        "bytes_by_reason": {},
        "bytes_if_streamed": 0,
        "frames": 0,
        "first_alert_at": None,
    }


async def test_device_is_online_while_it_speaks_and_offline_when_silent(site: Site) -> None:
    await site.take(status(), telemetry())
    (device,) = (await site.http.get("/api/devices")).json()
    assert (device["device"], device["presence"], device["agent_version"]) == ("cam-1", "online", "0.1.0")
    assert device["cameras"] == [{"name": "yard", "state": "live", "detail": ""}]
    assert device["telemetry"]["rss_mib"] == 60
    site.clock.turn(131)
    device = await site.get("/api/devices/cam-1")
    assert (device["presence"], device["reason"]) == ("offline", "silent")


async def test_alert_carries_its_verdict_and_the_way_to_its_pictures(site: Site) -> None:
    about = alert()
    asked = question(about, region=(0.0, 0.0, 0.5, 0.5))
    await site.take(about)
    await site.blobs.put("q/1.jpg", JPEG)
    await site.questions.add_question(asked, "q/1.jpg", len(JPEG))
    await site.questions.add_verdict(verdict(asked))
    (found,) = (await site.get("/api/alerts"))["alerts"]  # type: ignore[misc]
    assert AlertView.model_validate(found).id == about.id
    assert found["picture_url"] == f"/v1/pictures/{about.id}"
    assert found["verdict"]["decision"] == "confirmed"
    assert (found["verdict"]["region"], found["verdict"]["asked_box"]) == ([0, 0, 0.5, 0.5], [0.1, 0.2, 0.3, 0.4])
    for address in (found["picture_url"], found["verdict"]["picture_url"]):
        picture = await site.http.get(address)
        assert (picture.content, picture.headers["content-type"]) == (JPEG, "image/jpeg")
    await site.blobs.put("a/1.jpg", JPEG + b"its own")
    await site.questions.add_picture("cam-1", about.id, "a/1.jpg", 9)
    assert (await site.http.get(found["picture_url"])).content == JPEG + b"its own"


async def test_cursor_leads_through_all_alerts(site: Site) -> None:
    messages = [alert(sequence=number) for number in range(1, 6)]
    await site.take(*messages)
    seen, address = [], "/api/alerts?limit=2"
    while True:
        page = await site.get(address)
        seen += [one["id"] for one in page["alerts"]]  # type: ignore[attr-defined]
        if page["next"] is None:
            break
        address = f"/api/alerts?limit=2&before={page['next']}"
    assert seen == [message.id for message in reversed(messages)]


@pytest.mark.parametrize(
    ("address", "code", "name"),
    [
        (f"/api/alerts/{'0' * 32}", 404, "NotFound"),
        (f"/v1/pictures/{'0' * 32}", 404, "NotFound"),
        (f"/api/questions/{'0' * 32}/picture", 404, "NotFound"),
        ("/api/devices/nobody", 404, "DeviceUnknown"),
        ("/api/devices/nobody/history", 404, "DeviceUnknown"),
        ("/api/nonsense", 404, "NotFound"),
        ("/api/alerts/..%2f..", 404, "NotFound"),
        ("/api/alerts/short", 422, "RequestInvalid"),
        ("/api/devices/Not%20An%20Id", 422, "RequestInvalid"),
        ("/api/alerts?limit=0", 422, "RequestInvalid"),
        ("/api/alerts?limit=201", 422, "RequestInvalid"),
        ("/api/alerts?before=x", 422, "RequestInvalid"),
        (f"/api/alerts?before={10**30}", 422, "RequestInvalid"),
        ("/api/alerts?state=maybe", 422, "RequestInvalid"),
    ],
)
async def test_what_can_t_be_answered_is_refused_by_name(site: Site, address: str, code: int, name: str) -> None:
    assert (await site.get(address, code))["error"] == name


async def test_lost_picture_is_not_found(site: Site) -> None:
    about = alert()
    await site.take(about)
    await site.questions.add_picture("cam-1", about.id, "a/lost.jpg", 9)
    assert (await site.get(f"/v1/pictures/{about.id}", 404))["error"] == "BlobMissing"


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1:9", "[::1]:8080", "LOCALHOST", "vedette.lan:8080"])
async def test_own_names_are_answered(site: Site, host: str) -> None:
    assert (await site.http.get("/healthz", headers={"Host": host})).status_code == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "localhost.evil.example", "127.0.0.1.evil.example:8080", "", "[::2]"]
)
async def test_other_names_are_refused(site: Site, host: str) -> None:
    answer = await site.http.get("/api/summary", headers={"Host": host})
    assert (answer.status_code, answer.json()["error"]) == (421, "HostRefused")


async def test_every_answer_carries_the_browser_s_rules(site: Site) -> None:
    for address in ("/", "/api/summary", "/api/nonsense"):
        headers = (await site.http.get(address)).headers
        assert "default-src 'none'" in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"


async def test_without_a_built_dashboard_a_page_says_so(site: Site) -> None:
    page = await site.http.get("/")
    assert page.status_code == 200
    assert "not built" in page.text


async def test_built_dashboard_is_served_and_does_not_hide_the_api(tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text("<p>dashboard")
    application = make_application([health_router({}, dict)], static=tmp_path)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(application), base_url="http://localhost") as http:
        assert (await http.get("/")).text == "<p>dashboard"
        assert (await http.get("/healthz")).json()["ok"]
        assert (await http.get("/../../etc/passwd")).status_code == 404


async def test_readiness_names_the_part_that_does_not_work(site: Site) -> None:
    assert (await site.get("/readyz"))["ok"] is True
    site.parts["database"] = False
    assert await site.get("/readyz", 503) == {
        "ok": False,
        "parts": {"database": False},
        "counts": {"ingest.alerts": 3},
    }
    assert (await site.get("/healthz"))["ok"] is True


async def test_openapi_describes_the_answers(site: Site) -> None:
    described = await site.get("/openapi.json")
    schemas = described["components"]["schemas"]  # type: ignore[index,call-overload]
    assert {"AlertView", "AlertDetail", "AlertPage", "DeviceView", "Summary", "TelemetryPoint"} <= set(schemas)


# --- live events ------------------------------------------------------------------------------------------------


async def parsed(events: AsyncIterator[bytes]) -> tuple[str, dict[str, object]]:
    async with asyncio.timeout(BOUND_S):
        text = (await anext(events)).decode()
    name, data = text.strip().split("\n")
    return name.removeprefix("event: "), json.loads(data.removeprefix("data: "))


@pytest.fixture
async def feed(site: Site) -> AsyncIterator[Feed]:
    running = asyncio.create_task(site.feed.run())
    yield site.feed
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def shown_again(site: Site) -> None:
    """Let the time pass for which changes are gathered."""
    async with asyncio.timeout(BOUND_S):
        while len(site.clock.sleeping) < 2:  # noqa: ASYNC110 - who shows changes, and who sums up; no event says so
            await asyncio.sleep(0)
    site.clock.turn(events_module.SHOW_EVERY_S)


async def test_change_is_shown_to_every_listener_and_summed_up_once_a_second(site: Site, feed: Feed) -> None:
    about = alert()
    await site.take(about)
    listeners = [feed.listen() for _ in range(2)]
    for listener in listeners:
        assert (await anext(listener)).startswith(b"retry")
    for _ in range(3):
        site.bus.publish(Change(Kind.ALERT, about.id))
    site.bus.publish(Change(Kind.DEVICE, "cam-1"))
    for listener in listeners:
        shown = [await parsed(listener) for _ in range(3)]
        assert sorted(name for name, _ in shown) == ["alert", "device", "summary"]
        assert dict(shown)["alert"]["id"] == about.id
    for _ in range(3):
        site.bus.publish(Change(Kind.DEVICE, "cam-1"))
    await shown_again(site)
    assert (await parsed(listeners[0]))[0] == "device"
    site.clock.turn(1.0)
    assert (await parsed(listeners[0]))[0] == "summary"


async def test_listener_that_does_not_keep_up_is_let_go(
    site: Site, feed: Feed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events_module, "_MAX_WAITING", 2)
    about = alert()
    await site.take(about)
    slow, quick = feed.listen(), feed.listen()
    await anext(slow)
    monkeypatch.setattr(events_module, "_MAX_WAITING", 1000)
    await anext(quick)
    for _ in range(4):
        site.bus.publish(Change(Kind.ALERT, about.id))
        while (await parsed(quick))[0] != "alert":
            pass
        await shown_again(site)
    async with asyncio.timeout(BOUND_S):
        assert [event async for event in slow] == []


async def test_closed_feed_lets_everyone_go_and_takes_nobody(site: Site, feed: Feed) -> None:
    listener = feed.listen()
    await anext(listener)
    feed.close()
    with pytest.raises(StopAsyncIteration):
        await anext(listener)
    with pytest.raises(TooManyListeners):
        feed.check_room()
    assert (await site.get("/api/events", 503))["error"] == "TooManyListeners"


async def test_unknown_alert_in_a_change_harms_nobody(site: Site, feed: Feed) -> None:
    listener = feed.listen()
    await anext(listener)
    site.bus.publish(Change(Kind.ALERT, new_id()))
    site.bus.publish(Change(Kind.DEVICE, "cam-1"))
    names = {(await parsed(listener))[0] for _ in range(2)}
    assert names == {"device", "summary"}


async def test_rollout_is_shown_with_its_devices_at_most_once_a_second(site: Site, feed: Feed) -> None:
    begun = rollout_of()
    await site.rollouts.add(begun)
    listener = feed.listen()
    await anext(listener)
    for _ in range(3):
        site.bus.publish(Change(Kind.ROLLOUT, begun.id))
    shown = dict([await parsed(listener) for _ in range(2)])
    assert RolloutDetail.model_validate(shown["rollout"]) == RolloutDetail.model_validate(
        await site.get(f"/api/rollouts/{begun.id}")
    )

    async with asyncio.timeout(BOUND_S):
        await site.clock.asleep.wait()
    halted = begun.model_copy(update={"phase": Phase.HALTED, "reason": "2 of all 2 devices tried failed"})
    await site.rollouts.save(halted, [], [], None)
    site.bus.publish(Change(Kind.ROLLOUT, begun.id))
    site.bus.publish(Change(Kind.DEVICE, "cam-1"))
    await shown_again(site)
    assert (await parsed(listener))[0] == "device"
    site.clock.turn(1.0)
    shown = dict([await parsed(listener) for _ in range(2)])
    assert (shown["rollout"]["phase"], shown["rollout"]["reason"]) == ("halted", halted.reason)


async def test_rollouts_that_are_over_can_be_left_out(site: Site) -> None:
    over, begun = rollout_of(phase=Phase.ABORTED), rollout_of()
    for one in (over, begun):
        await site.rollouts.add(one)
    every = (await site.http.get("/api/rollouts")).json()
    assert [one["id"] for one in every] == [begun.id, over.id]
    (still,) = (await site.http.get("/api/rollouts?only_open=true")).json()
    assert still["id"] == begun.id


async def test_rollout_that_could_not_be_read_is_shown_when_it_can(
    site: Site, feed: Feed, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = rollout_of()
    await site.rollouts.add(begun)
    listener = feed.listen()
    await anext(listener)
    with monkeypatch.context() as broken:

        async def refuse(_store: RolloutStore, _rollout: str) -> Never:
            raise StoreError("the disk is full")

        broken.setattr(RolloutStore, "find", refuse)
        site.bus.publish(Change(Kind.ROLLOUT, begun.id))
        assert (await parsed(listener))[0] == "summary"
        async with asyncio.timeout(BOUND_S):
            await site.clock.asleep.wait()
    site.clock.turn(1.1)
    assert [(await parsed(listener))[0] for _ in range(2)] == ["summary", "rollout"]


async def test_alert_that_could_not_be_read_is_shown_when_it_can(
    site: Site, feed: Feed, monkeypatch: pytest.MonkeyPatch
) -> None:
    about = alert()
    await site.take(about)
    listener = feed.listen()
    await anext(listener)
    refused = asyncio.Event()
    with monkeypatch.context() as broken:

        async def refuse(_store: AlertStore, _ids: list[str]) -> Never:
            refused.set()
            raise StoreError("database is locked")

        broken.setattr(AlertStore, "some", refuse)
        site.bus.publish(Change(Kind.ALERT, about.id))
        assert (await parsed(listener))[0] == "summary"
        async with asyncio.timeout(BOUND_S):
            await refused.wait()
    await shown_again(site)
    site.clock.turn(events_module.SHOW_AGAIN_S)
    async with asyncio.timeout(BOUND_S):
        name, shown = await parsed(listener)
    assert (name, shown["id"]) == ("alert", about.id)


async def test_changed_commands_are_told_of_once(site: Site, feed: Feed) -> None:
    listener = feed.listen()
    await anext(listener)
    for _ in range(3):
        site.bus.publish(Change(Kind.COMMANDS, ""))
    site.bus.publish(Change(Kind.ROLLOUT, new_id()))
    shown = dict([await parsed(listener) for _ in range(2)])
    assert shown["commands"] == {"at": "2026-05-01T12:00:00Z"}
    site.bus.publish(Change(Kind.DEVICE, "cam-1"))
    await shown_again(site)
    assert (await parsed(listener))[0] == "device"


@pytest.mark.parametrize(
    ("took_s", "waits_s"), [(0.0, 0.1), (0.01, 0.1), (0.05, 0.15), (0.1, 0.3), (0.2, 0.5), (30.0, 0.5)]
)
def test_what_takes_long_to_show_is_shown_less_often(took_s: float, waits_s: float) -> None:
    assert pause_s(took_s) == pytest.approx(waits_s)
