"""Alerts, and the acks on which a device forgets what it has delivered."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, ClassVar, Self

from pydantic import Field, model_validator

from wire.envelope import KIB, Message, UpMessage
from wire.fields import Box, Count, Digest, Label, MessageId, Name, Text, Timestamp, Unit


class AlertEvent(StrEnum):
    """Where an alert stands in its life. An `update` may follow the `end`: a late answer amends."""

    NEW = "new"
    UPDATE = "update"
    END = "end"


class AlertState(StrEnum):
    """What the alert claims by now."""

    PROVISIONAL = "provisional"
    CONFIRMED = "confirmed"
    RETRACTED = "retracted"


class DecidedBy(StrEnum):
    """Whose word the state is."""

    DEVICE = "device"
    CLOUD = "cloud"
    REVIEWER = "reviewer"


class Alert(UpMessage):
    """One event in an alert's life.

    Attributes:
        id: The alert; the same through new, update and end.
        revision: 0 with `new`, then one more with each message about this alert. The highest is the truth.
        sequence: Counts this camera's alert messages from 1 without gaps, across restarts.
        zone: The zone in which the object stood, where the rule names zones.
        track: The tracker's number of the object, unique within a boot and camera.
        score: The detector's, or the cloud's once it decided.
        seen_first_at, seen_last_at: When the object was first and last seen, by the device's clock.
        decided_at: When `state` became what it is.
        reason: Why it is in this state, for a person.
        model_digest: The model file that saw it.
        picture: Path of the crop below the cloud's base URL, if one was or will be sent; never the picture itself.
    """

    MAX_BYTES: ClassVar[int] = 4 * KIB

    id: MessageId
    event: AlertEvent
    revision: Count
    state: AlertState
    camera: Name
    sequence: Annotated[int, Field(ge=1, le=2**63 - 1)]
    rule: Name
    zone: Name | None = None
    label: Label
    track: Count
    score: Unit
    box: Box
    seen_first_at: Timestamp
    seen_last_at: Timestamp
    decided_at: Timestamp
    decided_by: DecidedBy = DecidedBy.DEVICE
    reason: Text = ""
    model_digest: Digest
    picture: Annotated[str, Field(max_length=200, pattern=r"^/v1/pictures/[0-9a-f]{32}$")] | None = None

    @model_validator(mode="after")
    def _first_revision_is_new(self) -> Self:
        if (self.revision == 0) != (self.event is AlertEvent.NEW):
            msg = "revision 0 is the `new` event, and only it"
            raise ValueError(msg)
        return self


class Acks(Message):
    """The cloud has committed these messages: the device may forget them."""

    MAX_BYTES: ClassVar[int] = 64 * KIB

    message_ids: Annotated[tuple[MessageId, ...], Field(min_length=1, max_length=500)]
