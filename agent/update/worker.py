"""The one thread that updates the model.

It reads as the walk of a release: wait for the window, ask the signed repository, fetch, verify, prove, try on live
frames, install, watch. The record is written before each act. What goes wrong before the switch leaves everything as
it was; what goes wrong after it brings the model before back.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from datetime import tzinfo
from typing import Final

from agent.errors import (
    CandidateRejected,
    JudgeStuck,
    ModelStoreBroken,
    NoModelOpens,
    NoRoom,
    ReleaseNotAllowed,
    ReleaseTooOld,
    RepositoryUnreachable,
    TrustError,
    UpdateError,
    UpdateMoveRefused,
)
from agent.update.boot import back, refuges
from agent.update.inbox import Inbox, Look, Told
from agent.update.journal import Journal, UpdateParts
from agent.update.look import Again, Decision, Hurry, Refused, Waits, Wanted, decide, may_ask
from agent.update.machine import BEFORE_SWITCH, RESTING, TABLE, Event, move
from agent.update.ports import Candidate, Proof
from agent.update.record import ReportedFacts, UpdateRecord, admitted
from agent.update.schedule import backoff_s, opens_in_s
from agent.update.settings import UpdateSettings
from wire.updates import Desired, Gates, ModelRef, UpdateState

log = logging.getLogger(__name__)

_S = UpdateState
LONGEST_LOOK_S: Final = 900.0
"""A window is looked for again at least so often, since the wall clock may have been set meanwhile."""
_SETTLED: Final = {_S.COMMITTED, _S.ALREADY_INSTALLED, _S.REJECTED, _S.ROLLBACK_FAILED}
"""Ends that another version of the same deployment, such as its resumption, does not open again."""


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
        self._journal = Journal(parts, record, running, settings.progress_every_s)
        self._wait = wait
        self._zone = zone
        self._inbox = Inbox(record.desired.version if record.desired else 0)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self.run, name="update", daemon=True)
        self._not_before = 0.0
        self._jittered = False
        self._failures = 0
        self._skips_window = False

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
                self._probation()
            elif state is _S.ROLLING_BACK:
                self._restore()
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
        record = self._journal.record
        if desired.model is None:
            if record.state in BEFORE_SWITCH | {_S.PAUSED}:
                self._journal.enter(Event.CANCEL, "nothing is desired any more")
            self._journal.keep(desired=desired)
            return
        if self._is_settled(desired, desired.model):
            self._journal.keep(desired=desired)
            return
        self._queue(desired, desired.model)
        if desired.paused:
            self._journal.enter(Event.PAUSE, "the rollout is paused")

    def _queue(self, desired: Desired, target: ModelRef) -> None:
        self._reset_pauses()
        self._journal.enter(
            Event.QUEUE,
            "",
            desired=desired,
            target=target,
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
        self._journal.trust = "ok"
        self._journal.note(min_release=release.min_release)
        decided = decide(record, self._journal.running, release, wanted)
        if not isinstance(decided, Again | Hurry):
            return decided
        if isinstance(decided, Again):
            self._queue(record.desired, decided.ref)
        self._reset_pauses()
        self._jittered = True
        self._skips_window = wanted.now
        opens = self._opens_in_s(record.desired)
        if self._journal.record.state is _S.QUEUED and opens:
            return Waits(decided.ref, opens)
        return decided

    def _is_settled(self, desired: Desired, model: ModelRef) -> bool:
        record = self._journal.record
        if record.target is None or record.target.digest != model.digest or record.desired is None:
            return False
        if record.state in {_S.COMMITTED, _S.ALREADY_INSTALLED} and desired.paused:
            return True
        same = desired.deployment_id is not None and desired.deployment_id == record.desired.deployment_id
        blamed = record.state is _S.ROLLED_BACK and model.digest in record.quarantined
        return same and (record.state in _SETTLED or blamed)

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

    # --- before the switch ----------------------------------------------------------------------------------

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
            ref = self._admit(desired, desired.model)
            if ref is not None:
                self._walk(desired, ref)
        except (JudgeStuck, NoModelOpens):
            raise
        except UpdateError as refused:
            self._went_wrong(refused)

    def _may_begin(self, desired: Desired) -> bool:
        opens = self._opens_in_s(desired)
        if opens is None:
            self._journal.enter(Event.FAIL, "none of the maintenance windows ever opens")
            return False
        if opens > 0:
            self._journal.stop_counting()
            self._jittered = False
            self._journal.tell("waits for a maintenance window")
            self._wait(self._inbox.wake, min(opens, LONGEST_LOOK_S))
            return False
        now = self._parts.clock.monotonic()
        if not self._jittered:
            self._jittered = True
            self._not_before = max(self._not_before, now + self._parts.chance() * desired.start_jitter_s)
        if now < self._not_before:
            left = desired.timeout_s - self._journal.spent_s() if self._journal.counting else LONGEST_LOOK_S
            self._wait(self._inbox.wake, min(self._not_before - now, left, LONGEST_LOOK_S))
            return False
        self._journal.count()
        return True

    def _opens_in_s(self, desired: Desired) -> float | None:
        windows = () if self._skips_window else desired.windows
        return opens_in_s(windows, self._parts.clock.wall().astimezone(self._zone))

    def _admit(self, desired: Desired, wanted: ModelRef) -> ModelRef | None:
        """The release to install, or None where the update has come to its end already."""
        release = self._parts.repository.group_release(desired.group)
        self._journal.trust = "ok"
        self._journal.note(min_release=release.min_release)
        ref = admitted(release, wanted)
        if ref.digest == self._journal.running.digest:
            self._journal.running = ref
            self._journal.enter(Event.FOUND_INSTALLED, "", target=ref)
            return None
        if ref.digest in self._journal.record.quarantined:
            self._journal.enter(
                Event.REJECT, f"{ref.name} {ref.version} did harm here before: it is quarantined", target=ref
            )
            return None
        if self._interrupted():
            return None
        return ref

    def _walk(self, desired: Desired, ref: ModelRef) -> None:
        """Fetch, verify, prove, try; each step is left early where something else is asked."""
        self._journal.enter_kept(Event.BEGIN, "", target=ref)
        candidate = self._fetched(ref)
        if self._interrupted():
            return
        candidate = self._verified(ref, candidate)
        self._journal.enter_kept(Event.VERIFIED)
        live = self._parts.live
        proof = self._parts.prover.prove(candidate, desired.gates, live.latency_ms())
        if self._interrupted():
            return
        untried = live.why_untried(candidate, proof.memory_mib) if desired.gates.shadow_frames else None
        if desired.gates.shadow_frames and untried is None:
            self._journal.enter_kept(Event.PROVEN)
            trial = live.trial(candidate, desired.gates, self._interrupted)
            if self._interrupted():
                return
            self._journal.note(trial=trial)
        self._install(ref, proof, untried or "")

    def _fetched(self, ref: ModelRef) -> Candidate | None:
        """The release where it is stored already; otherwise it is downloaded, and None."""
        held = self._parts.models.held(ref)
        if held is None:
            folder = self._parts.models.stage(ref)
            self._parts.repository.fetch(ref, folder, self._journal.tell_progress, self._fetch_cancelled)
            if not self._parts.models.room():
                raise NoRoom("the disk filled up during the download", "Free some space.")
        return held

    def _verified(self, ref: ModelRef, held: Candidate | None) -> Candidate:
        self._journal.enter_kept(Event.FETCHED)
        return held or self._parts.models.verify_staged(ref)

    def _fetch_cancelled(self) -> bool:
        return self._interrupted() or not self._parts.models.room()

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
        if not isinstance(refused, RepositoryUnreachable):
            attempts += 1
            if attempts >= self._settings.max_attempts:
                self._journal.enter(Event.FAIL, reason, attempts=attempts)
                self._discard()
                return
        self._failures += 1
        self._not_before = self._parts.clock.monotonic() + self._pause_s(self._failures)
        self._journal.enter(Event.RETRY, reason, attempts=attempts)

    # --- the switch and after -------------------------------------------------------------------------------

    def _install(self, ref: ModelRef, proof: Proof, untried: str) -> None:
        before = self._journal.running
        models = self._parts.models
        self._journal.enter_kept(Event.INSTALL, untried, previous=before)
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
            self._parts.live.switch(candidate, proof.memory_mib)
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
        self._journal.enter(Event.SWITCHED, untried)

    def _probation(self) -> None:
        record = self._journal.record
        gates = record.desired.gates if record.desired else Gates()
        if record.target is None or self._journal.running.digest != record.target.digest:
            self._journal.enter(Event.HARM, "it could not be opened at the start", harm=True)
            return
        try:
            self._parts.live.watch(gates, self._probation_cancelled)
        except CandidateRejected as rejected:
            self._parts.note(rejected)
            self._journal.enter(Event.HARM, rejected.what, harm=True)
            return
        if self._probation_cancelled():
            return
        handover = self._parts.live.handover()
        told = ([] if handover is None else [str(handover)]) + [self._journal.record.reason]
        self._journal.enter(Event.PASSED, "; ".join(filter(None, told)))
        self._collect()

    def _restore(self) -> None:
        """Switch first, since frames are being judged; then let the pointer follow."""
        failures = 0
        refuge = self._switched_back()
        while refuge is not None and failures < self._settings.max_restore_attempts:
            try:
                self._parts.models.point(refuge, None)
            except (NoRoom, ModelStoreBroken) as refused:
                self._parts.note(refused)
                failures += 1
                self._journal.tell(f"the pointer can't be put back: {refused.what}")
                self._wait(self._stopping, self._pause_s(failures))
                if self._stopping.is_set():
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

    # --- small things ---------------------------------------------------------------------------------------

    def _interrupted(self) -> bool:
        return self._stopping.is_set() or self._inbox.waiting() or self._journal.is_late()

    def _probation_cancelled(self) -> bool:
        return self._stopping.is_set() or self._inbox.rollback_waiting()

    def _pause_s(self, failures: int) -> float:
        return backoff_s(
            failures,
            min_s=self._settings.retry_min_s,
            max_s=self._settings.retry_max_s,
            chance=self._parts.chance(),
        )

    def _reset_pauses(self) -> None:
        self._not_before = 0.0
        self._jittered = False
        self._failures = 0
        self._skips_window = False

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

    def _collect(self) -> None:
        try:
            self._parts.models.collect()
        except (NoRoom, ModelStoreBroken) as refused:
            self._parts.note(refused)
