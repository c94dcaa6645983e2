"""A device's alerts on their way to the cloud: the agent's own window over an outbox that only the ack empties."""

from __future__ import annotations

from typing import Final

from agent.deliver.link import LinkSettings
from agent.deliver.window import Window
from agent.domain import Clock
from wire.codec import encode
from wire.messages import Alert
from wire.topics import Channel
from workbench.sim.alerts import Outbox
from workbench.sim.timers import Timers
from workbench.sim.voice import Voice
from workbench.sim.witness import Witness

_LINK: Final = LinkSettings.model_fields
WINDOW: Final[int] = _LINK["window"].default
ACK_TIMEOUT_S: Final[float] = _LINK["ack_timeout_s"].default
"""The agent's own defaults."""


class Delivery:
    """Everything again from the oldest after a new connection, and after a silence."""

    __slots__ = ("_clock", "_outbox", "_timers", "_voice", "_window", "_witness")

    def __init__(self, voice: Voice, timers: Timers, clock: Clock, witness: Witness) -> None:
        self._voice = voice
        self._timers = timers
        self._clock = clock
        self._witness = witness
        self._window = Window(WINDOW, ACK_TIMEOUT_S)
        self._outbox = Outbox()

    def __len__(self) -> int:
        """Messages that the cloud has not acked."""
        return len(self._outbox)

    def add(self, alert: Alert) -> None:
        """Keep it until it is acked, and send it as soon as its turn comes."""
        self._outbox.add(alert, encode(alert), self._clock.monotonic(), cut=not self._voice.online)
        self._drain()

    def acked(self, message_ids: tuple[str, ...]) -> None:
        """The cloud has these."""
        now = self._clock.monotonic()
        for one in self._outbox.acked(message_ids):
            self._witness.acked(one.device, one.alert_id, now - one.raised_at, cut=one.cut)
        self._window.acked(message_ids, now)
        self._drain()

    def begin(self) -> None:
        """The connection is a new one."""
        self._window.restart()
        self._drain()

    def cut(self) -> None:
        """The connection is gone."""
        self._outbox.cut()

    def _drain(self) -> None:
        if not self._voice.online:
            return
        now = self._clock.monotonic()
        idle = not self._window.waiting
        for queued in self._outbox.after(self._window.cursor, self._window.room):
            self._voice.publish(Channel.ALERTS, queued.payload)
            self._window.sent(queued, now)
        if idle and self._window.waiting:
            self._await_ack()

    def _await_ack(self) -> None:
        at = self._window.repeat_at()
        if at is not None:
            self._timers.after(at - self._clock.monotonic(), self._repeat, link=True)

    def _repeat(self) -> None:
        if self._window.overdue(self._clock.monotonic()):
            self._window.go_back()
            self._drain()
        else:
            self._await_ack()
