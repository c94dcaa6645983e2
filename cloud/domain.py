"""The values that walk through the cloud: devices and alerts as they stand, and what a batch of messages changes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, Self

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from wire.commands import Response
from wire.messages import Alert, Presence, Status, Telemetry, UpMessage
from wire.updates import Reported

MAX_REASONS: Final = 32
"""As many as one telemetry message may name; what exceeds it over the boots is summed as `other`."""


class Totals(BaseModel):
    """Counters of a device over all its boots, from its telemetry."""

    model_config = ConfigDict(frozen=True)

    frames: int = 0
    stream_bytes: int = 0
    bytes_by_reason: dict[str, int] = Field(default_factory=dict)

    @classmethod
    def of(cls, telemetry: Telemetry) -> Self:
        """What one boot counted so far."""
        return cls(
            frames=sum(camera.captured for camera in telemetry.cameras),
            stream_bytes=sum(camera.stream_bytes for camera in telemetry.cameras),
            bytes_by_reason=dict(telemetry.bytes_by_reason),
        )

    def plus(self, other: Totals) -> Totals:
        """The sum; reasons past the limit are summed as `other`."""
        reasons = dict(self.bytes_by_reason)
        for reason, count in other.bytes_by_reason.items():
            kept = reason if reason in reasons or len(reasons) < MAX_REASONS - 1 else "other"
            reasons[kept] = reasons.get(kept, 0) + count
        return Totals(
            frames=self.frames + other.frames,
            stream_bytes=self.stream_bytes + other.stream_bytes,
            bytes_by_reason=reasons,
        )


class TelemetryPoint(BaseModel):
    """Telemetry reduced to what a chart draws; counters run since the agent started.

    Attributes:
        at: When the cloud received it.
        fps, frames, stream_bytes: Summed over the cameras.
        inference_ms: The slowest camera's.
        alerts: Raised, whatever became of them.
        bytes_sent: That left the device, for any reason.
    """

    model_config = ConfigDict(frozen=True)

    at: AwareDatetime
    uptime_s: float
    rss_mib: float
    cpu_s: float
    frames: int
    fps: float
    inference_ms: float
    alerts: int
    asks: int
    bytes_sent: int
    stream_bytes: int
    outbox_depth: int

    @classmethod
    def of(cls, telemetry: Telemetry, at: datetime) -> Self:
        """One message's point."""
        cameras = telemetry.cameras
        return cls(
            at=at,
            uptime_s=telemetry.uptime_s,
            rss_mib=telemetry.rss_mib,
            cpu_s=telemetry.cpu_s,
            frames=sum(camera.captured for camera in cameras),
            fps=sum(camera.fps for camera in cameras),
            inference_ms=max((camera.inference_ms for camera in cameras), default=0.0),
            alerts=sum(telemetry.alerts.values()),
            asks=telemetry.asks,
            bytes_sent=sum(telemetry.bytes_by_reason.values()),
            stream_bytes=sum(camera.stream_bytes for camera in cameras),
            outbox_depth=telemetry.outbox_depth,
        )


@dataclass(frozen=True, slots=True)
class DeviceRecord:
    """What is known of a device.

    Attributes:
        status: The latest, which may be a last will.
        online_status: The latest that said `online`: a last will names neither cameras nor model.
        presence: As of the latest message; who is silent for long is offline all the same (`fleet.presence`).
        reported: What it runs, and how its latest update stands.
        past: What earlier boots counted.
    """

    id: str
    enrolled_at: datetime
    revoked_at: datetime | None = None
    last_seen_at: datetime | None = None
    presence: Presence = Presence.OFFLINE
    status: Status | None = None
    online_status: Status | None = None
    telemetry: Telemetry | None = None
    reported: Reported | None = None
    past: Totals = field(default_factory=Totals)

    @property
    def totals(self) -> Totals:
        """Over all boots, the present one included."""
        return self.past if self.telemetry is None else self.past.plus(Totals.of(self.telemetry))


@dataclass(frozen=True, slots=True)
class AlertRecord:
    """An alert as it stands.

    Attributes:
        number: Counts alerts in the order of their first arrival here.
        ended: An `end` came; an `update` may follow it.
        first_received_at, received_at: When its first, and its present, revision arrived.
    """

    number: int
    alert: Alert
    ended: bool
    first_received_at: datetime
    received_at: datetime


@dataclass(frozen=True, slots=True)
class Arrival:
    """A message as it came in.

    Attributes:
        retained: The broker kept it from before we subscribed: no sign of life.
        again: The broker repeats it; the device did not.
    """

    message: UpMessage
    received_at: datetime
    retained: bool = False
    again: bool = False


@dataclass(frozen=True, slots=True)
class StandingAlert:
    """An alert as it stands before a batch, or shall stand after it.

    Attributes:
        is_new: It is not stored yet.
    """

    alert: Alert
    ended: bool
    first_received_at: datetime
    received_at: datetime
    is_new: bool = False


@dataclass(frozen=True, slots=True)
class CameraOrder:
    """How far a camera's alert messages have come, by their sequence.

    Attributes:
        last: Up to it, each is stored, or was given up by its device.
        ahead: The latest that was left since it came beyond a gap; None while there is none.
        returns: How often one was left that came no later than the one before it.
        gap_since: When the gap was first seen.
    """

    device: str
    camera: str
    last: int = 0
    ahead: int | None = None
    returns: int = 0
    gap_since: datetime | None = None


@dataclass(frozen=True, slots=True)
class Known:
    """What was stored before a batch, as far as the batch touches it.

    Attributes:
        messages: Device and message id of alert messages that are stored.
        orders: By device and camera; of one that was never heard, there is none.
    """

    devices: Mapping[str, DeviceRecord]
    alerts: Mapping[str, StandingAlert]
    messages: frozenset[tuple[str, str]]
    orders: Mapping[tuple[str, str], CameraOrder] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Writes:
    """What a batch changes.

    Attributes:
        events: Alert messages to add to the history.
        points: Chart points by device; the latest of a time slot stays.
        responses: Answers to commands, in the order of arrival.
        orders: How far the cameras' messages have come, where that changed.
    """

    events: tuple[tuple[Alert, datetime], ...] = ()
    alerts: tuple[StandingAlert, ...] = ()
    devices: tuple[DeviceRecord, ...] = ()
    points: tuple[tuple[str, TelemetryPoint], ...] = ()
    responses: tuple[tuple[Response, datetime], ...] = ()
    orders: tuple[CameraOrder, ...] = ()
