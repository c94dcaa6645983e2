"""Publishing without waiting."""

from __future__ import annotations

import asyncio

from cloud.bus import Bus, Change, Kind, OffloadWitness
from tests.cloud.offload.fakes import question
from tests.cloud.samples import BOUND_S
from wire.messages import AskReason

A, B = Change(Kind.ALERT, "a"), Change(Kind.DEVICE, "b")


async def test_subscriber_hears_each_change_once_in_order() -> None:
    bus = Bus()
    with bus.subscribe("test") as changes:
        for change in (A, B, A, A):
            bus.publish(change)
        assert await anext(changes.batches()) == [A, B]


async def test_subscriber_that_falls_behind_is_dropped_and_the_others_are_not() -> None:
    bus = Bus()
    with bus.subscribe("slow", max_waiting=2) as slow, bus.subscribe("quick") as quick:
        made = [Change(Kind.ALERT, str(number)) for number in range(3)]
        for change in (*made[:2], *made[:2]):
            bus.publish(change)
        assert not slow.dropped  # The same again takes no room.
        bus.publish(made[2])
        assert slow.dropped
        assert [batch async for batch in slow.batches()] == []
        assert not quick.dropped
        assert await anext(quick.batches()) == made


async def test_waiting_subscriber_ends_when_the_subscription_does() -> None:
    bus = Bus()
    with bus.subscribe("test") as changes:

        async def heard() -> list[list[Change]]:
            return [batch async for batch in changes.batches()]

        waiting = asyncio.create_task(heard())
        await asyncio.sleep(0)
    async with asyncio.timeout(BOUND_S):
        assert await waiting == []
    bus.publish(A)


async def test_a_question_that_decides_no_alert_changes_none() -> None:
    bus = Bus()
    witness = OffloadWitness(bus)
    about = question()
    with bus.subscribe("test") as changes:
        witness.asked(about.model_copy(update={"alert_id": None, "reason": AskReason.DISAGREEMENT}), "q/1.jpg")
        witness.asked(about, "q/2.jpg")
        assert await anext(changes.batches()) == [Change(Kind.ALERT, about.alert_id)]
