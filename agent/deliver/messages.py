"""From what the device knows to what it says. Pure: ids, numbers and times are handed in."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import count

from pydantic import ValidationError

from agent.boxes import inside
from agent.domain import AlertChange, Answer, Clock, Found
from wire.errors import MessageInvalid
from wire.messages import PICTURES_PATH, Alert, CameraStatus, ModelStatus, Presence, Status, Verdict

MAX_TEXT = 500
"""Of `wire.fields.Text`: a reason put together from several parts is cut there rather than refused."""


@dataclass(slots=True)
class Boot:
    """Who speaks: the device, and this start of its agent.

    Attributes:
        boot_id: 32 hex digits, new at each start.
        model_digest: Of the model that judges frames; the one thing that changes, between two frames and by the
            judging thread, which also makes the messages that hold it.
    """

    device: str
    boot_id: str
    agent_version: str
    started_at: datetime
    model_digest: str
    _numbers: Iterator[int] = field(default_factory=lambda: count(1), repr=False, compare=False)

    def next_seq(self) -> int:
        """The next message's number within this boot. `count` steps atomically, so any thread may call."""
        return next(self._numbers)


@dataclass(frozen=True, slots=True)
class Moment:
    """One instant on both clocks, through which times of one become times of the other."""

    monotonic: float
    wall: datetime

    @classmethod
    def now(cls, clock: Clock) -> Moment:
        """The present instant."""
        return cls(clock.monotonic(), clock.wall())

    def wall_at(self, at: float) -> datetime:
        """The wall-clock time of monotonic time `at`, as the wall clock stands at this moment."""
        return self.wall - timedelta(seconds=self.monotonic - at)

    def monotonic_at(self, wall: datetime) -> float:
        """The monotonic time of a wall-clock time; before this boot it may be negative."""
        return self.monotonic - (self.wall - wall).total_seconds()


def alert_message(change: AlertChange, *, boot: Boot, moment: Moment, message_id: str, sequence: int) -> Alert:
    """The message that reports `change`.

    Raises:
        MessageInvalid: The change breaks the contract of the wire.
    """
    try:
        return Alert(
            message_id=message_id,
            device=boot.device,
            made_at=moment.wall,
            boot_id=boot.boot_id,
            boot_seq=boot.next_seq(),
            id=change.id,
            event=change.event,
            revision=change.revision,
            state=change.state,
            camera=change.camera,
            sequence=sequence,
            rule=change.rule,
            zone=change.zone,
            label=change.label,
            track=change.track,
            score=change.score,
            box=inside(change.box),
            seen_first_at=moment.wall_at(change.first_at),
            seen_last_at=moment.wall_at(change.last_at),
            decided_at=moment.wall_at(change.decided_at),
            decided_by=change.decided_by,
            reason=change.reason[:MAX_TEXT],
            model_digest=boot.model_digest,
            picture=f"{PICTURES_PATH}/{change.id}" if change.wants_picture else None,
        )
    except ValidationError as refused:
        first = refused.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(step) for step in first["loc"]) or "the message"
        raise MessageInvalid(f"Alert: {where}: {first['msg']}") from None


def change_of(alert: Alert, moment: Moment) -> AlertChange:
    """The change that `alert` reported, its times on this boot's monotonic clock."""
    return AlertChange(
        id=alert.id,
        event=alert.event,
        revision=alert.revision,
        state=alert.state,
        camera=alert.camera,
        rule=alert.rule,
        zone=alert.zone,
        label=alert.label,
        track=alert.track,
        score=alert.score,
        box=alert.box,
        first_at=moment.monotonic_at(alert.seen_first_at),
        last_at=moment.monotonic_at(alert.seen_last_at),
        decided_at=moment.monotonic_at(alert.decided_at),
        decided_by=alert.decided_by,
        reason=alert.reason,
        wants_picture=alert.picture is not None,
    )


def status_message(
    presence: Presence,
    *,
    boot: Boot,
    made_at: datetime,
    message_id: str,
    reason: str = "",
    model: ModelStatus | None = None,
    cameras: tuple[CameraStatus, ...] = (),
) -> Status:
    """Birth, change or last will."""
    return Status(
        message_id=message_id,
        device=boot.device,
        made_at=made_at,
        boot_id=boot.boot_id,
        boot_seq=boot.next_seq(),
        presence=presence,
        reason=reason,
        agent_version=boot.agent_version,
        started_at=boot.started_at,
        model=model,
        cameras=cameras,
    )


def answer_of(verdict: Verdict) -> Answer:
    """What deciding needs of a verdict."""
    return Answer(
        question_id=verdict.question_id,
        alert_id=verdict.alert_id,
        decision=verdict.decision,
        label=verdict.label,
        score=verdict.score,
        box=verdict.box,
        decided_by=verdict.decided_by,
        model=verdict.model,
        reason=verdict.reason,
        looked=verdict.looked,
        found=None if verdict.found is None else tuple(Found(*one) for one in verdict.found),
    )
