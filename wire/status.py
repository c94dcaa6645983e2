"""Whether a device is there, and how its cameras and its model are doing."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from wire.envelope import Part, UpMessage
from wire.fields import Digest, Name, Text, Timestamp


class Presence(StrEnum):
    """Online, or not: `offline` is either said at a clean stop or by the broker as the last will."""

    ONLINE = "online"
    OFFLINE = "offline"


class CameraState(StrEnum):
    """How a camera is doing."""

    STARTING = "starting"
    LIVE = "live"
    LOST = "lost"
    ENDED = "ended"


class CameraStatus(Part):
    """One camera in the status."""

    name: Name
    state: CameraState
    detail: Text = ""


class ModelStatus(Part):
    """The model that judges frames, and what runs it."""

    name: Text
    version: Text
    digest: Digest
    runtime: Text
    delegate: Text
    detail: Text = ""


class Status(UpMessage):
    """Birth, changes and last will; retained."""

    presence: Presence
    reason: Text = ""
    agent_version: Text
    started_at: Timestamp
    model: ModelStatus | None = None
    cameras: Annotated[tuple[CameraStatus, ...], Field(max_length=64)] = ()
