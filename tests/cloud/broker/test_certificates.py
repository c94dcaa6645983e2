"""What a device with a certificate may do, and what it may not: the same on each broker that is supported.

How a broker says no differs: NATS refuses a connection or a subscription, mosquitto lets in under the rightful name
and passes on nothing. What counts is the same, and is what is asked here: whose connection stays, what is heard, and
what is stored.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit

import aiomqtt
import pytest

from cloud.identity.authority import Authority, pem_of, read_request
from tests.cloud.broker.mosquitto import KINDS, Serving, served_by
from tests.cloud.identity.certified import Certificated, enrolled, new_request
from tests.cloud.running import Service, eventually
from tests.cloud.samples import BOUND_S, alert, status
from tests.mqtt import Client
from wire.codec import encode
from wire.messages import Presence
from wire.topics import Channel, topic

pytestmark = pytest.mark.parts
NOT_ITS_OWN = (
    "vedette/v1/cam-1/down/#",
    "vedette/v1/+/down/acks",
    "vedette/v1/+/up/alerts",
    "#",
    "+/+/+/+/+",
    "$share/all/vedette/v1/+/up/alerts",
    "$share/all/vedette/v1/cam-1/down/#",
    "$MQTT/sub/#",
    "$SYS/#",
)


@pytest.fixture(params=KINDS)
async def serving(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Serving]:
    async with served_by(request.param, tmp_path) as serving:
        yield serving


@pytest.fixture
async def service(serving: Serving) -> AsyncIterator[Service]:
    async with serving() as service:
        yield service


@pytest.fixture
async def cam_1(service: Service, tmp_path: Path) -> Certificated:
    return await enrolled(service, "cam-1", tmp_path / "cam-1")


@pytest.fixture
async def cam_2(service: Service, tmp_path: Path) -> Certificated:
    return await enrolled(service, "cam-2", tmp_path / "cam-2")


async def refused(client: aiomqtt.Client) -> bool:
    try:
        async with client:
            return False
    except aiomqtt.MqttError:
        return True


async def attempted(client: aiomqtt.Client) -> None:
    """To be let in; whether or not it is."""
    with suppress(aiomqtt.MqttError):
        async with client:
            pass


async def said(client: aiomqtt.Client, to: str, payload: bytes) -> None:
    """Published, as far as the broker takes it."""
    with suppress(aiomqtt.MqttError):
        await client.publish(to, payload, qos=1)


def cut(client: aiomqtt.Client) -> None:
    """Break the line under TLS, without a goodbye."""
    socket.socket.shutdown(client._client.socket(), socket.SHUT_RDWR)


async def stored(service: Service) -> list[tuple[str, str]]:
    shown = await service.get("/api/alerts")
    return [(one["device"], one["id"]) for one in shown["alerts"]]  # type: ignore[index]


async def test_device_speaks_and_is_acked(service: Service, cam_1: Certificated) -> None:
    async with cam_1.connected() as device:
        message = alert()
        await device.say(Channel.ALERTS, message)
        await device.until_acked(message)
    assert await stored(service) == [("cam-1", message.id)]


async def test_a_rightful_device_stays_whoever_uses_its_client_id_or_name(
    service: Service, cam_1: Certificated, cam_2: Certificated
) -> None:
    async with cam_1.connected() as device:
        for lent in ({"client_id": "cam-1"}, {"user": "cam-1"}, {"user": "cam-1", "client_id": "cam-1"}):
            await attempted(cam_2.mqtt(**lent))
        await attempted(cam_2.mqtt(user="_vedette_cloud", client_id="_vedette_cloud"))
        message = alert()
        await device.say(Channel.ALERTS, message)
        await device.until_acked(message)


async def test_nothing_is_said_in_another_s_name(service: Service, cam_1: Certificated, cam_2: Certificated) -> None:
    async with cam_1.connected() as heard:
        spoofed = alert("cam-1")
        for to in (topic("cam-1", Channel.ALERTS), topic("cam-1", Channel.ACKS), topic("cam-2", Channel.ACKS)):
            async with cam_2.mqtt() as client:
                await said(client, to, encode(spoofed))
        # Nor by a last will, which the broker says for it.
        will = aiomqtt.Will(topic("cam-1", Channel.ALERTS), encode(spoofed), qos=1)
        with suppress(aiomqtt.MqttError):
            async with cam_2.mqtt(will=will) as client:
                cut(client)
                await asyncio.wait({client._disconnected}, timeout=BOUND_S)
        honest = alert("cam-1")
        await heard.say(Channel.ALERTS, honest)
        await heard.until_acked(honest)
    assert await stored(service) == [("cam-1", honest.id)]
    assert [type(message).__name__ for message in heard.heard] == ["Acks"]


async def test_nothing_is_heard_of_another(service: Service, cam_1: Certificated, cam_2: Certificated) -> None:
    heard = {}
    for sequence, wanted in enumerate(NOT_ITS_OWN, 1):
        async with cam_2.mqtt() as spy:
            with suppress(aiomqtt.MqttError):
                await spy.subscribe(wanted, qos=1)
            async with cam_1.connected() as device:
                await device.say(Channel.STATUS, status("cam-1"))
                message = alert("cam-1", sequence=sequence)
                await device.say(Channel.ALERTS, message)
                # The victim, and the service, miss nothing of it either.
                await device.until_acked(message)
            if len(spy.messages) > 0:
                heard[wanted] = str((await anext(spy.messages)).topic)
    assert heard == {}


async def test_strangers_are_kept_out(service: Service, tmp_path: Path) -> None:
    await enrolled(service, "cam-1", tmp_path / "cam-1")
    assert await refused(Certificated("cam-1", tmp_path / "nothing", service).mqtt())
    now = datetime.now(UTC)
    key, request = new_request("cam-1")
    forged = Certificated("cam-1", tmp_path / "forged", service)
    forged.keep(key, pem_of(Authority.create(now).certify_device(read_request(request), now, timedelta(days=1))))
    assert await refused(forged.mqtt())
    # What the service shows to devices opens it no door.
    own = Certificated("vedette", service.data_dir / "identity", service)
    context = ssl.create_default_context(cafile=str(own.folder / "authority.pem"))
    context.load_cert_chain(own.folder / "service.pem", own.folder / "service.key")
    parts = urlsplit(service.addresses.mqtt)
    assert await refused(
        Client(
            parts.hostname or "",
            parts.port or 0,
            username="vedette",
            identifier="vedette",
            timeout=BOUND_S,
            tls_context=context,
        )
    )


async def test_a_revoked_device_is_cut_off_and_kept_out(
    service: Service, cam_1: Certificated, cam_2: Certificated
) -> None:
    async with cam_2.connected() as other:
        client = cam_1.mqtt()
        await client.__aenter__()
        await service.revoke("cam-1")
        async with asyncio.timeout(BOUND_S):
            await asyncio.wait({client._disconnected})  # aiomqtt says it here alone
        assert await refused(cam_1.mqtt())
        message = alert("cam-2")
        await other.say(Channel.ALERTS, message)
        await other.until_acked(message)


async def test_what_a_device_had_before_it_was_enrolled_anew_is_worth_nothing(
    service: Service, cam_1: Certificated, tmp_path: Path
) -> None:
    again = await enrolled(service, "cam-1", tmp_path / "again")

    async def is_kept_out() -> bool:
        return await refused(cam_1.mqtt())

    await eventually(is_kept_out)
    async with again.connected() as device:
        message = alert("cam-1")
        await device.say(Channel.ALERTS, message)
        await device.until_acked(message)


async def test_too_large_a_packet_ends_the_connection_and_harms_nobody(
    service: Service, cam_1: Certificated, cam_2: Certificated
) -> None:
    async with cam_2.connected() as device:
        client = cam_1.mqtt()
        await client.__aenter__()
        sending = asyncio.create_task(client.publish(topic("cam-1", Channel.ALERTS), b"x" * 100_000, qos=1))
        async with asyncio.timeout(BOUND_S):
            await asyncio.wait({client._disconnected})
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)
        message = alert("cam-2")
        await device.say(Channel.ALERTS, message)
        await device.until_acked(message)


async def test_a_retained_alert_is_stored_once_and_cleared_at_the_broker(serving: Serving, tmp_path: Path) -> None:
    """No broker can be told to refuse it; it is found at the next subscription."""
    message, cleared = alert("cam-1"), []
    async with serving() as service:
        cam_1 = await enrolled(service, "cam-1", tmp_path / "cam-1")
        async with cam_1.connected() as device:
            await device.client.publish(topic("cam-1", Channel.ALERTS), encode(message), qos=1, retain=True)
            await device.until_acked(message)
    for sequence in (2, 3):
        async with serving() as service:
            cam_1.service = service
            async with cam_1.connected() as device:
                # What was retained comes before it.
                later = alert("cam-1", sequence=sequence)
                await device.say(Channel.ALERTS, later)
                await device.until_acked(later)
            cleared.append((await service.counts()).get("link.unretained", 0))
            ids = [one for _, one in await stored(service)]
            assert (ids.count(message.id), len(ids)) == (1, sequence)
    assert cleared == [1, 0]


async def test_the_last_will_tells_that_a_device_went(service: Service, cam_1: Certificated) -> None:
    will = aiomqtt.Will(topic("cam-1", Channel.STATUS), encode(status(presence=Presence.OFFLINE)), qos=1, retain=True)

    async def shows(presence: str) -> bool:
        return (await service.get("/api/devices"))[0]["presence"] == presence  # type: ignore[index]

    async with cam_1.mqtt(will=will) as client:
        await client.publish(topic("cam-1", Channel.STATUS), encode(status(boot_seq=2)), qos=1, retain=True)
        await eventually(lambda: shows("online"))
        cut(client)
        await eventually(lambda: shows("offline"))
