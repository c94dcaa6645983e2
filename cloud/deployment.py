"""The values of a rollout: what it is to do, how it stands, and what each device was told and made of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Final, Self

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints, model_validator

from wire.fields import DeviceId, MessageId, Unit
from wire.updates import Gates, GroupName, ModelRef, UpdateState, Window

DEFAULT_GROUP: Final = "default"
LabelKey = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9._-]{0,62}$")]
LabelValue = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$")]


class Phase(StrEnum):
    """Where a rollout stands."""

    RUNNING = "running"
    PAUSED = "paused"
    HALTED = "halted"
    ROLLING_BACK = "rolling_back"
    FINISHED = "finished"
    ABORTED = "aborted"
    ROLLED_BACK = "rolled_back"


class Wish(StrEnum):
    """What a person wants of a rollout; the service sees it within a second."""

    PAUSE = "pause"
    RESUME = "resume"
    ABORT = "abort"
    ROLLBACK = "rollback"


OPEN: Final = frozenset({Phase.RUNNING, Phase.PAUSED, Phase.HALTED, Phase.ROLLING_BACK})
"""Until one of the others is reached, no other rollout may begin in the group."""

ALLOWED: Final[Mapping[Wish, frozenset[Phase]]] = {
    Wish.PAUSE: frozenset({Phase.RUNNING}),
    Wish.RESUME: frozenset({Phase.PAUSED, Phase.HALTED}),
    Wish.ABORT: OPEN,
    Wish.ROLLBACK: frozenset({Phase.RUNNING, Phase.PAUSED, Phase.HALTED, Phase.ABORTED, Phase.FINISHED}),
}
"""In which phases a wish can be granted; in any other it is refused."""

LEADS_TO: Final[Mapping[Wish, Phase]] = {
    Wish.PAUSE: Phase.PAUSED,
    Wish.RESUME: Phase.RUNNING,
    Wish.ABORT: Phase.ABORTED,
    Wish.ROLLBACK: Phase.ROLLING_BACK,
}
"""Where a wish leads once it is granted; until then, what else may be wished is held against this."""


class Part(BaseModel):
    """The base: checked where it is made, never changed."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Policy(Part):
    """How a rollout goes about it.

    Attributes:
        stages: Percent of the group that may have been given the release, counting up.
        canaries: Come first, all of them in the first stage.
        labels: Only devices that bear all of these.
        soak_s: How long a stage must stand passed before the next begins.
        max_failure_share: Above it, of the devices tried, the rollout halts: of all, and of the latest stage's.
        min_tried: So many must have been tried before a share says anything.
        max_in_flight: Devices at work on it at the same time.
        timeout_s: Told to the devices; one that shows no progress for that long has failed.
        vanish_s: A device that was there, took the order and is gone for that long has failed.
        max_accuracy_drop: By audited accuracy, against the model that was there before.
    """

    stages: Annotated[tuple[Annotated[float, Field(gt=0, le=100)], ...], Field(min_length=1, max_length=16)] = (
        1.0,
        10.0,
        50.0,
        100.0,
    )
    canaries: Annotated[tuple[DeviceId, ...], Field(max_length=1000)] = ()
    labels: Annotated[dict[LabelKey, LabelValue], Field(max_length=16)] = Field(default_factory=dict)
    soak_s: Annotated[float, Field(ge=0, le=30 * 86_400)] = 60.0
    max_failure_share: Unit = 0.1
    min_tried: Annotated[int, Field(ge=1, le=100_000)] = 2
    max_in_flight: Annotated[int, Field(ge=1, le=100_000)] = 1_000
    timeout_s: Annotated[float, Field(gt=0, le=7 * 86_400)] = 3_600.0
    vanish_s: Annotated[float, Field(gt=0, le=7 * 86_400)] = 600.0
    max_accuracy_drop: Unit = 0.05
    gates: Gates = Gates()
    windows: Annotated[tuple[Window, ...], Field(max_length=14)] = ()
    jitter_s: Annotated[float, Field(ge=0, le=86_400)] = 0.0

    @model_validator(mode="after")
    def _counting_up(self) -> Self:
        if list(self.stages) != sorted(set(self.stages)):
            msg = "stages must count up, such as 1,10,50,100"
            raise ValueError(msg)
        return self


class Rollout(Part):
    """A rollout as it stands.

    Attributes:
        target: What its devices shall run.
        back_to: What a rollback returns them to; None where no signed release is known that they ran before.
        stage: Index into the policy's stages.
        passed_at: Since when the present stage stands passed, and soaks.
        signed: The group's signed document allows what the present phase asks of the devices.
        reason: Why it is in this phase, or what it waits for, in words.
    """

    id: MessageId
    group: GroupName
    target: ModelRef
    back_to: ModelRef | None = None
    policy: Policy = Policy()
    phase: Phase = Phase.RUNNING
    stage: Annotated[int, Field(ge=0, le=15)] = 0
    passed_at: AwareDatetime | None = None
    signed: bool = False
    reason: str = ""
    created_at: AwareDatetime
    changed_at: AwareDatetime

    @property
    def is_open(self) -> bool:
        """Whether devices may still be told something."""
        return self.phase in OPEN


class Ask(StrEnum):
    """What a device is told."""

    INSTALL = "install"
    PAUSE = "pause"
    WITHDRAW = "withdraw"
    RETURN = "return"


class Fate(StrEnum):
    """What became of an order."""

    AWAY = "away"
    """It was not there to take the order, and will find it when it comes."""
    PENDING = "pending"
    COMMITTED = "committed"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Order:
    """What a device was told in a rollout, and what it made of it.

    Attributes:
        version: Of its latest `Desired`.
        since_version: Of the first that asked for the same; what it reports on any from there on is an answer.
        there: It was online at some time since it was told.
        state: The latest that it reported in answer.
        moved_at: When that last changed, or it was told.
        reason: Why it failed, in words.
        sure: It said itself that it failed, or was caught lying; otherwise it may still come back and succeed.
        excused: A person resumed the rollout in spite of this failure: not counted until it is at work again.
    """

    device: str
    stage: int
    ask: Ask
    version: int
    since_version: int
    told_at: datetime
    moved_at: datetime
    there: bool
    state: UpdateState | None = None
    fate: Fate = Fate.PENDING
    reason: str = ""
    sure: bool = False
    excused: bool = False


@dataclass(frozen=True, slots=True)
class Answer:
    """The part of a device's latest report that a rollout looks at."""

    desired_version: int
    state: UpdateState
    running: str
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Member:
    """A device as a rollout sees it.

    Attributes:
        desired_version: Of the latest `Desired` that it was ever sent; 0 for none.
        pinned: It stays as it is.
    """

    device: str
    group: str = DEFAULT_GROUP
    labels: Mapping[str, str] = field(default_factory=dict)
    pinned: bool = False
    online: bool = False
    last_seen_at: datetime | None = None
    desired_version: int = 0
    answer: Answer | None = None


@dataclass(frozen=True, slots=True)
class Tally:
    """The orders of a rollout, counted; `eligible` are all devices that it is about."""

    eligible: int = 0
    away: int = 0
    pending: int = 0
    committed: int = 0
    failed: int = 0
    excused: int = 0

    @classmethod
    def of(cls, orders: Iterable[Order], eligible: int = 0) -> Self:
        """Count them; one that is excused counts as nothing else."""
        counts = dict.fromkeys(Fate, 0)
        excused = 0
        for order in orders:
            if order.excused:
                excused += 1
            else:
                counts[order.fate] += 1
        return cls(
            eligible=eligible,
            away=counts[Fate.AWAY],
            pending=counts[Fate.PENDING],
            committed=counts[Fate.COMMITTED],
            failed=counts[Fate.FAILED],
            excused=excused,
        )
