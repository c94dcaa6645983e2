"""What the broker lends the service places for, and what becomes of messages when all are taken."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from cloud.adapters.clock import SystemClock
from cloud.adapters.mqtt_link import CLIENT_ID, MAX_UNACKED, LinkSettings, MqttBatch, MqttLink
from cloud.adapters.nats_callout import AccountKey
from cloud.adapters.nats_config import BrokerSecrets, BrokerSettings, render
from cloud.adapters.nats_process import Broker, find_program
from cloud.ingest.counters import Counters
from cloud.ingest.ports import Received
from tests.cloud.samples import BOUND_S, mqtt_client
from tests.ports import free_port
from wire.topics import UPWARD, Channel, every_device, parse, topic

pytestmark = pytest.mark.parts

PLACES = 20
"""Fewer than the service has the broker lend it, so that they are soon taken."""


@dataclass
class Embedded:
    mqtt: str
    link: LinkSettings


@asynccontextmanager
async def broker(folder: Path) -> AsyncIterator[Embedded]:
    """The embedded one, with few places, and which repeats nothing while a test lasts."""
    passwords, settings = BrokerSecrets(), BrokerSettings("127.0.0.1", free_port(), free_port(), folder)
    written = render(settings, passwords, AccountKey().issuer)
    text = written.replace(f"max_ack_pending: {MAX_UNACKED}", f"max_ack_pending: {PLACES}")
    text = text.replace('ack_wait: "10s"', 'ack_wait: "600s"')
    assert len(text.splitlines()) == len(written.splitlines())
    assert text.count(f": {PLACES},") == text.count('"600s"') == 1
    (folder / "broker.conf").write_text(text)
    child = Broker(find_program(), settings, Counters(), SystemClock())
    await child.start()
    try:
        yield Embedded(
            f"mqtt://127.0.0.1:{settings.mqtt_port}", LinkSettings("127.0.0.1", settings.mqtt_port, passwords.cloud)
        )
    finally:
        await child.stop()


@asynccontextmanager
async def linked(settings: LinkSettings) -> AsyncIterator[MqttLink]:
    link = MqttLink(settings, Counters(), SystemClock())
    running = asyncio.create_task(link.run())
    try:
        await link.established()
        yield link
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


def numbers(received: list[Received], channel: Channel) -> list[int]:
    return [int(one.payload) for one in received if parse(one.topic).channel is channel]


@pytest.mark.parametrize("known", [False, True], ids=["a new session", "a session of an earlier release"])
async def test_an_alert_behind_more_than_there_are_places_for_comes_when_places_are_free(
    tmp_path: Path, *, known: bool
) -> None:
    """NATS throws away what finds no place, and repeats it later, where several subscriptions share the places."""
    async with asyncio.timeout(BOUND_S), broker(tmp_path) as at:
        if known:
            # Each channel by itself, as it once was: the broker keeps such a session.
            async with mqtt_client(at.mqtt, CLIENT_ID, at.link.password) as earlier:
                for channel in UPWARD:
                    await earlier.subscribe(every_device(channel), qos=channel.qos)
        async with (
            linked(at.link) as link,
            mqtt_client(at.mqtt, "fleet", at.link.password, user=CLIENT_ID) as fleet,
        ):
            received: list[Received] = []
            kept: list[MqttBatch] = []

            async def take() -> None:
                kept.append(await link.batch(200))
                received.extend(kept[-1].received)

            # Answers to a command that all were given, and then alerts.
            for number in range(2 * PLACES):
                await fleet.publish(topic("cam-1", Channel.RESPONSES), str(number), qos=1)
            for number in range(5):
                await fleet.publish(topic("cam-1", Channel.ALERTS), str(number), qos=1)
            # QoS 0 takes no place. It goes another way, but not one on which it would overtake all of these.
            await fleet.publish(topic("cam-1", Channel.TELEMETRY), "0", qos=0)
            while len(received) < PLACES or not numbers(received, Channel.TELEMETRY):
                await take()
            assert numbers(received, Channel.RESPONSES) == list(range(PLACES))
            assert numbers(received, Channel.ALERTS) == []

            while len(numbers(received, Channel.ALERTS)) < 5:
                while kept:
                    kept.pop().acknowledge()
                await take()
    assert numbers(received, Channel.RESPONSES) == list(range(2 * PLACES))
    assert numbers(received, Channel.ALERTS) == list(range(5))
    assert not any(one.again for one in received)
