"""Tells the service manager how the running agent is doing."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Final

from agent.app.wiring import Agent
from agent.capture.settings import CameraSettings, SourceKind
from agent.supervise.port import Supervisor
from agent.supervise.pulse import Pulse, Vitals
from agent.supervise.words import Condition, status_line
from wire.messages import ModelStatus

STARTING_LOOK_S: Final = 0.1
"""Until the agent is ready; whoever started it waits for that."""
LOOK_S: Final = 5.0
STUCK_S: Final = 15.0
"""Where nobody watches, nothing depends on it but the status line."""
READING_MARGIN_S: Final = 10.0
"""What a loaded machine may add to the time after which a camera counts as lost."""


def frame_patience_s(cameras: Sequence[CameraSettings]) -> float:
    """How long no frame may come of cameras that are live."""
    between = max((1.0 / camera.fps_limit for camera in cameras if camera.fps_limit), default=0.0)
    return max(camera.stall_timeout_s for camera in cameras) + between + READING_MARGIN_S


class Supervision:
    """One task, which looks at the agent at intervals and says what it saw.

    Args:
        manager: Who is told.
        agent: Looked at only.
        cameras: As configured.
        broker: Its address, for people.
        link_runs: Whether the link's task has not ended.
        trouble: What a person should look at besides; empty where there is nothing.
    """

    def __init__(
        self,
        manager: Supervisor,
        agent: Agent,
        *,
        cameras: Sequence[CameraSettings],
        broker: str,
        link_runs: Callable[[], bool],
        trouble: Callable[[], str],
    ) -> None:
        self._manager = manager
        self._agent = agent
        self._broker = broker
        self._link_runs = link_runs
        self._said_trouble = trouble
        self._must_show = frozenset(c.name for c in cameras if c.kind is not SourceKind.RECORDED)
        watchdog_s = manager.watchdog_s
        self._pulse = Pulse(
            turn_patience_s=STUCK_S if watchdog_s is None else watchdog_s / 2,
            frame_patience_s=frame_patience_s(cameras),
        )
        # Four chances before the manager loses its patience: one may be late, one lost.
        self._every_s = LOOK_S if watchdog_s is None else min(LOOK_S, watchdog_s / 4)
        self._ready = False
        self._stopping = False
        self._before: tuple[float, int] = agent.clock.monotonic(), 0

    async def run(self) -> None:
        """Look and tell until cancelled."""
        while True:
            self.look()
            await asyncio.sleep(self._every_s if self._ready else min(STARTING_LOOK_S, self._every_s))

    def look(self) -> None:
        """Look once, and tell."""
        if self._stopping:
            # How long an end may take is bounded by the manager; nothing is judged any more.
            self._manager.feed()
            return
        vitals = self._vitals()
        beat = self._pulse.take(vitals)
        if beat.alive:
            self._manager.feed()
        if beat.ready and not self._ready:
            self._ready = True
            self._manager.ready()
        if self._ready or not beat.alive:
            self._manager.status(status_line(self._condition(vitals, beat.trouble)))

    def stop(self) -> None:
        """The agent ends: say so."""
        self._stopping = True
        self._manager.stopping()
        waiting = self._agent.outbox.depth()
        self._manager.status(f"stopping; {waiting} messages to deliver" if waiting else "stopping")

    def _vitals(self) -> Vitals:
        pipeline = self._agent.pipeline
        return Vitals(
            at=self._agent.clock.monotonic(),
            turns=pipeline.turns,
            looked=pipeline.looked,
            cameras=self._agent.cameras.states,
            must_show=self._must_show,
            link_runs=self._link_runs(),
        )

    def _condition(self, vitals: Vitals, trouble: str) -> Condition:
        before_at, before = self._before
        self._before = vitals.at, vitals.looked
        model, cameras = self._agent.board.now
        details = {camera.name: camera.detail for camera in cameras}
        return Condition(
            cameras={name: (state, details.get(name, "")) for name, state in vitals.cameras.items()},
            fps=(vitals.looked - before) / max(vitals.at - before_at, 1e-3),
            alerts=sum(self._agent.pipeline.tally.alerts().values()),
            waiting=self._agent.outbox.depth(),
            online=self._agent.link.online,
            broker=self._broker,
            model=_in_words(model),
            trouble="; ".join(text for text in (trouble, self._said_trouble()) if text),
        )


def _in_words(model: ModelStatus) -> str:
    return f"{model.name} {model.version} on {model.delegate}"
