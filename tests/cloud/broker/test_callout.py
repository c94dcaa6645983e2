"""The broker's doorkeeper, without a broker: what happens while it waits for one."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from cloud.adapters.nats_callout import AccountKey, Callout
from cloud.ingest.counters import Counters
from tests.cloud.samples import BOUND_S, ManualClock

SERVER = "N" * 56


class Answer:
    def __init__(self, data: bytes = b"") -> None:
        self.data = data


class Broker:
    """Knows one device's connection, and closes connections when it is let."""

    def __init__(self) -> None:
        self.connection = 7
        self.kicked: list[int] = []
        self.asked = asyncio.Event()
        self.may_answer = asyncio.Event()

    async def request(self, subject: str, payload: bytes, timeout: float) -> Answer:  # noqa: ASYNC109 - as NATS's
        del timeout
        if subject.endswith("CONNZ"):
            connections = [{"cid": self.connection, "mqtt_client": "cam-1"}]
            return Answer(json.dumps({"server": {"id": SERVER}, "data": {"connections": connections}}).encode())
        self.kicked.append(json.loads(payload)["cid"])
        self.asked.set()
        await self.may_answer.wait()
        return Answer()


def callout(broker: Broker) -> Callout:
    anything: Any = None
    system: Any = broker
    return Callout(
        auth=anything,
        system=system,
        credentials=anything,
        signer=AccountKey(),
        counter=Counters(),
        clock=ManualClock(),
    )


async def test_a_device_that_is_cut_off_twice_at_once_is_gone_once() -> None:
    broker = Broker()
    doorkeeper = callout(broker)
    await doorkeeper.recall()
    async with asyncio.timeout(BOUND_S), asyncio.TaskGroup() as group:
        for _ in range(2):
            group.create_task(doorkeeper.cut_off("cam-1"))
        await broker.asked.wait()
        broker.may_answer.set()
    assert broker.kicked == [7, 7]
    await doorkeeper.cut_off("cam-1")
    assert broker.kicked == [7, 7]


async def test_a_device_that_came_again_meanwhile_can_still_be_cut_off() -> None:
    broker = Broker()
    doorkeeper = callout(broker)
    await doorkeeper.recall()
    async with asyncio.timeout(BOUND_S), asyncio.TaskGroup() as group:
        group.create_task(doorkeeper.cut_off("cam-1"))
        await broker.asked.wait()
        broker.connection = 8
        await doorkeeper.recall()
        broker.may_answer.set()
    await doorkeeper.cut_off("cam-1")
    assert broker.kicked == [7, 8]
