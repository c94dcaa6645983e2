"""The connection to Home Assistant's broker, on a real mosquitto."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiomqtt
import pytest

from cloud.adapters.home_broker import MqttHomeBroker
from cloud.errors import HomeError, HomeLost, HomeRefused
from cloud.home.ports import Heard
from tests.agent.deliver.network import PASSWORDS, Mosquitto, TlsMosquitto
from tests.cloud.home.made import settings
from tests.cloud.samples import BOUND_S

pytestmark = pytest.mark.parts

USER = "cloud"


@pytest.fixture
async def mosquitto(tmp_path: Path) -> AsyncIterator[Mosquitto]:
    made = Mosquitto(tmp_path)
    await made.start()
    yield made
    await made.kill()


def bridge(broker: Mosquitto, *, password: str = PASSWORDS[USER], within_s: float = 20, **more: object):
    file = broker.folder / "password"
    file.write_text(f"{password}\n")
    where = {"url": f"mqtt://127.0.0.1:{broker.port}", "username": USER, "password_file": file}
    return MqttHomeBroker(settings(**(where | more)), within_s)


@asynccontextmanager
async def somebody(broker: Mosquitto) -> AsyncIterator[aiomqtt.Client]:
    who = {"username": "cam-1", "password": PASSWORDS["cam-1"], "timeout": BOUND_S}
    async with aiomqtt.Client("127.0.0.1", broker.port, **who) as client:
        yield client


async def bridge_says(client: aiomqtt.Client) -> str:
    async with asyncio.timeout(BOUND_S):
        return bytes((await anext(client.messages)).payload).decode()


async def test_it_finds_its_own_and_hears_what_is_for_it(mosquitto: Mosquitto) -> None:
    kept = {
        "vedette/gate-1/presence": b"online",
        "homeassistant/sensor/vedette_gate-1/waiting/config": b"{}",
        "vedette/gate-1/command/ping": b"kept",
        "homeassistant/sensor/other_gate-1/waiting/config": b"{}",
        "homeassistant/sensor/waiting/config": b"{}",
        "elsewhere": b"x",
    }
    async with somebody(mosquitto) as home:
        for topic, payload in kept.items():
            await home.publish(topic, payload, qos=1, retain=True)
        async with bridge(mosquitto).session() as session:
            assert dict(session.found) == dict(list(kept.items())[:2])
            assert await session.heard() == Heard("vedette/gate-1/command/ping", b"kept", retained=True)
            await home.publish("vedette/gate-1/state", b"foreign", qos=1)
            await home.publish("homeassistant/status", b"online", qos=1)
            async with asyncio.timeout(BOUND_S):
                assert await session.heard() == Heard("homeassistant/status", b"online")
            await session.say("vedette/gate-1/presence", b"")
        async with bridge(mosquitto).session() as session:
            assert dict(session.found) == dict(list(kept.items())[1:2])


async def test_it_says_that_it_goes_and_the_broker_says_so_where_it_can_t(mosquitto: Mosquitto) -> None:
    async with somebody(mosquitto) as home:
        await home.subscribe("vedette/bridge", qos=1)
        async with bridge(mosquitto).session() as session:
            await session.say("vedette/bridge", b"online")
            assert await bridge_says(home) == "online"
        assert await bridge_says(home) == "offline"
        async with bridge(mosquitto).session() as session:
            await session.say("vedette/bridge", b"online")
            assert await bridge_says(home) == "online"
            # Another client under the same id: the broker ends our connection as one that was lost.
            async with bridge(mosquitto).session():
                assert await bridge_says(home) == "offline"
                with pytest.raises(HomeLost):
                    await session.heard()


async def test_a_broker_that_dies_is_named(mosquitto: Mosquitto) -> None:
    async with bridge(mosquitto).session() as session:
        await mosquitto.kill()
        with pytest.raises(HomeLost):
            await asyncio.wait_for(session.heard(), BOUND_S)
        with pytest.raises(HomeLost):
            await asyncio.wait_for(session.say("vedette/bridge", b"online"), BOUND_S)
    with pytest.raises(HomeLost, match="can't be reached"):
        async with bridge(mosquitto).session():
            pass


async def test_a_broker_that_refuses_is_named_with_the_mend(mosquitto: Mosquitto, tmp_path: Path) -> None:
    with pytest.raises(HomeRefused, match="password_file"):
        async with bridge(mosquitto, password="wrong").session():
            pass
    with pytest.raises(HomeRefused, match="can't be read"):
        async with bridge(mosquitto, password_file=tmp_path / "nowhere").session():
            pass


@pytest.mark.parametrize(
    ("queue", "error", "within_s"),
    # Mosquitto 2.0.11 drops what may not be written, and with a queue without bound hangs up as well, when it likes.
    [("max_queued_messages 1000\n", HomeRefused, 0.5), ("", HomeLost, BOUND_S)],
)
async def test_a_user_without_rights_is_named_with_the_topics(
    tmp_path: Path, queue: str, error: type[HomeError], within_s: float
) -> None:
    broker = Mosquitto(tmp_path)
    rights = tmp_path / "rights"
    rights.write_text(f"user {USER}\ntopic readwrite homeassistant/#\n")
    broker.limits = f"acl_file {rights}\n{queue}"
    await broker.start()
    try:
        with pytest.raises(error, match=r"read and write vedette/# and homeassistant/#"):
            async with bridge(broker, within_s=within_s).session():
                pass
    finally:
        await broker.kill()


async def test_it_speaks_tls_and_believes_only_whom_it_is_told(tmp_path: Path) -> None:
    broker = TlsMosquitto(tmp_path)
    await broker.start()
    secure = {"url": f"mqtts://127.0.0.1:{broker.port}"}
    try:
        async with bridge(broker, **secure, ca_file=broker.certificate).session() as session:
            assert session.found == {}
        with pytest.raises(HomeLost, match="certificate"):
            async with bridge(broker, **secure).session():
                pass
        with pytest.raises(HomeRefused, match="PEM"):
            async with bridge(broker, **secure, ca_file=tmp_path / "password").session():
                pass
    finally:
        await broker.kill()
