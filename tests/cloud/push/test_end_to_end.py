"""From a device's alert over the whole service to a receiver, over an outage and a restart."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cloud.push.receiver import Receiver
from tests.cloud.running import Service, eventually, running
from tests.cloud.samples import alert, connected
from wire.messages import Alert, AlertState
from wire.topics import Channel

pytestmark = pytest.mark.parts


async def raises(service: Service, token: str, *alerts: Alert) -> None:
    async with connected(service.addresses.mqtt, "cam-1", token) as device:
        for one in alerts:
            await device.say(Channel.ALERTS, one)
        await device.until_acked(*alerts)


async def test_an_alert_reaches_its_receiver_over_an_outage_and_a_restart(receiver: Receiver, tmp_path: Path) -> None:
    push = [{"name": "hook", "url": receiver.url, "retry_max_s": 0.1, "retry_min_s": 0.1}]
    states = (AlertState.CONFIRMED, AlertState.PROVISIONAL, AlertState.CONFIRMED)
    first, unsure, second = (alert(state=state, sequence=number) for number, state in enumerate(states, 1))

    def got() -> list[str]:
        return [json.loads(body)["alert"]["id"] for _, _, _, body in receiver.got]

    async def has_tried() -> bool:
        return bool(got())

    receiver.status = 503
    async with running(tmp_path, push=push) as service:
        token = await service.enroll("cam-1")
        await raises(service, token, first, unsure)
        await eventually(has_tried)
    assert set(got()) == {first.id}
    receiver.got.clear()
    receiver.status = 200

    async def has_both() -> bool:
        return set(got()) == {first.id, second.id}

    async with running(tmp_path, push=push) as service:
        await raises(service, token, second)
        await eventually(has_both)
    assert got() == [first.id, second.id]
