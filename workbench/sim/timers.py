"""A device's timers on one heap: what is due first is all that its driver needs to know."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from agent.domain import Clock


@dataclass(frozen=True, slots=True)
class Timer:
    """Something to do later; forgotten with its connection where it belongs to one."""

    what: Callable[..., None]
    argument: Any
    connection: int | None


class Timers:
    """By the monotonic clock, in seconds. What is due at the same moment is done in the order in which it was set."""

    __slots__ = ("_clock", "_connection", "_number", "_waiting")

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._connection = 0
        self._number = 0
        self._waiting: list[tuple[float, int, Timer]] = []

    def after(self, delay_s: float, what: Callable[..., None], argument: Any = None, *, link: bool = False) -> None:  # noqa: ANN401 - whatever `what` takes
        """Call `what` after so long, with the argument if there is one; `link`: only while this connection stands."""
        self._number += 1
        timer = Timer(what, argument, self._connection if link else None)
        heapq.heappush(self._waiting, (self._clock.monotonic() + max(0.0, delay_s), self._number, timer))

    def turn_connection(self) -> None:
        """There is another connection, or none any more."""
        self._connection += 1

    @property
    def due(self) -> float | None:
        """When `tick` is wanted."""
        return self._waiting[0][0] if self._waiting else None

    def tick(self) -> None:
        """Do what is due."""
        now = self._clock.monotonic()
        while self._waiting and self._waiting[0][0] <= now:
            timer = heapq.heappop(self._waiting)[2]
            if timer.connection in {None, self._connection}:
                if timer.argument is None:
                    timer.what()
                else:
                    timer.what(timer.argument)

    def move(self, what: Callable[..., None], delay_s: Callable[[], float]) -> None:
        """Set each timer for `what` anew, each with a delay of its own."""
        moved = [timer for _, _, timer in self._waiting if timer.what == what]
        self._waiting = [one for one in self._waiting if one[2].what != what]
        heapq.heapify(self._waiting)
        for timer in moved:
            self.after(delay_s(), what, timer.argument)
