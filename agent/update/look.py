"""What a request to look at the repository now comes to. Pure.

A request chooses nothing. The group's signed document says what may run, the latest `Desired` says which of that is
wanted; a request makes the device try again at once what it would try later, or gave up. The rules, in their order:

1. Nothing is desired, or the rollout is paused: refused, since there is nothing to try.
2. A rollback is under way, or failed: refused. Nobody is asked for that: going back must not wait for a network.
3. A model is named that is not the one desired: refused, and told what is desired and signed.
4. What is desired must be in the signed document, and not below its minimum; else refused as a rollout's would be.
5. It did harm here before: refused, as long as it is quarantined.
6. It runs already: done.
7. It is under way: pauses and jitter are cut short.
8. Otherwise it is queued. Neither it nor what is under way begins before a maintenance window opens.
"""

from __future__ import annotations

from dataclasses import dataclass

from agent.errors import ReleaseNotAllowed, ReleaseTooOld
from agent.update.machine import BEFORE_SWITCH, RESTING
from agent.update.record import UpdateRecord, admitted
from wire.updates import GroupRelease, ModelRef, UpdateState


@dataclass(frozen=True, slots=True)
class Wanted:
    """What whoever asks takes to be desired; None where it is not said.

    Attributes:
        now: The maintenance windows shall not count.
    """

    name: str | None = None
    version: str | None = None
    digest: str | None = None
    now: bool = False

    def means(self, ref: ModelRef) -> bool:
        """Whether all that is said is so of the release."""
        said = ((self.name, ref.name), (self.version, ref.version), (self.digest, ref.digest))
        return all(wanted in {None, found} for wanted, found in said)


@dataclass(frozen=True, slots=True)
class Refused:
    """Nothing was changed."""

    what: str
    mend: str = ""


@dataclass(frozen=True, slots=True)
class Runs:
    """It is what judges frames already."""

    ref: ModelRef


@dataclass(frozen=True, slots=True)
class Hurry:
    """It is under way."""

    ref: ModelRef


@dataclass(frozen=True, slots=True)
class Again:
    """It is to be queued."""

    ref: ModelRef


@dataclass(frozen=True, slots=True)
class Waits:
    """It is queued, and begins when a maintenance window opens."""

    ref: ModelRef
    opens_s: float


Decision = Refused | Runs | Hurry | Again | Waits
_GIVEN_UP = frozenset({UpdateState.FAILED, UpdateState.TIMED_OUT, UpdateState.REJECTED, UpdateState.CANCELED})


def may_ask(record: UpdateRecord) -> Refused | None:
    """What can be refused before anybody asks the repository (rules 1 and 2)."""
    if record.desired is None or record.desired.model is None:
        return Refused(
            "no rollout has told this device what to run",
            "A command can't choose a model; use `vedette rollout start NAME --canary DEVICE`.",
        )
    if record.desired.paused:
        return Refused("the rollout is paused", "`vedette rollout resume ID` lets it go on.")
    if record.state in {UpdateState.ROLLING_BACK, UpdateState.ROLLBACK_FAILED}:
        return Refused(f"the update is {record.state}", "Wait for its end; a restart tries a failed one again.")
    return None


def decide(record: UpdateRecord, running: ModelRef, release: GroupRelease, wanted: Wanted) -> Decision:
    """What to do.

    Args:
        record: As it stands.
        running: What judges frames.
        release: The group's signed document, read just now.
        wanted: What was asked.
    """
    refused = may_ask(record)
    if refused is not None or record.desired is None or record.desired.model is None:
        return refused or Refused("nothing is desired")
    desired = record.desired.model
    if not wanted.means(desired):
        allowed = ", ".join(f"{ref.name} {ref.version}" for ref in release.allowed)
        return Refused(
            f"{desired.name} {desired.version} is what this device shall run, and a command can't choose another"
            f" (signed for group {release.group}: {allowed})",
            "Use `vedette rollout start NAME --canary DEVICE`.",
        )
    try:
        ref = admitted(release, desired)
    except (ReleaseNotAllowed, ReleaseTooOld) as why:
        return Refused(why.what, why.mend)
    if ref.digest in record.quarantined:
        return Refused(
            f"{ref.name} {ref.version} did harm here before: it is quarantined", "Roll out another release."
        )
    if ref.digest == running.digest and record.state in RESTING - _GIVEN_UP:
        return Runs(ref)
    if record.state in BEFORE_SWITCH | {UpdateState.INSTALLING, UpdateState.PROBATION}:
        return Hurry(ref)
    return Again(ref)
