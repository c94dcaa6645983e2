"""Presence, and cutting off who was revoked."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from cloud.domain import DeviceRecord
from cloud.errors import LinkLost, StoreFailed
from cloud.fleet.presence import SILENT_AFTER, presence
from cloud.fleet.revocation import RevocationWatch
from tests.cloud.samples import NOW, ManualClock, status
from wire.messages import Presence

BORN = status()
THERE = DeviceRecord("cam-1", NOW, last_seen_at=NOW, presence=Presence.ONLINE, status=BORN, online_status=BORN)
WILL = status(presence=Presence.OFFLINE)
SAID = status(presence=Presence.OFFLINE, reason="stopped")


@pytest.mark.parametrize(
    ("device", "later", "expected"),
    [
        (THERE, timedelta(0), (Presence.ONLINE, "")),
        (THERE, SILENT_AFTER, (Presence.ONLINE, "")),
        (THERE, SILENT_AFTER + timedelta(seconds=1), (Presence.OFFLINE, "silent")),
        (replace(THERE, revoked_at=NOW), timedelta(0), (Presence.OFFLINE, "revoked")),
        (DeviceRecord("cam-1", NOW), timedelta(0), (Presence.OFFLINE, "never seen")),
        (
            replace(THERE, presence=Presence.OFFLINE, status=WILL),
            timedelta(0),
            (Presence.OFFLINE, "the connection was lost"),
        ),
        (replace(THERE, presence=Presence.OFFLINE, status=SAID), timedelta(0), (Presence.OFFLINE, "stopped")),
        (replace(THERE, status=WILL), timedelta(0), (Presence.ONLINE, "")),
    ],
)
def test_presence(device: DeviceRecord, later: timedelta, expected: tuple[Presence, str]) -> None:
    assert presence(device, NOW + later) == expected


class Door:
    def __init__(self) -> None:
        self.cut: list[str] = []
        self.stuck = False

    async def cut_off(self, device: str) -> None:
        if self.stuck:
            raise LinkLost("no answer")
        self.cut.append(device)


class Revocations:
    def __init__(self) -> None:
        self.ids: set[str] = set()
        self.broken = False

    async def revoked(self) -> set[str]:
        if self.broken:
            raise StoreFailed("locked")
        return set(self.ids)


def told(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name == "cloud.fleet.revocation"]


async def test_revoked_device_is_cut_off_once_and_tried_again_while_it_fails(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO")
    revocations, door = Revocations(), Door()
    watch = RevocationWatch(revocations, door, ManualClock())
    await watch.look()
    revocations.ids.add("cam-1")
    door.stuck = True
    for _ in range(3):
        await watch.look()
    assert told(caplog) == ["revoked device not cut off yet: no answer"]
    door.stuck, revocations.broken = False, True
    for _ in range(3):
        await watch.look()
    assert door.cut == []
    assert told(caplog)[1:] == ["revocations could not be read: locked"]
    revocations.broken = False
    await watch.look()
    await watch.look()
    assert door.cut == ["cam-1"]
    assert told(caplog)[2:] == ["revocations can be read again"]
