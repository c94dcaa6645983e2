"""Live events for browsers (server-sent events): rendered once, sent to all who listen.

A listener that does not keep up is disconnected: its browser comes back by itself, and reads afresh what it missed.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from typing import Final

from pydantic import BaseModel

from cloud.bus import Bus, Change, Kind
from cloud.errors import CloudError, NotFound, StoreError
from cloud.fleet.presence import SILENT_AFTER
from cloud.log import Trouble
from cloud.ports import Clock
from cloud.store.alerts import AlertStore
from cloud.store.devices import DeviceStore
from cloud.store.rollouts import RolloutStore
from cloud.web.commands import CommandsChanged
from cloud.web.rollouts import read_rollout
from cloud.web.views import Summary, alert_view, device_view, summary_view

log = logging.getLogger(__name__)

SUMMARY_EVERY_S: Final = 1.0
SHOW_EVERY_S: Final = 0.1
SHOW_AT_MOST: Final = 0.25
"""Of the time, while there is much to show. What is shown late is shown all the same, and a rush of devices' steps is
read and rendered less often; otherwise their alerts would wait for the dashboard."""
SHOW_WITHIN_S: Final = 0.5
SHOW_AGAIN_S: Final = 1.0
"""What the store did not give is asked for again: nothing may ever change again that would show it."""
# Under the shortest idle limit that proxies commonly have, 30 s.
HEARTBEAT_S: Final = 15.0
HEARTBEAT: Final = b": still here\n\n"
# Tells the browser to come back after a second, not after its own three.
HELLO: Final = b"retry: 1000\n\n"
MAX_LISTENERS: Final = 200
_MAX_WAITING: Final = 1000


def pause_s(took_s: float) -> float:
    """How long to gather what changes, after showing has taken so long."""
    return min(SHOW_WITHIN_S, max(SHOW_EVERY_S, took_s * (1 / SHOW_AT_MOST - 1)))


class TooManyListeners(CloudError):
    """As many browsers listen as may."""


class Feed:
    """Turns changes into events, for all listeners at once."""

    def __init__(
        self, *, bus: Bus, alerts: AlertStore, devices: DeviceStore, rollouts: RolloutStore, clock: Clock
    ) -> None:
        self._bus = bus
        self._alerts = alerts
        self._devices = devices
        self._rollouts = rollouts
        self._clock = clock
        self._listeners: dict[asyncio.Queue[bytes | None], str | None] = {}
        self._dirty = asyncio.Event()
        self._moved: dict[str, None] = {}
        self._commanded = False
        self._closed = False
        self._trouble = Trouble()

    async def run(self) -> None:
        """Render what changes, until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._follow(), name="feed-changes")
            group.create_task(self._sum_up(), name="feed-summary")

    def close(self) -> None:
        """Let every listener go, and take no more."""
        self._closed = True
        self._restart()

    def check_room(self) -> None:
        """Look before listening.

        Raises:
            TooManyListeners: As many listen as may, or the service is stopping.
        """
        if self._closed or len(self._listeners) >= MAX_LISTENERS:
            raise TooManyListeners("no more live dashboards can be served", "Close some, or try again in a moment.")

    def owners(self) -> set[str]:
        """Under whose sessions or tokens, by their digests, somebody listens."""
        return {owner for owner in self._listeners.values() if owner is not None}

    def let_go_of(self, owner: str) -> None:
        """Let those listeners go."""
        for listener in [listener for listener, by in self._listeners.items() if by == owner]:
            self._let_go(listener)

    async def listen(self, owner: str | None = None) -> AsyncIterator[bytes]:
        """The events from now on, with a heartbeat while nothing happens; ends when the listener is let go.

        Args:
            owner: The digest of the session or token that lets the listener in, where one has to.
        """
        listener: asyncio.Queue[bytes | None] = asyncio.Queue(_MAX_WAITING)
        self._listeners[listener] = owner
        try:
            yield HELLO
            while True:
                try:
                    async with asyncio.timeout(HEARTBEAT_S):
                        event = await listener.get()
                except TimeoutError:
                    event = HEARTBEAT
                if event is None:
                    return
                yield event
        finally:
            self._listeners.pop(listener, None)

    async def summary(self) -> Summary:
        """The fleet's sums as of now."""
        fleet = await self._devices.sums(self._clock.wall() - SILENT_AFTER)
        return summary_view(fleet, await self._alerts.sums())

    async def _follow(self) -> None:
        while True:
            with self._bus.subscribe("events") as changes:
                async for batch in changes.batches():
                    self._note(batch)
                    if self._listeners:
                        began = self._clock.monotonic()
                        while not await self._show(batch):
                            await self._clock.sleep(SHOW_AGAIN_S)
                        # What changes meanwhile is shown together; a large fleet changes hundreds of times a second.
                        await self._clock.sleep(pause_s(self._clock.monotonic() - began))
            # Only a subscription that fell behind ends: what it missed is read afresh by whoever listens.
            self._restart()

    def _note(self, batch: list[Change]) -> None:
        """For the next sum: a rollout over a large fleet changes with every device's every step."""
        self._moved |= {change.key: None for change in batch if change.kind is Kind.ROLLOUT}
        self._commanded |= any(change.kind is Kind.COMMANDS for change in batch)
        self._dirty.set()

    def _restart(self) -> None:
        """Let the listeners go, so that they come back and read afresh."""
        for listener in tuple(self._listeners):
            self._let_go(listener)

    async def _show(self, changes: list[Change]) -> bool:
        """Whether the store gave what is to be shown."""
        try:
            alerts = await self._alerts.some([change.key for change in changes if change.kind is Kind.ALERT])
            devices = await self._devices.some([change.key for change in changes if change.kind is Kind.DEVICE])
        except StoreError as failed:
            if self._trouble.begins(failed):
                log.warning("events wait for the store: %s", failed)
            return False
        if self._trouble.ends():
            log.info("events are shown again")
        now = self._clock.wall()
        for full in alerts:
            self._send("alert", alert_view(full))
        for device in devices:
            self._send("device", device_view(device, now))
        return True

    async def _sum_up(self) -> None:
        while True:
            await self._dirty.wait()
            self._dirty.clear()
            if self._listeners:
                try:
                    self._send("summary", await self.summary())
                    await self._show_moved()
                except StoreError as failed:
                    log.warning("summary not shown: %s", failed)
                    # The last change of a rollout is followed by no other that would show it.
                    self._dirty.set()
            else:
                # Whoever comes reads afresh.
                self._moved, self._commanded = {}, False
            await self._clock.sleep(SUMMARY_EVERY_S)

    async def _show_moved(self) -> None:
        if self._commanded:
            self._commanded = False
            self._send("commands", CommandsChanged(at=self._clock.wall()))
        for rollout in tuple(self._moved):
            # Before it is read: what moves meanwhile is noted anew.
            del self._moved[rollout]
            try:
                self._send("rollout", await read_rollout(self._rollouts, rollout, self._clock))
            except NotFound as gone:
                log.warning("rollout not shown: %s", gone)
            except StoreError:
                self._moved[rollout] = None
                raise

    def _send(self, name: str, view: BaseModel) -> None:
        event = f"event: {name}\ndata: {view.model_dump_json()}\n\n".encode()
        for listener in tuple(self._listeners):
            try:
                listener.put_nowait(event)
            except asyncio.QueueFull:
                log.warning("a dashboard does not keep up and was let go")
                self._let_go(listener)

    def _let_go(self, listener: asyncio.Queue[bytes | None]) -> None:
        self._listeners.pop(listener, None)
        while not listener.empty():
            listener.get_nowait()
        listener.put_nowait(None)
