"""Sends the commands that wait in the database, wherever they were issued, and ends those that are over.

The command line writes into the database, whether or not a service runs; the service looks twice a second. A device
that is away is sent nothing: the broker would keep it for days, past its expiry. What it missed is sent when it
comes, and again while it does not answer; the id makes repeats harmless.
"""

from __future__ import annotations

import asyncio
import logging
from datetime import datetime
from typing import Final, Protocol

from cloud.bus import Bus, Change, Kind
from cloud.command.rounds import look
from cloud.errors import LinkError, StoreError
from cloud.fleet.presence import SILENT_AFTER
from cloud.log import Trouble
from cloud.ports import Clock
from cloud.store.commands import CommandRecord, CommandStore
from wire.commands import Command, Outcome
from wire.errors import WireError
from wire.messages import Message
from wire.topics import Channel

log = logging.getLogger(__name__)

EVERY_S: Final = 0.5
AT_ONCE: Final = 100
"""Under way to the broker together."""


class Devices(Protocol):
    """Who is there."""

    async def online(self, since: datetime) -> set[str]:
        """The ids of those that said so, and were heard since."""


class Link(Protocol):
    """The way to the devices."""

    async def publish(self, device: str, channel: Channel, message: Message) -> None:
        """Hand the message to the broker; returns once it has it."""


class CommandService:
    """`run` until it is cancelled."""

    def __init__(self, *, store: CommandStore, devices: Devices, link: Link, bus: Bus, clock: Clock) -> None:
        self._store = store
        self._devices = devices
        self._link = link
        self._bus = bus
        self._clock = clock
        self._online: set[str] = set()
        self._known: list[CommandRecord] = []
        self._trouble = Trouble()

    async def run(self) -> None:
        """Look twice a second."""
        while True:
            try:
                await self.look()
            except StoreError as failed:
                if self._trouble.begins(failed):
                    log.warning("commands wait for the store: %s", failed)
            else:
                if self._trouble.ends():
                    log.info("commands go on")
            await self._clock.sleep(EVERY_S)

    async def look(self) -> None:
        """One round.

        Raises:
            StoreError: The database refused.
        """
        waiting = await self._store.waiting()
        if waiting != self._known:
            # The command line issues in a process of its own, and has no other way to tell.
            self._known = waiting
            self._bus.publish(Change(Kind.COMMANDS, ""))
        if not waiting:
            # Whoever comes while nothing waits has missed nothing; who is there is looked up when something does.
            return
        now = self._clock.wall()
        online = await self._devices.online(now - SILENT_AFTER)
        came, self._online = online - self._online, online
        decided = look(waiting, online, came, now)
        for over in decided.over:
            await self._store.close(over.command.id, over.outcome, over.reason, now)
            who = {"device": over.command.device, "command_id": over.command.id}
            log.info("command %s: %s %s", over.command.name, over.outcome, over.reason, extra=who)
        for first in range(0, len(decided.send), AT_ONCE):
            some = decided.send[first : first + AT_ONCE]
            sent = await asyncio.gather(*(self._send(command) for command in some))
            # A crash in between has them sent twice, which their ids make harmless.
            if ids := [command.id for command, taken in zip(some, sent, strict=True) if taken]:
                await self._store.sent(ids, now)

    async def _send(self, command: CommandRecord) -> bool:
        """Whether the broker has it."""
        now = self._clock.wall()
        try:
            message = Command(
                message_id=command.id,
                device=command.device,
                # When it is sent, not when it was issued: it tells the device the time.
                made_at=now,
                name=command.name,
                expires_at=command.expires_at,
                arguments=dict(command.arguments),
                issued_by=command.issued_by,
            )
            await self._link.publish(command.device, Channel.COMMANDS, message)
        except (ValueError, WireError) as refused:
            await self._store.close(command.id, Outcome.REFUSED, f"it can't be sent: {refused}"[:500], now)
        except LinkError as failed:
            log.info(
                "a command is not sent yet: %s", failed, extra={"device": command.device, "command_id": command.id}
            )
        else:
            log.info("command %s sent", command.name, extra={"device": command.device, "command_id": command.id})
            return True
        return False
