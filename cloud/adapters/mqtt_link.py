"""The cloud's own MQTT session: durable, acknowledged by hand, remade whenever it breaks.

MQTT 3.1.1, which every broker speaks; so a PUBACK carries no reason and always means that the broker has it.
"""

from __future__ import annotations

import asyncio
import logging
import random
import socket
import ssl
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import aiomqtt
import paho.mqtt.client as paho

from cloud.errors import LinkLost
from cloud.ingest.ports import Counter, Received
from cloud.ports import Clock
from wire.codec import encode
from wire.messages import Message
from wire.topics import UPWARD, Channel, every_device, everything_up, topic

log = logging.getLogger(__name__)

CLIENT_ID: Final = "_vedette_cloud"
"""User name and client id of the cloud. No device id begins with an underscore, so no device can ever bear it."""

# The broker sends at most `MAX_UNACKED` messages of QoS 1 before it wants acknowledgements; but while the store is
# down it repeats them endlessly. QoS 0, telemetry, has no bound.
MAX_UNACKED: Final = 1000
MAX_WAITING_TELEMETRY: Final = 4096
MAX_WAITING: Final = MAX_WAITING_TELEMETRY + 4 * MAX_UNACKED
KEEPALIVE_S: Final = 15
UNDER_WAY: Final = 256
"""Messages to devices that the broker has not acknowledged; with paho's own 20 the acks for a fleet's alerts waited
for seconds behind the commands for all of it."""
CONNECT_WITHIN_S: Final = 3.0
PUBLISH_WITHIN_S: Final = 10.0
GATHER_S: Final = 0.05
"""Between two batches that are not full. A batch of one costs 4 to 7 ms of CPU, one of 200 a fifth of a millisecond a
message (measured on two busy cores), and what comes after a pause is still taken at once."""
FIRST_PAUSE_S: Final = 0.1
LONGEST_PAUSE_S: Final = 5.0
# Without it a QoS 1 round trip took 44 ms instead of 0.3, on every broker but mosquitto.
NO_DELAY: Final = (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
NEVER_RETAINED: Final = tuple(channel for channel in UPWARD if not channel.retained)
ALERTS_IN_A_ROW: Final = 3
"""So many are taken before one of what else waits: a flood of alerts must not silence all other channels."""
_ALERTS: Final = f"/{Channel.ALERTS}"
_NEVER_RETAINED: Final = tuple(f"/{channel.direction}/{channel}" for channel in NEVER_RETAINED)


@dataclass(frozen=True, slots=True)
class LinkSettings:
    """How the cloud reaches its broker.

    Attributes:
        tls: Makes the context of the next connection, from files that may have been renewed; None for plain text.
    """

    host: str
    port: int
    password: str
    tls: Callable[[], ssl.SSLContext] | None = None


class _BoundedQueue(asyncio.Queue[aiomqtt.Message]):
    """Gives alerts first, and one of the others after every few of them; each in the order in which they came.

    Refuses telemetry when full, which may be lost. Past that it refuses what the broker sends again: everything that
    is new fits, and what is refused here is not acknowledged, so it comes again once more.
    """

    def put_nowait(self, item: aiomqtt.Message) -> None:
        if self.qsize() >= (MAX_WAITING_TELEMETRY if item.qos == 0 else MAX_WAITING):
            raise asyncio.QueueFull
        super().put_nowait(item)

    def qsize(self) -> int:
        return len(self._alerts) + len(self._others)

    def empty(self) -> bool:
        return not self.qsize()

    def _init(self, maxsize: int) -> None:  # noqa: ARG002 - the place to say what waits where; asyncio's signature
        self._alerts: deque[aiomqtt.Message] = deque()
        self._others: deque[aiomqtt.Message] = deque()
        self._alerts_in_a_row = 0

    def _put(self, item: aiomqtt.Message) -> None:
        (self._alerts if item.topic.value.endswith(_ALERTS) else self._others).append(item)

    def _get(self) -> aiomqtt.Message:
        if self._alerts and (self._alerts_in_a_row < ALERTS_IN_A_ROW or not self._others):
            self._alerts_in_a_row += 1
            return self._alerts.popleft()
        self._alerts_in_a_row = 0
        return self._others.popleft()


class _Heard(aiomqtt.Message):
    """A message that says whether the broker repeats it, which aiomqtt's own leave out."""

    again: bool = False


class _Client(aiomqtt.Client):
    """Leaves out what the broker repeats while we still have it in hand.

    It repeats what nobody acknowledged for a while. A service that is that far behind would fall further behind with
    each repeat that it took.
    """

    def __init__(self, *where: Any, counter: Counter, **how: Any) -> None:  # noqa: ANN401 - aiomqtt's own arguments
        super().__init__(*where, **how)
        self._counter = counter
        self._in_hand: dict[int, int] = {}
        """By the broker's number. That alone may be another message's: NATS lends the numbers of what it had retained
        a second time."""

    def acknowledge(self, received: Sequence[Received]) -> None:
        """Tell the broker that these are dealt with."""
        for one in received:
            if one.qos > 0:
                self._in_hand.pop(one.number, None)
                self._client.ack(one.number, one.qos)

    def _on_message(self, client: paho.Client, userdata: Any, message: paho.MQTTMessage) -> None:  # noqa: ANN401, ARG002 - paho's signature
        what = hash((message.topic, message.payload))
        if message.dup:
            self._counter.count("link.redelivered")
            if self._in_hand.get(message.mid) == what:
                return
        heard = _Heard._from_paho_message(message)  # noqa: SLF001 - as aiomqtt itself does
        heard.again = message.dup
        try:
            self._queue.put_nowait(heard)
        except asyncio.QueueFull:
            log.debug("a message is refused: as many wait as may")
            return
        if message.qos > 0:
            self._in_hand[message.mid] = what


class _Connection:
    """One connection, from its making to its loss. A client object is never used twice."""

    def __init__(self, client: _Client) -> None:
        self.client = client
        # aiomqtt says in this future alone when a connection ends.
        self.lost: asyncio.Future[None] = client._disconnected  # noqa: SLF001
        self.given_up: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def over(self) -> None:
        """Return when it was lost, or given up because the broker did not answer."""
        try:
            await asyncio.wait({self.lost, self.given_up}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self.give_up()
            if self.lost.done():
                self.lost.exception()  # Looked at, or asyncio would complain that nobody did.

    def give_up(self) -> None:
        if not self.given_up.done():
            self.given_up.set_result(None)

    def acknowledge(self, received: Sequence[Received]) -> None:
        if not self.lost.done():
            self.client.acknowledge(received)


class MqttBatch:
    """What came in together over one connection."""

    def __init__(self, connection: _Connection, received: Sequence[Received]) -> None:
        self._connection = connection
        self.received = received

    def acknowledge(self) -> None:
        """Tell the broker not to send these again; without effect once the connection is gone."""
        self._connection.acknowledge(self.received)


class MqttLink:
    """Both ways to the devices. `run` keeps the connection; `batch` and `publish` use it."""

    def __init__(self, settings: LinkSettings, counter: Counter, clock: Clock) -> None:
        self._settings = settings
        self._counter = counter
        self._clock = clock
        self._connection: _Connection | None = None
        self._connected = asyncio.Event()
        self._gather_until = 0.0

    @property
    def connected(self) -> bool:
        """Whether there is a connection right now."""
        return self._connected.is_set()

    async def established(self) -> None:
        """Return once there is a connection."""
        await self._connected.wait()

    async def run(self) -> None:
        """Connect, and again whenever the connection is lost, until cancelled."""
        pause_s = FIRST_PAUSE_S
        while True:
            try:
                await self._stay_connected()
                pause_s = FIRST_PAUSE_S
            except (aiomqtt.MqttError, OSError) as refused:
                log.warning("no connection to the broker: %s", refused)
                pause_s = min(pause_s * 2, LONGEST_PAUSE_S)
            self._counter.count("link.reconnects")
            await self._clock.sleep(pause_s * random.uniform(0.5, 1.5))  # noqa: S311 - jitter, not secrecy

    async def batch(self, limit: int) -> MqttBatch:
        """What waits, at most `limit` messages; waits for the first, over lost connections too.

        Where messages come one after the other, those of a moment are gathered.
        """
        while True:
            await self._connected.wait()
            connection = self._connection
            if connection is None:
                continue
            try:
                return MqttBatch(connection, await self._collect(connection, limit))
            except aiomqtt.MqttError:
                self._forget(connection)

    async def publish(self, device: str, channel: Channel, message: Message) -> None:
        """Hand the message to the broker; returns once it has it.

        Raises:
            LinkLost: The broker can't be reached, or went away before it said that it has it.
            MessageTooLarge: It is over its kind's limit.
        """
        payload = encode(message)
        connection = self._connection
        if connection is None:
            raise LinkLost("there is no connection to the broker", "It is tried again by itself.")
        sending = asyncio.create_task(
            connection.client.publish(
                topic(device, channel),
                payload,
                qos=channel.qos,
                retain=channel.retained,
                timeout=PUBLISH_WITHIN_S,
            )
        )
        try:
            # aiomqtt would wait for its timeout when the connection breaks meanwhile.
            await asyncio.wait({sending, connection.lost}, return_when=asyncio.FIRST_COMPLETED)
            if not sending.done():
                raise LinkLost("the broker went away before it took a message", "It is tried again by itself.")
            sending.result()
        except aiomqtt.MqttError as failed:
            self._forget(connection)
            raise LinkLost(f"the broker did not take a message: {failed}", "It is tried again by itself.") from failed
        finally:
            sending.cancel()

    async def _stay_connected(self) -> None:
        client = _Client(
            self._settings.host,
            self._settings.port,
            username=CLIENT_ID,
            password=self._settings.password,
            identifier=CLIENT_ID,
            counter=self._counter,
            clean_session=False,
            keepalive=KEEPALIVE_S,
            timeout=CONNECT_WITHIN_S,
            queue_type=_BoundedQueue,
            max_inflight_messages=UNDER_WAY,
            socket_options=(NO_DELAY,),
            tls_context=None if self._settings.tls is None else await asyncio.to_thread(self._settings.tls),
        )
        client.pending_calls_threshold = MAX_UNACKED  # It only warns, and a batch acks many devices at once.
        # Before connecting: a session that is taken up again delivers at once.
        client._client.manual_ack_set(True)  # noqa: SLF001, FBT003 - aiomqtt acknowledges before anything is stored
        async with client:
            connection = _Connection(client)
            await client.subscribe(everything_up(), qos=1)
            # A session that an earlier release left with the broker hears each channel by itself, too.
            await client.unsubscribe([every_device(channel) for channel in UPWARD])
            self._connection = connection
            self._connected.set()
            log.info("connected to the broker")
            try:
                await connection.over()
            finally:
                self._forget(connection)
        log.warning("the connection to the broker was lost")

    async def _collect(self, connection: _Connection, limit: int) -> list[Received]:
        messages = connection.client.messages
        received: list[Received] = []
        self._sort(connection, await anext(messages), received)
        wait_s = self._gather_until - self._clock.monotonic()
        if wait_s > 0 and len(messages) + 1 < limit:
            await self._clock.sleep(wait_s)
        while not received or (len(received) < limit and len(messages) > 0):
            self._sort(connection, await anext(messages), received)
        self._gather_until = self._clock.monotonic() + GATHER_S
        return received

    def _sort(self, connection: _Connection, message: aiomqtt.Message, received: list[Received]) -> None:
        """Add it to `received`, unless it is nothing but the clearing of what was retained."""
        if message.retain and str(message.topic).endswith(_NEVER_RETAINED):
            self._clear(connection, str(message.topic))
        if message.qos > 0 or message.payload:
            received.append(self._received(message))

    def _clear(self, connection: _Connection, where: str) -> None:
        """Have the broker forget what was retained against the rules: no broker can be told to refuse it."""
        self._counter.count("link.unretained")
        log.warning("%s was retained, and is cleared", where)
        # Of no consequence where it fails: it is found again at the next subscription.
        connection.client._client.publish(where, b"", qos=0, retain=True)  # noqa: SLF001 - not waited for

    def _received(self, message: aiomqtt.Message) -> Received:
        payload = bytes(message.payload)
        again = isinstance(message, _Heard) and message.again
        return Received(
            str(message.topic), payload, message.qos, message.retain, message.mid, self._clock.wall(), again
        )

    def _forget(self, connection: _Connection) -> None:
        """The connection is over: nobody shall use it, and `run` shall make another."""
        if self._connection is connection:
            self._connection = None
            self._connected.clear()
        connection.give_up()
