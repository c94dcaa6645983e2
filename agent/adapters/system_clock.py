"""The clock of the machine."""

from __future__ import annotations

import time
from datetime import UTC, datetime


class SystemClock:
    """Implements `agent.domain.Clock`."""

    def monotonic(self) -> float:
        """Seconds since some point in the past; never goes back."""
        return time.monotonic()

    def wall(self) -> datetime:
        """The time of day in UTC, as the device believes it to be."""
        return datetime.now(UTC)
