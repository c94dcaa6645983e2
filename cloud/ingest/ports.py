"""What ingest needs from the link."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from wire.messages import Message
from wire.topics import Channel


@dataclass(frozen=True, slots=True)
class Received:
    """Bytes as they came from the broker.

    Attributes:
        number: The broker's number of the delivery, for its acknowledgement.
        again: The broker repeats it, as nobody acknowledged it; what a device says again is new to the broker.
    """

    topic: str
    payload: bytes
    qos: int
    retained: bool
    number: int
    at: datetime
    again: bool = False


class Batch(Protocol):
    """What came in together over one connection."""

    @property
    def received(self) -> Sequence[Received]:
        """In the order of arrival, at least one."""

    def acknowledge(self) -> None:
        """Tell the broker not to send these again; without effect once the connection is gone."""


class Link(Protocol):
    """The way from and to the devices."""

    async def batch(self, limit: int) -> Batch:
        """What waits, at most `limit` messages; waits for the first, over lost connections too."""

    async def publish(self, device: str, channel: Channel, message: Message) -> None:
        """Hand the message to the broker; returns once it has it.

        Raises:
            LinkLost: The broker can't be reached, or went away before it said that it has it.
        """


class Counter(Protocol):
    """Counts by name."""

    def count(self, name: str, by: int = 1) -> None:
        """Add to the name's count."""
