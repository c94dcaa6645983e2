"""A simulation from start to end: the service, its devices, alerts, commands, a rollout, rest, and the reckoning.

1. Devices are enrolled, the service is started, a release is published in the background.
2. All connect. From when the last one is online, alerts are raised for the duration, commands are given, and the
   release is rolled out; what takes longer than the duration is waited for.
3. Nothing new is begun any more; flaky devices stay; everything that waits is delivered and acked.
4. What was raised is held against what lies in the service's store, read from outside.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import time
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import httpx
import psutil

from agent.adapters.system_clock import SystemClock
from agent.deliver.link import Address, address_of
from cloud.deployment import Phase
from cloud.web.rollouts import RolloutView
from wire.commands import CommandName, Outcome
from wire.updates import ModelRef
from workbench.demo.parts import cloud_folder, start_service
from workbench.demo.processes import Child, Children
from workbench.demo.release import make_trust, publish
from workbench.errors import SimFailed, SimOptionsInvalid
from workbench.sim.checking import Stored, read_alerts, read_store
from workbench.sim.device import Life
from workbench.sim.figures import Figures
from workbench.sim.fleet import Credential, Fleet
from workbench.sim.lies import COUNTED_AS
from workbench.sim.options import Elsewhere, SimOptions
from workbench.sim.personality import assign
from workbench.sim.screen import Screen
from workbench.sim.service import CloudView, begin_rollout, command, enrol, read_credentials
from workbench.sim.surroundings import folder_for, raise_file_limit, told_by_signals
from workbench.sim.trust import SharedTrust

BORN_WITH: Final = ModelRef(name="simulated", version="1.0.0", digest="sha256:" + "5e" * 32)
"""No file has this digest: a simulated device runs no model."""
CONNECT_S_PER_DEVICE: Final = 0.1
AT_LEAST_S: Final = 60.0
"""How long connecting and coming to rest may take: ten devices a second is far below what one core does."""
GOING_ON: Final = frozenset({Phase.RUNNING, Phase.PAUSED, Phase.ROLLING_BACK})
ROLLOUT_WITHIN_S: Final = 600.0
LOOK_EVERY_S: Final = 0.5
SEEN_WITHIN_S: Final = 15.0
MIB: Final = 2**20
KB: Final = 1000
_ROUNDS: Final = (CommandName.PING, CommandName.DIAGNOSE)


def run_sim(options: SimOptions, screen: Screen) -> Figures:
    """Run it all; the figures at its end.

    Raises:
        VedetteError: A part can't start, or died.
    """
    raise_file_limit(options.devices)
    with folder_for(options.data_dir) as folder:
        children = Children(folder)
        try:
            return asyncio.run(_run(options, screen, folder, children))
        finally:
            children.stop_all()


async def _run(options: SimOptions, screen: Screen, folder: Path, children: Children) -> Figures:
    stop = asyncio.Event()
    with told_by_signals(stop):
        return await _Simulation(options, screen, folder, children, stop).run()


@dataclass(slots=True)
class _Cloud:
    """The service that the devices connect to.

    Attributes:
        child: Where it was started here.
        store: Its data directory, where that is on this machine.
        root_file: What the devices pin; None and they take no updates.
    """

    http: str
    broker: Address
    credentials: list[Credential]
    root_file: Path | None
    store: Path | None
    child: Child | None = None


class _Simulation:
    def __init__(
        self, options: SimOptions, screen: Screen, folder: Path, children: Children, stop: asyncio.Event
    ) -> None:
        self._options = options
        self._screen = screen
        self._folder = folder
        self._children = children
        self._stop = stop
        self._began = time.monotonic()
        self._figures = Figures(devices=options.devices)
        self._rss_before = 0.0

    async def run(self) -> Figures:
        """See the module."""
        options, screen, figures = self._options, self._screen, self._figures
        kinds = assign(options.mix, options.devices, options.seed)
        figures.personalities = dict(Counter(map(str, kinds)))
        async with AsyncExitStack() as stack:
            cloud = await self._open_cloud()
            view = CloudView(await stack.enter_async_context(httpx.AsyncClient(base_url=cloud.http, timeout=30.0)))
            figures.dashboard = cloud.http
            figures.tls = any(one.identity is not None for one in cloud.credentials)
            trust = None
            if cloud.root_file is not None:
                trust = await stack.enter_async_context(
                    SharedTrust(cloud.http, cloud.root_file, self._folder / "trust", SystemClock())
                )
            counts_before = await view.counts()
            gc.collect()
            self._rss_before = _rss_mib()
            rate = options.alerts_per_minute
            fleet = Fleet(
                cloud.credentials,
                kinds,
                life=Life(60.0 / rate if rate else None, BORN_WITH, trusts=trust is not None),
                address=cloud.broker,
                seed=options.seed,
                clock=SystemClock(),
                trust=trust,
            )
            screen.begin()
            try:
                async with self._shown(fleet):
                    await self._live(fleet, cloud, view)
                    figures.online = await self._seen_online(cloud, view)
                await self._reckon(fleet, cloud, view, counts_before)
            finally:
                screen.end()
                await fleet.end(politely=True)
        return figures

    # --- the service ----------------------------------------------------------------------------------------------

    async def _open_cloud(self) -> _Cloud:
        options = self._options
        if options.elsewhere is not None:
            return await asyncio.to_thread(self._found, options.elsewhere)
        data = cloud_folder(self._folder)
        self._figures.phase = "starting the service"
        credentials = await enrol(data, self._folder, options.devices)
        root = await asyncio.to_thread(make_trust, self._folder)
        settings = self._folder / "service.toml"
        # A simulated device sends no pictures, so no model has to be loaded that would look at them.
        settings.write_text("answer_questions = false\n", "utf-8")
        asked = ["--config", str(settings), "--http-port", str(options.http_port)]
        child, addresses = await asyncio.to_thread(start_service, self._children, self._folder, asked)
        return _Cloud(addresses.http, address_of(addresses.mqtt), credentials, root, data.root, child)

    def _found(self, there: Elsewhere) -> _Cloud:
        identities = self._folder / "identities"
        credentials, named = read_credentials(there.credentials, self._options.devices, identities, self._screen.say)
        broker = there.broker or named
        if broker is None:
            raise SimOptionsInvalid(
                "devices with tokens don't know where their broker is", "Say --broker mqtt://HOST:PORT."
            )
        try:
            address = address_of(broker)
        except ValueError as wrong:
            raise SimOptionsInvalid(f"--broker: {wrong}", "Such as mqtt://127.0.0.1:1883.") from None
        return _Cloud(there.http.rstrip("/"), address, credentials, there.root_file, there.data_dir)

    # --- its life -------------------------------------------------------------------------------------------------

    async def _live(self, fleet: Fleet, cloud: _Cloud, view: CloudView) -> None:
        options, figures = self._options, self._figures
        bound_s = max(AT_LEAST_S, CONNECT_S_PER_DEVICE * options.devices)
        began = time.monotonic()
        self._figures.phase = "connecting"
        watching = asyncio.create_task(_watch_dashboard(view.http, figures), name="dashboard")
        fleet.begin()
        try:
            there = await self._unless_stopped(fleet.all_there(bound_s))
            if there is False:
                said = "".join(f"; {count} times {why}" for why, count in fleet.tally.refusals.most_common(3))
                came = f"only {fleet.tally.arrived} of {options.devices} devices came online within {bound_s:.0f} s"
                raise SimFailed(
                    f"{came}{said}",
                    "See the service's log, cloud.log in the simulation's folder, for why it refuses them.",
                )
            figures.connected_s = round(time.monotonic() - began, 2)
            # The devices stay to the end; looking for garbage among them would hold all of them up.
            gc.freeze()
            figures.phase = "running"
            if there:
                await self._unless_stopped(self._work(cloud, view, fleet.canaries))
            figures.phase = "coming to rest"
            if not await fleet.come_to_rest(bound_s):
                self._screen.say(
                    f"{fleet.waiting} messages were not acked within {bound_s:.0f} s,"
                    f" {fleet.tally.online} of {options.devices} devices are online."
                )
        finally:
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)

    async def _work(self, cloud: _Cloud, view: CloudView, canaries: Sequence[str]) -> None:
        """What the operator does, for at least the duration."""
        options = self._options
        async with asyncio.TaskGroup() as group:
            if options.duration_s is None:
                group.create_task(self._stop.wait(), name="until-stopped")
            else:
                group.create_task(asyncio.sleep(options.duration_s), name="duration")
            if cloud.child is not None and options.commands:
                group.create_task(self._give_commands(cloud), name="commands")
            if cloud.child is not None and options.rollout is not None:
                group.create_task(self._roll_out(view, options.rollout, canaries), name="rollout")

    async def _give_commands(self, cloud: _Cloud) -> None:
        figures, left = self._figures, self._options.commands
        began = time.monotonic()
        everyone = [one.device for one in cloud.credentials]
        data = cloud_folder(self._folder)
        outcomes: Counter[str] = Counter()
        number = 0
        while left > 0:
            asked = everyone if left >= len(everyone) else everyone[:left]
            name = _ROUNDS[number % len(_ROUNDS)]
            records = await command(data, None if asked is everyone else asked, [str(name)])
            outcomes.update(str(record["outcome"] or "no answer") for record in records)
            left -= len(asked)
            number += 1
            figures.commands = dict(outcomes)
            figures.commands_done = outcomes[Outcome.OK]
        figures.commands_s = round(time.monotonic() - began, 2)

    async def _roll_out(self, view: CloudView, model: str, canaries: Sequence[str]) -> None:
        figures = self._figures
        figures.rollout = f"publishing {model}"
        ref = await asyncio.to_thread(publish, self._folder, model)
        began = time.monotonic()
        rollout_id = await begin_rollout(cloud_folder(self._folder), ref, canaries)
        async with asyncio.timeout(ROLLOUT_WITHIN_S):
            while True:
                stands = await view.rollout(rollout_id)
                figures.rollout = f"{stands.phase}{f': {stands.reason}' if stands.reason else ''}"
                figures.rollout_states = dict(stands.states)
                figures.updated = stands.counts.committed
                if stands.phase not in GOING_ON or _all_answered(stands):
                    break
                await asyncio.sleep(1.0)
        figures.rollout_s = round(time.monotonic() - began, 2)

    async def _seen_online(self, cloud: _Cloud, view: CloudView) -> int:
        """The last births may be on their way from the broker to the service's store."""
        devices = frozenset(one.device for one in cloud.credentials)
        until = time.monotonic() + SEEN_WITHIN_S
        while (online := await view.online(devices)) < len(devices) and time.monotonic() < until:  # noqa: ASYNC110
            await asyncio.sleep(1.0)
        return online

    # --- the reckoning --------------------------------------------------------------------------------------------

    async def _reckon(self, fleet: Fleet, cloud: _Cloud, view: CloudView, before: Mapping[str, int]) -> None:
        figures, tally = self._figures, fleet.tally
        figures.phase = "checking the store"
        self._measure()
        tally.fill(figures)
        if cloud.child is None and cloud.root_file is not None:
            figures.rollout_states = dict(fleet.states())
            figures.updated = sum(one.update.running.number > 0 for one in fleet.devices if one.update.at_rest)
        if cloud.child is None:
            figures.commands = {str(outcome): count for outcome, count in tally.endings.items()}
            figures.commands_done = tally.endings[Outcome.OK]
        if cloud.store is not None:
            database = cloud.store / "vedette.db"
            stored = await asyncio.to_thread(read_store, database, tally.messages, tally.lie_ids)
        else:
            stored = await read_alerts(view.http, tally.alert_ids)
        self._note(stored)
        grown = Counter(await view.counts())
        grown.subtract(before)
        figures.lies_refused = {name: grown[name] for name in sorted(set(COUNTED_AS.values()))}
        figures.messages_left, figures.messages_redelivered = grown["ingest.left"], grown["link.redelivered"]
        if cloud.child is not None:
            self._measure_service(cloud.child)
        figures.wall_s = round(time.monotonic() - self._began, 2)

    def _note(self, stored: Stored) -> None:
        figures = self._figures
        figures.alerts_stored, figures.messages_lost = stored.alerts, stored.lost
        figures.duplicates, figures.lies_stored = stored.twice, stored.lies

    def _measure(self) -> None:
        figures, now = self._figures, _rss_mib()
        figures.rss_mib = round(max(figures.rss_mib, now), 1)
        grown = max(0.0, figures.rss_mib - self._rss_before) * MIB / KB
        figures.kb_per_device = round(grown / self._options.devices, 1)

    def _measure_service(self, child: Child) -> None:
        figures = self._figures
        service = psutil.Process(child.process.pid)
        figures.service_rss_mib, figures.service_cpu_s = _usage(service)
        for broker in service.children():
            if broker.name() == "nats-server":
                figures.broker_rss_mib, figures.broker_cpu_s = _usage(broker)

    # --- watching -------------------------------------------------------------------------------------------------

    @asynccontextmanager
    async def _shown(self, fleet: Fleet) -> AsyncIterator[None]:
        showing = asyncio.create_task(self._show(fleet), name="screen")
        try:
            yield
        finally:
            showing.cancel()
            await asyncio.gather(showing, return_exceptions=True)

    async def _show(self, fleet: Fleet) -> None:
        while True:
            self._measure()
            fleet.tally.fill(self._figures)
            shown = replace(self._figures, online=fleet.tally.online)
            self._screen.show(shown, fleet.waiting, time.monotonic() - self._began)
            await asyncio.sleep(LOOK_EVERY_S)

    async def _unless_stopped(self, work: object) -> bool | None:
        """Do it until it is done or somebody says stop, or a child dies; None where it was stopped."""
        doing = asyncio.ensure_future(work)  # type: ignore[call-overload]
        stopping = asyncio.create_task(self._stop.wait(), name="stopping")
        try:
            while True:
                done, _ = await asyncio.wait(
                    {doing, stopping}, timeout=LOOK_EVERY_S, return_when=asyncio.FIRST_COMPLETED
                )
                if doing in done:
                    return bool(doing.result())
                if stopping in done:
                    return None
                self._children.check()
        finally:
            for task in (doing, stopping):
                task.cancel()
            await asyncio.gather(doing, stopping, return_exceptions=True)


def _all_answered(rollout: RolloutView) -> bool:
    """With failures a last stage may never be passed; then each device has said what came of it all the same."""
    counts = rollout.counts
    return counts.committed + counts.failed == counts.eligible


async def _watch_dashboard(http: httpx.AsyncClient, figures: Figures) -> None:
    """Listen as an open dashboard does: the service has to render what changes."""
    with contextlib.suppress(httpx.HTTPError):
        async with http.stream("GET", "/api/events", timeout=None) as answer:
            async for line in answer.aiter_lines():
                figures.dashboard_events += line.startswith("event:")


def _usage(process: psutil.Process) -> tuple[float, float]:
    times = process.cpu_times()
    return round(process.memory_info().rss / MIB, 1), round(times.user + times.system, 1)


def _rss_mib() -> float:
    return float(psutil.Process().memory_info().rss) / MIB
