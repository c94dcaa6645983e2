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
    states = (AlertState.CONFIRMED, AlertState.PROVISIONAL, AlertState.CONFIRMED)
    first, unsure, second = (alert(state=state, sequence=number) for number, state in enumerate(states, 1))

    def push(run: str) -> list[dict[str, object]]:
        """Each run knocks at a door of its own: what the first had under way at its end may be read after that."""
        return [{"name": "hook", "url": f"{receiver.url}/{run}", "retry_max_s": 0.1, "retry_min_s": 0.1}]

    def got(run: str) -> list[str]:
        return [json.loads(body)["alert"]["id"] for _, path, _, body in receiver.got if path.endswith(run)]

    async def has_tried() -> bool:
        return bool(got("first"))

    receiver.status = 503
    async with running(tmp_path, push=push("first")) as service:
        token = await service.enroll("cam-1")
        await raises(service, token, first, unsure)
        await eventually(has_tried)
    assert set(got("first")) == {first.id}
    receiver.status = 200

    async def has_both() -> bool:
        return set(got("second")) == {first.id, second.id}

    async with running(tmp_path, push=push("second")) as service:
        await raises(service, token, second)
        await eventually(has_both)
    assert got("second") == [first.id, second.id]
