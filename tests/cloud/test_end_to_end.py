"""From a device over the real broker into the store and out of the API, also when parts are killed."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import aiomqtt
import httpx
import psutil
import pytest
from sqlalchemy import update

from cloud.adapters.data_dir import DataDir
from cloud.errors import BindRefused, DataDirInUse, PortTaken
from cloud.store.database import open_database
from cloud.store.schema import devices
from tests.cloud.running import Service, eventually, running
from tests.cloud.samples import BOUND_S, alert, connected, new_id, status, telemetry
from wire.messages import Alert, AlertState
from wire.topics import Channel

pytestmark = pytest.mark.parts

TERMINATES_WITHIN_S = 60


async def test_what_a_device_says_is_what_the_api_shows(tmp_path: Path) -> None:
    async with running(tmp_path) as service:
        token = await service.enroll("cam-1")
        first = alert()
        second = alert(id=first.id, revision=1, sequence=2, state=AlertState.CONFIRMED, decided_by="cloud")
        async with connected(service.addresses.mqtt, "cam-1", token) as device:
            await device.say(Channel.STATUS, status())
            await device.say(Channel.TELEMETRY, telemetry())
            for message in (first, second, second):
                await device.say(Channel.ALERTS, message)
            await device.until_acked(first, second)

            async def measured() -> bool:
                return (await service.get("/api/summary"))["frames"] == 100  # type: ignore[index]

            await eventually(measured)
            summary = await service.get("/api/summary")
        detail = await service.get(f"/api/alerts/{first.id}")
        assert isinstance(detail, dict)
        assert (detail["state"], detail["revision"], detail["decided_by"]) == ("confirmed", 1, "cloud")
        assert [entry["state"] for entry in detail["history"]] == ["provisional", "confirmed"]
        assert isinstance(summary, dict)
        assert (summary["devices"], summary["online"], summary["alerts_total"]) == (1, 1, 1)
        assert summary["alerts"] == {"provisional": 0, "confirmed": 1, "retracted": 0}
        assert (summary["bytes_sent"], summary["bytes_if_streamed"]) == (1000, 5000)


async def test_what_overtook_its_predecessors_is_acked_after_them(tmp_path: Path) -> None:
    async with running(tmp_path) as service:
        token = await service.enroll("cam-1")
        first, second, third = (alert(sequence=number) for number in (1, 2, 3))
        other_camera = alert(camera="door")
        async with connected(service.addresses.mqtt, "cam-1", token) as device:
            for message in (first, third, other_camera):
                await device.say(Channel.ALERTS, message)
            await device.until_acked(first, other_camera)
            assert third.message_id not in device.acked
            for message in (second, third):
                await device.say(Channel.ALERTS, message)
            await device.until_acked(second, third)
        assert (await service.counts())["ingest.left"] == 1
        shown = await service.get("/api/alerts?camera=yard")
        assert [one["id"] for one in shown["alerts"]] == [third.id, second.id, first.id]  # type: ignore[index]


async def test_what_a_device_has_lost_is_told_and_waited_for_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with running(tmp_path) as service:
        token = await service.enroll("cam-1")
        held = [alert(sequence=number) for number in (8, 9)]
        async with connected(service.addresses.mqtt, "cam-1", token) as device:
            for message in (*held, *held, *held):
                await device.say(Channel.ALERTS, message)
            await device.until_acked(*held)
        assert (await service.counts())["ingest.missing"] == 7
    assert "cam-1 has lost alert messages 1 to 7 of camera yard" in caplog.text


async def _persistently(service: Service, token: str, messages: list[Alert]) -> None:
    """Send until all are acked, connecting again whenever the broker is gone, as an agent does."""
    acked: set[str] = set()
    while wanted := [message for message in messages if message.message_id not in acked]:
        try:
            async with connected(service.addresses.mqtt, "cam-1", token) as device:
                device.acked = acked
                for message in wanted:
                    await device.say(Channel.ALERTS, message)
                async with asyncio.timeout(2):
                    await device.until_acked(*wanted)
        except (aiomqtt.MqttError, TimeoutError):
            await asyncio.sleep(0.05)


async def test_broker_killed_twice_loses_and_doubles_nothing(tmp_path: Path) -> None:
    async with running(tmp_path) as service:
        token = await service.enroll("cam-1")
        async with connected(service.addresses.mqtt, "cam-1", token) as device:
            await device.say(Channel.STATUS, status())
        messages = [alert(sequence=number) for number in range(1, 401)]
        sending = asyncio.create_task(_persistently(service, token, messages))
        for kills, stored in enumerate((50, 150)):

            async def so_many(kills: int = kills, least: int = stored) -> bool:
                """And the broker is there, once it was killed so often: only then can it be killed again."""
                health = (await service.http.get("/readyz")).json()
                counts = health["counts"]
                return (
                    health["ok"]
                    and counts.get("ingest.alerts", 0) >= least
                    and counts.get("broker.restarts", 0) == kills
                )

            await eventually(so_many)
            service.broker().kill()
        async with asyncio.timeout(2 * BOUND_S):
            await sending

        async def ready() -> bool:
            """All may be stored by the time at which the broker dies, and before anybody has noticed."""
            health = (await service.http.get("/readyz")).json()
            return health["ok"] and health["counts"].get("broker.restarts") == 2

        await eventually(ready)
        counts = await service.counts()
        assert counts["ingest.alerts"] == len(messages)
        assert (await service.get("/api/summary"))["alerts_total"] == len(messages)  # type: ignore[index]


async def _broker_killed_and_back(service: Service) -> None:
    service.broker().kill()

    async def back() -> bool:
        health = (await service.http.get("/readyz")).json()
        return health["ok"] and health["counts"].get("broker.restarts") == 1

    await eventually(back)


@pytest.mark.system
async def test_ack_for_a_device_that_is_away_waits_for_it_over_the_broker_s_death(tmp_path: Path) -> None:
    async with running(tmp_path) as service:
        token = await service.enroll("cam-1")
        message = alert()
        async with connected(service.addresses.mqtt, "cam-1", token) as device:
            device.client._client.manual_ack_set(True)
            await device.say(Channel.ALERTS, message)
            await device.until_acked(message)
        await _broker_killed_and_back(service)
        async with connected(service.addresses.mqtt, "cam-1", token) as device:
            await device.until_acked(message)


async def test_retained_status_survives_the_broker_s_death(tmp_path: Path) -> None:
    async with running(tmp_path) as service:
        token = await service.enroll("cam-1")

        async def shown() -> bool:
            return (await service.get("/api/devices"))[0]["model"] is not None  # type: ignore[index]

        async with connected(service.addresses.mqtt, "cam-1", token) as device:
            await device.say(Channel.STATUS, status())
            await eventually(shown)
        async with open_database(DataDir(tmp_path).database_url) as database, database.writing() as connection:
            await connection.execute(update(devices).values(status=None, online_status=None))
        assert not await shown()
        await _broker_killed_and_back(service)
        await eventually(shown)


async def test_service_restarted_finds_what_it_had_and_what_came_meanwhile(tmp_path: Path) -> None:
    before, after = alert(sequence=1), alert(sequence=2)
    async with running(tmp_path) as service:
        token = await service.enroll("cam-1")
        async with connected(service.addresses.mqtt, "cam-1", token) as device:
            await device.say(Channel.STATUS, status())
            await device.say(Channel.ALERTS, before)
            await device.until_acked(before)
    async with running(tmp_path) as service:
        async with connected(service.addresses.mqtt, "cam-1", token) as device:
            for message in (before, after):
                await device.say(Channel.ALERTS, message)
            await device.until_acked(before, after)
        shown = await service.get("/api/alerts")
        assert [one["id"] for one in shown["alerts"]] == [after.id, before.id]  # type: ignore[index]


async def test_live_events_follow_what_happens(tmp_path: Path) -> None:
    async with running(tmp_path) as service:
        token = await service.enroll("cam-1")
        message = alert()
        seen: dict[str, object] = {}
        async with (
            asyncio.timeout(BOUND_S),
            service.http.stream("GET", "/api/events") as stream,
            connected(service.addresses.mqtt, "cam-1", token) as device,
        ):
            lines = stream.aiter_lines()
            assert (await anext(lines)).startswith("retry")
            await device.say(Channel.ALERTS, message)
            name = ""
            while {"alert", "device", "summary"} - set(seen):
                line = await anext(lines)
                if line.startswith("event: "):
                    name = line.removeprefix("event: ")
                elif line.startswith("data: "):
                    seen[name] = json.loads(line.removeprefix("data: "))
        assert seen["alert"]["id"] == message.id  # type: ignore[index]
        assert seen["device"]["device"] == "cam-1"  # type: ignore[index]
        assert seen["summary"]["alerts_total"] == 1  # type: ignore[index]


async def test_open_dashboard_is_let_go_and_does_not_hold_up_the_stop(tmp_path: Path) -> None:
    async with httpx.AsyncClient(timeout=BOUND_S) as browser:
        async with running(tmp_path) as service:
            request = browser.build_request("GET", service.addresses.http + "/api/events")
            stream = await browser.send(request, stream=True)
            lines = stream.aiter_lines()
            await anext(lines)
        assert [line async for line in lines] == [""]


async def test_second_service_in_the_same_data_directory_is_refused(tmp_path: Path) -> None:
    async with running(tmp_path):
        with pytest.raises(DataDirInUse):
            async with running(tmp_path):
                pass


@pytest.mark.parametrize("key", ["http_port", "mqtt_port"])
async def test_taken_port_is_named(tmp_path: Path, key: str) -> None:
    async with running(tmp_path / "one") as service:
        address = service.addresses.http if key == "http_port" else service.addresses.mqtt
        with pytest.raises(PortTaken, match=key):
            async with running(tmp_path / "two", **{key: int(address.rpartition(":")[2])}):
                pass


@pytest.mark.parametrize("key", ["http_host", "mqtt_host"])
async def test_listening_beyond_this_machine_must_be_wanted(tmp_path: Path, key: str) -> None:
    everywhere = ".".join("0000")
    with pytest.raises(BindRefused, match=key):
        async with running(tmp_path, **{key: everywhere}):
            pass
    async with running(tmp_path, **{key: everywhere, "allow_plaintext": True}) as service:
        assert (await service.http.get("/readyz")).status_code == 200


def _start(data_dir: Path) -> tuple[subprocess.Popen[str], dict[str, object]]:
    command = [sys.executable, "-m", "cloud", "serve", "--json", "--data-dir", str(data_dir)]
    ports = ["--http-port", "0", "--mqtt-port", "0"]
    environment = {**os.environ, "VEDETTE_ANSWER_QUESTIONS": "false"}
    child = subprocess.Popen([*command, *ports], stdout=subprocess.PIPE, env=environment, text=True)
    assert child.stdout is not None
    return child, json.loads(child.stdout.readline())


@pytest.mark.system
@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 0), (signal.SIGINT, 0), (signal.SIGKILL, -9)])
def test_nothing_is_left_running_however_the_service_ends(tmp_path: Path, number: int, code: int) -> None:
    child, said = _start(tmp_path)
    assert json.loads((tmp_path / "serve.json").read_text()) == said
    brokers = psutil.Process(child.pid).children()
    assert [broker.name() for broker in brokers] == ["nats-server"]
    child.send_signal(number)
    assert child.wait(TERMINATES_WITHIN_S) == code
    _, alive = psutil.wait_procs(brokers, timeout=TERMINATES_WITHIN_S)
    assert alive == []
    assert (tmp_path / "serve.json").exists() == (number is signal.SIGKILL)


@pytest.mark.system
async def test_alerts_sent_while_the_service_is_killed_arrive_once(tmp_path: Path) -> None:
    messages = [alert(sequence=number, id=new_id()) for number in range(1, 301)]
    async with running(tmp_path) as service:
        token = await service.enroll("cam-1")
    child, said = _start(tmp_path)
    try:
        async with connected(str(said["mqtt"]), "cam-1", token) as device:
            for message in messages[:150]:
                await device.say(Channel.ALERTS, message)
            child.kill()
    except aiomqtt.MqttError:
        pass
    child.wait(TERMINATES_WITHIN_S)
    async with running(tmp_path) as service:
        await _persistently(service, token, messages)
        assert (await service.get("/api/summary"))["alerts_total"] == len(messages)  # type: ignore[index]
        assert (await service.http.get("/readyz")).status_code == 200
