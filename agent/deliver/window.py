"""Which messages are on their way to the cloud: go-back-N, pure.

The outbox holds every message that the cloud has not acked, in order. The window walks along it, lets at most `size`
messages be un-acked at a time, and when no ack comes for too long, or the connection is new, starts again from the
oldest. A message may so arrive twice, which is harmless, but never before one that was recorded earlier.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from agent.deliver.outbox import Queued

MAX_ACK_TIMEOUT_S: Final = 300.0
"""The longest pause between repeats to a cloud that does not ack: 64 alerts of 700 bytes each five minutes cost 13 MB
a day, which an outage of the cloud alone may cost."""


class Window:
    """The messages sent on this connection and not yet acked by the cloud."""

    def __init__(self, size: int, ack_timeout_s: float) -> None:
        self._size = size
        self._first_timeout_s = ack_timeout_s
        self._timeout_s = ack_timeout_s
        self._unacked: set[str] = set()
        self._progress_at = 0.0
        self.cursor = 0

    @property
    def room(self) -> int:
        """How many more messages may be sent now."""
        return self._size - len(self._unacked)

    @property
    def waiting(self) -> int:
        """How many sent messages wait for their ack."""
        return len(self._unacked)

    def restart(self) -> None:
        """The connection is new: begin again from the oldest."""
        self._unacked.clear()
        self.cursor = 0

    def sent(self, message: Queued, now: float) -> None:
        """`message` went out; messages must be handed in in order of their rows."""
        if not self._unacked:
            self._progress_at = now
        self._unacked.add(message.message_id)
        self.cursor = message.row

    def acked(self, message_ids: Iterable[str], now: float) -> None:
        """The cloud has committed these."""
        before = len(self._unacked)
        self._unacked.difference_update(message_ids)
        if len(self._unacked) < before:
            self._progress_at = now
            self._timeout_s = self._first_timeout_s

    def repeat_at(self) -> float | None:
        """When to start again if no ack comes until then; None while nothing waits."""
        return self._progress_at + self._timeout_s if self._unacked else None

    def overdue(self, now: float) -> bool:
        """Whether to start again now."""
        at = self.repeat_at()
        return at is not None and now >= at

    def postpone(self, now: float) -> None:
        """The messages are still being taken, slowly: wait as long again."""
        self._progress_at = now

    def go_back(self) -> None:
        """Start again from the oldest, and wait twice as long for the next ack."""
        self.restart()
        self._timeout_s = min(2 * self._timeout_s, MAX_ACK_TIMEOUT_S)
