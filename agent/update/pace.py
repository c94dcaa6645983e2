"""How soon an update may begin: maintenance windows, the jitter of its start, pauses after failures. Pure."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import datetime

from agent.update.schedule import backoff_s, opens_in_s
from agent.update.settings import UpdateSettings
from wire.updates import Desired


class Pace:
    """What is waited for before the next attempt. Times are monotonic seconds unless they say otherwise."""

    def __init__(self, settings: UpdateSettings) -> None:
        self._settings = settings
        self.restart()

    def restart(self) -> None:
        """Another update: nothing of the one before counts."""
        self._not_before = 0.0
        self._jittered = False
        self._failures = 0
        self._skips_windows = False

    def hurry(self, *, skips_windows: bool) -> None:
        """Somebody asks for it now: neither jitter nor pause counts, nor do the windows where they are skipped."""
        self.restart()
        self._jittered = True
        self._skips_windows = skips_windows

    def failed(self, now: float, chance: float) -> None:
        """An attempt failed: each in a row makes the next one wait longer.

        Args:
            now: The time.
            chance: Random, 0..1.
        """
        self._failures += 1
        bounds = self._settings
        self._not_before = now + backoff_s(
            self._failures, min_s=bounds.retry_min_s, max_s=bounds.retry_max_s, chance=chance
        )

    def opens_in_s(self, desired: Desired, local: datetime) -> float:
        """Seconds until a maintenance window is open: 0 in one; infinite where none ever opens.

        Args:
            desired: Names the windows.
            local: The device's time of day.
        """
        opens_s = opens_in_s(() if self._skips_windows else desired.windows, local)
        return math.inf if opens_s is None else opens_s

    def outside_window(self) -> None:
        """The fleet waits for the same window: the start is jittered anew once it opens."""
        self._jittered = False

    def pause_s(self, desired: Desired, now: float, chance: Callable[[], float]) -> float:
        """Seconds that are still to be waited within the window; 0 where the attempt may begin.

        Args:
            desired: Names the most jitter.
            now: The time.
            chance: Random, 0..1; drawn once for each start.
        """
        if not self._jittered:
            self._jittered = True
            self._not_before = max(self._not_before, now + chance() * desired.start_jitter_s)
        return max(0.0, self._not_before - now)
