"""The link: delivers the outbox, says how the device is, and hears acks and verdicts.

The outbox is the only retry queue: a connection that ends is forgotten with all it had under way, and the next one
starts from the oldest message that the cloud has not acked. A broker's PUBACK counts for nothing but flow control.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import ssl
from collections.abc import Callable
from concurrent.futures import Future
from typing import Final

import aiomqtt

from agent.adapters.mqtt_connection import Credentials, MqttConnection
from agent.adapters.mqtt_talk import Condition, Hearing, Voice, status_bytes
from agent.adapters.tls import client_context
from agent.adapters.wakeup import Wakeup
from agent.command.ports import Desk
from agent.deliver.faults import Faults
from agent.deliver.ledger import Ledger, Why
from agent.deliver.link import LinkSettings, OnAnswer
from agent.deliver.messages import Boot
from agent.deliver.outbox import Outbox
from agent.deliver.telemetry import Figures, TelemetrySettings
from agent.deliver.window import Window
from agent.domain import Answer, Clock
from agent.errors import ConfigInvalid, DeliveryError, LinkLost, LinkRefused, OutboxUnwritable
from agent.update.record import ReportedFacts
from wire.errors import MessageTooLarge
from wire.messages import CameraStatus, ModelStatus, Presence
from wire.topics import Channel, topic
from wire.updates import Desired

log = logging.getLogger(__name__)

BESIDES_ALERTS: Final = 8
"""Status and telemetry may be under way beside a full window."""
STEADY_S: Final = 10.0
"""A connection that lasted so long was a good one: the next pause is short again. Two devices under one id kick each
other off at once, and so back off."""
FLUSH_EVERY_S: Final = 5.0
"""How often changes that the disk refused are tried again while no new one comes."""
CLOSE_TIMEOUT_S: Final = 1.0


class _Stopped(Exception):
    """The session ended because the agent stops."""


class _Renewed(Exception):
    """The session ended to begin again under another certificate."""


class MqttLink:
    """Owns the connection to the broker; `run` is its one task, everything else may be called from any thread."""

    def __init__(
        self,
        settings: LinkSettings,
        *,
        telemetry: TelemetrySettings,
        boot: Boot,
        outbox: Outbox,
        figures: Figures,
        password: Callable[[], str | None],
        on_answer: OnAnswer,
        clock: Clock,
        faults: Faults,
        ledger: Ledger,
        desk: Desk | None = None,
        desired: Callable[[Desired], object] | None = None,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._settings = settings
        self._telemetry = telemetry
        self._boot = boot
        self._outbox = outbox
        self._figures = figures
        self._password = password
        self._on_answer = on_answer
        self._clock = clock
        self._faults = faults
        self._ledger = ledger
        self._desk = desk
        self._desired = desired
        self._reported: ReportedFacts | None = None
        self._reported_changed = Wakeup()
        self._jitter = jitter
        self._window = Window(settings.window, settings.ack_timeout_s)
        self._recorded = Wakeup()
        self._status_changed = Wakeup()
        self._acked = Wakeup()
        self._renewed = Wakeup()
        self._condition = Condition()
        self._mqtt5 = settings.protocol != "3.1.1"
        self._version_proved = False
        self._online = False
        self._answers = 0
        outbox.call_when_recorded(self._recorded.set)

    @property
    def online(self) -> bool:
        """Whether the broker has heard our birth on the present connection."""
        return self._online

    @property
    def answers(self) -> int:
        """How many verdicts came over MQTT."""
        return self._answers

    def set_status(self, model: ModelStatus | None, cameras: tuple[CameraStatus, ...]) -> None:
        """What the status says from now on; it is published if it differs from the last."""
        self._condition = Condition(model, cameras)
        self._status_changed.set()

    def report(self, facts: ReportedFacts) -> None:
        """How the model's update stands from now on."""
        self._reported = facts
        self._reported_changed.set()

    def connect_anew(self) -> None:
        """The certificate is another one: connect under it now, rather than be cut off when the one before ends."""
        self._renewed.set()

    async def run(self, stop: asyncio.Event) -> None:
        """Connect, serve and connect again until `stop` is set; then deliver what the time allows and say goodbye."""
        for wakeup in (self._recorded, self._status_changed, self._acked, self._reported_changed, self._renewed):
            wakeup.bind()
        flusher = asyncio.create_task(self._flush_held(), name="outbox-flush")
        try:
            await self._connect_again_and_again(stop)
        finally:
            flusher.cancel()
            await asyncio.gather(flusher, return_exceptions=True)

    async def _connect_again_and_again(self, stop: asyncio.Event) -> None:
        failures = 0
        while not stop.is_set():
            began = self._clock.monotonic()
            pause = 0.0
            try:
                await self._connect_once(stop)
            except (LinkLost, LinkRefused, ConfigInvalid) as ended:
                if self._falls_back():
                    continue
                self._faults.note(ended)
                failures = 0 if self._clock.monotonic() - began >= STEADY_S else failures + 1
                pause = self._pause_s(failures, at_length=not isinstance(ended, LinkLost))
            await self._pause(stop, pause)

    async def _pause(self, stop: asyncio.Event, pause_s: float) -> None:
        """Ends early where there is a new certificate: what the broker refused may have been the old one."""
        ends = [asyncio.create_task(stop.wait()), asyncio.create_task(self._renewed.wait())]
        await asyncio.wait(ends, timeout=pause_s, return_when=asyncio.FIRST_COMPLETED)
        for end in ends:
            end.cancel()
        await asyncio.gather(*ends, return_exceptions=True)

    def _pause_s(self, failures: int, *, at_length: bool) -> float:
        longest = self._settings.reconnect_max_s
        doubled = self._settings.reconnect_min_s * 2 ** min(max(0, failures - 1), 16)
        return (longest if at_length else min(longest, doubled)) * (0.5 + self._jitter() / 2)

    async def _connect_once(self, stop: asyncio.Event) -> None:
        connection = await self._prepare()
        opening = asyncio.create_task(connection.open(), name="mqtt-open")
        stopping = asyncio.create_task(stop.wait(), name="mqtt-stop")
        try:
            await asyncio.wait((opening, stopping), return_when=asyncio.FIRST_COMPLETED)
            if not opening.done():
                return
            await opening
            self._ledger.spend(Why.PROTOCOL, connection.connect_size)
            self._proved(connection)
            # In a task of its own: a group whose children fail leaves its task marked as cancelled, and before Python
            # 3.11.3 (Debian 12 has 3.11.2) no time-out of that task is told from a cancellation any more.
            await asyncio.create_task(self._serve(connection, stop), name="mqtt-serve")
        finally:
            self._online = False
            for task in (opening, stopping):
                task.cancel()
            await asyncio.gather(opening, stopping, return_exceptions=True)
            await connection.close(CLOSE_TIMEOUT_S)

    def _proved(self, connection: MqttConnection) -> None:
        self._version_proved = True
        version = "5" if connection.mqtt5 else "3.1.1"
        log.info("connected to %s as %s, MQTT %s", self._settings.url, self._boot.device, version)

    def _falls_back(self) -> bool:
        """Whether `auto` has the other version of MQTT to try, and take it from MQTT 5 to 3.1.1 or back."""
        if self._settings.protocol != "auto" or self._version_proved:
            return False
        self._mqtt5 = not self._mqtt5
        return not self._mqtt5

    async def _prepare(self) -> MqttConnection:
        settings = self._settings
        password = await asyncio.to_thread(self._password)
        tls = await asyncio.to_thread(_tls_context, settings) if settings.address.tls else None
        will = status_bytes(self._boot, self._clock, Presence.OFFLINE, self._condition, "the connection was lost")
        return MqttConnection(
            settings.address,
            Credentials(self._boot.device, password, tls),
            mqtt5=self._mqtt5,
            will=aiomqtt.Will(topic(self._boot.device, Channel.STATUS), will, qos=Channel.STATUS.qos, retain=True),
            keepalive_s=settings.keepalive_s,
            timeout_s=settings.connect_timeout_s,
            in_flight=settings.window + BESIDES_ALERTS,
            too_large=self._faults.note,
        )

    # --- one connection ---------------------------------------------------------------------------------------

    async def _serve(self, connection: MqttConnection, stop: asyncio.Event) -> None:
        self._window.restart()
        voice = Voice(connection, boot=self._boot, clock=self._clock, ledger=self._ledger, faults=self._faults)
        ended: BaseExceptionGroup[DeliveryError] | None = None
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(_watch(connection), name="mqtt-watch")
                tasks.create_task(self._end_when_renewed(), name="mqtt-renewed")
                tasks.create_task(self._converse(voice, stop, tasks), name="mqtt-converse")
        except* (_Stopped, _Renewed):
            pass
        except* DeliveryError as group:
            ended = group
        # Not inside: Python before 3.11.4, and so Debian 12's, wraps what is raised there in a group of its own.
        if ended is not None:
            raise _first(ended) from None

    async def _converse(self, voice: Voice, stop: asyncio.Event, tasks: asyncio.TaskGroup) -> None:
        await voice.listen()
        birth = self._condition
        await voice.say_status(birth, timeout_s=self._settings.connect_timeout_s)
        self._online = True
        hearing = Hearing(
            voice,
            forget=self._outbox.forget,
            acked=self._take_acks,
            answered=self._take_answer,
            faults=self._faults,
            desk=self._desk,
            desired=self._desired,
        )
        if self._desk is not None:
            tasks.create_task(_respond(voice, self._desk), name="mqtt-respond")
        tasks.create_task(hearing.run(), name="mqtt-receive")
        tasks.create_task(self._drain(voice), name="mqtt-drain")
        reporting = tasks.create_task(self._report_status(voice, birth), name="mqtt-status")
        tasks.create_task(self._report_telemetry(voice), name="mqtt-telemetry")
        tasks.create_task(self._report_update(voice), name="mqtt-reported")
        await stop.wait()
        await self._say_goodbye(voice, reporting)
        raise _Stopped

    async def _say_goodbye(self, voice: Voice, reporting: asyncio.Task[None]) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._settings.stop_timeout_s):
                while self._outbox.depth():
                    await self._acked.wait()
        # A change that is said after the goodbye would have the last word, which is that the device is there.
        reporting.cancel()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_TIMEOUT_S):
                # The last figures, or whoever sums up over restarts would miss what came since the ones before.
                await voice.say_telemetry(self._figures.snapshot())
                await voice.say_stopped(self._condition)

    async def _end_when_renewed(self) -> None:
        await self._renewed.wait()
        log.info("connecting anew, under the new certificate")
        raise _Renewed

    async def _report_status(self, voice: Voice, last: Condition) -> None:
        while True:
            if self._condition == last:
                await self._status_changed.wait()
                continue
            last = self._condition
            await voice.say_status(last, timeout_s=self._settings.connect_timeout_s)

    async def _report_update(self, voice: Voice) -> None:
        said: ReportedFacts | None = None
        while True:
            if self._reported is None or self._reported is said:
                await self._reported_changed.wait()
                continue
            said = self._reported
            await voice.say_reported(said)

    async def _report_telemetry(self, voice: Voice) -> None:
        pause_s = self._telemetry.first_after_s
        while True:
            await asyncio.sleep(pause_s)
            pause_s = self._telemetry.every_s
            await voice.say_telemetry(self._figures.snapshot())

    async def _drain(self, voice: Voice) -> None:
        """Send what the outbox holds, in order, as the window allows."""
        pubacks_at_last_check = 0
        while True:
            now = self._clock.monotonic()
            if self._window.overdue(now):
                pubacks_at_last_check = self._repeat_or_give_up(voice.connection, pubacks_at_last_check, now)
            try:
                more = await self._send_batch(voice)
            except OutboxUnwritable as refused:
                self._faults.note(refused)
                await self._recorded.wait(FLUSH_EVERY_S)
                continue
            if not more:
                at = self._window.repeat_at()
                await self._recorded.wait(None if at is None else max(0.0, at - self._clock.monotonic()))

    async def _send_batch(self, voice: Voice) -> bool:
        room = self._window.room
        if room < self._settings.window // 4 and self._window.waiting:  # acks come one by one, reads pay in batches
            return False
        batch = await asyncio.to_thread(self._outbox.after, self._window.cursor, room)
        for message in batch:
            try:
                voice.say_alert(message.payload)
            except MessageTooLarge as refused:  # one message that can never pass must not hold up all that follow
                self._faults.note(refused)
                await asyncio.to_thread(self._outbox.forget, [message.message_id])
                continue
            self._window.sent(message, self._clock.monotonic())
        return bool(batch)

    def _repeat_or_give_up(self, connection: MqttConnection, pubacks_before: int, now: float) -> int:
        """No ack came in time: is it the cloud that is silent, a slow link, or a broker that is gone?"""
        if not connection.outstanding:
            log.info("the cloud acked none of %d alerts in time: sending them again", self._window.waiting)
            self._window.go_back()
        elif connection.pubacks_seen > pubacks_before:
            self._window.postpone(now)
        else:
            raise LinkLost("the broker stopped acknowledging")
        return connection.pubacks_seen

    def _take_acks(self, message_ids: tuple[str, ...]) -> None:
        self._window.acked(message_ids, self._clock.monotonic())
        self._acked.set()
        self._recorded.set()

    def _take_answer(self, answer: Answer) -> Future[None] | None:
        self._answers += 1
        return self._on_answer(answer)

    async def _flush_held(self) -> None:
        while True:
            await asyncio.sleep(FLUSH_EVERY_S)
            if self._outbox.held():
                await asyncio.to_thread(self._outbox.flush)


async def _respond(voice: Voice, desk: Desk) -> None:
    await desk.connected()
    while True:
        voice.say_response(await desk.next_answer())


async def _watch(connection: MqttConnection) -> None:
    raise await connection.lost()


def _first(group: BaseExceptionGroup[DeliveryError]) -> BaseException:
    """The first of what ended a session's tasks at once; the others are its echoes."""
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def _tls_context(settings: LinkSettings) -> ssl.SSLContext:
    return client_context("link", settings.ca_file, settings.cert_file, settings.key_file)
