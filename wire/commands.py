"""Commands to a device, and its answers.

A command states what is wanted, so twice is harmless; it names an absolute time after which it must not be done any
more; every one is answered. It is never retained: a device that was away asks for nothing and misses nothing, since
whoever sent the command holds it until it is answered or expires.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, ClassVar, Final, Self

from pydantic import Field, JsonValue, model_validator

from wire.envelope import KIB, Message, UpMessage
from wire.fields import MessageId, Text, Timestamp, Unit


class CommandName(StrEnum):
    """What can be asked of a device."""

    PING = "ping"
    SNAPSHOT = "snapshot"
    CAPTURE_CLIP = "capture-clip"
    SET_CONFIG = "set-config"
    UPDATE_MODEL = "update-model"
    ROLLBACK_MODEL = "rollback-model"
    RESTART = "restart"
    DIAGNOSE = "diagnose"
    SET_LOG_LEVEL = "set-log-level"
    MUTE = "mute"


SNAPSHOTS_PATH: Final = "/v1/snapshots"
"""`PUT {SNAPSHOTS_PATH}/{command_id}`: a JPEG body, the picture that a `snapshot` asked for; twice is harmless."""
CLIPS_PATH: Final = "/v1/clips"
"""`PUT {CLIPS_PATH}/{command_id}`: a video of one of `CLIP_TYPES`, for a `capture-clip`; twice is harmless."""
CLIP_TYPES: Final = {"video/webm": "webm", "video/x-msvideo": "avi"}
"""What a clip may be, and how its file's name ends: VP8 in WebM, or where a device can't write that, Motion-JPEG."""
MAX_CLIP_BYTES: Final = 32 * KIB * KIB
"""A minute of busy VP8 at 1280 pixels and ten frames a second is below it."""


class Command(Message):
    """On `down/commands`. `message_id` is the command's id: the same id again is the same command.

    Attributes:
        name: A name that the device does not know is refused in words; hence text, not the enumeration.
        expires_at: By the cloud's clock. A device whose clock is wrong corrects by what `made_at` shows.
        arguments: Checked by the command itself.
        issued_by: Who, for the audit trail.
    """

    MAX_BYTES: ClassVar[int] = 16 * KIB

    name: Annotated[str, Field(pattern=r"^[a-z][a-z-]{0,31}$")]
    expires_at: Timestamp
    arguments: Annotated[dict[str, JsonValue], Field(max_length=32)] = Field(default_factory=dict)
    issued_by: Text = ""

    @model_validator(mode="after")
    def _lives_a_while(self) -> Self:
        if self.expires_at <= self.made_at:
            msg = "expires_at must come after made_at"
            raise ValueError(msg)
        return self


class Phase(StrEnum):
    """How far a command has come."""

    ACCEPTED = "accepted"
    PROGRESS = "progress"
    DONE = "done"


class Outcome(StrEnum):
    """How a command ended."""

    OK = "ok"
    REFUSED = "refused"
    """It can't or must not be done; nothing changed."""
    EXPIRED = "expired"
    FAILED = "failed"


class Response(UpMessage):
    """On `up/responses`.

    Attributes:
        progress: With the phase `progress`.
        outcome: With the phase `done`, and only then.
        reason: In plain words, where it is not `ok`.
        result: What the command gave, where it gave something.
    """

    MAX_BYTES: ClassVar[int] = 16 * KIB

    command_id: MessageId
    name: Annotated[str, Field(pattern=r"^[a-z][a-z-]{0,31}$")]
    phase: Phase
    progress: Unit | None = None
    outcome: Outcome | None = None
    reason: Text = ""
    result: Annotated[dict[str, JsonValue], Field(max_length=64)] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _outcome_at_the_end(self) -> Self:
        if (self.outcome is not None) != (self.phase is Phase.DONE):
            msg = "an outcome belongs to the phase `done`, and only to it"
            raise ValueError(msg)
        return self
