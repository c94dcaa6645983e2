"""All that leaves a device: packets until the driver takes them, and the numbers that packets and messages carry."""

from __future__ import annotations

import secrets

from agent.domain import Clock
from wire.topics import Channel, topic
from workbench.sim.mqtt import Packet, Publish, encode
from workbench.sim.speech import Envelope


class Voice:
    """One device's.

    Attributes:
        online: Whether the broker has the device's birth; nothing but the birth may be published before.
    """

    __slots__ = ("_boot_id", "_boot_seq", "_clock", "_mid", "_name", "_said", "online")

    def __init__(self, name: str, clock: Clock) -> None:
        self.online = False
        self._name = name
        self._clock = clock
        self._said: list[bytes] = []
        self._mid = 0
        self._boot_id = secrets.token_hex(16)
        self._boot_seq = 0

    def envelope(self) -> Envelope:
        """For the next message."""
        self._boot_seq += 1
        return Envelope(self._name, secrets.token_hex(16), self._boot_id, self._boot_seq, self._clock.wall())

    def publish(self, channel: Channel, payload: bytes) -> int:
        """Say it on one of the device's own topics; the packet's number, 0 where it has none."""
        number = self.next_mid() if channel.qos else 0
        self.say(Publish(topic(self._name, channel), payload, channel.qos, channel.retained, number))
        return number

    def say(self, packet: Packet) -> None:
        """Say it."""
        self._said.append(encode(packet))

    def next_mid(self) -> int:
        """A packet number, 1 to 65,535."""
        self._mid = self._mid % 0xFFFF + 1
        return self._mid

    def take(self) -> bytes:
        """What is to be sent now."""
        if not self._said:
            return b""
        said, self._said = b"".join(self._said), []
        return said

    def fall_silent(self) -> None:
        """The connection is gone, and with it what was not sent."""
        self.online = False
        self._said.clear()
