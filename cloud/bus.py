"""Telling the rest of the process what changed, without waiting for anyone.

A subscriber that does not keep up is dropped, loudly: it must read afresh what it missed, and it can tell.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from wire.messages import Question, Verdict

log = logging.getLogger(__name__)

# A burst of 200 alerts (one ingest batch) must fit several times over.
MAX_WAITING: Final = 2000


class Kind(StrEnum):
    """What changed."""

    ALERT = "alert"
    DEVICE = "device"
    ROLLOUT = "rollout"
    COMMANDS = "commands"
    """The trail of commands, as a whole: thousands may be issued at once."""


@dataclass(frozen=True, slots=True)
class Change:
    """Something changed; `key` is its id, empty for `COMMANDS`. What it is now stands in the store."""

    kind: Kind
    key: str


class Subscription:
    """The changes since it began, in order; ends when it was dropped or closed."""

    def __init__(self, name: str, max_waiting: int) -> None:
        self.name = name
        self.dropped = False
        self._max_waiting = max_waiting
        self._waiting: dict[Change, None] = {}
        self._wake = asyncio.Event()
        self._closed = False

    def offer(self, change: Change) -> bool:
        """Take the change; False if there is no room, and the subscription is over."""
        if len(self._waiting) >= self._max_waiting and change not in self._waiting:
            self.dropped = True
            self.close()
            return False
        self._waiting[change] = None
        self._wake.set()
        return True

    def close(self) -> None:
        """End it."""
        self._closed = True
        self._waiting.clear()
        self._wake.set()

    async def batches(self) -> AsyncIterator[list[Change]]:
        """Everything that waits, as soon as something does; each change once, however often it was made."""
        while not self._closed:
            await self._wake.wait()
            self._wake.clear()
            taken, self._waiting = self._waiting, {}
            if taken:
                yield list(taken)


class Bus:
    """In-process publish and subscribe, for one event loop."""

    def __init__(self) -> None:
        self._subscriptions: set[Subscription] = set()

    def publish(self, change: Change) -> None:
        """Tell every subscriber; returns at once."""
        for subscription in tuple(self._subscriptions):
            if not subscription.offer(change):
                self._subscriptions.discard(subscription)
                log.error(
                    "subscriber dropped: it fell %d changes behind",
                    MAX_WAITING,
                    extra={"subscriber": subscription.name},
                )

    @contextmanager
    def subscribe(self, name: str, max_waiting: int = MAX_WAITING) -> Iterator[Subscription]:
        """Hear of every change while the context is open."""
        subscription = Subscription(name, max_waiting)
        self._subscriptions.add(subscription)
        try:
            yield subscription
        finally:
            self._subscriptions.discard(subscription)
            subscription.close()


class OffloadWitness:
    """Passes on what the offload service says, as changes of the alert in question."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    def asked(self, question: Question, picture_key: str) -> None:  # noqa: ARG002 - the port's signature
        """A question was stored."""
        self._alert_changed(question)

    def decided(self, question: Question, verdict: Verdict) -> None:  # noqa: ARG002 - the port's signature
        """A verdict was stored."""
        self._alert_changed(question)

    def _alert_changed(self, question: Question) -> None:
        if question.alert_id is not None:
            self._bus.publish(Change(Kind.ALERT, question.alert_id))
