"""What every message carries.

All messages are frozen and ignore fields they do not know, so that an older program understands a newer one that only
adds. Times are RFC 3339 with an offset; boxes are shares of the full frame; `_s` is seconds, `_ms` milliseconds.
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Final

from pydantic import BaseModel, ConfigDict, Field

from wire.fields import DeviceId, MessageId, Text, Timestamp
from wire.protocol import PROTOCOL

KIB: Final = 1024


class Part(BaseModel):
    """A value inside a message."""

    model_config = ConfigDict(frozen=True, extra="ignore", ser_json_inf_nan="null")


class Message(Part):
    """What every message carries.

    Attributes:
        protocol: The protocol number that its maker speaks.
        message_id: Makes the message idempotent: the same id twice is the same message.
        device: The device that speaks, or is spoken to.
        made_at: The maker's own wall clock, which may be wrong; compare it with the time of receipt.
    """

    MAX_BYTES: ClassVar[int] = 16 * KIB

    protocol: Annotated[int, Field(ge=1)] = PROTOCOL
    message_id: MessageId
    device: DeviceId
    made_at: Timestamp


class UpMessage(Message):
    """From a device.

    Attributes:
        boot_id: New at each start of the agent.
        boot_seq: Counts up from 1 within a boot; shows order where the wall clock lies.
    """

    boot_id: MessageId
    boot_seq: Annotated[int, Field(ge=1, le=2**63 - 1)]


class Refusal(Part):
    """The body of every HTTP error."""

    error: Text
    message: Text
    mend: Text = ""
