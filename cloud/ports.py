"""Ports that several parts of the cloud share."""

from __future__ import annotations

from datetime import datetime
from typing import Protocol


class Clock(Protocol):
    """Time, as a port: tests turn it by hand."""

    def monotonic(self) -> float:
        """Seconds since some point in the past; never goes back."""

    def wall(self) -> datetime:
        """The time of day, with its offset."""

    async def sleep(self, seconds: float) -> None:
        """Return once `monotonic` has gone on by `seconds`."""
