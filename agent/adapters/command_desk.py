"""Takes commands from the link, has them done, and keeps their answers until the cloud has them.

They are done one after the other, but for those that take minutes: each kind of these has a queue of its own, so
that nobody waits for a clip to roll a model back.

Every command is answered: `accepted`, any number of `progress`, and one `done`; one that is refused at once is `done`
at once. An answer is sent again at each connection until the cloud acks it; only `progress` may be lost.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections import OrderedDict, deque
from collections.abc import Callable, Collection, Mapping
from datetime import datetime
from typing import Final

from pydantic import JsonValue

from agent.command.cloud_time import CloudTime, Timing
from agent.command.dispatch import Accept, Refuse, Repeat, Stage, admit, after_restart
from agent.command.errors import CommandRefused
from agent.command.ports import Action, Answer, Entry, Journal, Result, Task
from agent.deliver.faults import Faults
from agent.deliver.messages import MAX_TEXT, Boot
from agent.domain import Clock
from agent.errors import OutboxUnwritable
from wire.codec import encode
from wire.commands import Command, CommandName, Outcome, Phase, Response
from wire.errors import MessageTooLarge, VedetteError

log = logging.getLogger(__name__)

PROOF_WAIT_S: Final = 20.0
"""How long the cloud may take to ack an `accepted`; it takes a round trip. One that acks none is an older one."""
LONGEST_S: Final = 900.0
"""No command takes longer; the longest is a model's download and proof."""
LONG: Final = (CommandName.CAPTURE_CLIP, CommandName.UPDATE_MODEL)
MAX_OUTGOING: Final = 2048
"""Answers that wait to be sent on this connection; the next one begins again with what the cloud has not acked."""
MAX_REMEMBERED: Final = 256
"""Answers in memory while the disk refuses."""


class CommandDesk:
    """Implements `agent.command.ports.Desk`; `run` is its one task."""

    def __init__(
        self,
        *,
        journal: Journal,
        actions: Mapping[str, Action],
        boot: Boot,
        clock: Clock,
        faults: Faults,
        proof_wait_s: float = PROOF_WAIT_S,
        longest_s: float = LONGEST_S,
        new_id: Callable[[], str] = lambda: secrets.token_hex(16),
    ) -> None:
        self._journal = journal
        self._actions = actions
        self._boot = boot
        self._clock = clock
        self._faults = faults
        self._proof_wait_s = proof_wait_s
        self._longest_s = longest_s
        self._new_id = new_id
        self._time = CloudTime()
        self._proof = asyncio.Event()
        self._taking = asyncio.Lock()
        # Held from an answer's entry in the journal until it is said, so that a connection which begins in between
        # does not find it in the journal and hear it said as well.
        self._speaking = asyncio.Lock()
        self._quick: asyncio.Queue[tuple[Command, Accept]] = asyncio.Queue()
        self._long = {str(name): asyncio.Queue[tuple[Command, Accept]]() for name in LONG}
        self._waiting = 0
        self._outgoing: deque[Answer] = deque(maxlen=MAX_OUTGOING)
        self._more = asyncio.Event()
        self._first_sent: OrderedDict[str, float] = OrderedDict()
        self._unkept: OrderedDict[str, Answer] = OrderedDict()
        self._acking: set[asyncio.Task[None]] = set()

    def open(self) -> None:
        """Answer what an earlier run left undone.

        Raises:
            OutboxUnwritable: The disk refuses.
        """
        self._time = CloudTime(self._journal.floor())
        for entry in self._journal.unfinished():
            outcome, reason = after_restart(entry.name, entry.stage)
            answer = self._answer(entry.id, entry.name, Phase.DONE, outcome=outcome, reason=reason)
            self._journal.finish(Entry(entry.id, entry.name, Stage.DONE, answer), None)
            log.info("command %s: %s %s", entry.name, outcome, reason, extra={"command_id": entry.id})

    async def run(self, stop: asyncio.Event) -> None:
        """Do commands until `stop` is set; one that is being done then is answered at the next start."""
        queues = {"commands": self._quick} | {f"commands-{name}": queue for name, queue in self._long.items()}
        working = [asyncio.create_task(self._work_off(queue), name=name) for name, queue in queues.items()]
        stopping = asyncio.create_task(stop.wait(), name="commands-stop")
        try:
            await asyncio.wait((*working, stopping), return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (*working, stopping):
                task.cancel()
            await asyncio.gather(stopping, *self._acking, return_exceptions=True)
        for task in working:
            if task.done() and not task.cancelled():
                task.result()

    # --- from and to the link -------------------------------------------------------------------------------------

    async def take(self, command: Command) -> None:
        """A command came; see the port."""
        self._time.heard(command.made_at)
        async with self._taking:
            try:
                await self._admit(command)
            except OutboxUnwritable as refused:
                self._faults.note(refused)
                reason = f"nothing was done, since it can't be recorded ({refused.what})"
                await self._remember(command.message_id, self._done(command, Outcome.REFUSED, reason))

    def acked(self, message_ids: Collection[str], made_at: datetime) -> None:
        """The cloud acked messages; see the port."""
        ours = [id_ for id_ in message_ids if id_ in self._first_sent]
        if not ours:
            return
        sent_at = max(self._first_sent.pop(id_) for id_ in ours)
        self._time.proved(made_at, sent_at, self._clock.monotonic())
        self._proof.set()
        forgetting = asyncio.create_task(self._keep_acked(ours), name="commands-acked")
        self._acking.add(forgetting)
        forgetting.add_done_callback(self._acking.discard)

    async def connected(self) -> None:
        """A connection began; see the port."""
        async with self._speaking:
            self._outgoing.clear()
            try:
                waiting = await asyncio.to_thread(self._journal.unacked)
            except OutboxUnwritable as refused:
                self._faults.note(refused)
                waiting = []
            self._outgoing.extendleft(reversed((*waiting, *self._unkept.values())))
            self._more.set()

    async def next_answer(self) -> bytes:
        """Wait for the next answer; see the port."""
        while not self._outgoing:
            self._more.clear()
            await self._more.wait()
        answer = self._outgoing.popleft()
        self._first_sent.setdefault(answer.message_id, self._clock.monotonic())
        while len(self._first_sent) > MAX_REMEMBERED:
            self._first_sent.popitem(last=False)
        return answer.payload

    # --- one command ----------------------------------------------------------------------------------------------

    async def _admit(self, command: Command) -> None:
        if (unkept := self._unkept.get(command.message_id)) is not None:
            self._say(unkept)
            return
        known = await asyncio.to_thread(self._journal.find, command.message_id)
        match admit(command, known.stage if known else None, self._waiting):
            case Repeat():
                if known is not None:
                    self._say(known.answer)
            case Refuse(reason):
                await self._finish(command, Outcome.REFUSED, reason)
            case Accept() as accepted:
                answer = self._answer(command.message_id, command.name, Phase.ACCEPTED)
                async with self._speaking:
                    await asyncio.to_thread(self._journal.accept, command, answer)
                    self._say(answer)
                self._waiting += 1
                self._long.get(command.name, self._quick).put_nowait((command, accepted))

    async def _work_off(self, queue: asyncio.Queue[tuple[Command, Accept]]) -> None:
        while True:
            command, accepted = await queue.get()
            try:
                await self._do(command, accepted)
            except OutboxUnwritable as refused:
                self._faults.note(refused)
                reason = f"nothing was done, since it can't be recorded ({refused.what})"
                await self._remember(command.message_id, self._done(command, Outcome.REFUSED, reason))
            finally:
                self._waiting -= 1

    async def _do(self, command: Command, accepted: Accept) -> None:
        if not await self._in_time(command):
            await self._finish(command, Outcome.EXPIRED, "it came, or its turn came, after its time was over")
            return
        await asyncio.to_thread(self._journal.begin, command.message_id)
        task = Task(command.message_id, accepted.arguments, self._progress_of(command))
        try:
            async with asyncio.timeout(self._longest_s):
                result = await self._actions[command.name](task)
        except CommandRefused as refused:
            await self._finish(command, Outcome.REFUSED, str(refused))
        except VedetteError as failed:
            self._faults.note(failed)
            await self._finish(command, Outcome.FAILED, f"{failed.name}: {failed}")
        except TimeoutError:
            await self._finish(command, Outcome.FAILED, f"it was given up after {self._longest_s:g} s")
        else:
            if result is not None:
                await self._finish(command, Outcome.OK, "", result)

    async def _in_time(self, command: Command) -> bool:
        """Whether it may still be done, by what the cloud's clock says now; see `agent.command.cloud_time`."""
        if self._time.timing(command.expires_at, self._clock.monotonic()) is Timing.UNPROVED:
            try:
                async with asyncio.timeout(self._proof_wait_s):
                    await self._proof.wait()
            except TimeoutError:
                log.info("the cloud acks no answers: a command's expiry is held against this device's clock")
                return self._time.timing_by(self._clock.wall(), command.expires_at) is Timing.IN_TIME
        return self._time.timing(command.expires_at, self._clock.monotonic()) is Timing.IN_TIME

    async def _finish(self, command: Command, outcome: Outcome, reason: str, result: Result | None = None) -> None:
        answer = self._done(command, outcome, reason, result)
        log.info("command %s: %s %s", command.name, outcome, reason, extra={"command_id": command.message_id})
        entry = Entry(command.message_id, command.name, Stage.DONE, answer)
        try:
            async with self._speaking:
                await asyncio.to_thread(self._journal.finish, entry, command)
                self._say(answer)
        except OutboxUnwritable as refused:
            self._faults.note(refused)
            await self._remember(command.message_id, answer)

    # --- answers --------------------------------------------------------------------------------------------------

    def _progress_of(self, command: Command) -> Callable[[float, str], None]:
        def progress(share: float, words: str) -> None:
            share = min(1.0, max(0.0, share))
            self._say(self._answer(command.message_id, command.name, Phase.PROGRESS, progress=share, reason=words))

        return progress

    def _done(self, command: Command, outcome: Outcome, reason: str, result: Result | None = None) -> Answer:
        given = dict(result or {})
        try:
            return self._answer(
                command.message_id, command.name, Phase.DONE, outcome=outcome, reason=reason, result=given
            )
        except MessageTooLarge as refused:
            return self._answer(
                command.message_id, command.name, Phase.DONE, outcome=Outcome.FAILED, reason=refused.what
            )

    def _answer(
        self,
        command_id: str,
        name: str,
        phase: Phase,
        *,
        outcome: Outcome | None = None,
        reason: str = "",
        progress: float | None = None,
        result: dict[str, JsonValue] | None = None,
    ) -> Answer:
        response = Response(
            message_id=self._new_id(),
            device=self._boot.device,
            made_at=self._clock.wall(),
            boot_id=self._boot.boot_id,
            boot_seq=self._boot.next_seq(),
            command_id=command_id,
            name=name,
            phase=phase,
            progress=progress,
            outcome=outcome,
            reason=_plain(reason),
            result=result or {},
        )
        return Answer(response.message_id, encode(response))

    def _say(self, answer: Answer) -> None:
        self._outgoing.append(answer)
        self._more.set()

    async def _remember(self, command_id: str, answer: Answer) -> None:
        """The disk refuses: the answer lives as long as this process."""
        async with self._speaking:
            self._unkept[command_id] = answer
            while len(self._unkept) > MAX_REMEMBERED:
                self._unkept.popitem(last=False)
            self._say(answer)

    async def _keep_acked(self, message_ids: list[str]) -> None:
        try:
            await asyncio.to_thread(self._journal.acked, message_ids)
        except OutboxUnwritable as refused:
            self._faults.note(refused)  # they will be sent, and acked, once more


def _plain(text: str) -> str:
    """Within what the wire takes: one line, printable, cut rather than refused."""
    line = " ".join(text.split())
    return "".join(character if character.isprintable() else "�" for character in line)[:MAX_TEXT]
