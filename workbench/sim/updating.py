"""A simulated device's model update. Pure: walks the agent's own table of states, in the time that the work takes.

Real are what is desired and reported, the version rules, and the signed documents (`workbench.sim.trust`). Made up
are the proof, the trial and the probation, which pass when their time is over: a simulated device judges no frames.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from agent.update.machine import BEFORE_SWITCH, RESTING, Event, move
from agent.update.settings import UpdateSettings
from wire.fields import MessageId
from wire.updates import Desired, ModelRef, UpdateState

PROOF_S: Final = 1.5
"""About what the default models take."""
FRAMES_PER_S: Final = 10.0
"""What a trial's and a probation's frames are counted with."""
HASH_S: Final = 0.1
SWITCH_S: Final = 0.2
MAX_ATTEMPTS: Final[int] = UpdateSettings.model_fields["max_attempts"].default
"""The agent's own default."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """The part of a `Desired` that the walk needs; the message itself holds some kilobytes."""

    version: int
    deployment_id: MessageId | None
    group: str
    model: ModelRef | None
    paused: bool
    jitter_s: float
    timeout_s: float
    trial_s: float
    probation_s: float

    @classmethod
    def of(cls, desired: Desired) -> Wanted:
        """What is wanted."""
        gates = desired.gates
        return cls(
            version=desired.version,
            deployment_id=desired.deployment_id,
            group=desired.group,
            model=desired.model,
            paused=desired.paused,
            jitter_s=desired.start_jitter_s,
            timeout_s=desired.timeout_s,
            trial_s=gates.shadow_frames / FRAMES_PER_S,
            probation_s=max(gates.probation_s, gates.probation_frames / FRAMES_PER_S),
        )


@dataclass(frozen=True, slots=True)
class Update:
    """Where a device's update stands; see `wire.updates.Reported`.

    Attributes:
        target: What the walk is about, once it was begun; what is wanted may be something else by then.
        looking: The signed documents are being asked, or the model fetched.
        turn: Counts what was begun, so that an answer to something older is known as such.
        attempts: How many of this walk's failed for what is wrong here.
        waited_s: How long this walk has waited for a repository that can't be reached.
    """

    running: ModelRef
    state: UpdateState = UpdateState.IDLE
    wanted: Wanted | None = None
    previous: ModelRef | None = None
    target: ModelRef | None = None
    reason: str = ""
    looking: bool = False
    turn: int = 0
    attempts: int = 0
    waited_s: float = 0.0

    @property
    def version(self) -> int:
        """Of the newest `Desired` that was taken up."""
        return 0 if self.wanted is None else self.wanted.version

    @property
    def at_rest(self) -> bool:
        """Whether it waits for somebody to ask for something."""
        return self.state in RESTING


@dataclass(frozen=True, slots=True)
class Step:
    """What comes of something.

    Attributes:
        update: As it stands now.
        after_s: When `go_on` is due; None where nothing is, or somebody is asked.
        look: Ask whether `update.wanted.model` may run.
    """

    update: Update
    after_s: float | None = None
    look: bool = False


def desire(update: Update, desired: Wanted) -> Step | None:
    """Take up what is desired; None where that is old news."""
    if desired.version <= update.version:
        return None
    if update.state not in RESTING | BEFORE_SWITCH:
        # It is switching: what is wanted now is taken up when that is over.
        return Step(replace(update, wanted=desired))
    began = replace(update, wanted=desired, turn=update.turn + 1, looking=False)
    if desired.paused:
        if update.state in BEFORE_SWITCH:
            return Step(_moved(began, Event.PAUSE, "paused"))
        return Step(began)
    if desired.model is None:
        if update.state in BEFORE_SWITCH or update.state is UpdateState.PAUSED:
            return Step(_moved(began, Event.CANCEL, "withdrawn"))
        return Step(began)
    return Step(_queued(began, desired.model), desired.jitter_s)


def go_on(update: Update, *, refused_because: str = "") -> Step:
    """The next step of the walk.

    Args:
        update: As it stands.
        refused_because: Why this device can't be updated at all; empty where it can.
    """
    wanted, target = update.wanted, update.target
    if wanted is None or target is None or update.looking:
        return Step(update)
    if update.state is UpdateState.QUEUED:
        return _begin(update, target, refused_because)
    if update.state is UpdateState.INSTALLING:
        switched = replace(_moved(update, Event.SWITCHED), previous=update.running, running=target)
        return Step(switched, wanted.probation_s)
    if update.state is UpdateState.PROBATION:
        return _pass(update, wanted)
    event, after_s = _NEXT.get(update.state, (None, None))
    if update.state is UpdateState.PROVING and not wanted.trial_s:
        event, after_s = Event.INSTALL, SWITCH_S
    elif update.state is UpdateState.PROVING:
        after_s = wanted.trial_s
    return Step(update) if event is None else Step(_moved(update, event), after_s)


_NEXT: Final[dict[UpdateState, tuple[Event, float]]] = {
    UpdateState.DOWNLOADING: (Event.FETCHED, HASH_S),
    UpdateState.VERIFYING: (Event.VERIFIED, PROOF_S),
    UpdateState.PROVING: (Event.PROVEN, 0.0),
    UpdateState.SHADOWING: (Event.INSTALL, SWITCH_S),
}


def _begin(update: Update, model: ModelRef, refused_because: str) -> Step:
    if refused_because:
        return Step(_moved(update, Event.REJECT, refused_because))
    if model.digest == update.running.digest:
        return Step(_moved(update, Event.FOUND_INSTALLED))
    return Step(replace(_moved(update, Event.BEGIN), looking=True), look=True)


def _pass(update: Update, wanted: Wanted) -> Step:
    """The probation is over; something else may have been desired meanwhile."""
    passed = _moved(update, Event.PASSED, "simulated")
    if wanted.model is None or wanted.model.digest == update.running.digest:
        return Step(passed)
    return Step(_queued(passed, wanted.model), 0.0)


def fetched(update: Update, took_s: float) -> Step:
    """The release may run, and is here; `took_s` is how long this device's link would have taken."""
    return Step(replace(update, looking=False), took_s)


def refused(update: Update, why: str) -> Step:
    """The release may not run."""
    return Step(replace(_moved(update, Event.REJECT, why), looking=False))


def failed(update: Update, why: str, again_s: float) -> Step:
    """The release could not be fetched or kept; as often as the agent, it tries again."""
    attempts = update.attempts + 1
    if attempts >= MAX_ATTEMPTS:
        return Step(replace(_moved(update, Event.FAIL, why), looking=False, attempts=attempts))
    return Step(replace(_moved(update, Event.RETRY, why), looking=False, attempts=attempts), again_s)


def unreachable(update: Update, why: str, again_s: float) -> Step:
    """The repository could not be asked: waited for as long as the rollout allows."""
    waited_s = update.waited_s + again_s
    if update.wanted is not None and waited_s >= update.wanted.timeout_s:
        return Step(replace(_moved(update, Event.TIME_OUT, why), looking=False, waited_s=waited_s))
    return Step(replace(_moved(update, Event.RETRY, why), looking=False, waited_s=waited_s), again_s)


def _queued(update: Update, target: ModelRef) -> Update:
    return replace(_moved(update, Event.QUEUE), target=target, attempts=0, waited_s=0.0)


def _moved(update: Update, event: Event, reason: str = "") -> Update:
    return replace(update, state=move(update.state, event), reason=reason)
