"""Whether a device is there. Pure."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from cloud.domain import DeviceRecord
from wire.messages import Presence

# Telemetry comes every half minute; four in a row missing is more than a bad link. A device whose broker died with
# it leaves no last will, so silence is the only sign.
SILENT_AFTER: Final = timedelta(seconds=130)


def presence(device: DeviceRecord, now: datetime) -> tuple[Presence, str]:
    """Online or not, and why, for a person."""
    if device.revoked_at is not None:
        return Presence.OFFLINE, "revoked"
    if device.last_seen_at is None and device.status is None:
        return Presence.OFFLINE, "never seen"
    reason = device.status.reason if device.status is not None else ""
    if device.presence is Presence.OFFLINE:
        return Presence.OFFLINE, reason or "the connection was lost"
    if device.last_seen_at is None or now - device.last_seen_at > SILENT_AFTER:
        return Presence.OFFLINE, "silent"
    said_online = device.status is not None and device.status.presence is Presence.ONLINE
    return Presence.ONLINE, reason if said_online else ""
