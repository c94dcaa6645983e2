"""An update's way as far as the switch: admit, fetch, verify, prove, try. Nothing that runs changes here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from agent.errors import NoRoom
from agent.update.journal import Journal, UpdateParts
from agent.update.machine import Event
from agent.update.ports import Candidate, Proof
from agent.update.record import admitted
from wire.updates import Desired, ModelRef


@dataclass(frozen=True, slots=True)
class Proven:
    """A release that may be switched to.

    Attributes:
        untried: Why it was not tried on live frames; empty where it was, or where nobody asked for that.
    """

    ref: ModelRef
    proof: Proof
    untried: str = ""


class Approach:
    """Goes the way once for each attempt; left early wherever `interrupted` says that something else is asked."""

    def __init__(self, parts: UpdateParts, journal: Journal, interrupted: Callable[[], bool]) -> None:
        self._parts = parts
        self._journal = journal
        self._interrupted = interrupted

    def go(self, desired: Desired, wanted: ModelRef) -> Proven | None:
        """What to switch to; None where something else is asked, or the update has come to its end already.

        Raises:
            UpdateError: It can't be had, or must not be; the state tells how far it came.
        """
        ref = self._admit(desired, wanted)
        if ref is None or self._interrupted():
            return None
        self._journal.enter_kept(Event.BEGIN, "", target=ref)
        held = self._fetched(ref)
        if self._interrupted():
            return None
        self._journal.enter_kept(Event.FETCHED)
        candidate = held or self._parts.models.verify_staged(ref)
        self._journal.enter_kept(Event.VERIFIED)
        live, gates = self._parts.live, desired.gates
        proof = self._parts.prover.prove(candidate, gates, live.latency_ms())
        if self._interrupted():
            return None
        if not gates.shadow_frames:
            return Proven(ref, proof)
        untried = live.why_untried(candidate, proof.memory_mib)
        if untried is not None:
            return Proven(ref, proof, untried)
        self._journal.enter_kept(Event.PROVEN)
        trial = live.trial(candidate, gates, self._interrupted)
        if self._interrupted():
            return None
        self._journal.note(trial=trial)
        return Proven(ref, proof)

    def _admit(self, desired: Desired, wanted: ModelRef) -> ModelRef | None:
        """The release as it was signed, or None where there is nothing to do about it."""
        release = self._parts.repository.group_release(desired.group)
        self._journal.trusts(release)
        ref = admitted(release, wanted)
        if ref.digest == self._journal.running.digest:
            self._journal.running = ref
            self._journal.enter(Event.FOUND_INSTALLED, "", target=ref)
            return None
        if ref.digest in self._journal.record.quarantined:
            why = f"{ref.name} {ref.version} did harm here before: it is quarantined"
            self._journal.enter(Event.REJECT, why, target=ref)
            return None
        return ref

    def _fetched(self, ref: ModelRef) -> Candidate | None:
        """The release where it is stored already; otherwise it is downloaded, and None."""
        held = self._parts.models.held(ref)
        if held is None:
            folder = self._parts.models.stage(ref)
            self._parts.repository.fetch(ref, folder, self._journal.tell_progress, self._fetch_cancelled)
            if not self._parts.models.room():
                raise NoRoom("the disk filled up during the download", "Free some space.")
        return held

    def _fetch_cancelled(self) -> bool:
        return self._interrupted() or not self._parts.models.room()
