"""What the broker lets a device do, and what it does not: tried against the real one."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import urlsplit

import aiomqtt
import pytest

from cloud.adapters.clock import SystemClock
from cloud.adapters.data_dir import DataDir
from cloud.fleet.enrolment import Enrolment
from cloud.store.database import open_database
from cloud.store.devices import DeviceStore
from tests.cloud.running import Service, eventually, running
from tests.cloud.samples import BOUND_S, alert, connected, mqtt_client, status
from wire.codec import encode
from wire.topics import Channel, topic
from workbench.sim import mqtt

pytestmark = pytest.mark.parts


@pytest.fixture
async def service(tmp_path: Path) -> AsyncIterator[Service]:
    async with running(tmp_path) as service:
        yield service


async def refused(client: aiomqtt.Client) -> bool:
    try:
        async with client:
            return False
    except aiomqtt.MqttError:
        return True


async def test_device_with_its_token_is_let_in_and_acked(service: Service) -> None:
    token = await service.enroll("cam-1")
    async with connected(service.addresses.mqtt, "cam-1", token) as device:
        message = alert()
        await device.say(Channel.ALERTS, message)
        await device.until_acked(message)


@pytest.mark.parametrize("token", ["wrong", "", "x" * 20_000])
async def test_wrong_token_is_refused(service: Service, token: str) -> None:
    await service.enroll("cam-1")
    assert await refused(mqtt_client(service.addresses.mqtt, "cam-1", token))


async def test_unknown_device_is_refused_though_its_token_is_someone_s(service: Service) -> None:
    token = await service.enroll("cam-1")
    assert await refused(mqtt_client(service.addresses.mqtt, "cam-9", token))


async def test_the_cloud_s_own_name_is_refused_without_its_password(service: Service) -> None:
    token = await service.enroll("cam-1")
    assert await refused(mqtt_client(service.addresses.mqtt, "_vedette_cloud", token))


async def test_stolen_client_id_is_refused_and_the_rightful_device_stays(service: Service) -> None:
    rightful, thief = await service.enroll("cam-1"), await service.enroll("cam-2")
    async with connected(service.addresses.mqtt, "cam-1", rightful) as device:
        assert await refused(mqtt_client(service.addresses.mqtt, "cam-1", thief, user="cam-2"))
        assert await refused(mqtt_client(service.addresses.mqtt, "_vedette_cloud", thief, user="cam-2"))
        message = alert()
        await device.say(Channel.ALERTS, message)
        await device.until_acked(message)


async def test_publish_on_another_device_s_topic_arrives_nowhere(service: Service) -> None:
    mine, _ = await service.enroll("cam-1"), await service.enroll("cam-2")
    async with connected(service.addresses.mqtt, "cam-1", mine) as device:
        # A name of its own invention would come to the service, and if retained, at each of its starts again.
        await device.client.publish("vedette/v1/cam-1/up/invented", b"{}", qos=1, retain=True)
        for name, channel in (("cam-2", Channel.ALERTS), ("cam-1", Channel.ACKS), ("cam-2", Channel.ACKS)):
            spoofed = alert(name) if channel is Channel.ALERTS else None
            payload = encode(spoofed) if spoofed else b"{}"
            try:
                await device.client.publish(topic(name, channel), payload, qos=1)
            except aiomqtt.MqttError:
                break
    async with connected(service.addresses.mqtt, "cam-1", mine) as device:
        honest = alert()
        await device.say(Channel.ALERTS, honest)
        await device.until_acked(honest)
        assert [type(message).__name__ for message in device.heard] == ["Acks"]
    shown = await service.get("/api/alerts")
    assert [one["device"] for one in shown["alerts"]] == ["cam-1"]  # type: ignore[index]
    assert "ingest.refused.NotOurs" not in await service.counts()


@pytest.mark.parametrize(
    "wanted",
    ["vedette/v1/cam-2/down/#", "vedette/v1/+/down/acks", "#", "$MQTT/sub/#", "$SYS/#", "vedette/v1/cam-1/up/#"],
)
async def test_foreign_subscription_is_refused(service: Service, wanted: str) -> None:
    spy, victim = await service.enroll("cam-1"), await service.enroll("cam-2")
    async with mqtt_client(service.addresses.mqtt, "cam-1", spy) as client:
        try:
            codes = await client.subscribe(wanted, qos=1)
        except aiomqtt.MqttError:
            return
        assert all(code.is_failure if hasattr(code, "is_failure") else code >= 0x80 for code in codes)
        async with connected(service.addresses.mqtt, "cam-2", victim) as device:
            message = alert("cam-2")
            await device.say(Channel.ALERTS, message)
            await device.until_acked(message)
        assert len(client.messages) == 0


async def test_revoked_device_is_cut_off_and_kept_out(service: Service) -> None:
    token = await service.enroll("cam-1")
    async with mqtt_client(service.addresses.mqtt, "cam-1", token) as client:
        await service.revoke("cam-1")
        with pytest.raises(aiomqtt.MqttError):
            async with asyncio.timeout(BOUND_S):
                await anext(client.messages)
    assert await refused(mqtt_client(service.addresses.mqtt, "cam-1", token))


async def test_payload_over_the_broker_s_limit_ends_the_connection_and_harms_nobody(service: Service) -> None:
    loud, quiet = await service.enroll("cam-1"), await service.enroll("cam-2")
    async with connected(service.addresses.mqtt, "cam-2", quiet) as device:
        async with mqtt_client(service.addresses.mqtt, "cam-1", loud) as client:
            sending = asyncio.create_task(client.publish(topic("cam-1", Channel.ALERTS), b"x" * 100_000, qos=1))
            with pytest.raises(aiomqtt.MqttError):
                async with asyncio.timeout(BOUND_S):
                    await anext(client.messages)
            sending.cancel()
        message = alert("cam-2")
        await device.say(Channel.ALERTS, message)
        await device.until_acked(message)


async def test_last_will_makes_a_device_offline_and_keeps_what_it_said_of_itself(service: Service) -> None:
    token = await service.enroll("cam-1")
    will = aiomqtt.Will(topic("cam-1", Channel.STATUS), encode(status(presence="offline")), qos=1, retain=True)

    async def shows(presence: str) -> bool:
        return (await service.get("/api/devices"))[0]["presence"] == presence  # type: ignore[index]

    async with connected(service.addresses.mqtt, "cam-1", token, will=will) as device:
        await device.say(Channel.STATUS, status(boot_seq=2))
        await eventually(lambda: shows("online"))
        device.client._client.socket().shutdown(socket.SHUT_RDWR)
        await eventually(lambda: shows("offline"))
    found = (await service.get("/api/devices"))[0]  # type: ignore[index]
    assert [camera["name"] for camera in found["cameras"]] == ["yard"]
    assert found["model"]["name"] == "ssd"


async def test_more_devices_are_let_in_than_the_broker_s_own_default_bound(service: Service) -> None:
    """Unless told otherwise it keeps 1,000 subscriptions of QoS 1, and a device has four: 250 would be the end."""
    names = [f"cam-{number}" for number in range(1, 271)]
    async with open_database(DataDir(service.data_dir).database_url) as database:
        tokens = await Enrolment(DeviceStore(database), SystemClock()).enroll_all(names)
    host = urlsplit(service.addresses.mqtt)

    async def come(name: str) -> tuple[int, ...]:
        reading, writing = await asyncio.open_connection(host.hostname, host.port)
        there.append(writing)
        writing.write(mqtt.encode(mqtt.Connect(name, name, tokens[name].encode())))
        topics = tuple((topic(name, channel), 1) for channel in Channel if channel.direction == "down")
        writing.write(mqtt.encode(mqtt.Subscribe(1, topics)))
        reader = mqtt.Reader()
        while data := await reading.read(4096):
            for packet in reader.feed(data):
                if isinstance(packet, mqtt.Suback):
                    return packet.codes
        return ()

    there: list[asyncio.StreamWriter] = []
    turn = asyncio.Semaphore(16)

    async def in_turn(name: str) -> tuple[int, ...]:
        async with turn, asyncio.timeout(60):
            return await come(name)

    try:
        granted = await asyncio.gather(*map(in_turn, names))
    finally:
        for writing in there:
            writing.close()
    assert set(granted) == {(1, 1, 1, 1)}
