"""`vedette-agent run`: the service. Starts the parts, waits for a reason to end, and stops them in order."""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import Awaitable, Callable, Collection, Iterator
from pathlib import Path
from typing import Final

from agent.adapters.resident import Range, hand_back, library_data, one_heap, trim
from agent.app.supervision import Supervision
from agent.app.wiring import Agent, assemble
from agent.config import Config
from agent.errors import ConfigInvalid, OutboxUnwritable
from agent.supervise.port import Supervisor
from wire.errors import VedetteError

log: Final = logging.getLogger(__name__)

ANSWER_WAIT_S: Final = 5.0
"""With --until-end: how long after the last frame the open questions may take."""

WORKER_STOP_S: Final = 5.0
"""A proof or a download notices within a second or two; what doesn't is taken up again at the next start."""

SETTLED_AFTER_S: Final = 10.0
"""Cameras and connections are open by then, or waiting for what is not there."""


EX_RESTART: Final = 75
"""A `restart` command ended it (EX_TEMPFAIL, which no other end gives): the supervisor starts it again. For systemd
that is `Restart=on-failure`, or `RestartForceExitStatus=75` where other failures shall not."""


async def run(config_path: Path, config: Config, version: str, manager: Supervisor, *, until_end: bool) -> int:
    """Run until SIGTERM, SIGINT or a `restart` command, or with `until_end` until every recorded source is over.

    The service manager is told when the agent is ready, that it lives, and how it is doing.

    Returns:
        The exit code: 0, or EX_RESTART.

    Raises:
        VedetteError: A part can't be opened, or failed for good; with `until_end` also what ended a source early.
        KeyboardInterrupt: SIGINT came a second time. What was not delivered stays on disk.
    """
    one_heap()
    loop = asyncio.get_running_loop()
    stopping = asyncio.Event()

    def interrupted() -> None:
        log.info("stopping; interrupt once more to leave what is undelivered for the next run")
        stopping.set()
        loop.remove_signal_handler(signal.SIGINT)

    loop.add_signal_handler(signal.SIGTERM, stopping.set)
    loop.add_signal_handler(signal.SIGINT, interrupted)
    # Without a handler, a SIGHUP that comes while the parts are put together would end the process.
    loop.add_signal_handler(signal.SIGHUP, log.info, "still starting: the configuration was read just now")
    manager.status("starting: opening the model and what the last run left")
    # What importing read, lest opening the model comes on top of it.
    hand_back(library_data())
    agent = assemble(config_path, config, version)
    reloading = Reloading(agent, config, manager)
    loop.add_signal_handler(signal.SIGHUP, reloading.want)
    restarting = _restarting(agent, stopping)
    await asyncio.to_thread(_open_desk, agent)
    data = library_data()  # now that the runtime is loaded too, and ahead of the threads
    trim()
    hand_back(data)
    log.info("watching %s", ", ".join(camera.name for camera in config.cameras))
    manager.status("starting: waiting for the first picture")
    await _live(agent, stopping, reloading, data, until_end=until_end)
    if until_end:
        for camera in agent.cameras.by_name.values():
            if camera.failure is not None:
                raise camera.failure
    log.info("stopped%s", ", to be started again" if restarting.is_set() else "")
    return EX_RESTART if restarting.is_set() else 0


def _restarting(agent: Agent, stopping: asyncio.Event) -> asyncio.Event:
    """The event that is set, with `stopping`, where a command wants the agent started again."""
    restarting = asyncio.Event()

    def restart() -> None:
        log.info("stopping, to be started again: a command asked for it")
        restarting.set()
        stopping.set()

    agent.control.on_restart = restart
    return restarting


def _open_desk(agent: Agent) -> None:
    try:
        agent.desk.open()
    except OutboxUnwritable as refused:  # alerts come first: a device that can't record commands refuses them
        agent.faults.note(refused)


async def _live(
    agent: Agent, stopping: asyncio.Event, reloading: Reloading, data: Collection[Range], *, until_end: bool
) -> None:
    """The parts' lives, from first to last; the link outlives all others so that it can deliver what they left.

    A part that fails for good ends the others in the same order as a signal does, and its error is raised then.
    """
    link_stop, ask_stop = asyncio.Event(), asyncio.Event()
    over = _all_over(agent) if until_end else _never
    failures: list[VedetteError] = []

    async def live(part: Awaitable[None]) -> None:
        try:
            await part
        except VedetteError as failed:
            failures.append(failed)
        finally:
            stopping.set()

    agent.cameras.start()
    if agent.worker is not None:
        agent.worker.start()
    try:
        async with asyncio.TaskGroup() as tasks:
            linking = tasks.create_task(live(agent.link.run(link_stop)), name="link")
            for name, part in _speaking(agent, stopping, ask_stop):
                tasks.create_task(live(part), name=name)
            judging = tasks.create_task(live(asyncio.to_thread(agent.pipeline.run, over)), name="judge")
            tasks.create_task(agent.desk.run(ask_stop), name="desk")
            tasks.create_task(agent.status.run(ask_stop), name="status")
            totals = tasks.create_task(_add_up(agent, reloading.totals_every_s), name="egress-totals")
            settled = tasks.create_task(_settle(data), name="settle")
            supervision = reloading.supervision(link_runs=lambda: not linking.done())
            supervising = tasks.create_task(supervision.run(), name="supervision")
            reloads = tasks.create_task(reloading.run(), name="reload")
            await stopping.wait()
            supervision.stop()
            for task in (settled, totals, reloads):
                task.cancel()
            await _stop_reading(agent)
            agent.pipeline.stop()
            await judging
            ask_stop.set()
            link_stop.set()
            await linking
            supervising.cancel()
    finally:
        # Whatever happened above: a judging thread that goes on would keep the process from ending.
        agent.pipeline.stop()
        agent.cameras.stop(timeout_s=0.0)
    agent.slots.close()
    agent.outbox.close()
    if agent.uploads is not None:
        agent.uploads.close()
    for kept in (agent.journal, agent.receipts, agent.tuner):
        kept.close()
    logging.getLogger().removeHandler(agent.tail)
    if failures:
        raise failures[0]


def _speaking(
    agent: Agent, stopping: asyncio.Event, ask_stop: asyncio.Event
) -> Iterator[tuple[str, Awaitable[None]]]:
    """What an agent with a cloud has beside its link."""
    if agent.asker is not None:
        yield "asker", agent.asker.run(ask_stop)
    yield "tuner", agent.tuner.run(ask_stop)
    if agent.renewal is not None:
        yield "renewal", agent.renewal.run(stopping)


async def _stop_reading(agent: Agent) -> None:
    """No more pictures, no more updates."""
    late = await asyncio.to_thread(agent.cameras.stop)
    for name in late:
        log.warning("camera %s is stuck in a read; leaving it behind", name)
    if agent.worker is not None:
        agent.worker.stop()
        if not await asyncio.to_thread(agent.worker.join, WORKER_STOP_S):
            log.warning("the update is busy; leaving it to the next start")


async def _settle(data: Collection[Range]) -> None:
    """Once cameras and connections are open, what opening them needed is not needed any more."""
    await asyncio.sleep(SETTLED_AFTER_S)
    await asyncio.to_thread(trim)
    await asyncio.to_thread(hand_back, data)


async def _add_up(agent: Agent, every_s: float) -> None:
    """What leaves in messages, in one line now and then."""
    while True:
        await asyncio.sleep(every_s)
        await asyncio.to_thread(agent.receipts.totals)


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
    """SIGHUP: takes over what can change while running, and says what can't. `run` is its one task."""

    def __init__(self, agent: Agent, config: Config, manager: Supervisor) -> None:
        self._agent = agent
        self._config = config
        self._manager = manager
        self._wanted = asyncio.Event()
        self._refused = ""

    def want(self) -> None:
        """Have the file read again; wanted several times before it is, it is read once."""
        self._wanted.set()

    async def run(self) -> None:
        """Reload whenever it is wanted, until cancelled. It may wait for a command, so not on the loop's thread."""
        while True:
            await self._wanted.wait()
            self._wanted.clear()
            self._manager.reloading()
            try:
                await asyncio.to_thread(self._agent.live_config.reload)
            except ConfigInvalid as refused:
                log.error("%s: %s; going on with the old configuration", refused.name, refused)  # noqa: TRY400 - for people
                self._agent.faults.note(refused)
                self._refused = f"going on with the old configuration, since the new one can't be used: {refused}"
            else:
                self._refused = ""
            self._manager.status(self._refused or "configuration reloaded")
            self._manager.ready()

    def supervision(self, *, link_runs: Callable[[], bool]) -> Supervision:
        """What tells the service manager of the agent, a refused reload included."""
        return Supervision(
            self._manager,
            self._agent,
            cameras=self._config.cameras,
            broker=self._config.link.url,
            link_runs=link_runs,
            trouble=lambda: self._refused,
        )

    @property
    def totals_every_s(self) -> float:
        """How often the egress log adds up messages, since the start."""
        return self._config.egress.totals_every_s
