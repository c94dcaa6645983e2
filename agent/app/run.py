"""`vedette-agent run`: the service. Starts the parts, waits for a reason to end, and stops them in order."""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Final

from agent.adapters.resident import hand_back
from agent.app.wiring import Agent, assemble, new_rules
from agent.config import Config, load_config
from agent.errors import ConfigInvalid

log: Final = logging.getLogger(__name__)

ANSWER_WAIT_S: Final = 5.0
"""With --until-end: how long after the last frame the open questions may take."""

SETTLED_AFTER_S: Final = 10.0
"""Cameras and connections are open by then, or waiting for what is not there."""


async def run(config_path: Path, config: Config, version: str, *, until_end: bool) -> None:
    """Run until SIGTERM or SIGINT, or with `until_end` until every recorded source is over.

    Raises:
        VedetteError: A part can't be opened, or the model failed for good.
    """
    agent = assemble(config, version)
    hand_back()
    loop = asyncio.get_running_loop()
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    reload = Reloading(agent, config_path, config)
    loop.add_signal_handler(signal.SIGHUP, reload.now)
    log.info("watching %s", ", ".join(camera.name for camera in config.cameras))
    await _live(agent, stopping, until_end=until_end)
    log.info("stopped")


async def _live(agent: Agent, stopping: asyncio.Event, *, until_end: bool) -> None:
    """The parts' lives, from first to last; the link outlives all others so that it can deliver what they left."""
    link_stop, ask_stop = asyncio.Event(), asyncio.Event()
    agent.cameras.start()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(agent.link.run(link_stop), name="link")
        if agent.asker is not None:
            tasks.create_task(agent.asker.run(ask_stop), name="asker")
        over = _all_over(agent) if until_end else _never
        judging = tasks.create_task(asyncio.to_thread(agent.pipeline.run, over), name="judge")
        waiting = tasks.create_task(stopping.wait(), name="stop-signal")
        settled = tasks.create_task(_settle(), name="settle")
        await asyncio.wait((judging, waiting), return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
        settled.cancel()
        late = await asyncio.to_thread(agent.cameras.stop)
        for name in late:
            log.warning("camera %s is stuck in a read; leaving it behind", name)
        agent.pipeline.stop()
        await judging
        ask_stop.set()
        link_stop.set()
    agent.slots.close()
    agent.outbox.close()
    if agent.uploads is not None:
        agent.uploads.close()


async def _settle() -> None:
    """Once cameras and connections are open, what opening them needed is not needed any more."""
    await asyncio.sleep(SETTLED_AFTER_S)
    await asyncio.to_thread(hand_back)


def _all_over(agent: Agent) -> Callable[[], bool]:
    """All sources ended, and no question is open; asked by the judging thread whenever it finds no frame."""
    ended_at: list[float] = []

    def over() -> bool:
        if not agent.slots.all_ended:
            return False
        now = agent.clock.monotonic()
        ended_at[:] = ended_at or [now]
        return _all_answered(agent) or now - ended_at[0] > ANSWER_WAIT_S

    return over


def _all_answered(agent: Agent) -> bool:
    if agent.asker is None:
        return True
    counts = agent.asker.counts()
    return counts.asks <= counts.answers + counts.answers_late + counts.asks_failed + agent.link.answers


def _never() -> bool:
    return False


class Reloading:
    """SIGHUP: takes over what can change while running, and says what can't."""

    LIVE: Final = frozenset({"rules", "zones", "masks", "asking", "log_level"})

    def __init__(self, agent: Agent, path: Path, config: Config) -> None:
        self._agent = agent
        self._path = path
        self._config = config

    def now(self) -> None:
        """Read the file again; a file that can't be used changes nothing."""
        try:
            config = load_config(self._path)
        except ConfigInvalid as refused:
            log.error("%s: %s; going on with the old configuration", refused.name, refused)  # noqa: TRY400 - for people
            self._agent.faults.note(refused)
            return
        changed = {key for key in Config.model_fields if getattr(config, key) != getattr(self._config, key)}
        for key in sorted(changed - self.LIVE):
            log.warning("%s changed: that takes a restart", key)
        if changed & self.LIVE:
            logging.getLogger().setLevel(config.log_level.upper())
            self._agent.inbox.put(new_rules(config))
            self._config = self._config.model_copy(update={key: getattr(config, key) for key in self.LIVE})
        log.info("configuration reloaded: %s", ", ".join(sorted(changed & self.LIVE)) or "nothing changed")
