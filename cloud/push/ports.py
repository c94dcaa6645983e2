"""What pushing needs."""

from __future__ import annotations

from typing import Protocol

from cloud.push.request import Request
from cloud.push.settings import PushSettings


class Counter(Protocol):
    """Counts by name."""

    def count(self, name: str, by: int = 1) -> None:
        """Add to the name's count."""


class Sender(Protocol):
    """The way to receivers."""

    async def send(self, push: PushSettings, request: Request) -> int:
        """Sign and send it; returns the status of the answer, whatever that is.

        Raises:
            PushFailed: There was no answer, or a file that is needed for it can't be read.
        """
