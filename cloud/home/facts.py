"""What Home Assistant is to be shown of a device, from what the service has stored and the time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final

from cloud.domain import AlertRecord, DeviceRecord
from cloud.fleet.presence import presence
from cloud.home.settings import HomeAssistantSettings
from cloud.home.shown import CameraFacts, DeviceFacts, LabelFacts, ModelFacts
from cloud.store.commands import CommandRecord
from cloud.store.home import DeviceRows
from wire.commands import Outcome
from wire.messages import AlertState, CameraState, Presence
from wire.updates import Desired, ModelRef, Reported

ISSUER: Final = "Home Assistant"
"""Who asks, in the trail of commands."""
MAX_LABELS: Final = 40
"""Of one camera; a model knows 80 or more, and an entity for each would drown the few that matter."""
OPEN_WITHIN: Final = timedelta(hours=1)
"""An alert that was not heard of for longer, and has no end, lost it with its device."""


def counted(settings: HomeAssistantSettings) -> frozenset[AlertState]:
    """The states in which an alert counts."""
    provisional = {AlertState.PROVISIONAL} if settings.provisional else set()
    return frozenset({AlertState.CONFIRMED} | provisional)


def facts(
    rows: DeviceRows, known: Mapping[str, Collection[str]], settings: HomeAssistantSettings, now: datetime
) -> DeviceFacts:
    """Put together what is shown.

    Args:
        rows: What is stored.
        known: Labels that each camera has shown before.
        settings: What counts, and for how long.
        now: The time.
    """
    record = rows.record
    described = record.online_status or record.status
    is_there, why = presence(record, now)
    online = is_there is Presence.ONLINE
    command = rows.last_command
    return DeviceFacts(
        id=record.id,
        online=online,
        why=why,
        agent_version="" if described is None else described.agent_version,
        model=_model(record, rows.desired),
        waiting=0 if record.telemetry is None else record.telemetry.outbox_depth,
        muted=_muted(rows.mutes, record, now),
        answer="" if command is None else _answer(command),
        answer_facts={} if command is None else _answer_facts(command),
        cameras=() if described is None else _cameras(rows, online, known, settings, now),
    )


def _cameras(
    rows: DeviceRows,
    online: bool,  # noqa: FBT001 - one of the facts
    known: Mapping[str, Collection[str]],
    settings: HomeAssistantSettings,
    now: datetime,
) -> tuple[CameraFacts, ...]:
    described = rows.record.online_status or rows.record.status
    telemetry = {} if rows.record.telemetry is None else {one.name: one for one in rows.record.telemetry.cameras}
    made = []
    for camera in () if described is None else described.cameras:
        of_camera = [one for one in rows.recent if one.alert.camera == camera.name]
        sums = (rows.sums or {}).get(camera.name)
        labels = list(dict.fromkeys((*known.get(camera.name, ()), *(one.alert.label for one in of_camera))))
        made.append(
            CameraFacts(
                name=camera.name,
                live=online and camera.state is CameraState.LIVE,
                detail=camera.detail,
                fps=telemetry[camera.name].fps if online and camera.name in telemetry else None,
                alerts=0 if sums is None else sums.alerts,
                last=None if sums is None else sums.last,
                picture=None if sums is None else sums.pictured,
                snapshot=(rows.snapshots or {}).get(camera.name),
                labels=tuple(_label(label, of_camera, online, settings, now) for label in labels[:MAX_LABELS]),
            )
        )
    return tuple(made)


def _label(
    label: str,
    recent: Iterable[AlertRecord],
    online: bool,  # noqa: FBT001 - one of the facts
    settings: HomeAssistantSettings,
    now: datetime,
) -> LabelFacts:
    counts = counted(settings)
    alerts = [one for one in recent if one.alert.label == label and one.alert.state in counts]
    there = [one for one in alerts if not one.ended and online and now - one.received_at < OPEN_WITHIN]
    delay = timedelta(seconds=settings.off_delay_s)
    on = bool(there) or any(now - one.received_at < delay for one in alerts)
    return LabelFacts(label, on=on, lasting=bool(there), count=len(there))


# --- what a device is asked -----------------------------------------------------------------------------------------


def _muted(mutes: Sequence[CommandRecord], record: DeviceRecord, now: datetime) -> bool:
    """By the latest `mute` of the whole device that it did. It forgets it when it starts again."""
    for one in mutes:
        if one.outcome is not Outcome.OK or one.finished_at is None or {"rule", "camera"} & set(one.arguments):
            continue
        if record.online_status is not None and record.online_status.started_at > one.finished_at:
            return False
        for_s = one.arguments.get("for_s", 0)
        return isinstance(for_s, int | float) and now < one.finished_at + timedelta(seconds=for_s)
    return False


def _answer(command: CommandRecord) -> str:
    return f"{command.name}: {command.outcome or command.state}"


def _answer_facts(command: CommandRecord) -> dict[str, str]:
    return {
        "command": command.name,
        "command_id": command.id,
        "outcome": "" if command.outcome is None else str(command.outcome),
        "reason": command.reason,
        "asked_at": command.issued_at.isoformat(),
    }


def open_orders(commands: Iterable[CommandRecord]) -> Counter[str]:
    """By device, how many commands from Home Assistant have no outcome yet."""
    return Counter(one.device for one in commands if one.issued_by == ISSUER and one.is_open)


# --- its model ------------------------------------------------------------------------------------------------------


def _model(record: DeviceRecord, desired: Desired | None) -> ModelFacts | None:
    reported = record.reported
    if reported is None:
        described = record.online_status or record.status
        runs = None if described is None else described.model
        return None if runs is None else ModelFacts(runs.name, runs.version, runs.version)
    running = reported.running
    wanted = _wanted(reported, desired)
    if wanted.name == running.name:
        return ModelFacts(running.name, running.version, wanted.version, _summary(reported))
    return ModelFacts("Detection model", _named(running), _named(wanted), _summary(reported))


def _wanted(reported: Reported, desired: Desired | None) -> ModelRef:
    """What its rollout wants of it; what it runs where that is nothing else, is held back, or did harm there."""
    if desired is None or desired.model is None or desired.paused:
        return reported.running
    held = desired.model.digest in (reported.running.digest, *reported.quarantined)
    return reported.running if held else desired.model


def _named(model: ModelRef) -> str:
    return f"{model.name} {model.version}"


def _summary(reported: Reported) -> str:
    said = f"{reported.state}: {reported.reason}" if reported.reason else str(reported.state)
    return said[:255]
