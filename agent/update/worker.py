"""The one thread that updates the model.

It reads as the walk of a release: wait for the window, then go as far as the switch (`approach`), switch and watch
(`switchover`). In between it heeds what others ask. The record is written before each act. What goes wrong before the
switch leaves everything as it was; what goes wrong after it brings the model before back.
"""

from __future__ import annotations

import logging
import math
import threading
from collections.abc import Callable
from datetime import datetime, tzinfo
from typing import Final

from agent.errors import (
    CandidateRejected,
    JudgeStuck,
    ModelStoreBroken,
    NoModelOpens,
    NoRoom,
    ProofPostponed,
    ReleaseNotAllowed,
    ReleaseTooOld,
    RepositoryUnreachable,
    TrustError,
    UpdateError,
    UpdateMoveRefused,
)
from agent.update.approach import Approach
from agent.update.inbox import Inbox, Look, Told
from agent.update.intake import Intake, intake
from agent.update.journal import Journal, UpdateParts
from agent.update.look import Again, Decision, Hurry, Refused, Waits, Wanted, decide, may_ask
from agent.update.machine import BEFORE_SWITCH, RESTING, TABLE, Event, move
from agent.update.pace import Pace
from agent.update.record import ReportedFacts, UpdateRecord
from agent.update.settings import UpdateSettings
from agent.update.switchover import Switchover
from wire.updates import Desired, ModelRef, UpdateState

log = logging.getLogger(__name__)

_S = UpdateState
LONGEST_LOOK_S: Final = 900.0
"""A window is looked for again at least so often, since the wall clock may have been set meanwhile."""


class UpdateWorker:
    """Drives one update at a time. `desired`, `look`, `rollback`, `cancel`, `pause`, `resume`: from any thread."""

    def __init__(
        self,
        parts: UpdateParts,
        settings: UpdateSettings,
        record: UpdateRecord,
        running: ModelRef,
        *,
        wait: Callable[[threading.Event, float], object] = threading.Event.wait,
        zone: tzinfo | None = None,
    ) -> None:
        """Nothing is begun before `run` or `start`.

        Args:
            parts: What it works with.
            settings: The bounds.
            record: As `agent.update.boot.boot` left it.
            running: The model that was opened at the start.
            wait: Waits for the event, at most so many seconds.
            zone: Of the maintenance windows; the machine's own without it.
        """
        self._parts = parts
        self._settings = settings
        self._wait = wait
        self._zone = zone
        self._inbox = Inbox(record.desired.version if record.desired else 0)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self.run, name="update", daemon=True)
        self._pace = Pace(settings)
        self._journal = Journal(parts, record, running, settings.progress_every_s)
        self._approach = Approach(parts, self._journal, self._interrupted)
        self._switchover = Switchover(
            parts,
            settings,
            self._journal,
            unwatched=self._unwatched,
            pause=self._pause,
        )

    # --- from any thread ------------------------------------------------------------------------------------

    def start(self) -> None:
        """Begin, in a thread of its own."""
        self._thread.start()

    def stop(self) -> None:
        """Ask it to end soon; what is under way is gone on with at the next start."""
        self._stopping.set()
        self._inbox.wake.set()

    def join(self, timeout_s: float) -> bool:
        """Wait for its end; whether it came."""
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def desired(self, desired: Desired) -> bool:
        """Take note of what is desired; whether it was news."""
        return self._inbox.desire(desired)

    def look(self, wanted: Wanted, told: Told) -> None:
        """Ask the repository now, and try again what is desired; see `agent.update.look`.

        `told` hears what was decided, or why the repository could not be asked. What comes of it is reported.
        """
        self._inbox.look(Look(wanted, told))

    def rollback(self, reason: str) -> None:
        """Bring the model before back, and stay with it until something new is desired.

        Raises:
            UpdateMoveRefused: There is nothing to go back to, or it is under way.
        """
        record = self._journal.record
        if record.state is _S.ROLLING_BACK:
            raise UpdateMoveRefused("a rollback is under way already", "Wait for its end.")
        if self._journal.running.digest == self._parts.models.built_in.ref.digest:
            raise UpdateMoveRefused(
                f"{self._journal.running.name} {self._journal.running.version} is what the device was born with",
                "There is nothing to go back to; roll out another release.",
            )
        self._inbox.ask(rollback=reason or "asked for")

    def cancel(self) -> None:
        """Drop the update.

        Raises:
            UpdateMoveRefused: There is none, or the model was switched already.
        """
        move(self._journal.record.state, Event.CANCEL)
        self._inbox.ask(cancel=True)

    def pause(self) -> None:
        """Hold the update where nothing has changed yet.

        Raises:
            UpdateMoveRefused: There is none, or the model was switched already.
        """
        move(self._journal.record.state, Event.PAUSE)
        self._inbox.ask(pause=True)

    def resume(self) -> None:
        """Go on with what was paused.

        Raises:
            UpdateMoveRefused: Nothing is.
        """
        move(self._journal.record.state, Event.RESUME)
        self._inbox.ask(pause=False)

    def facts(self) -> ReportedFacts:
        """How it stands."""
        return self._journal.facts()

    # --- the thread -----------------------------------------------------------------------------------------

    def run(self) -> None:
        """Work until `stop`."""
        try:
            self._work()
        except JudgeStuck as stuck:
            self._parts.note(stuck)
            self._parts.stuck(stuck)
        except NoModelOpens as lost:
            # The judging thread has ended over it, and ends the agent.
            self._parts.note(lost)

    def _work(self) -> None:
        self._journal.tell()
        while not self._stopping.is_set():
            self._inbox.wake.clear()
            self._heed()
            state = self._journal.record.state
            if state is _S.QUEUED:
                self._attempt()
            elif state is _S.PROBATION:
                self._switchover.watch()
            elif state is _S.ROLLING_BACK:
                self._switchover.restore()
            elif not self._inbox.waiting():
                self._rest()
        self._leave()

    def _leave(self) -> None:
        """An orderly end is neither a failed attempt nor a crash in probation."""
        if self._journal.record.state in BEFORE_SWITCH:
            self._journal.enter(Event.RETRY, "the agent was stopped")
        elif self._journal.record.state is _S.PROBATION and self._journal.record.crashes >= 0:
            self._journal.keep(crashes=self._journal.record.crashes - 1)

    def _heed(self) -> None:
        asked = self._inbox.take_asked()
        if asked.cancel:
            self._enter_if_named(Event.CANCEL, "canceled")
        if asked.pause is True:
            self._enter_if_named(Event.PAUSE, "paused")
        elif asked.pause is False:
            self._enter_if_named(Event.RESUME, "resumed")
        if asked.rollback is not None:
            if self._journal.record.state in BEFORE_SWITCH | {_S.PAUSED}:
                self._journal.enter(Event.CANCEL, asked.rollback)
            self._enter_if_named(Event.ROLL_BACK, asked.rollback, target=self._journal.running, harm=False)
        if (self._journal.record.state, Event.QUEUE) in TABLE and (desired := self._inbox.take_desired()) is not None:
            self._take_up(desired)
        if self._journal.record.state in BEFORE_SWITCH - {_S.QUEUED}:
            self._journal.enter(Event.RETRY, "")
        for look in self._inbox.take_looks():
            look.told(self._looked(look.wanted))

    def _take_up(self, desired: Desired) -> None:
        match intake(self._journal.record, desired):
            case Intake.NOTE:
                self._journal.keep(desired=desired)
            case Intake.DROP:
                self._journal.enter(Event.CANCEL, "nothing is desired any more")
                self._journal.keep(desired=desired)
            case Intake.QUEUE:
                self._queue(desired)
            case Intake.QUEUE_PAUSED:
                self._queue(desired)
                self._journal.enter(Event.PAUSE, "the rollout is paused")

    def _queue(self, desired: Desired, target: ModelRef | None = None) -> None:
        self._pace.restart()
        self._journal.enter(
            Event.QUEUE,
            "",
            desired=desired,
            target=target or desired.model,
            attempts=0,
            crashes=0,
            spent_s=0.0,
            harm=False,
            trial=None,
            queued_at=self._parts.clock.wall(),
        )

    def _looked(self, wanted: Wanted) -> Decision | UpdateError:
        record = self._journal.record
        refused = may_ask(record)
        if refused is not None or record.desired is None:
            return refused or Refused("nothing is desired")
        if wanted.now and not self._settings.may_skip_window:
            return Refused("this device waits for its maintenance windows", "Set updates.may_skip_window on it.")
        try:
            release = self._parts.repository.group_release(record.desired.group)
        except UpdateError as failed:
            self._parts.note(failed)
            if isinstance(failed, TrustError):
                self._journal.trust = failed.name
                self._journal.tell()
            return failed
        self._journal.trusts(release)
        decided = decide(record, self._journal.running, release, wanted)
        if not isinstance(decided, Again | Hurry):
            return decided
        if isinstance(decided, Again):
            self._queue(record.desired, decided.ref)
        self._pace.hurry(skips_windows=wanted.now)
        opens_s = self._pace.opens_in_s(record.desired, self._local())
        if self._journal.record.state is _S.QUEUED and 0.0 < opens_s < math.inf:
            return Waits(decided.ref, opens_s)
        return decided

    def _rest(self) -> None:
        """Wait to be asked; now and then look whether the signed metadata is still alive."""
        self._wait(self._inbox.wake, self._settings.check_every_s)
        if (
            self._inbox.wake.is_set()
            or self._journal.record.desired is None
            or self._journal.record.state not in RESTING
        ):
            return
        before = self._journal.trust
        try:
            release = self._parts.repository.group_release(self._journal.record.desired.group)
        except TrustError as broken:
            self._parts.note(broken)
            self._journal.trust = broken.name
        except UpdateError as refused:
            self._parts.note(refused)
            return
        else:
            self._journal.trust = "ok"
            if release.min_release != self._journal.record.min_release:
                self._journal.keep(min_release=release.min_release)
            if self._journal.record.too_old(self._journal.running):
                self._journal.trust = ReleaseTooOld.__name__
        if self._journal.trust != before:
            self._journal.tell()

    # --- an attempt -----------------------------------------------------------------------------------------

    def _attempt(self) -> None:
        desired = self._journal.record.desired
        if desired is None or desired.model is None:
            self._journal.enter(Event.FAIL, "the record does not say what was desired")
            return
        if self._journal.is_late():
            self._journal.enter(
                Event.TIME_OUT, f"not in probation after {desired.timeout_s:g} s; {self._journal.record.reason}"
            )
            return
        if not self._may_begin(desired):
            return
        try:
            proven = self._approach.go(desired, desired.model)
            if proven is not None:
                self._switchover.install(proven)
        except (JudgeStuck, NoModelOpens):
            raise
        except UpdateError as refused:
            self._went_wrong(refused)

    def _may_begin(self, desired: Desired) -> bool:
        """Whether the time has come; where it has not, some of it is waited for."""
        now = self._parts.clock.monotonic()
        opens_s = self._pace.opens_in_s(desired, self._local())
        if opens_s == math.inf:
            self._journal.enter(Event.FAIL, "none of the maintenance windows ever opens")
            return False
        if opens_s > 0:
            self._journal.stop_counting()
            self._pace.outside_window()
            self._journal.tell("waits for a maintenance window")
            self._wait(self._inbox.wake, min(opens_s, LONGEST_LOOK_S))
            return False
        pause_s = self._pace.pause_s(desired, now, self._parts.chance)
        if pause_s > 0:
            left_s = desired.timeout_s - self._journal.spent_s() if self._journal.counting else LONGEST_LOOK_S
            self._wait(self._inbox.wake, min(pause_s, left_s, LONGEST_LOOK_S))
            return False
        self._journal.count()
        return True

    def _went_wrong(self, refused: UpdateError) -> None:
        """Before the switch: nothing that runs has changed."""
        if self._interrupted() and self._journal.record.state in BEFORE_SWITCH:
            return
        self._parts.note(refused)
        reason = f"{refused.name}: {refused.what}"
        if isinstance(refused, ReleaseNotAllowed | ReleaseTooOld | CandidateRejected):
            self._journal.enter(Event.REJECT, reason)
            self._discard()
            return
        if isinstance(refused, TrustError):
            self._journal.trust = refused.name
        if self._journal.record.state is _S.INSTALLING:
            self._journal.note(previous=self._parts.models.previous())
        attempts = self._journal.record.attempts
        if not isinstance(refused, RepositoryUnreachable | ProofPostponed):
            attempts += 1
            if attempts >= self._settings.max_attempts:
                self._journal.enter(Event.FAIL, reason, attempts=attempts)
                self._discard()
                return
        self._pace.failed(self._parts.clock.monotonic(), self._parts.chance())
        self._journal.enter(Event.RETRY, reason, attempts=attempts)

    # --- small things ---------------------------------------------------------------------------------------

    def _interrupted(self) -> bool:
        return self._stopping.is_set() or self._inbox.waiting() or self._journal.is_late()

    def _unwatched(self) -> bool:
        return self._stopping.is_set() or self._inbox.rollback_waiting()

    def _pause(self, pause_s: float) -> bool:
        """Wait for nothing; whether to go on afterwards."""
        self._wait(self._stopping, pause_s)
        return not self._stopping.is_set()

    def _local(self) -> datetime:
        return self._parts.clock.wall().astimezone(self._zone)

    def _enter_if_named(self, event: Event, reason: str, **changes: object) -> None:
        if (self._journal.record.state, event) in TABLE:
            self._journal.enter(event, reason, **changes)
        else:
            log.info("%s came too late: the update is %s", event, self._journal.record.state)

    def _discard(self) -> None:
        try:
            self._parts.models.discard()
        except (NoRoom, ModelStoreBroken) as refused:
            self._parts.note(refused)
