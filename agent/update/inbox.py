"""What others ask of the update worker, from their threads."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass

from agent.errors import UpdateError
from agent.update.look import Decision, Wanted
from wire.updates import Desired

Told = Callable[[Decision | UpdateError], None]
"""Called once, by the worker's thread, right after what was decided was done."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What was asked since the last look.

    Attributes:
        pause: True to pause, False to go on, None where neither was asked.
        rollback: Why the model before is wanted back.
    """

    cancel: bool = False
    pause: bool | None = None
    rollback: str | None = None


@dataclass(frozen=True, slots=True)
class Look:
    """Somebody wants the repository looked at now."""

    wanted: Wanted
    told: Told


class Inbox:
    """Keeps the newest of each; `wake` is set by each that comes in."""

    def __init__(self, seen_version: int) -> None:
        self.wake = threading.Event()
        self._lock = threading.Lock()
        self._seen_version = seen_version
        self._desired: Desired | None = None
        self._asked = Asked()
        self._looks: list[Look] = []

    def look(self, look: Look) -> None:
        """Add to the looks that are wanted; they interrupt nothing."""
        with self._lock:
            self._looks.append(look)
        self.wake.set()

    def take_looks(self) -> list[Look]:
        """All of them."""
        with self._lock:
            looks, self._looks = self._looks, []
            return looks

    def desire(self, desired: Desired) -> bool:
        """Whether it is news: retained messages come again, and old ones may come late."""
        with self._lock:
            if desired.version <= self._seen_version:
                return False
            self._seen_version = desired.version
            self._desired = desired
        self.wake.set()
        return True

    def ask(self, *, cancel: bool = False, pause: bool | None = None, rollback: str | None = None) -> None:
        """Add to what is asked."""
        with self._lock:
            before = self._asked
            self._asked = Asked(
                cancel=cancel or before.cancel,
                pause=before.pause if pause is None else pause,
                rollback=rollback or before.rollback,
            )
        self.wake.set()

    def waiting(self) -> bool:
        """Whether there is anything."""
        return self._desired is not None or self._asked != Asked()

    def rollback_waiting(self) -> bool:
        """Whether the model before is wanted back."""
        return self._asked.rollback is not None

    def take_asked(self) -> Asked:
        """All but what is desired."""
        with self._lock:
            asked, self._asked = self._asked, Asked()
            return asked

    def take_desired(self) -> Desired | None:
        """The newest that is desired."""
        with self._lock:
            desired, self._desired = self._desired, None
            return desired
