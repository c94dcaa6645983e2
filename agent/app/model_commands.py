"""The update worker, as commands reach it."""

from __future__ import annotations

import asyncio
from typing import Final

from pydantic import JsonValue

from agent.command.arguments import UpdateModelArguments
from agent.command.errors import CommandFailed, CommandRefused
from agent.command.ports import Progress, Result
from agent.errors import UpdateError
from agent.update.look import Decision, Refused, Runs, Waits, Wanted
from agent.update.machine import RESTING
from agent.update.record import ReportedFacts
from agent.update.worker import UpdateWorker
from wire.updates import ModelRef, UpdateState

LONGEST_S: Final = 840.0
"""A minute less than the desk gives a command, so that the answer can say how the update stands."""
_S = UpdateState
GOOD: Final = frozenset({_S.COMMITTED, _S.ALREADY_INSTALLED})
SHARES: Final = {
    _S.QUEUED: (0.0, 0.0),
    _S.DOWNLOADING: (0.0, 0.4),
    _S.VERIFYING: (0.4, 0.4),
    _S.PROVING: (0.4, 0.4),
    _S.SHADOWING: (0.6, 0.6),
    _S.INSTALLING: (0.8, 0.8),
    _S.PROBATION: (0.8, 0.8),
    _S.ROLLING_BACK: (0.9, 0.9),
}
"""How far a command has come at the beginning and the end of a state; by eye, from updates on a laptop."""


class WorkerCommands:
    """Implements `agent.command.ports.ModelCommands`. `heard` must be told all that the worker reports."""

    def __init__(self, worker: UpdateWorker, *, longest_s: float = LONGEST_S) -> None:
        self._worker = worker
        self._longest_s = longest_s
        self._followers: tuple[_Following, ...] = ()

    def heard(self, facts: ReportedFacts) -> None:
        """The worker's thread reports."""
        for follower in self._followers:
            follower.hear(facts)

    async def update(self, arguments: UpdateModelArguments, progress: Progress) -> Result:
        """Look at the repository now, try again what is desired, and wait for how it ends; see the port."""
        following = _Following(progress)
        self._followers = (*self._followers, following)
        wanted = Wanted(arguments.model, arguments.version, arguments.digest, arguments.now)
        try:
            async with asyncio.timeout(self._longest_s):
                self._worker.look(wanted, following.hear)
                return await following.end()
        except TimeoutError:
            facts = self._worker.facts()
            raise CommandFailed(
                f"after {self._longest_s:g} s it is {facts.state}, and goes on", "`vedette devices` shows its end."
            ) from None
        finally:
            self._followers = tuple(other for other in self._followers if other is not following)

    async def roll_back(self, progress: Progress) -> Result:
        """Bring the model before back."""
        del progress
        self._worker.rollback("an operator asked for it")
        facts = self._worker.facts()
        found: dict[str, JsonValue] = {
            "from": f"{facts.running.name} {facts.running.version}",
            "state": "rolling_back",
        }
        return found


class _Following:
    """One command that waits. What it hears comes from the worker's thread, in the order in which it happened."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._loop = asyncio.get_running_loop()
        self._news: asyncio.Queue[ReportedFacts | Decision | UpdateError] = asyncio.Queue()

    def hear(self, news: ReportedFacts | Decision | UpdateError) -> None:
        self._loop.call_soon_threadsafe(self._news.put_nowait, news)

    async def end(self) -> Result:
        """Wait for it.

        Raises:
            CommandRefused, CommandFailed, UpdateError: It is not installed.
        """
        taken: ModelRef | None = None
        while True:
            match await self._news.get():
                case ReportedFacts() as facts if taken is not None and facts.state in RESTING:
                    return _outcome(facts, taken)
                case ReportedFacts() as facts:
                    self._tell(facts)
                case UpdateError() as failed:
                    raise failed
                case Refused(what, mend):
                    raise CommandRefused(what, mend)
                case Runs(ref):
                    return _result(ref, _S.ALREADY_INSTALLED)
                case Waits(ref, opens_s):
                    raise CommandFailed(
                        f"{ref.name} {ref.version} is queued, and begins when its maintenance window opens, in"
                        f" {_span(opens_s)}",
                        "now=true doesn't wait, where updates.may_skip_window lets it.",
                    )
                case decided:
                    taken = decided.ref

    def _tell(self, facts: ReportedFacts) -> None:
        if facts.state in SHARES:
            begin, end = SHARES[facts.state]
            words = f"{facts.state}: {facts.reason}" if facts.reason else str(facts.state)
            self._progress(begin + (end - begin) * (facts.progress or 0.0), words)


def _outcome(facts: ReportedFacts, taken: ModelRef) -> Result:
    target = facts.target or taken
    if target.digest != taken.digest:
        raise CommandFailed(f"{target.name} {target.version} was desired meanwhile, which is {facts.state}")
    if facts.state not in GOOD:
        raise CommandFailed(f"{taken.name} {taken.version} is {facts.state}: {facts.reason}")
    return _result(facts.running, facts.state)


def _result(running: ModelRef, state: UpdateState) -> Result:
    return {"state": str(state), "model": running.name, "version": running.version, "digest": running.digest}


def _span(seconds: float) -> str:
    minutes = max(1, round(seconds / 60))
    return f"{minutes} min" if minutes < 120 else f"{minutes / 60:.1f} h"  # noqa: PLR2004 - two hours
