"""Counting what went wrong, by name: telemetry reports it, and the log shows it without drowning in it."""

from __future__ import annotations

import logging
import threading
from collections import Counter

from wire.errors import VedetteError

log = logging.getLogger(__name__)


class Faults:
    """Named errors and how often each happened; safe to use from any thread."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._lock = threading.Lock()

    def note(self, error: VedetteError) -> None:
        """Count the error, and log its 1st, 2nd, 4th, 8th … occurrence."""
        with self._lock:
            self._counts[error.name] += 1
            times = self._counts[error.name]
        if times & (times - 1) == 0:
            log.warning("%s (%d so far): %s", error.name, times, error, extra={"error": error.name})

    def counts(self) -> dict[str, int]:
        """How often each error happened since the agent started."""
        with self._lock:
            return dict(self._counts)
