"""The service manager, as the agent sees it."""

from __future__ import annotations

from typing import Protocol


class Supervisor(Protocol):
    """Told how the agent is doing; every call returns at once, fails silently, and may come from any thread."""

    @property
    def watchdog_s(self) -> float | None:
        """It restarts the agent where `feed` is not called for so long; None where it does not watch."""

    def ready(self) -> None:
        """The start, or a reload, is over."""

    def reloading(self) -> None:
        """A reload has begun; `ready` ends it."""

    def stopping(self) -> None:
        """The agent ends."""

    def feed(self) -> None:
        """The agent lives."""

    def status(self, text: str) -> None:
        """One line for people."""
