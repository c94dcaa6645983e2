"""The link's own promises: what it holds is bounded, and nobody waits for a connection that is gone."""

from __future__ import annotations

import asyncio

import aiomqtt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud.adapters.mqtt_link import (
    ALERTS_IN_A_ROW,
    GATHER_S,
    MAX_WAITING,
    MAX_WAITING_TELEMETRY,
    LinkSettings,
    MqttBatch,
    MqttLink,
    _BoundedQueue,
)
from cloud.errors import LinkLost
from cloud.ingest.counters import Counters
from tests.cloud.samples import BOUND_S, NOW, ManualClock, new_id
from wire.messages import Acks
from wire.topics import Channel
from workbench.sim import mqtt


def message(qos: int) -> aiomqtt.Message:
    return aiomqtt.Message("vedette/v1/cam-1/up/alerts", b"", qos, False, 1, None)


def test_flood_is_bounded_and_telemetry_gives_way_to_alerts() -> None:
    queue = _BoundedQueue()
    for _ in range(MAX_WAITING_TELEMETRY):
        queue.put_nowait(message(0))
    with pytest.raises(asyncio.QueueFull):
        queue.put_nowait(message(0))
    for _ in range(MAX_WAITING - MAX_WAITING_TELEMETRY):
        queue.put_nowait(message(1))
    with pytest.raises(asyncio.QueueFull):
        queue.put_nowait(message(1))


@given(steps=st.lists(st.sampled_from(["alerts", "responses", "telemetry", "get"]), max_size=200))
def test_alerts_go_first_and_nobody_waits_for_ever_or_is_overtaken_on_its_channel(steps: list[str]) -> None:
    queue = _BoundedQueue()
    put: list[tuple[str, int]] = []
    got: list[tuple[str, int]] = []
    passed_over = 0
    for number, step in enumerate((*steps, *["get"] * len(steps))):
        if step != "get":
            put.append((step, number))
            where = f"vedette/v1/cam-1/up/{step}"
            queue.put_nowait(aiomqtt.Message(where, b"%d" % number, int(step != "telemetry"), False, 1, None))
            assert queue.qsize() == len(put) - len(got)
        elif queue.empty():
            assert len(got) == len(put)
        else:
            waiting = [one for one in put if one not in got]
            one = queue.get_nowait()
            got.append((one.topic.value.rpartition("/")[2], int(bytes(one.payload))))
            alerts_wait = any(kind == "alerts" for kind, _ in waiting)
            others_wait = any(kind != "alerts" for kind, _ in waiting)
            passed_over = passed_over + 1 if got[-1][0] == "alerts" and others_wait else 0
            assert passed_over <= ALERTS_IN_A_ROW
            if got[-1][0] != "alerts" and alerts_wait:
                assert [kind for kind, _ in got[-1 - ALERTS_IN_A_ROW : -1]] == ["alerts"] * ALERTS_IN_A_ROW
    assert sorted(got) == sorted(put)
    for channels in ({"alerts"}, {"responses", "telemetry"}):
        assert [one for one in got if one[0] in channels] == [one for one in put if one[0] in channels]


def acks() -> Acks:
    return Acks(message_id=new_id(), device="cam-1", made_at=NOW, message_ids=(new_id(),))


async def test_publish_without_a_connection_says_so_at_once() -> None:
    link = MqttLink(LinkSettings("127.0.0.1", 1, "x"), Counters(), ManualClock())
    with pytest.raises(LinkLost):
        await link.publish("cam-1", Channel.ACKS, acks())


def _packet(kind: int, body: bytes) -> bytes:
    return bytes([kind, len(body)]) + body


class ScriptedBroker:
    """Takes connections and subscriptions, never a publish; hangs up when told."""

    def __init__(self) -> None:
        self.published = asyncio.Event()
        self.writers: list[asyncio.StreamWriter] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.writers.append(writer)
        try:
            while True:
                kind, length = (await reader.readexactly(1))[0], (await reader.readexactly(1))[0]
                if length >= 0x80:  # Two bytes are enough for what is said here.
                    length = (length & 0x7F) | ((await reader.readexactly(1))[0] << 7)
                body = await reader.readexactly(length)
                if kind >> 4 == 1:
                    writer.write(_packet(0x20, b"\x00\x00"))
                elif kind >> 4 == 8:
                    writer.write(_packet(0x90, body[:2] + b"\x01"))
                elif kind >> 4 == 10:
                    writer.write(_packet(0xB0, body[:2]))
                elif kind >> 4 == 3:
                    self.published.set()
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()


async def test_pending_publish_ends_with_the_connection_and_the_link_comes_back() -> None:
    broker, clock = ScriptedBroker(), ManualClock()
    server = await asyncio.start_server(broker.serve, "127.0.0.1", 0)
    counters = Counters()
    link = MqttLink(LinkSettings("127.0.0.1", server.sockets[0].getsockname()[1], "x"), counters, clock)
    running = asyncio.create_task(link.run())
    async with asyncio.timeout(BOUND_S):
        await link.established()
        sending = asyncio.create_task(link.publish("cam-1", Channel.ACKS, acks()))
        await broker.published.wait()
        broker.writers[0].close()
        with pytest.raises(LinkLost):
            await sending
        await clock.asleep.wait()
        assert not link.connected
        clock.turn(60)
        await link.established()
    assert counters["link.reconnects"] == 1
    running.cancel()
    server.close()
    await asyncio.gather(running, return_exceptions=True)


async def test_what_comes_in_a_moment_is_gathered_and_the_broker_s_repeats_are_told_apart() -> None:
    broker, clock = ScriptedBroker(), ManualClock()
    server = await asyncio.start_server(broker.serve, "127.0.0.1", 0)
    counters = Counters()
    link = MqttLink(LinkSettings("127.0.0.1", server.sockets[0].getsockname()[1], "x"), counters, clock)
    running = asyncio.create_task(link.run())

    def say(*messages: mqtt.Publish) -> None:
        broker.writers[0].write(b"".join(map(mqtt.encode, messages)))

    async def gathered() -> MqttBatch:
        """The next batch, once its time to gather is over."""
        gathering = asyncio.create_task(link.batch(200))
        await clock.asleep.wait()
        clock.turn(GATHER_S)
        return await gathering

    async with asyncio.timeout(BOUND_S):
        await link.established()
        say(mqtt.Publish("a", b"1", 1, mid=1))
        alone = await link.batch(200)
        say(mqtt.Publish("a", b"2", 1, mid=2, dup=True))
        gathering = asyncio.create_task(link.batch(200))
        await clock.asleep.wait()
        say(mqtt.Publish("a", b"3", 1, mid=3, dup=True))
        while counters["link.redelivered"] < 2:  # noqa: ASYNC110 - a counter tells nobody
            await asyncio.sleep(0.001)
        assert not gathering.done()
        clock.turn(GATHER_S)
        both = await gathering
        # What is in hand is left out; another message under the same number is not, nor what came back after all.
        say(mqtt.Publish("a", b"1", 1, mid=1, dup=True), mqtt.Publish("a", b"other", 1, mid=3, dup=True))
        other = await gathered()
        alone.acknowledge()
        say(mqtt.Publish("a", b"1", 1, mid=1, dup=True))
        back = await gathered()
    assert [(one.payload, one.again) for one in other.received] == [(b"other", True)]
    assert [(one.payload, one.again) for one in back.received] == [(b"1", True)]
    assert counters["link.redelivered"] == 5
    assert [(one.payload, one.again) for one in alone.received] == [(b"1", False)]
    assert [(one.payload, one.again) for one in both.received] == [(b"2", True), (b"3", True)]
    running.cancel()
    server.close()
    await asyncio.gather(running, return_exceptions=True)
