"""What the service needs to speak to Home Assistant's broker, and to read pictures."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Heard:
    """A message from Home Assistant's broker.

    Attributes:
        retained: The broker had kept it.
    """

    topic: str
    payload: bytes
    retained: bool = False


class HomeSession(Protocol):
    """One connection. Each call raises HomeLost once it is over."""

    @property
    def found(self) -> Mapping[str, bytes]:
        """What of ours was retained there when the connection began, by topic."""

    async def say(self, topic: str, payload: bytes) -> None:
        """Have the broker keep it; an empty one takes back what was kept. Returns once the broker has it."""

    async def heard(self) -> Heard:
        """The next command, or word of Home Assistant's own state."""


class HomeBroker(Protocol):
    """Makes connections. At their loss the broker says on our behalf that we are offline."""

    def session(self) -> AbstractAsyncContextManager[HomeSession]:
        """A connection for as long as the context is open.

        Raises:
            HomeLost: The broker can't be reached.
            HomeRefused: It does not let us in, or the password can't be read.
        """


class Counter(Protocol):
    """Counts by name."""

    def count(self, name: str, by: int = 1) -> None:
        """Add to the name's count."""


class AlertPictures(Protocol):
    """Where an alert's picture lies."""

    async def picture_key(self, alert_id: str) -> str:
        """Its key.

        Raises:
            NotFound: There is none.
        """


class Blobs(Protocol):
    """Pictures by key."""

    async def get(self, key: str) -> bytes:
        """The picture.

        Raises:
            BlobMissing, BlobFailed: It is not there, or can't be read.
        """
