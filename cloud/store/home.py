"""Reading what Home Assistant is shown of a device."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from cloud.domain import AlertRecord, DeviceRecord
from cloud.store.alerts import has_picture, record_of_alert
from cloud.store.commands import CommandRecord, record_of, snapshot_key
from cloud.store.database import Database
from cloud.store.devices import COLUMNS
from cloud.store.devices import record_of as device_of
from cloud.store.schema import alerts, commands, desired, devices
from wire.commands import CommandName, Outcome
from wire.messages import AlertState
from wire.updates import Desired

RECENT: Final = timedelta(hours=6)
"""An alert that began longer ago is not looked for among those that go on."""
MAX_RECENT: Final = 500
MAX_MUTES: Final = 20
"""A mute of the whole device is looked for among so many latest ones."""
MAX_SNAPSHOTS: Final = 64
"""As many as a device has cameras at most; older pictures are not shown."""


SNAPSHOTS_FOR: Final = timedelta(days=1)
"""A snapshot is about the moment; its picture is not kept on another's broker for longer."""


@dataclass(frozen=True, slots=True)
class CameraSums:
    """A camera's alerts: how many, the latest, and the id of the latest of which there is a picture."""

    alerts: int
    last: AlertRecord
    pictured: str | None = None


@dataclass(frozen=True, slots=True)
class DeviceRows:
    """What is stored of a device, as far as it is shown.

    Attributes:
        recent: Its alerts that began lately, newest first.
        sums: By camera, of the alerts that count; cameras without one are missing.
        mutes: The latest commands to mute, newest first.
        last_command: The latest that was asked from Home Assistant.
        snapshots: By camera, the key of the latest picture that was asked for from there.
    """

    record: DeviceRecord
    desired: Desired | None = None
    recent: tuple[AlertRecord, ...] = ()
    sums: Mapping[str, CameraSums] | None = None
    mutes: tuple[CommandRecord, ...] = ()
    last_command: CommandRecord | None = None
    snapshots: Mapping[str, str] | None = None


class HomeStore:
    """Reads devices whole; nothing is remembered from one time to the next."""

    def __init__(self, database: Database, issuer: str, snapshots_for: timedelta = SNAPSHOTS_FOR) -> None:
        self._database = database
        self._issuer = issuer
        self._snapshots_for = snapshots_for

    async def rows(self, device: str, states: Collection[AlertState], now: datetime) -> DeviceRows | None:
        """What is stored of a device that is not revoked; None where there is none.

        Args:
            device: Its id.
            states: In which an alert is counted.
            now: The time.
        """
        async with self._database.reading() as connection:
            row = (
                await connection.execute(
                    select(*COLUMNS).where(devices.c.id == device, devices.c.revoked_at.is_(None))
                )
            ).one_or_none()
            if row is None:
                return None
            asked = await self._asked(connection, device)
            return DeviceRows(
                record=device_of(row),
                desired=await _desired(connection, device),
                recent=await _recent(connection, device, now - RECENT),
                sums=await _sums(connection, device, states),
                mutes=await _mutes(connection, device),
                last_command=asked[0] if asked else None,
                snapshots=_snapshots([one for one in asked if one.issued_at > now - self._snapshots_for]),
            )

    async def fleet(self) -> list[str]:
        """The devices that are not revoked."""
        async with self._database.reading() as connection:
            found = await connection.execute(select(devices.c.id).where(devices.c.revoked_at.is_(None)))
            return list(found.scalars())

    async def devices_of(self, alert_ids: Sequence[str]) -> set[str]:
        """Whose these alerts are."""
        async with self._database.reading() as connection:
            found = await connection.execute(select(alerts.c.device).where(alerts.c.id.in_(alert_ids)).distinct())
            return set(found.scalars())

    async def _asked(self, connection: AsyncConnection, device: str) -> list[CommandRecord]:
        found = await connection.execute(
            select(commands)
            .where(commands.c.device == device, commands.c.issued_by == self._issuer)
            .order_by(commands.c.number.desc())
            .limit(MAX_SNAPSHOTS)
        )
        return [record_of(row) for row in found]


async def _desired(connection: AsyncConnection, device: str) -> Desired | None:
    text = await connection.scalar(select(desired.c.message).where(desired.c.device == device))
    return None if text is None else Desired.model_validate_json(text)


async def _recent(connection: AsyncConnection, device: str, since: datetime) -> tuple[AlertRecord, ...]:
    found = await connection.execute(
        select(alerts)
        .where(alerts.c.device == device, alerts.c.first_received_at > since)
        .order_by(alerts.c.number.desc())
        .limit(MAX_RECENT)
    )
    return tuple(record_of_alert(row) for row in found)


async def _sums(connection: AsyncConnection, device: str, states: Collection[AlertState]) -> dict[str, CameraSums]:
    counted = await connection.execute(
        select(func.count().label("alerts"), func.max(alerts.c.number).label("last"))
        .where(alerts.c.device == device, alerts.c.state.in_(sorted(states)))
        .group_by(alerts.c.camera)
    )
    counts = {row.last: row.alerts for row in counted}
    found = await connection.execute(select(alerts).where(alerts.c.number.in_(list(counts))))
    last = {row.number: record_of_alert(row) for row in found}
    return {
        one.alert.camera: CameraSums(
            counts[number], one, await _latest_pictured(connection, device, one.alert.camera, states)
        )
        for number, one in last.items()
    }


async def _latest_pictured(
    connection: AsyncConnection, device: str, camera: str, states: Collection[AlertState]
) -> str | None:
    # Backwards over the index, and mostly no further than to the first.
    found = await connection.execute(
        select(alerts.c.id)
        .where(
            alerts.c.device == device,
            alerts.c.camera == camera,
            alerts.c.state.in_(sorted(states)),
            has_picture(),
        )
        .order_by(alerts.c.number.desc())
        .limit(1)
    )
    return found.scalar()


async def _mutes(connection: AsyncConnection, device: str) -> tuple[CommandRecord, ...]:
    found = await connection.execute(
        select(commands)
        .where(commands.c.device == device, commands.c.name == CommandName.MUTE)
        .order_by(commands.c.number.desc())
        .limit(MAX_MUTES)
    )
    return tuple(record_of(row) for row in found)


def _snapshots(asked: Sequence[CommandRecord]) -> dict[str, str]:
    found: dict[str, str] = {}
    for one in asked:
        camera = one.result.get("camera")
        if one.name == CommandName.SNAPSHOT and one.outcome is Outcome.OK and isinstance(camera, str):
            found.setdefault(camera, snapshot_key(one))
    return found
