"""One connection to an MQTT broker: aiomqtt, with what it leaves open closed.

aiomqtt reports a PUBACK with a failure reason as success, drops a publish's outcome when the link goes, acknowledges
before the message is dealt with, waits out its timeout when the broker hangs up before the CONNACK, and leaves a
half-made connection open that can take over the client id later. The overrides below mend these; they rely on
`aiomqtt.Client`'s callbacks, so the tests run them against real brokers.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, cast

import aiomqtt
import paho.mqtt.client as paho
from aiomqtt.exceptions import MqttConnectError
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from agent.deliver.ledger import mqtt_connect_size
from agent.deliver.link import Address
from agent.errors import LinkLost, LinkRefused
from wire.errors import MessageTooLarge
from wire.messages import Acks

FAILURE: Final = 0x80
"""Reason codes from here on say that it failed (MQTT 5, section 2.4); 0x10, nobody subscribed, is none."""
UNSUPPORTED_PROTOCOL: Final = 0x84
PASSING_TROUBLE: Final = {0x88, 0x89, 0x97, 0x9C, 0x9D, 0x9F}
"""Unavailable, busy, quota exceeded, use another server, server moved, connection rate exceeded: try again soon."""
SESSION_EXPIRY_S: Final = 7 * 24 * 3600
"""Without an expiry an MQTT 5 session dies with its connection; a device off for a week starts afresh."""
MAX_INCOMING_BYTES: Final = Acks.MAX_BYTES
"""The largest message that is ever sent down."""
RECEIVE_MAXIMUM: Final = 64
"""How many messages the broker may have under way to us, so that a flood waits there and not in our memory."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """Who connects: client id and user name are one and the same, as the broker demands."""

    device: str
    password: str | None
    tls: ssl.SSLContext | None


@dataclass(frozen=True, slots=True)
class _Publish:
    """A publish, and who waits for its PUBACK."""

    topic: str
    payload: bytes
    qos: int
    retain: bool
    done: asyncio.Future[None]


class MqttConnection(aiomqtt.Client):
    """Used once, for one connection, by one event loop."""

    def __init__(
        self,
        address: Address,
        credentials: Credentials,
        *,
        mqtt5: bool,
        will: aiomqtt.Will,
        keepalive_s: int,
        timeout_s: float,
        in_flight: int,
        too_large: Callable[[MessageTooLarge], None],
    ) -> None:
        """Prepare; `open` connects.

        Args:
            address: Where the broker listens.
            credentials: Who connects.
            mqtt5: Speak MQTT 5 instead of 3.1.1.
            will: What the broker says for us when we vanish.
            keepalive_s: Seconds of silence after which the link is tested, and then given up.
            timeout_s: For each step of connecting.
            in_flight: How many publishes may wait for their PUBACK; fewer where an MQTT 5 broker says so.
            too_large: Told of each incoming message that was dropped for its size.
        """
        super().__init__(
            address.host,
            address.port,
            identifier=credentials.device,
            username=credentials.device,
            password=credentials.password,
            tls_context=credentials.tls,
            protocol=aiomqtt.ProtocolVersion.V5 if mqtt5 else aiomqtt.ProtocolVersion.V311,
            # A new client object per connection: aiomqtt's default would begin a clean session with each of them.
            clean_session=None if mqtt5 else False,
            clean_start=False if mqtt5 else paho.MQTT_CLEAN_START_FIRST_ONLY,
            properties=_connect_properties() if mqtt5 else None,
            will=will,
            keepalive=keepalive_s,
            timeout=timeout_s,
            max_inflight_messages=in_flight,
            # Without it a QoS 1 round trip takes 44 ms instead of 0.3 (Nagle's algorithm against delayed acks).
            socket_options=((socket.IPPROTO_TCP, socket.TCP_NODELAY, 1),),
        )
        self._client.connect_timeout = timeout_s
        self._client.manual_ack_set(on=True)
        self._too_large = too_large
        self.connect_size = _connect_size(credentials, will, mqtt5=mqtt5)
        self._pubacks: dict[int, asyncio.Future[None]] = {}
        self._backlog: deque[_Publish] = deque()
        self._receive_maximum = in_flight
        self.mqtt5 = mqtt5
        self.pubacks_seen = 0
        self.max_packet_bytes: int | None = None

    @property
    def outstanding(self) -> int:
        """How many publishes wait for the broker's PUBACK."""
        return len(self._pubacks) + len(self._backlog)

    async def open(self) -> None:
        """Connect.

        Raises:
            LinkLost: The broker can't be reached.
            LinkRefused: It is there, and does not want us.
        """
        try:
            await self.__aenter__()
        except MqttConnectError as refused:
            self.abort()
            raise refusal(refused.rc) from refused
        except aiomqtt.MqttError as lost:
            self.abort()
            raise LinkLost(f"the broker at {self._hostname}:{self._port} can't be reached ({lost})") from lost
        except asyncio.CancelledError:
            self.abort()
            raise

    async def close(self, timeout_s: float) -> None:
        """Disconnect cleanly, so that the broker keeps the will to itself, or at once if that takes too long."""
        with contextlib.suppress(aiomqtt.MqttError, TimeoutError):
            if self._client.socket() is None:
                return
            async with asyncio.timeout(timeout_s):
                await self.__aexit__(None, None, None)
        self.abort()

    def abort(self) -> None:
        """Close the socket; what waited for a PUBACK is cancelled."""
        self._client._sock_close()  # noqa: SLF001 - paho has no public way to close at once
        for waiting in (*self._pubacks.values(), *(publish.done for publish in self._backlog)):
            waiting.cancel()
        self._pubacks.clear()
        self._backlog.clear()

    async def lost(self) -> LinkLost:
        """Wait until the connection is gone, and say why."""
        await asyncio.wait((self._disconnected,))
        why = self._disconnected.exception()
        return LinkLost(f"the broker at {self._hostname}:{self._port} went away ({why or 'it hung up'})")

    def send(self, topic: str, payload: bytes, *, qos: int, retain: bool) -> asyncio.Future[None]:
        """Publish; the future is done with the broker's PUBACK, and cancelled when the connection ends before.

        The future raises LinkRefused where the broker refused the publish.

        Raises:
            LinkLost: The connection is gone.
        """
        done: asyncio.Future[None] = self._loop.create_future()
        publish = _Publish(topic, payload, qos, retain, done)
        if qos and len(self._pubacks) >= self._receive_maximum:
            self._backlog.append(publish)
        else:
            self._publish_now(publish)
        return done

    def _publish_now(self, publish: _Publish) -> None:
        info = self._client.publish(publish.topic, publish.payload, publish.qos, publish.retain)
        if info.rc != paho.MQTT_ERR_SUCCESS:
            raise LinkLost(f"the broker at {self._hostname}:{self._port} went away ({paho.error_string(info.rc)})")
        if publish.qos:
            self._pubacks[info.mid] = publish.done
        else:
            publish.done.set_result(None)

    async def listen(self, topics: list[str]) -> None:
        """Subscribe.

        Raises:
            LinkRefused: The broker does not let us read there.
            LinkLost: The connection is gone.
        """
        try:
            codes = await self.subscribe([(topic, 1) for topic in topics])
        except aiomqtt.MqttError as lost:
            raise LinkLost(f"the broker did not answer a subscription ({lost})") from lost
        for topic, code in zip(topics, codes, strict=True):
            if _value(cast("int | ReasonCode", code)) >= FAILURE:
                raise LinkRefused(
                    f"the broker refused the subscription to {topic}", "Grant the device its own down topics."
                )

    def acknowledge(self, message: aiomqtt.Message) -> bool:
        """Tell the broker that the message is dealt with; False where the connection is gone: it will repeat it."""
        return message.qos > 0 and self._client.ack(message.mid, message.qos) == paho.MQTT_ERR_SUCCESS

    # --- aiomqtt's callbacks, all on the event loop ------------------------------------------------------------

    def _on_connect(
        self,
        client: paho.Client,
        userdata: Any,  # noqa: ANN401 - paho's signature
        flags: paho.ConnectFlags,
        reason_code: ReasonCode,
        properties: Properties | None = None,
    ) -> None:
        if properties is not None:
            self.max_packet_bytes = getattr(properties, "MaximumPacketSize", None)
            self._receive_maximum = getattr(properties, "ReceiveMaximum", self._receive_maximum)
        super()._on_connect(client, userdata, flags, reason_code, properties)

    def _on_disconnect(
        self,
        client: paho.Client,
        userdata: Any,  # noqa: ANN401 - paho's signature
        flags: paho.DisconnectFlags,
        reason_code: ReasonCode,
        properties: Properties | None = None,
    ) -> None:
        if not self._connected.done():
            self._connected.set_exception(aiomqtt.MqttError(f"it hung up before it answered: {reason_code}"))
        super()._on_disconnect(client, userdata, flags, reason_code, properties)

    def _on_publish(
        self,
        client: paho.Client,  # noqa: ARG002 - paho's signature
        userdata: Any,  # noqa: ANN401, ARG002 - paho's signature
        mid: int,
        reason_code: ReasonCode,
        properties: Properties,  # noqa: ARG002 - paho's signature
    ) -> None:
        waiting = self._pubacks.pop(mid, None)
        if waiting is None:
            return
        self.pubacks_seen += 1
        if self._backlog:
            self._publish_now(self._backlog.popleft())
        if waiting.done():
            return
        if _value(reason_code) >= FAILURE:
            waiting.set_exception(
                LinkRefused(f"the broker refused a publish ({reason_code})", "Grant the device its own up topics.")
            )
        else:
            waiting.set_result(None)

    def _on_message(self, client: paho.Client, userdata: Any, message: paho.MQTTMessage) -> None:  # noqa: ANN401
        if len(message.payload) <= MAX_INCOMING_BYTES:
            super()._on_message(client, userdata, message)
            return
        self._client.ack(message.mid, message.qos)
        self._too_large(MessageTooLarge(f"a message of {len(message.payload)} bytes came on {message.topic}"))


def _connect_properties() -> Properties:
    """What an MQTT 5 CONNECT asks for."""
    properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]  # paho left it untyped
    properties.SessionExpiryInterval = SESSION_EXPIRY_S
    properties.ReceiveMaximum = RECEIVE_MAXIMUM
    return properties


def _connect_size(credentials: Credentials, will: aiomqtt.Will, *, mqtt5: bool) -> int:
    texts = [credentials.device, will.topic, credentials.device]
    if credentials.password is not None:
        texts.append(credentials.password)
    properties = len(_connect_properties().pack()) if mqtt5 else 0  # type: ignore[no-untyped-call]  # as above
    payload = will.payload if isinstance(will.payload, bytes) else b""
    return mqtt_connect_size(*texts, will_payload=payload, properties=properties, mqtt5=mqtt5)


def refusal(code: int | ReasonCode | None) -> LinkLost | LinkRefused:
    """A refused CONNECT as an error of ours: passing trouble, or a refusal for good."""
    if _value(code) in PASSING_TROUBLE:
        return LinkLost(f"the broker is not ready ({code})")
    if _value(code) == UNSUPPORTED_PROTOCOL:
        return LinkRefused(
            "the broker does not speak this version of MQTT", 'Set link.protocol to "3.1.1" or "auto".'
        )
    return LinkRefused(
        f"the broker refused the connection ({code})",
        "Check the device's id, its token or certificate, and that it is enrolled.",
    )


def _value(code: int | ReasonCode | None) -> int:
    if code is None:
        return FAILURE
    return code if isinstance(code, int) else int(code.value)
