"""Keeps Home Assistant's broker in step with the fleet, and takes from there what is asked of devices.

What is stored decides. A device is read afresh whenever something about it changed, and every few seconds; what
differs from what was said last is said. A connection begins with what the broker has kept of ours: labels that were
shown before stay, and what is not to be there any more is taken back. So a device that was revoked meanwhile, or left
out by the settings, goes without anybody remembering that it was there.
"""

from __future__ import annotations

import asyncio
import logging
import random
import uuid
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final

from cloud.bus import Bus, Change, Kind
from cloud.errors import HomeError, NotFound, OrderRefused, StoreError
from cloud.home.entities import LONGEST_PICTURE, OFFLINE, ONLINE, Entities
from cloud.home.facts import ISSUER, counted, facts, open_orders
from cloud.home.orders import read_order
from cloud.home.ports import AlertPictures, Blobs, Counter, Heard, HomeBroker, HomeSession
from cloud.home.settings import HomeAssistantSettings
from cloud.home.shown import DeviceFacts
from cloud.ports import Clock
from cloud.store.commands import CommandRecord, CommandStore
from cloud.store.home import HomeStore

log = logging.getLogger(__name__)

LOOK_EVERY_S: Final = 10.0
"""A device that falls silent, an alert that was a moment ago, a mute that ends: no message tells of these."""
GATHER_S: Final = 0.2
"""After a look, so that a burst of alerts makes a few looks and not hundreds."""
FIRST_PAUSE_S: Final = 1.0
LONGEST_PAUSE_S: Final = 60.0
LIFE: Final = timedelta(minutes=5)
"""Of a command, as on the command line."""
QUIET_S: Final = 60.0
"""Between two lines of the log about refused commands."""


@dataclass(frozen=True, slots=True)
class _Picture:
    """Stands for a picture's bytes, which are read only when they are to be sent."""

    alert: str = ""
    key: str = ""


@dataclass(slots=True)
class _Said:
    """What was said over one connection.

    Attributes:
        by_device: What each device's topics hold.
        repeated_at: When a state that must be repeated was said last.
        stale: What the broker has kept from before and nobody has claimed yet.
    """

    by_device: dict[str, dict[str, bytes | _Picture]] = field(default_factory=dict)
    repeated_at: dict[str, float] = field(default_factory=dict)
    stale: set[str] = field(default_factory=set)


class HomeService:
    """`run` until it is cancelled, or with `enabled = false` until everything is taken back."""

    def __init__(
        self,
        *,
        settings: HomeAssistantSettings,
        broker: HomeBroker,
        store: HomeStore,
        commands: CommandStore,
        pictures: AlertPictures,
        blobs: Blobs,
        bus: Bus,
        counter: Counter,
        clock: Clock,
        software: str,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._settings = settings
        self._broker = broker
        self._store = store
        self._commands = commands
        self._pictures = pictures
        self._blobs = blobs
        self._bus = bus
        self._counter = counter
        self._clock = clock
        self._jitter = jitter
        self._entities = Entities(settings, software)
        self._shown: dict[str, DeviceFacts] = {}
        self._labels: dict[str, dict[str, tuple[str, ...]]] = {}
        self._due: set[str] = set()
        self._all_due = True
        self._afresh = False
        self._born = False
        self._wake = asyncio.Event()
        self._quiet_until = 0.0
        self.connected = False
        """Whether Home Assistant's broker can be spoken to right now."""

    async def run(self) -> None:
        """Connect, and again with growing pauses whenever the connection is lost."""
        pause_s = FIRST_PAUSE_S
        while True:
            try:
                async with self._broker.session() as session:
                    pause_s = FIRST_PAUSE_S
                    if not self._settings.enabled:
                        await self._withdraw(session)
                        return
                    # In a task of its own: see `agent.adapters.mqtt_link` on groups before Python 3.11.3.
                    await asyncio.create_task(self._serve(session), name="home-serve")
            except HomeError as ended:
                self._counter.count("home.reconnects")
                log.warning("Home Assistant is not shown anything: %s", ended)
            finally:
                self.connected = False
            await self._clock.sleep(pause_s * (0.5 + self._jitter()))
            pause_s = min(pause_s * 2, LONGEST_PAUSE_S)

    async def _withdraw(self, session: HomeSession) -> None:
        for topic in session.found:
            await session.say(topic, b"")
        log.info("taken back from Home Assistant: %d topics", len(session.found))

    async def _serve(self, session: HomeSession) -> None:
        ended: BaseExceptionGroup[HomeError] | None = None
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._listen(session, group), name="home-listen")
                group.create_task(self._follow(), name="home-changes")
                group.create_task(self._look_again_and_again(), name="home-look")
                group.create_task(self._keep_in_step(session), name="home-say")
        except* HomeError as errors:
            ended = errors
        # Not inside: Python before 3.11.4 wraps what is raised there in a group of its own.
        if ended is not None:
            raise _first(ended) from None

    # --- what is due ------------------------------------------------------------------------------------------------

    async def _follow(self) -> None:
        while True:
            with self._bus.subscribe("home assistant") as changes:
                async for batch in changes.batches():
                    await self._note(batch)
            # Only a subscription that fell behind ends.
            self._look()

    async def _note(self, batch: Iterable[Change]) -> None:
        kinds = {change.kind for change in batch}
        if kinds & {Kind.COMMANDS, Kind.ROLLOUT}:
            self._look()
            return
        due = {change.key for change in batch if change.kind is Kind.DEVICE}
        if alerts := [change.key for change in batch if change.kind is Kind.ALERT]:
            try:
                due |= await self._store.devices_of(alerts)
            except StoreError as failed:
                log.warning("not shown in Home Assistant yet: %s", failed)
        self._due |= due
        self._wake.set()

    async def _look_again_and_again(self) -> None:
        every_s = min(LOOK_EVERY_S, self._settings.off_delay_s / 2)
        while True:
            await self._clock.sleep(every_s)
            self._look()

    def _look(self) -> None:
        self._all_due = True
        self._wake.set()

    # --- saying -----------------------------------------------------------------------------------------------------

    async def _keep_in_step(self, session: HomeSession) -> None:
        said = _Said(stale=set(session.found))
        self._learn(self._entities.learn(session.found))
        self._shown = {}
        self._born = False
        self._look()
        while True:
            await self._wake.wait()
            self._wake.clear()
            again, self._afresh = self._afresh, False
            try:
                await self._say_what_is_due(session, said, again=again)
            except StoreError as failed:
                log.warning("not shown in Home Assistant yet: %s", failed)
                # The next look tries it again.
                self._all_due, self._afresh = True, again or self._afresh
            await self._clock.sleep(GATHER_S)

    def _learn(self, found: Mapping[str, Mapping[str, tuple[str, ...]]]) -> None:
        """To what is known, too: a broker that starts anew may have kept nothing."""
        for device, cameras in found.items():
            known = self._labels.setdefault(device, {})
            for camera, labels in cameras.items():
                known[camera] = tuple(dict.fromkeys((*known.get(camera, ()), *labels)))

    async def _say_what_is_due(self, session: HomeSession, said: _Said, *, again: bool) -> None:
        whole, self._all_due = self._all_due, False
        due, self._due = self._due, set()
        if whole:
            due = {*await self._store.fleet(), *said.by_device}
        for device in sorted(due):
            if self._settings.shows(device):
                await self._say_device(session, said, device, again=again)
        if whole and not self.connected:
            # Only now is it known what nobody claims; and states stand before they are said to hold.
            for topic in sorted(said.stale - {self._entities.topics.bridge}):
                await session.say(topic, b"")
            said.stale.clear()
            await session.say(self._entities.topics.bridge, ONLINE.encode())
            self.connected = True
            log.info("shown in Home Assistant: %d devices", len(self._shown))

    async def _say_device(self, session: HomeSession, said: _Said, device: str, *, again: bool) -> None:
        now = self._clock.wall()
        rows = await self._store.rows(device, counted(self._settings), now)
        if rows is None:
            for topic in said.by_device.pop(device, {}):
                await session.say(topic, b"")
            self._shown.pop(device, None)
            self._labels.pop(device, None)
            return
        one = facts(rows, self._labels.get(device, {}), self._settings, now)
        self._shown[device] = one
        self._labels[device] = {camera.name: tuple(label.label for label in camera.labels) for camera in one.cameras}
        wanted: dict[str, bytes | _Picture] = {}
        # Documents first: Home Assistant takes up an entity, and then finds its state.
        wanted |= self._entities.discovery(one)
        wanted |= self._entities.states(one)
        wanted |= self._wanted_pictures(one)
        before = said.by_device.setdefault(device, {})
        for topic in [topic for topic in before if topic not in wanted]:
            await session.say(topic, b"")
            del before[topic]
        lasting, at = self._entities.lasting(one), self._clock.monotonic()
        for topic, content in wanted.items():
            if topic not in lasting:
                said.repeated_at.pop(topic, None)
            repeated = at - said.repeated_at.get(topic, at) >= self._settings.off_delay_s / 2
            if before.get(topic) == content and not repeated and not again:
                continue
            payload = await self._read(content) if isinstance(content, _Picture) else content
            if payload is not None:
                await session.say(topic, payload)
            elif topic in before or topic in said.stale:
                await session.say(topic, b"")
            before[topic] = content
            if topic in lasting:
                said.repeated_at[topic] = at
        said.stale -= set(wanted)

    def _wanted_pictures(self, device: DeviceFacts) -> dict[str, bytes | _Picture]:
        if not self._settings.pictures:
            return {}
        found: dict[str, bytes | _Picture] = {}
        for camera in device.cameras:
            if camera.picture is not None:
                topic = self._entities.topics.camera(device.id, camera.name, "picture")
                found[topic] = _Picture(alert=camera.picture)
            if camera.snapshot is not None:
                topic = self._entities.topics.camera(device.id, camera.name, "snapshot")
                found[topic] = _Picture(key=camera.snapshot)
        return found

    async def _read(self, picture: _Picture) -> bytes | None:
        """The picture; None where it can't be had."""
        try:
            key = picture.key or await self._pictures.picture_key(picture.alert)
            data = await self._blobs.get(key)
        except (NotFound, StoreError) as missing:
            log.info("a picture is not shown in Home Assistant: %s", missing)
            return None
        if len(data) > LONGEST_PICTURE:
            log.info("a picture of %d bytes is too large to be shown in Home Assistant", len(data))
            return None
        return data

    # --- hearing ----------------------------------------------------------------------------------------------------

    async def _listen(self, session: HomeSession, group: asyncio.TaskGroup) -> None:
        while True:
            heard = await session.heard()
            if heard.topic == self._settings.birth_topic:
                if heard.payload == ONLINE.encode() and not self._born:
                    self._born = True
                    group.create_task(self._say_all_again(), name="home-birth")
                elif heard.payload == OFFLINE.encode():
                    log.info("Home Assistant has gone")
                continue
            try:
                await self._take(heard)
            except (OrderRefused, StoreError) as refused:
                self._tell_refused(refused)

    async def _say_all_again(self) -> None:
        await self._clock.sleep(self._jitter() * self._settings.birth_jitter_s)
        self._born = False
        self._afresh = True
        self._look()

    async def _take(self, heard: Heard) -> None:
        waiting = open_orders(await self._commands.waiting())
        device = (self._entities.topics.ordered(heard.topic) or ("", ""))[0]
        order = read_order(
            heard.topic,
            heard.payload,
            self._shown,
            self._settings,
            retained=heard.retained,
            open_of_device=waiting[device],
        )
        now = self._clock.wall()
        record = CommandRecord(
            id=uuid.uuid4().hex,
            batch=uuid.uuid4().hex,
            device=order.device,
            name=order.name,
            arguments=order.arguments,
            issued_by=ISSUER,
            issued_at=now,
            expires_at=now + LIFE,
        )
        await self._commands.add([record])
        log.info("asked from Home Assistant: %s", order.name, extra={"device": order.device, "command_id": record.id})
        self._due.add(order.device)
        self._wake.set()

    def _tell_refused(self, refused: OrderRefused | StoreError) -> None:
        if self._clock.monotonic() >= self._quiet_until:
            self._quiet_until = self._clock.monotonic() + QUIET_S
            log.warning("a command from Home Assistant is not taken: %s", refused)


def _first(group: BaseExceptionGroup[HomeError]) -> HomeError:
    found = group.exceptions[0]
    return _first(found) if isinstance(found, BaseExceptionGroup) else found
