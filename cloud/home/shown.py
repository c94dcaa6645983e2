"""What Home Assistant is shown of a device, as values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from cloud.domain import AlertRecord


@dataclass(frozen=True, slots=True)
class LabelFacts:
    """A label at a camera.

    Attributes:
        on: It is there, or was a moment ago.
        lasting: It is still there, so that it must be said again before Home Assistant's delay is over.
        count: Objects that are there.
    """

    label: str
    on: bool = False
    lasting: bool = False
    count: int = 0


@dataclass(frozen=True, slots=True)
class CameraFacts:
    """A camera.

    Attributes:
        alerts: So far, of those that count.
        last: The latest of these.
        picture: The id of the latest alert of which there is a picture.
        snapshot: Key of the latest snapshot's picture.
    """

    name: str
    live: bool
    detail: str = ""
    fps: float | None = None
    alerts: int = 0
    last: AlertRecord | None = None
    picture: str | None = None
    snapshot: str | None = None
    labels: tuple[LabelFacts, ...] = ()


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """The update entity: what runs, and what is wanted of the device."""

    title: str
    installed: str
    latest: str
    summary: str = ""


@dataclass(frozen=True, slots=True)
class DeviceFacts:
    """A device.

    Attributes:
        answer: How the latest command from Home Assistant stands, in a few words.
        waiting: Alert messages that it holds for the service.
    """

    id: str
    online: bool
    why: str = ""
    agent_version: str = ""
    model: ModelFacts | None = None
    waiting: int = 0
    muted: bool = False
    answer: str = ""
    answer_facts: Mapping[str, str] = field(default_factory=dict)
    cameras: tuple[CameraFacts, ...] = ()
