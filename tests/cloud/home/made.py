"""Devices as they are shown, and what is stored of them."""

from __future__ import annotations

from datetime import timedelta

from cloud.domain import AlertRecord, DeviceRecord
from cloud.home.entities import Entities
from cloud.home.settings import HomeAssistantSettings
from cloud.home.shown import CameraFacts, DeviceFacts, LabelFacts, ModelFacts
from cloud.store.commands import CommandRecord
from tests.cloud.samples import NOW, alert, new_id, status
from wire.messages import AlertState, CameraState, CameraStatus, Presence


def settings(**changes: object) -> HomeAssistantSettings:
    return HomeAssistantSettings.model_validate({"url": "mqtt://127.0.0.1"} | changes)


def entities(**changes: object) -> Entities:
    return Entities(settings(**changes), "0.1.0")


def shown(device: str = "gate-1", cameras: tuple[str, ...] = ("yard",), labels: tuple[str, ...] = ()) -> DeviceFacts:
    return DeviceFacts(
        id=device,
        online=True,
        model=ModelFacts("ssd", "1", "1"),
        cameras=tuple(
            CameraFacts(name, live=True, labels=tuple(LabelFacts(label) for label in labels)) for name in cameras
        ),
    )


def record(device: str = "cam-1", cameras: tuple[str, ...] = ("yard",), **changes: object) -> DeviceRecord:
    birth = status(device, cameras=tuple(CameraStatus(name=name, state=CameraState.LIVE) for name in cameras))
    fields = {
        "id": device,
        "enrolled_at": NOW,
        "last_seen_at": NOW,
        "presence": Presence.ONLINE,
        "status": birth,
        "online_status": birth,
    }
    return DeviceRecord(**(fields | changes))  # type: ignore[arg-type]


def stands(seconds_ago: float = 0.0, *, ended: bool = False, **changes: object) -> AlertRecord:
    at = NOW - timedelta(seconds=seconds_ago)
    fields: dict[str, object] = {"state": AlertState.CONFIRMED}
    return AlertRecord(1, alert(**(fields | changes)), ended, at, at)  # type: ignore[arg-type]


def command(name: str = "ping", **changes: object) -> CommandRecord:
    fields: dict[str, object] = {
        "id": new_id(),
        "batch": new_id(),
        "device": "cam-1",
        "name": name,
        "arguments": {},
        "issued_by": "Home Assistant",
        "issued_at": NOW,
        "expires_at": NOW + timedelta(minutes=5),
    }
    return CommandRecord(**(fields | changes))  # type: ignore[arg-type]
