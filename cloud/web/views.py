"""What the read API says, as types; the dashboard is built against these."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from pydantic import AwareDatetime, BaseModel, ConfigDict

from cloud.domain import DeviceRecord
from cloud.fleet.presence import presence
from cloud.store.alerts import AlertSums, FullAlert
from cloud.store.devices import FleetSums
from wire.messages import (
    PICTURES_PATH,
    Alert,
    AlertEvent,
    AlertState,
    CameraStatus,
    DecidedBy,
    Decision,
    ModelStatus,
    Presence,
    Question,
    Telemetry,
    Verdict,
)
from wire.updates import Reported

Box = tuple[float, float, float, float]


class View(BaseModel):
    """The base: made here, never changed."""

    model_config = ConfigDict(frozen=True)


class AlertCounts(View):
    """Alerts by state."""

    provisional: int = 0
    confirmed: int = 0
    retracted: int = 0


class Summary(View):
    """The whole fleet in a few figures; bytes and frames as the devices' telemetry last said."""

    devices: int
    online: int
    alerts: AlertCounts
    alerts_total: int
    asks: int
    answers: int
    late_answers: int
    bytes_sent: int
    bytes_by_reason: dict[str, int]
    bytes_if_streamed: int
    frames: int
    first_alert_at: AwareDatetime | None


class DeviceView(View):
    """A device; `reason` says why it is online or not."""

    device: str
    presence: Presence
    reason: str
    agent_version: str
    last_seen_at: AwareDatetime | None
    enrolled_at: AwareDatetime
    revoked_at: AwareDatetime | None
    model: ModelStatus | None
    cameras: tuple[CameraStatus, ...]
    telemetry: Telemetry | None
    reported: Reported | None = None


class VerdictView(View):
    """A verdict, and what was asked; boxes are shares of the full frame."""

    decision: Decision
    label: str | None
    score: float | None
    box: Box | None
    model: str
    reason: str
    took_ms: float
    late: bool
    decided_by: DecidedBy
    question_id: str
    region: Box
    asked_box: Box
    picture_url: str


class AlertView(Alert):
    """An alert as it stands; `received_at` is when its present revision arrived."""

    received_at: AwareDatetime
    first_received_at: AwareDatetime
    ended: bool
    picture_url: str | None
    verdict: VerdictView | None


class HistoryEntry(View):
    """One message about an alert."""

    event: AlertEvent
    state: AlertState
    revision: int
    label: str
    score: float
    decided_by: DecidedBy
    reason: str
    made_at: AwareDatetime
    received_at: AwareDatetime


class AlertDetail(AlertView):
    """An alert with all that was said about it, first to last."""

    history: tuple[HistoryEntry, ...]


class AlertPage(View):
    """Alerts, newest first; `next` goes into `before` for the following page."""

    alerts: tuple[AlertView, ...]
    next: str | None


def summary_view(fleet: FleetSums, sums: AlertSums) -> Summary:
    """The sums over the fleet."""
    totals = fleet.totals
    return Summary(
        devices=fleet.devices,
        online=fleet.online,
        alerts=AlertCounts(**{state.value: count for state, count in sums.by_state.items()}),
        alerts_total=sum(sums.by_state.values()),
        asks=sums.asks,
        answers=sums.answers,
        late_answers=sums.late_answers,
        bytes_sent=sum(totals.bytes_by_reason.values()),
        bytes_by_reason=totals.bytes_by_reason,
        bytes_if_streamed=totals.stream_bytes,
        frames=totals.frames,
        first_alert_at=sums.first_alert_at,
    )


def device_view(device: DeviceRecord, now: datetime) -> DeviceView:
    """The device as a person sees it; what a last will leaves out is taken from the last birth."""
    is_there, reason = presence(device, now)
    described = device.online_status or device.status
    return DeviceView(
        device=device.id,
        presence=is_there,
        reason=reason,
        agent_version="" if described is None else described.agent_version,
        last_seen_at=device.last_seen_at,
        enrolled_at=device.enrolled_at,
        revoked_at=device.revoked_at,
        model=None if described is None else described.model,
        cameras=() if described is None else described.cameras,
        telemetry=device.telemetry,
        reported=device.reported,
    )


def alert_view(full: FullAlert) -> AlertView:
    """The alert as a person sees it."""
    return AlertView.model_validate(_alert_fields(full))


def alert_detail(full: FullAlert, history: Iterable[tuple[Alert, datetime]]) -> AlertDetail:
    """The alert with its history."""
    entries = tuple(_entry(alert, received_at) for alert, received_at in history)
    return AlertDetail.model_validate(_alert_fields(full) | {"history": entries})


def _alert_fields(full: FullAlert) -> dict[str, object]:
    record = full.record
    return record.alert.model_dump() | {
        "received_at": record.received_at,
        "first_received_at": record.first_received_at,
        "ended": record.ended,
        "picture_url": f"{PICTURES_PATH}/{record.alert.id}" if full.has_picture else None,
        "verdict": None if full.verdict is None else _verdict_view(*full.verdict),
    }


def _verdict_view(verdict: Verdict, question: Question) -> VerdictView:
    return VerdictView(
        decision=verdict.decision,
        label=verdict.label,
        score=verdict.score,
        box=verdict.box,
        model=verdict.model,
        reason=verdict.reason,
        took_ms=verdict.took_ms,
        late=verdict.late,
        decided_by=verdict.decided_by,
        question_id=verdict.question_id,
        region=question.region,
        asked_box=question.box,
        picture_url=f"/api/questions/{verdict.question_id}/picture",
    )


def _entry(alert: Alert, received_at: datetime) -> HistoryEntry:
    return HistoryEntry(
        event=alert.event,
        state=alert.state,
        revision=alert.revision,
        label=alert.label,
        score=alert.score,
        decided_by=alert.decided_by,
        reason=alert.reason,
        made_at=alert.made_at,
        received_at=received_at,
    )
