"""What a device remembers of its update, and what it tells of it."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field

from agent.deliver.messages import Boot
from agent.errors import ReleaseNotAllowed, ReleaseTooOld
from agent.update.machine import Event, move
from wire.fields import Digest, MessageId, Seconds, Text, Timestamp
from wire.model import ModelName
from wire.updates import Desired, GroupRelease, ModelRef, ReleaseNumber, Reported, TrialFigures, UpdateState

MAX_QUARANTINED: Final = 16
"""As many as `Reported` can name."""
MAX_REASON: Final = 500
"""As long as `wire.fields.Text` may be."""


class UpdateRecord(BaseModel):
    """Written before each act, so that a start after a crash knows what was under way.

    Attributes:
        desired: The newest that was taken up; an older one is old news.
        target: What the update is about, as the signed document names it.
        previous: What ran before the target.
        attempts: Crashes and failed downloads so far.
        crashes: Ends of the agent while the target was on probation. Each start counts one, so an orderly end takes
            one off beforehand; hence −1.
        queued_at: By the device's wall clock; for people only.
        spent_s: Of the `Desired.timeout_s`, added up over restarts, so that no clock that jumps changes it. Waiting
            for a window or the start jitter is not counted, nor is time without power.
        harm: The target did harm, and is quarantined once the model before is back.
        quarantined: Newest last.
        min_release: The signed minimum, as it was last seen.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    record: Literal[1] = 1
    state: UpdateState = UpdateState.IDLE
    desired: Desired | None = None
    target: ModelRef | None = None
    previous: ModelRef | None = None
    attempts: Annotated[int, Field(ge=0)] = 0
    crashes: Annotated[int, Field(ge=-1)] = 0
    queued_at: Timestamp | None = None
    spent_s: Seconds = 0.0
    reason: Text = ""
    harm: bool = False
    trial: TrialFigures | None = None
    quarantined: Annotated[tuple[Digest, ...], Field(max_length=MAX_QUARANTINED)] = ()
    min_release: dict[ModelName, ReleaseNumber] = Field(default_factory=dict)

    def moved(self, event: Event, reason: str | None = None, **changes: object) -> Self:
        """The record after the event.

        Args:
            event: What happened.
            reason: In words; what stood there stays without one.
            changes: Fields that change with it.

        Raises:
            UpdateMoveRefused: The table does not name the move.
        """
        said = {} if reason is None else {"reason": plain(reason)}
        return self.model_copy(update={"state": move(self.state, event), **said, **changes})

    def quarantining(self, digest: str) -> tuple[str, ...]:
        """The quarantined digests with this one; the oldest make room."""
        return (*(known for known in self.quarantined if known != digest), digest)[-MAX_QUARANTINED:]

    def too_old(self, ref: ModelRef) -> bool:
        """Whether it is below the signed minimum."""
        return ref.number < self.min_release.get(ref.name, 0)


@dataclass(frozen=True, slots=True)
class ReportedFacts:
    """What `wire.updates.Reported` says, without the envelope; see there."""

    desired_version: int
    deployment_id: MessageId | None
    state: UpdateState
    running: ModelRef
    previous: ModelRef | None
    target: ModelRef | None
    reason: str
    progress: float | None
    trial: TrialFigures | None
    since_s: float
    trust: str
    quarantined: tuple[str, ...]


def reported_message(facts: ReportedFacts, *, boot: Boot, made_at: datetime, message_id: str) -> Reported:
    """The message that says it."""
    return Reported(
        message_id=message_id,
        device=boot.device,
        made_at=made_at,
        boot_id=boot.boot_id,
        boot_seq=boot.next_seq(),
        desired_version=facts.desired_version,
        deployment_id=facts.deployment_id,
        state=facts.state,
        running=facts.running,
        previous=facts.previous,
        target=facts.target,
        reason=facts.reason,
        progress=facts.progress,
        trial=facts.trial,
        since_s=facts.since_s,
        trust=facts.trust,
        quarantined=facts.quarantined[-16:],
    )


def admitted(release: GroupRelease, wanted: ModelRef) -> ModelRef:
    """The release as the signed document names it; what was wanted is only a hint.

    Raises:
        ReleaseNotAllowed: The document does not name it.
        ReleaseTooOld: It is below the signed minimum.
    """
    what = f"{wanted.name} {wanted.version}"
    for ref in release.allowed:
        if (ref.digest, ref.name, ref.version) == (wanted.digest, wanted.name, wanted.version):
            if ref.number < release.min_release.get(ref.name, 0):
                raise ReleaseTooOld(
                    f"{what} is release {ref.number}, below the signed minimum {release.min_release[ref.name]}",
                    "Roll out a newer release.",
                )
            return ref
    raise ReleaseNotAllowed(
        f"the signed document of group {release.group} does not allow {what}",
        "Sign a release for the group, or correct the rollout.",
    )


def plain(text: str) -> str:
    """The text as it may stand in a message: printable, and not too long."""
    shown = "".join(c if not unicodedata.category(c).startswith(("C", "Z")) or c == " " else " " for c in text)
    return shown if len(shown) <= MAX_REASON else shown[: MAX_REASON - 1] + "…"
