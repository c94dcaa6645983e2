"""What is said and heard on one connection, each byte of it accounted for."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Collection
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from typing import Final

import aiomqtt

from agent.adapters.mqtt_connection import MqttConnection
from agent.command.ports import Desk
from agent.deliver.faults import Faults
from agent.deliver.ledger import MQTT_PUBACK_SIZE, Ledger, Why, mqtt_publish_size, mqtt_subscribe_size
from agent.deliver.messages import Boot, answer_of, status_message
from agent.deliver.telemetry import Snapshot, telemetry_message
from agent.domain import Answer, Clock
from agent.errors import LinkLost, LinkRefused, OutboxUnwritable
from agent.update.record import ReportedFacts, reported_message
from wire.codec import decode_on, encode
from wire.commands import Command
from wire.errors import MessageTooLarge, NotOurs, WireError
from wire.messages import Acks, CameraStatus, ModelStatus, Presence, Verdict
from wire.topics import Channel, everything_down, topic
from wire.updates import Desired

MAX_PENDING_VERDICTS: Final = 256
"""Verdicts whose consequences are not committed yet; with more, nothing is read until one is."""


MAX_ACKS_AT_ONCE: Final = 64
"""Ack messages that are dealt with in one commit, where the cloud acks faster than the disk forgets."""


@dataclass(frozen=True, slots=True)
class Condition:
    """What the status says beside presence."""

    model: ModelStatus | None = None
    cameras: tuple[CameraStatus, ...] = ()


def status_bytes(boot: Boot, clock: Clock, presence: Presence, condition: Condition, reason: str = "") -> bytes:
    """A status message; also the last will."""
    return encode(
        status_message(
            presence,
            boot=boot,
            made_at=clock.wall(),
            message_id=secrets.token_hex(16),
            reason=reason,
            model=condition.model,
            cameras=condition.cameras,
        )
    )


class Voice:
    """Publishes on one connection."""

    def __init__(
        self, connection: MqttConnection, *, boot: Boot, clock: Clock, ledger: Ledger, faults: Faults
    ) -> None:
        self.connection = connection
        self.device = boot.device
        self._boot = boot
        self._clock = clock
        self._ledger = ledger
        self._faults = faults

    async def listen(self) -> None:
        """Subscribe to all of the device's own channels; who has no use for one leaves what comes there.

        Raises:
            LinkLost, LinkRefused: as `MqttConnection.listen`.
        """
        topics = [everything_down(self.device)]
        self._ledger.spend(Why.PROTOCOL, mqtt_subscribe_size(topics, mqtt5=self.connection.mqtt5))
        await self.connection.listen(topics)

    async def say_status(self, condition: Condition, *, timeout_s: float) -> None:
        """Say that we are online, and how we are.

        Raises:
            LinkLost: The broker did not take it.
        """
        payload = status_bytes(self._boot, self._clock, Presence.ONLINE, condition)
        try:
            async with asyncio.timeout(timeout_s):
                await self._send(Channel.STATUS, payload, Why.STATUS)
        except TimeoutError:
            raise LinkLost("the broker did not acknowledge the status in time") from None

    async def say_stopped(self, condition: Condition) -> None:
        """Say that we go offline on purpose."""
        payload = status_bytes(self._boot, self._clock, Presence.OFFLINE, condition, "stopped")
        await self._send(Channel.STATUS, payload, Why.STATUS)

    async def say_telemetry(self, snapshot: Snapshot) -> None:
        """Report the figures; one that breaks the contract's size is counted and left out."""
        message = telemetry_message(
            snapshot, boot=self._boot, made_at=self._clock.wall(), message_id=secrets.token_hex(16)
        )
        try:
            payload = encode(message)
        except MessageTooLarge as refused:
            self._faults.note(refused)
            return
        await self._send(Channel.TELEMETRY, payload, Why.TELEMETRY)

    async def say_reported(self, facts: ReportedFacts) -> None:
        """Say what model runs, and how its update stands."""
        message = reported_message(
            facts, boot=self._boot, made_at=self._clock.wall(), message_id=secrets.token_hex(16)
        )
        try:
            payload = encode(message)
        except MessageTooLarge as refused:
            self._faults.note(refused)
            return
        await self._send(Channel.REPORTED, payload, Why.UPDATES)

    def say_alert(self, payload: bytes) -> None:
        """Publish an alert; a refusal by the broker is counted when it comes.

        Raises:
            MessageTooLarge: The broker said that it takes no packet of this size.
            LinkLost: The connection is gone.
        """
        limit = self.connection.max_packet_bytes
        size = self._size(Channel.ALERTS, payload)
        if limit is not None and size > limit:
            raise MessageTooLarge(f"an alert of {size} bytes is over the broker's limit of {limit}: dropped")
        self._publish(Channel.ALERTS, payload, Why.ALERTS).add_done_callback(self._note_refusal)

    def say_response(self, payload: bytes) -> None:
        """Publish an answer to a command; it is said again at the next connection unless the cloud acks it.

        Raises:
            LinkLost: The connection is gone.
        """
        self._publish(Channel.RESPONSES, payload, Why.RESPONSES).add_done_callback(self._note_refusal)

    def acknowledge(self, message: aiomqtt.Message) -> None:
        """Tell the broker that an incoming message is dealt with."""
        if self.connection.acknowledge(message):
            self._ledger.spend(Why.PROTOCOL, MQTT_PUBACK_SIZE)

    def _publish(self, channel: Channel, payload: bytes, why: Why) -> asyncio.Future[None]:
        to = topic(self.device, channel)
        sent = self.connection.send(to, payload, qos=channel.qos, retain=channel.retained)
        self._ledger.spend(why, self._size(channel, payload))
        return sent

    async def _send(self, channel: Channel, payload: bytes, why: Why) -> None:
        """Publish and wait for the PUBACK; whoever watches the connection cancels the wait when it goes."""
        try:
            await self._publish(channel, payload, why)
        except LinkRefused as refused:
            self._faults.note(refused)

    def _note_refusal(self, sent: asyncio.Future[None]) -> None:
        if not sent.cancelled() and isinstance(refused := sent.exception(), LinkRefused):
            self._faults.note(refused)

    def _size(self, channel: Channel, payload: bytes) -> int:
        return mqtt_publish_size(topic(self.device, channel), payload, qos=channel.qos, mqtt5=self.connection.mqtt5)


class Hearing:
    """Takes what the cloud says; what is not ours is counted and otherwise ignored."""

    def __init__(
        self,
        voice: Voice,
        *,
        forget: Callable[[Collection[str]], int],
        acked: Callable[[tuple[str, ...]], None],
        answered: Callable[[Answer], Future[None] | None],
        faults: Faults,
        desk: Desk | None = None,
        desired: Callable[[Desired], object] | None = None,
    ) -> None:
        """Take note of who wants to know.

        Args:
            voice: Acknowledges on the same connection.
            forget: Deletes acked messages from the outbox; waits for the disk, so it runs in a thread.
            acked: Told afterwards.
            answered: Told of each verdict; see `agent.deliver.link.OnAnswer`.
            faults: Counts what was refused.
            desk: Takes commands, where there is one.
            desired: Told what model is desired, where updates are taken.
        """
        self._voice = voice
        self._forget = forget
        self._acked = acked
        self._answered = answered
        self._faults = faults
        self._desk = desk
        self._desired = desired
        self._pending: set[asyncio.Future[None]] = set()
        self._acks: list[tuple[aiomqtt.Message, Acks]] = []

    async def run(self) -> None:
        """Listen until the connection is gone.

        Raises:
            LinkLost: It is.
        """
        try:
            messages = self._voice.connection.messages
            async for message in messages:
                await self._take(message)
                if self._acks and (not len(messages) or len(self._acks) >= MAX_ACKS_AT_ONCE):
                    await self._take_acks()
        except aiomqtt.MqttError as lost:
            raise LinkLost(f"the broker went away ({lost})") from lost

    async def _take(self, message: aiomqtt.Message) -> None:
        try:
            said = self._decoded(message)
        except WireError as refused:
            self._faults.note(refused)
            self._voice.acknowledge(message)
            return
        if isinstance(said, Acks):
            self._acks.append((message, said))
            if self._desk is not None:
                self._desk.acked(said.message_ids, said.made_at)
        elif isinstance(said, Command):
            if self._desk is not None:
                await self._desk.take(said)
            self._voice.acknowledge(message)
        elif isinstance(said, Desired):
            if self._desired is not None:
                self._desired(said)
            self._voice.acknowledge(message)
        else:
            await self._take_verdict(message, said)

    def _decoded(self, message: aiomqtt.Message) -> Acks | Verdict | Command | Desired:
        where, said = decode_on(str(message.topic), bytes(message.payload))
        if where.device != self._voice.device:
            raise NotOurs(f"a message to {where.device} came to us")
        if message.retain and not isinstance(said, Desired):
            raise NotOurs(f"a retained message came on {message.topic}, where none may be")
        if not isinstance(said, Acks | Verdict | Command | Desired):
            raise NotOurs(f"a message came on {message.topic}, which is not for us to read")
        return said

    async def _take_acks(self) -> None:
        """Forget what all acks heard so far name, in one commit."""
        taken, self._acks = self._acks, []
        message_ids = tuple(message_id for _, acks in taken for message_id in acks.message_ids)
        try:
            await asyncio.to_thread(self._forget, message_ids)
        except OutboxUnwritable as refused:
            self._faults.note(refused)  # they will be sent, and acked, once more
        self._acked(message_ids)
        for message, _ in taken:
            self._voice.acknowledge(message)

    async def _take_verdict(self, message: aiomqtt.Message, verdict: Verdict) -> None:
        if len(self._pending) >= MAX_PENDING_VERDICTS:
            await asyncio.wait(self._pending, return_when=asyncio.FIRST_COMPLETED)
        committed = self._answered(answer_of(verdict))
        if committed is None:
            self._voice.acknowledge(message)
            return
        waiting = asyncio.wrap_future(committed)
        self._pending.add(waiting)
        waiting.add_done_callback(partial(self._verdict_committed, message))

    def _verdict_committed(self, message: aiomqtt.Message, waiting: asyncio.Future[None]) -> None:
        self._pending.discard(waiting)
        if not waiting.cancelled() and waiting.exception() is None:
            self._voice.acknowledge(message)
