"""Messages, a clock to turn by hand, and a device that speaks to the real broker."""

from __future__ import annotations

import asyncio
import itertools
import socket
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from urllib.parse import urlsplit

import aiomqtt

from tests.mqtt import Client
from wire.codec import decode_on, encode
from wire.messages import (
    Acks,
    Alert,
    AlertEvent,
    AlertState,
    AskReason,
    CameraState,
    CameraStatus,
    CameraTelemetry,
    Decision,
    Message,
    ModelStatus,
    Presence,
    Question,
    Status,
    Telemetry,
    Verdict,
)
from wire.topics import Channel, topic

BOUND_S = 60.0
"""How long a test waits for what takes a moment: other tests, and other machines, take their share."""
NOW = datetime(2026, 5, 1, 12, 0, tzinfo=UTC)
DIGEST = "sha256:" + "ab" * 32
BOOT = "b0" * 16
BOX = (0.1, 0.2, 0.3, 0.4)
JPEG = b"\xff\xd8\xff\xe0 not looked into by the store \xff\xd9"


def new_id() -> str:
    return uuid.uuid4().hex


class ManualClock:
    """Stands still until it is turned."""

    def __init__(self) -> None:
        self.now = NOW
        self.passed = 0.0
        self.sleeping: list[tuple[float, asyncio.Event]] = []
        self.asleep = asyncio.Event()

    def monotonic(self) -> float:
        return self.passed

    def wall(self) -> datetime:
        return self.now

    async def sleep(self, seconds: float) -> None:
        woken = asyncio.Event()
        self.sleeping.append((self.passed + seconds, woken))
        self.asleep.set()
        await woken.wait()

    def turn(self, seconds: float) -> None:
        self.passed += seconds
        self.now += timedelta(seconds=seconds)
        due = [woken for until, woken in self.sleeping if until <= self.passed]
        self.sleeping = [(until, woken) for until, woken in self.sleeping if until > self.passed]
        self.asleep.clear()
        for woken in due:
            woken.set()


def alert(device: str = "cam-1", **changes: object) -> Alert:
    revision = changes.get("revision", 0)
    fields: dict[str, object] = {
        "message_id": new_id(),
        "device": device,
        "made_at": NOW,
        "boot_id": BOOT,
        "boot_seq": 1,
        "id": new_id(),
        "event": AlertEvent.NEW if revision == 0 else AlertEvent.UPDATE,
        "revision": 0,
        "state": AlertState.PROVISIONAL,
        "camera": "yard",
        "sequence": 1,
        "rule": "people",
        "label": "person",
        "track": 3,
        "score": 0.5,
        "box": BOX,
        "seen_first_at": NOW,
        "seen_last_at": NOW,
        "decided_at": NOW,
        "model_digest": DIGEST,
    }
    return Alert.model_validate(fields | changes)


def status(device: str = "cam-1", presence: Presence = Presence.ONLINE, **changes: object) -> Status:
    fields: dict[str, object] = {
        "message_id": new_id(),
        "device": device,
        "made_at": NOW,
        "boot_id": BOOT,
        "boot_seq": 1,
        "presence": presence,
        "agent_version": "0.1.0",
        "started_at": NOW,
    }
    if presence is Presence.ONLINE:
        fields["cameras"] = (CameraStatus(name="yard", state=CameraState.LIVE),)
        fields["model"] = ModelStatus(name="ssd", version="1", digest=DIGEST, runtime="litert", delegate="xnnpack")
    return Status.model_validate(fields | changes)


def telemetry(device: str = "cam-1", **changes: object) -> Telemetry:
    fields: dict[str, object] = {
        "message_id": new_id(),
        "device": device,
        "made_at": NOW,
        "boot_id": BOOT,
        "boot_seq": 2,
        "uptime_s": 30,
        "rss_mib": 60,
        "cpu_s": 3,
        "cameras": (CameraTelemetry(name="yard", captured=100, judged=90, fps=10, stream_bytes=5000),),
        "bytes_by_reason": {"alerts": 300, "uncertain": 700},
    }
    return Telemetry.model_validate(fields | changes)


def question(about: Alert, **changes: object) -> Question:
    fields: dict[str, object] = {
        "message_id": new_id(),
        "device": about.device,
        "made_at": NOW,
        "boot_id": BOOT,
        "boot_seq": 3,
        "alert_id": about.id,
        "camera": about.camera,
        "track": about.track,
        "label": about.label,
        "score": about.score,
        "box": about.box,
        "reason": AskReason.UNCERTAIN,
        "seen_at": NOW,
        "deadline_ms": 2000,
        "model_digest": DIGEST,
    }
    return Question.model_validate(fields | changes)


def verdict(on: Question, **changes: object) -> Verdict:
    fields: dict[str, object] = {
        "message_id": new_id(),
        "device": on.device,
        "made_at": NOW,
        "question_id": on.message_id,
        "alert_id": on.alert_id,
        "decision": Decision.CONFIRMED,
        "label": "person",
        "score": 0.9,
        "box": BOX,
        "model": "big 1",
        "took_ms": 210.0,
    }
    return Verdict.model_validate(fields | changes)


@dataclass
class Device:
    """A device on the real broker, as its agent would speak."""

    client: aiomqtt.Client
    name: str
    acked: set[str] = field(default_factory=set)
    heard: list[Message] = field(default_factory=list)
    _news: asyncio.Condition = field(default_factory=asyncio.Condition)
    _sequence: itertools.count[int] = field(default_factory=lambda: itertools.count(1))

    async def say(self, channel: Channel, message: Message) -> None:
        await self.client.publish(
            topic(self.name, channel), encode(message), qos=channel.qos, retain=channel.retained
        )

    async def listen(self) -> None:
        async for packet in self.client.messages:
            _, message = decode_on(str(packet.topic), bytes(packet.payload))
            async with self._news:
                self.heard.append(message)
                if isinstance(message, Acks):
                    self.acked.update(message.message_ids)
                self._news.notify_all()

    async def until_acked(self, *messages: Message) -> None:
        wanted = {message.message_id for message in messages}
        async with asyncio.timeout(BOUND_S), self._news:
            await self._news.wait_for(lambda: wanted <= self.acked)

    async def until_heard(self, kind: type[Message]) -> Message:
        async with asyncio.timeout(BOUND_S), self._news:
            await self._news.wait_for(lambda: any(isinstance(message, kind) for message in self.heard))
        return next(message for message in self.heard if isinstance(message, kind))


def mqtt_client(address: str, name: str, token: str, *, user: str | None = None, **more: object) -> aiomqtt.Client:
    parts = urlsplit(address)
    assert parts.hostname is not None
    assert parts.port is not None
    return Client(
        parts.hostname,
        parts.port,
        username=user if user is not None else name,
        password=token,
        identifier=name,
        clean_session=False,
        timeout=BOUND_S,
        socket_options=((socket.IPPROTO_TCP, socket.TCP_NODELAY, 1),),
        **more,  # type: ignore[arg-type]
    )


@asynccontextmanager
async def connected(address: str, name: str, token: str, **more: object) -> AsyncIterator[Device]:
    """A device that is connected and hears its acks."""
    async with mqtt_client(address, name, token, **more) as client:
        device = Device(client, name)
        await client.subscribe(f"vedette/v1/{name}/down/#", qos=1)
        listening = asyncio.create_task(device.listen())
        try:
            yield device
        finally:
            listening.cancel()
            await asyncio.gather(listening, return_exceptions=True)
