"""The loop from the broker into the store.

For each batch, in this order: commit; ack to the devices; acknowledge to the broker. Whatever stops it in between,
the broker delivers the batch again, the store knows the messages by their ids, and the devices are acked again.
While a batch's devices are acked, the next one is committed: the broker takes its time where it has a lot to do.
"""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final, Protocol

from cloud.bus import Bus, Change, Kind
from cloud.domain import Arrival, Known
from cloud.errors import LinkError, StoreError
from cloud.ingest.counters import RefusalLog
from cloud.ingest.plan import Plan, Refused, plan
from cloud.ingest.ports import Batch, Counter, Link, Received
from cloud.ports import Clock
from wire.codec import decode_on
from wire.errors import NotOurs, WireError
from wire.messages import Acks, UpMessage
from wire.topics import Channel, parse

log = logging.getLogger(__name__)

# Measured on two cores: 1.5k messages/s one a transaction, 6.1k/s in batches of up to 200.
BATCH: Final = 200
RETRY_S: Final = 1.0
ACKED_AT_ONCE: Final = 4
"""Batches whose acks may be under way; with the one that is committed, all that the broker sends un-acknowledged."""


class Batches(Protocol):
    """Where batches are committed."""

    async def commit(self, arrivals: Sequence[Arrival], decide: Callable[[Known], Plan]) -> Plan:
        """Commit what `decide` makes of the arrivals."""


@dataclass(frozen=True, slots=True)
class _Read:
    arrivals: tuple[Arrival, ...]
    refused: tuple[Refused, ...]


class IngestService:
    """Runs until it is cancelled."""

    def __init__(self, *, link: Link, store: Batches, bus: Bus, counter: Counter, clock: Clock) -> None:
        self._link = link
        self._store = store
        self._bus = bus
        self._counter = counter
        self._clock = clock
        self._refusals = RefusalLog(clock)
        self.working = False
        """Whether the last batch could be committed."""

    async def run(self) -> None:
        """Take batch after batch."""
        self.working = True
        room = asyncio.Semaphore(ACKED_AT_ONCE)
        async with asyncio.TaskGroup() as acking:
            while True:
                await room.acquire()
                batch = await self._link.batch(BATCH)
                decided = await self._take(batch)
                acking.create_task(self._ack(batch, decided), name="acks").add_done_callback(lambda _: room.release())

    async def _take(self, batch: Batch) -> Plan:
        read = _read(batch.received)
        decided = await self._committed(read.arrivals)
        self.working = True
        self._note(decided, (*read.refused, *decided.refused))
        self._tell(decided)
        return decided

    async def _ack(self, batch: Batch, decided: Plan) -> None:
        if await self._acked(decided):
            batch.acknowledge()

    async def _committed(self, arrivals: tuple[Arrival, ...]) -> Plan:
        while True:
            try:
                return await self._store.commit(arrivals, partial(plan, arrivals))
            except StoreError as failed:
                self.working = False
                self._counter.count(f"ingest.{failed.name}")
                log.error("a batch of %d messages is not stored, trying again: %s", len(arrivals), failed)  # noqa: TRY400 - an error of ours, its trace says nothing more
            await self._clock.sleep(RETRY_S)

    async def _acked(self, decided: Plan) -> bool:
        """Whether the broker has all the acks; if not, the batch must come again."""
        sent = True
        try:
            async with asyncio.TaskGroup() as group:
                for device, ids in decided.acks.items():
                    acks = Acks(
                        message_id=uuid.uuid4().hex, device=device, made_at=self._clock.wall(), message_ids=ids
                    )
                    group.create_task(self._link.publish(device, Channel.ACKS, acks), name=f"acks-{device}")
        except* LinkError as lost:
            sent = False
            log.info("acks not sent, the batch will come again: %s", lost.exceptions[0])
        return sent

    def _note(self, decided: Plan, refused: tuple[Refused, ...]) -> None:
        self._counter.count("ingest.alerts", len(decided.writes.events))
        for alert, _ in decided.writes.events:
            log.info(
                "alert %s, %s: stored",
                alert.event,
                alert.state,
                extra={"device": alert.device, "boot_id": alert.boot_id, "alert_id": alert.id},
            )
        for response, _ in decided.writes.responses:
            log.info(
                "command %s",
                response.phase,
                extra={"device": response.device, "boot_id": response.boot_id, "command_id": response.command_id},
            )
        self._counter.count("ingest.repeats", decided.repeats)
        self._counter.count("ingest.out_of_order", decided.out_of_order)
        self._counter.count("ingest.left", decided.left)
        for gap in decided.gaps:
            self._counter.count("ingest.missing", gap.last - gap.first + 1)
            log.warning(
                "%s has lost alert messages %d to %d of camera %s",
                gap.device,
                gap.first,
                gap.last,
                gap.camera,
                extra={"device": gap.device},
            )
        for one in refused:
            self._counter.count(f"ingest.refused.{one.error.name}")
            self._refusals.refused(one.device, one.error)

    def _tell(self, decided: Plan) -> None:
        for standing in decided.writes.alerts:
            self._bus.publish(Change(Kind.ALERT, standing.alert.id))
        for device in decided.writes.devices:
            self._bus.publish(Change(Kind.DEVICE, device.id))
        if decided.writes.responses:
            self._bus.publish(Change(Kind.COMMANDS, ""))


def _read(received: Sequence[Received]) -> _Read:
    arrivals: list[Arrival] = []
    refused: list[Refused] = []
    for one in received:
        try:
            _, message = decode_on(one.topic, one.payload)
        except WireError as error:
            refused.append(Refused(_speaker(one.topic), error))
            continue
        if isinstance(message, UpMessage):
            arrivals.append(Arrival(message, one.at, one.retained, one.again))
    return _Read(tuple(arrivals), tuple(refused))


def _speaker(topic: str) -> str:
    try:
        return parse(topic).device
    except WireError:
        return NotOurs.__name__
