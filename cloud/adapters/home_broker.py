"""Home Assistant's broker, over MQTT 3.1.1: a client object for each connection, nothing kept between two."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import uuid
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Final

import aiomqtt

from cloud.errors import HomeLost, HomeRefused
from cloud.home.entities import OFFLINE, ONLINE
from cloud.home.naming import Topics
from cloud.home.ports import Heard, HomeSession
from cloud.home.settings import HomeAssistantSettings

CONNECT_WITHIN_S: Final = 10.0
PUBLISH_WITHIN_S: Final = 10.0
FIND_WITHIN_S: Final = 20.0
KEEPALIVE_S: Final = 30
MAX_WAITING: Final = 50_000
"""A large home has some thousand discovery documents of all its integrations, read once a connection."""
NO_DELAY: Final = (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
_MEND: Final = "It is tried again by itself."


class MqttHomeBroker:
    """Implements `cloud.home.ports.HomeBroker`."""

    def __init__(self, settings: HomeAssistantSettings, find_within_s: float = FIND_WITHIN_S) -> None:
        self._settings = settings
        self._find_within_s = find_within_s
        self._topics = Topics(settings.topic, settings.discovery_prefix)

    @asynccontextmanager
    async def session(self) -> AsyncIterator[HomeSession]:
        """See the port."""
        client = await self._client()
        try:
            async with client:
                found = await self._found(client)
                for subscription in (self._topics.orders, self._settings.birth_topic):
                    await self._subscribe(client, subscription)
                session = _Session(client, found, self._topics, self._settings.birth_topic)
                try:
                    yield session
                finally:
                    await session.leave()
        except aiomqtt.MqttCodeError as refused:
            raise _named(refused, self._settings.url) from refused
        except (aiomqtt.MqttError, OSError) as failed:
            raise HomeLost(f"{self._settings.url} can't be reached: {failed}", _MEND) from failed

    async def _client(self) -> aiomqtt.Client:
        settings = self._settings
        password = await asyncio.to_thread(self._password)
        return aiomqtt.Client(
            settings.host,
            settings.port,
            username=settings.username,
            password=password,
            # One id for each `topic`: two services under the same one would take back what the other shows.
            identifier=f"vedette-{settings.topic}",
            will=aiomqtt.Will(self._topics.bridge, OFFLINE.encode(), qos=1, retain=True),
            keepalive=KEEPALIVE_S,
            timeout=CONNECT_WITHIN_S,
            max_queued_incoming_messages=MAX_WAITING,
            socket_options=(NO_DELAY,),
            tls_context=await asyncio.to_thread(self._tls) if settings.tls else None,
        )

    def _password(self) -> str | None:
        file = self._settings.password_file
        if file is None:
            return None
        try:
            return file.read_text("utf-8").strip()
        except (OSError, UnicodeDecodeError) as refused:
            raise HomeRefused(f"{file} can't be read: {refused}", "`password_file` names a text file.") from None

    def _tls(self) -> ssl.SSLContext:
        try:
            return ssl.create_default_context(cafile=self._settings.ca_file)
        except (OSError, ssl.SSLError) as refused:
            raise HomeRefused(
                f"{self._settings.ca_file} can't be used: {refused}", "`ca_file` names certificates in PEM."
            ) from None

    @property
    def _rights(self) -> str:
        return f"Let the user read and write {self._topics.base}/# and {self._settings.discovery_prefix}/#."

    async def _subscribe(self, client: aiomqtt.Client, subscription: str) -> None:
        granted = await client.subscribe(subscription, qos=1)
        if any(getattr(code, "value", code) >= _REFUSED for code in granted):
            raise HomeRefused(f"{self._settings.url} does not let the service read {subscription}", self._rights)

    async def _found(self, client: aiomqtt.Client) -> dict[str, bytes]:
        """What of ours is retained: all that comes before a word of our own comes back to us."""
        marker, word = f"{self._topics.base}/bridge/here", uuid.uuid4().hex.encode()
        wide = (self._topics.discoveries, self._topics.own_states)
        for subscription in wide:
            await self._subscribe(client, subscription)
        await client.publish(marker, word, qos=1, timeout=PUBLISH_WITHIN_S)
        found: dict[str, bytes] = {}
        try:
            async with asyncio.timeout(self._find_within_s):
                async for message in client.messages:
                    topic, payload = str(message.topic), bytes(message.payload)
                    if topic == marker and payload == word:
                        break
                    if message.retain and self._topics.is_own(topic):
                        found[topic] = payload
        except aiomqtt.MqttError as ended:
            # Some mosquittos hang up on who may not write; others drop what is written and say nothing.
            said = "ended the connection when it was asked what it has kept of the service"
            raise HomeLost(f"{self._settings.url} {said}", self._rights) from ended
        except TimeoutError:
            said = f"does not give back what is said under {self._topics.base}/"
            raise HomeRefused(f"{self._settings.url} {said}", self._rights) from None
        for subscription in wide:
            await client.unsubscribe(subscription)
        return found


class _Session:
    def __init__(self, client: aiomqtt.Client, found: Mapping[str, bytes], topics: Topics, birth_topic: str) -> None:
        self._client = client
        self._topics = topics
        self._birth_topic = birth_topic
        # aiomqtt says in this future alone when a connection ends.
        self._lost: asyncio.Future[None] = client._disconnected  # noqa: SLF001
        self._there = False
        self.found = found

    async def leave(self) -> None:
        """Say that we go: a connection that ends in good order leaves no last will."""
        if self._there and not self._lost.done():
            with contextlib.suppress(HomeLost):
                await self.say(self._topics.bridge, OFFLINE.encode())

    async def say(self, topic: str, payload: bytes) -> None:
        sending = asyncio.create_task(
            self._client.publish(topic, payload, qos=1, retain=True, timeout=PUBLISH_WITHIN_S)
        )
        try:
            # aiomqtt would wait for its timeout when the connection breaks meanwhile.
            await asyncio.wait({sending, self._lost}, return_when=asyncio.FIRST_COMPLETED)
            if not sending.done():
                raise HomeLost("Home Assistant's broker went away", _MEND)
            sending.result()
            if topic == self._topics.bridge:
                self._there = payload == ONLINE.encode()
        except aiomqtt.MqttError as failed:
            raise HomeLost(f"Home Assistant's broker did not take a message: {failed}", _MEND) from failed
        finally:
            sending.cancel()

    async def heard(self) -> Heard:
        while True:
            try:
                message = await anext(self._client.messages)
            except aiomqtt.MqttError as failed:
                raise HomeLost(f"Home Assistant's broker went away: {failed}", _MEND) from failed
            topic = str(message.topic)
            if topic == self._birth_topic or self._topics.ordered(topic) is not None:
                return Heard(topic, bytes(message.payload), message.retain)


_REFUSED: Final = 0x80
_AUTHORISATION: Final = (4, 5, 134, 135)
"""Reason codes of a CONNACK: bad user or password, not authorised; of MQTT 3.1.1 and as paho names them."""


def _named(refused: aiomqtt.MqttCodeError, url: str) -> HomeLost | HomeRefused:
    code = getattr(refused.rc, "value", refused.rc)
    if code in _AUTHORISATION:
        return HomeRefused(
            f"{url} does not let the service in: {refused}",
            "Give `home_assistant.username` and `home_assistant.password_file` what the broker knows.",
        )
    return HomeLost(f"{url} can't be used: {refused}", _MEND)
