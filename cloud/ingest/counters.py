"""Counting what happened, and saying so in the log without flooding it."""

from __future__ import annotations

import logging
from collections import Counter as Tally
from typing import Final

from cloud.ports import Clock
from wire.errors import VedetteError

log = logging.getLogger(__name__)

# One line a minute for a device and kind of error; past so many pairs, one line a minute for the kind.
_QUIET_S: Final = 60.0
_MAX_PAIRS: Final = 1000


class Counters:
    """Counts by name, since the start."""

    def __init__(self) -> None:
        self._tally: Tally[str] = Tally()

    def count(self, name: str, by: int = 1) -> None:
        """Add to the name's count."""
        self._tally[name] += by

    def __getitem__(self, name: str) -> int:
        return self._tally[name]

    def snapshot(self) -> dict[str, int]:
        """All counts, by name."""
        return dict(sorted(self._tally.items()))


class RefusalLog:
    """Refused messages in the log: the first of each device and kind, then one a minute with how many came since."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._until: dict[tuple[str, str], float] = {}
        self._unsaid: Tally[tuple[str, str]] = Tally()

    def refused(self, device: str, error: VedetteError) -> None:
        """Say that a message of `device` was not taken, unless it was said a moment ago."""
        now = self._clock.monotonic()
        key = (device, error.name)
        if key not in self._until and len(self._until) >= _MAX_PAIRS:
            self._forget(now)
            if len(self._until) >= _MAX_PAIRS:
                key = ("many devices", error.name)
        if now < self._until.get(key, now):
            self._unsaid[key] += 1
            return
        self._until[key] = now + _QUIET_S
        log.warning(
            "message refused: %s",
            error,
            extra={"device": key[0], "error": error.name, "more": self._unsaid.pop(key, 0)},
        )

    def _forget(self, now: float) -> None:
        for key in [key for key, until in self._until.items() if until <= now]:
            del self._until[key]
            self._unsaid.pop(key, None)
