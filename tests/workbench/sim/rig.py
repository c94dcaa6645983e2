"""A simulated device on a clock that is turned by hand, and a broker with a cloud behind it, all in memory."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

from wire.codec import decode_on, encode
from wire.commands import Command, Response
from wire.errors import WireError
from wire.messages import Acks, Alert, Message, Status, Telemetry
from wire.topics import Channel, topic
from wire.updates import Desired, ModelRef, Reported
from workbench.sim import mqtt
from workbench.sim.device import Device, Life
from workbench.sim.figures import Tally
from workbench.sim.personality import TRAITS, Personality

START = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
BORN_WITH = ModelRef(name="born", version="1.0.0", digest="sha256:" + "0" * 64)
RELEASE = ModelRef(name="better", version="1.0.0", digest="sha256:" + "a" * 64, number=1)


class ManualClock:
    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now

    def wall(self) -> datetime:
        return START + timedelta(seconds=self.now)


class Rig:
    """One device, and all that it says."""

    def __init__(
        self, kind: Personality = Personality.STEADY, *, alerts_every_s: float | None = None, acks: bool = True
    ) -> None:
        self.clock = ManualClock()
        self.tally = Tally(["sim-1", "sim-2"], 1)
        self.device = Device(
            "sim-1", "token", TRAITS[kind], Life(alerts_every_s, BORN_WITH), seed=1, clock=self.clock,
            witness=self.tally,
        )  # fmt: skip
        self.acks = acks
        self.welcome = 0
        self.connected = False
        self.said: list[mqtt.Packet] = []
        self.messages: list[Message] = []
        self.stored: dict[str, Alert] = {}
        self.refused: Counter[str] = Counter()
        self.reconnect_after: list[float] = []
        self._reader = mqtt.Reader()
        self._to_say: list[tuple[Channel, Message]] = []
        self._mid = 0

    # --- the socket -----------------------------------------------------------------------------------------------

    def connect(self) -> None:
        self._reader = mqtt.Reader()
        self.connected = True
        self.device.opened()
        self._settle()

    def cut(self) -> float:
        self.connected = False
        self._to_say.clear()
        self.reconnect_after.append(self.device.lost())
        return self.reconnect_after[-1]

    def turn(self, seconds: float, step: float = 0.05) -> None:
        """Let time pass; what is due is done."""
        until = self.clock.now + seconds
        while self.clock.now < until:
            self.clock.now = min(until, self.clock.now + step)
            self.device.tick()
            self._settle()

    def _settle(self) -> None:
        while self.connected and (data := self.device.take()):
            for packet in self._reader.feed(data):
                self.said.append(packet)
                self._answer(packet)
            if self.device.hangs_up:
                break
            while self._to_say:
                self._publish(*self._to_say.pop(0))
        if self.connected and self.device.hangs_up:
            self.cut()

    # --- the broker and the cloud ---------------------------------------------------------------------------------

    def _answer(self, packet: mqtt.Packet) -> None:
        match packet:
            case mqtt.Connect():
                self.device.heard(mqtt.Connack(self.welcome))
            case mqtt.Subscribe(mid, topics):
                self.device.heard(mqtt.Suback(mid, tuple(qos for _, qos in topics)))
            case mqtt.Publish():
                if packet.qos:
                    self.device.heard(mqtt.Puback(packet.mid))
                self._ingest(packet)
            case mqtt.Pingreq():
                self.device.heard(mqtt.Pingresp())
            case _:
                pass

    def _ingest(self, packet: mqtt.Publish) -> None:
        try:
            _, message = decode_on(packet.topic, packet.payload)
        except WireError as refused:
            self.refused[refused.name] += 1
            return
        self.messages.append(message)
        if isinstance(message, Alert | Response) and self.acks:
            if isinstance(message, Alert):
                self.stored[message.message_id] = message
            self._to_say.append((Channel.ACKS, self.made(Acks, message_ids=(message.message_id,))))

    def say(self, channel: Channel, message: Message) -> int:
        """The cloud says something; the packet's number."""
        mid = self._publish(channel, message)
        self._settle()
        return mid

    def _publish(self, channel: Channel, message: Message) -> int:
        self._mid += 1
        self.device.heard(mqtt.Publish(topic("sim-1", channel), encode(message), 1, channel.retained, self._mid))
        return self._mid

    def made(self, kind: type[Any], **values: object) -> Any:
        self._mid += 1
        return kind.model_validate(
            {"message_id": f"{self._mid:032x}", "device": "sim-1", "made_at": self.clock.wall(), **values}
        )

    def command(self, name: str, life_s: float = 60.0, **arguments: object) -> Command:
        command = self.made(
            Command, name=name, expires_at=self.clock.wall() + timedelta(seconds=life_s), arguments=arguments
        )
        self.say(Channel.COMMANDS, command)
        return command

    def desire(self, version: int, model: ModelRef | None = RELEASE, **more: object) -> None:
        desired = self.made(Desired, version=version, group="default", model=model, **more)
        self.say(Channel.DESIRED, desired)

    def of(self, kind: type[Message]) -> list[Any]:
        return [message for message in self.messages if isinstance(message, kind)]

    @property
    def alerts(self) -> list[Alert]:
        return self.of(Alert)

    @property
    def responses(self) -> list[Response]:
        return self.of(Response)

    @property
    def states(self) -> list[str]:
        return [str(reported.state) for reported in self.of(Reported)]

    @property
    def presences(self) -> list[Status]:
        return self.of(Status)

    @property
    def telemetry(self) -> list[Telemetry]:
        return self.of(Telemetry)
