"""`vedette-agent run`: the service. Starts the parts, waits for a reason to end, and stops them in order."""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import Awaitable, Callable, Collection, Iterator
from pathlib import Path
from typing import Final

from agent.adapters.resident import Range, hand_back, library_data, one_heap, trim
from agent.app.overrides import load_overridden
from agent.app.supervision import Supervision
from agent.app.watching import new_rules
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
    agent = assemble(config, version)
    reloading = Reloading(agent, config_path, config, manager)
    loop.add_signal_handler(signal.SIGHUP, reloading.now)
    restarting = _connect(agent, reloading, stopping, config_path)
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


def _connect(agent: Agent, reloading: Reloading, stopping: asyncio.Event, path: Path) -> asyncio.Event:
    """Let commands reach the run; the event that is set where one wants the agent started again."""
    restarting = asyncio.Event()

    def restart() -> None:
        log.info("stopping, to be started again: a command asked for it")
        restarting.set()
        stopping.set()

    control = agent.control
    control.path = path
    control.on_restart = restart
    control.on_config = reloading.take
    control.rules = lambda: reloading.rules
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
            await stopping.wait()
            supervision.stop()
            settled.cancel()
            totals.cancel()
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
    """SIGHUP: takes over what can change while running, and says what can't."""

    LIVE: Final = frozenset({"rules", "zones", "masks", "asking", "log_level"})

    def __init__(self, agent: Agent, path: Path, config: Config, manager: Supervisor) -> None:
        self._agent = agent
        self._path = path
        self._config = config
        self._manager = manager
        self._refused = ""

    def now(self) -> None:
        """Read the file again; a file that can't be used changes nothing."""
        self._manager.reloading()
        try:
            config = load_overridden(self._path)
        except ConfigInvalid as refused:
            log.error("%s: %s; going on with the old configuration", refused.name, refused)  # noqa: TRY400 - for people
            self._agent.faults.note(refused)
            self._refused = f"going on with the old configuration, since the new one can't be used: {refused}"
        else:
            self._refused = ""
            self.take(config)
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

    @property
    def rules(self) -> frozenset[str]:
        """The names of the rules at work."""
        return frozenset(rule.name for rule in self._config.rules)

    def take(self, config: Config) -> list[str]:
        """Go on under this configuration, as far as that is possible while running; the keys that changed."""
        changed = {key for key in Config.model_fields if getattr(config, key) != getattr(self._config, key)}
        for key in sorted(changed - self.LIVE):
            log.warning("%s changed: that takes a restart", key)
        if changed & self.LIVE:
            if "log_level" in changed:
                logging.getLogger().setLevel(config.log_level.upper())
            # The rest stays as it was at the start: new rules must not count on a camera or cloud that is not there.
            self._config = self._config.model_copy(update={key: getattr(config, key) for key in self.LIVE})
            self._agent.inbox.put(new_rules(self._config))
        live = sorted(changed & self.LIVE)
        log.info("configuration reloaded: %s", ", ".join(live) or "nothing changed")
        return live
