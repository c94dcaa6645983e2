"""The switch to another model, its probation, and the way back. Whatever happens here, some model goes on judging."""

from __future__ import annotations

from collections.abc import Callable

from agent.errors import CandidateRejected, JudgeStuck, ModelStoreBroken, NoModelOpens, NoRoom
from agent.update.approach import Proven
from agent.update.boot import back, refuges
from agent.update.journal import Journal, UpdateParts
from agent.update.machine import Event
from agent.update.schedule import backoff_s
from agent.update.settings import UpdateSettings
from wire.updates import Gates, ModelRef


class Switchover:
    """Moves the pointer on disk and the model in memory together.

    Args:
        parts: What it works with.
        settings: The bounds.
        journal: Where the update stands.
        unwatched: Whether the probation is to be left as it is: the agent stops, or the model before is asked for.
        pause: Waits so many seconds; whether to go on.
    """

    def __init__(
        self,
        parts: UpdateParts,
        settings: UpdateSettings,
        journal: Journal,
        *,
        unwatched: Callable[[], bool],
        pause: Callable[[float], bool],
    ) -> None:
        self._parts = parts
        self._settings = settings
        self._journal = journal
        self._unwatched = unwatched
        self._pause = pause

    def install(self, proven: Proven) -> None:
        """Let it judge from the next frame on.

        Raises:
            NoRoom, ModelStoreBroken: The pointer still names the model before.
            JudgeStuck, NoModelOpens: Only a restart helps; it will find the model before.
        """
        ref, before, models = proven.ref, self._journal.running, self._parts.models
        self._journal.enter_kept(Event.INSTALL, proven.untried, previous=before)
        candidate = models.adopt(ref)
        try:
            models.point(ref, before)
        except (NoRoom, ModelStoreBroken) as refused:
            if models.current().digest != ref.digest:
                raise
            # The pointer names the candidate, but might not after a power cut: better back to what is certain.
            self._parts.note(refused)
            self._journal.enter(Event.HARM, f"{refused.name}: {refused.what}", harm=False)
            return
        try:
            self._parts.live.switch(candidate, proven.proof.memory_mib)
        except CandidateRejected as rejected:
            self._parts.note(rejected)
            self._journal.enter(Event.HARM, f"it could not be switched to: {rejected.what}", harm=True)
            return
        except (JudgeStuck, NoModelOpens) as lost:
            # Only a restart helps, and it shall find the model before. Whose fault it was nobody knows: more likely
            # that of the model that hangs, or of a device that is out of memory, than the candidate's.
            self._journal.enter(Event.HARM, f"{lost.name}: {lost.what}", harm=False)
            raise
        self._journal.running = ref
        self._journal.stop_counting()
        self._journal.enter(Event.SWITCHED, proven.untried)

    def watch(self) -> None:
        """Wait for the end of the probation.

        Raises:
            JudgeStuck, NoModelOpens: As `install`.
        """
        record = self._journal.record
        if record.target is None or self._journal.running.digest != record.target.digest:
            self._journal.enter(Event.HARM, "it could not be opened at the start", harm=True)
            return
        try:
            self._parts.live.watch(record.desired.gates if record.desired else Gates(), self._unwatched)
        except CandidateRejected as rejected:
            self._parts.note(rejected)
            self._journal.enter(Event.HARM, rejected.what, harm=True)
            return
        if self._unwatched():
            return
        handover = self._parts.live.handover()
        told = ([] if handover is None else [str(handover)]) + [self._journal.record.reason]
        self._journal.enter(Event.PASSED, "; ".join(filter(None, told)))
        self._collect()

    def restore(self) -> None:
        """Bring the model before back. Switch first, since frames are being judged; then let the pointer follow.

        Raises:
            JudgeStuck, NoModelOpens: As `install`.
        """
        failures = 0
        refuge = self._switched_back()
        while refuge is not None and failures < self._settings.max_restore_attempts:
            try:
                self._parts.models.point(refuge, None)
            except (NoRoom, ModelStoreBroken) as refused:
                self._parts.note(refused)
                failures += 1
                self._journal.tell(f"the pointer can't be put back: {refused.what}")
                if not self._pause(self._pause_s(failures)):
                    return
                continue
            self._journal.enter_as(back(self._journal.record))
            self._collect()
            return
        why = "no model before could be opened" if refuge is None else "the pointer can't be put back"
        self._journal.enter(Event.RESTORE_FAILED, f"{why}; {self._journal.record.reason}")

    def _switched_back(self) -> ModelRef | None:
        target = self._journal.record.target
        for refuge in refuges(self._journal.record, self._parts.models):
            if target is not None and refuge.ref.digest == target.digest:
                continue
            if refuge.ref.digest == self._journal.running.digest:
                return refuge.ref
            try:
                self._parts.live.switch(refuge, None)
            except CandidateRejected as rejected:
                self._parts.note(rejected)
                continue
            self._journal.running = refuge.ref
            return refuge.ref
        return None

    def _pause_s(self, failures: int) -> float:
        settings, chance = self._settings, self._parts.chance()
        return backoff_s(failures, min_s=settings.retry_min_s, max_s=settings.retry_max_s, chance=chance)

    def _collect(self) -> None:
        try:
            self._parts.models.collect()
        except (NoRoom, ModelStoreBroken) as refused:
            self._parts.note(refused)
