"""Pushes alerts to their receivers, at least once each.

A receiver has a place in the alerts' history, committed after each delivery. What lies beyond it is still to be
looked at, so a restart, an outage of the receiver, or a crash in the middle of a request loses nothing; the last of
them has a message sent again, under the same id. Receivers don't wait for each other.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from datetime import datetime
from typing import Final

from cloud.bus import Bus, Kind
from cloud.errors import PushFailed, StoreError
from cloud.log import Trouble
from cloud.ports import Clock
from cloud.push.decide import BROKEN_TRIES, Answer, Pace, answer_of, moment_of, pause_s
from cloud.push.ports import Counter, Sender
from cloud.push.request import build
from cloud.push.settings import Moment, PushSettings
from cloud.store.push import PushStore, StoredMessage, Told
from wire.messages import Alert

log = logging.getLogger(__name__)

BATCH: Final = 100
RETRY_STORE_S: Final = 5.0


class PushService:
    """`run` until it is cancelled."""

    def __init__(
        self,
        *,
        pushes: Sequence[PushSettings],
        store: PushStore,
        sender: Sender,
        bus: Bus,
        counter: Counter,
        clock: Clock,
    ) -> None:
        self._pushes = pushes
        self._store = store
        self._sender = sender
        self._bus = bus
        self._counter = counter
        self._clock = clock
        self._news = {push.name: asyncio.Event() for push in pushes}

    async def run(self) -> None:
        """Look at each new message for each receiver."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._follow(), name="push-changes")
            for push in self._pushes:
                group.create_task(self._serve(push), name=f"push-{push.name}")

    async def _follow(self) -> None:
        while True:
            with self._bus.subscribe("push") as changes:
                async for batch in changes.batches():
                    if any(change.kind is Kind.ALERT for change in batch):
                        self._tell_all()
            # Only a subscription that fell behind ends; the history has what it missed.
            self._tell_all()

    def _tell_all(self) -> None:
        for news in self._news.values():
            news.set()

    async def _serve(self, push: PushSettings) -> None:
        news, pace, trouble = self._news[push.name], Pace(push.max_per_minute), Trouble()
        while True:
            news.clear()
            try:
                more = await self._some(push, pace)
            except StoreError as failed:
                if trouble.begins(failed):
                    log.warning("push %s waits: %s", push.name, failed)
                await self._clock.sleep(RETRY_STORE_S)
                continue
            if trouble.ends():
                log.info("push %s goes on", push.name)
            if not more:
                await news.wait()

    async def _some(self, push: PushSettings, pace: Pace) -> bool:
        """Look at some messages; whether there were any."""
        place = await self._store.place(push.name)
        messages = await self._store.after(place, BATCH)
        looked_at = place
        for message in messages:
            before = await self._store.before(message)
            moment = moment_of(push, message.alert, before)
            if moment is not None:
                told = await self._deliver(push, message, moment, pace)
                self._counter.count("push.delivered" if told is Told.DELIVERED else "push.dropped")
                await self._store.advance(push.name, message.number, told, self._clock.wall())
            looked_at = message.number
        if looked_at > place:
            await self._store.advance(push.name, looked_at, None, self._clock.wall())
        return bool(messages)

    async def _deliver(self, push: PushSettings, message: StoredMessage, moment: Moment, pace: Pace) -> Told:
        """Try until it is taken, refused, or too old; what came of it."""
        request = build(push, message.alert, moment)
        failures = broken = 0
        while True:
            if _age_s(message, self._clock.wall()) > push.give_up_after_s:
                return _given_up(push, message.alert, "it could not be delivered in time")
            while (wait_s := pace.wait_s(self._clock.monotonic())) > 0:
                await self._clock.sleep(wait_s)
            try:
                status = await self._sender.send(push, request)
            except PushFailed as failed:
                why, answer = str(failed), Answer.LATER
            else:
                why, answer = f"it answers {status}", answer_of(status)
            failures += 1
            broken += answer is Answer.BROKEN
            if answer is Answer.TAKEN:
                log.info("push %s: delivered", push.name, extra=_ids(message.alert))
                return Told.DELIVERED
            self._counter.count("push.failed")
            if answer is Answer.REFUSED or broken >= BROKEN_TRIES:
                return _given_up(push, message.alert, why)
            if failures == 1:
                log.warning("push %s: not delivered yet: %s", push.name, why, extra=_ids(message.alert))
            await self._store.failed(push.name, why, self._clock.wall())
            await self._clock.sleep(pause_s(push, failures))


def _age_s(message: StoredMessage, now: datetime) -> float:
    return (now - message.received_at).total_seconds()


def _given_up(push: PushSettings, alert: Alert, why: str) -> Told:
    log.error("push %s: dropped: %s", push.name, why, extra=_ids(alert))
    return Told.DROPPED


def _ids(alert: Alert) -> dict[str, str]:
    return {"device": alert.device, "alert_id": alert.id}
