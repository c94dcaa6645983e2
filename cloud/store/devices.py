"""Reading and writing the devices' table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import ColumnElement, Row, and_, insert, select, update
from sqlalchemy.exc import IntegrityError

from cloud.domain import DeviceRecord, TelemetryPoint, Totals
from cloud.errors import DeviceExists, DeviceUnknown
from cloud.store.database import Database
from cloud.store.documents import Documents
from cloud.store.schema import devices, telemetry_points
from wire.messages import Presence, Status, Telemetry
from wire.updates import Reported

_NAMED: Final = 5
COLUMNS: Final = tuple(column for column in devices.c if column.name != "token_sha256")


def record_of(row: Row[Any], documents: Documents | None = None) -> DeviceRecord:
    """The device in a row of `COLUMNS`.

    Args:
        row: It.
        documents: What was read before, for whoever reads the same devices again and again.
    """
    documents = documents or Documents()
    return DeviceRecord(
        id=row.id,
        enrolled_at=row.enrolled_at,
        revoked_at=row.revoked_at,
        last_seen_at=row.last_seen_at,
        presence=Presence(row.presence),
        status=documents.maybe(Status, row.id, "status", row.status),
        online_status=documents.maybe(Status, row.id, "online_status", row.online_status),
        telemetry=documents.maybe(Telemetry, row.id, "telemetry", row.telemetry),
        reported=documents.maybe(Reported, row.id, "reported", row.reported),
        past=documents.read(Totals, row.id, "past", row.past),
    )


@dataclass(frozen=True, slots=True)
class FleetSums:
    """Over the devices that were not revoked.

    Attributes:
        totals: What they counted over all their boots.
    """

    devices: int
    online: int
    totals: Totals


def _there(since: datetime) -> ColumnElement[bool]:
    """`cloud.fleet.presence`, as far as it can be asked of many at once."""
    return and_(
        devices.c.revoked_at.is_(None), devices.c.presence == Presence.ONLINE, devices.c.last_seen_at >= since
    )


class DeviceStore:
    """The devices, and the digests of their tokens."""

    def __init__(self, database: Database, documents: Documents | None = None) -> None:
        """On an open database.

        Args:
            database: Where they are.
            documents: What others have read of the same devices, and what they may take from here.
        """
        self._database = database
        self._documents = documents or Documents()
        self._totals: dict[str, tuple[str | None, str, Totals]] = {}

    async def add(self, device: str, token_sha256: str, now: datetime) -> None:
        """Commit a new device.

        Raises:
            DeviceExists: There is one of that id, revoked or not.
        """
        await self.add_all({device: token_sha256}, now)

    async def add_all(self, tokens: Mapping[str, str], now: datetime) -> None:
        """Commit new devices, all of them or none.

        Args:
            tokens: The digest of its token, by device.
            now: When they were taken in.

        Raises:
            DeviceExists: There is one of such an id, revoked or not.
        """
        past = Totals().model_dump_json()
        rows = [
            {
                "id": device,
                "token_sha256": token_sha256,
                "enrolled_at": now,
                "presence": Presence.OFFLINE,
                "past": past,
            }
            for device, token_sha256 in tokens.items()
        ]
        if not rows:
            return
        try:
            async with self._database.writing() as connection:
                await connection.execute(insert(devices), rows)
        except IntegrityError:
            known = {device.id for device in await self.all()} & tokens.keys()
            named = ", ".join(sorted(known)[:_NAMED]) or "of that name"
            raise DeviceExists(
                f"a device called {named} is enrolled already",
                "Choose another name; a revoked one is not given out again, so that its history stays its own.",
            ) from None

    async def revoke(self, device: str, now: datetime) -> None:
        """Commit that the device is no longer welcome; the first time counts.

        Raises:
            DeviceUnknown: There is none of that id.
        """
        async with self._database.writing() as connection:
            await self._require(await connection.execute(select(devices.c.id).where(devices.c.id == device)), device)
            await connection.execute(
                update(devices).where(devices.c.id == device, devices.c.revoked_at.is_(None)).values(revoked_at=now)
            )

    async def find(self, device: str) -> DeviceRecord:
        """One device.

        Raises:
            DeviceUnknown: There is none of that id.
        """
        async with self._database.reading() as connection:
            found = await connection.execute(select(*COLUMNS).where(devices.c.id == device))
            return record_of(await self._require(found, device), self._documents)

    async def all(self) -> list[DeviceRecord]:
        """Every device, by name."""
        async with self._database.reading() as connection:
            found = await connection.execute(select(*COLUMNS).order_by(devices.c.id))
            return [record_of(row, self._documents) for row in found]

    async def online(self, since: datetime) -> set[str]:
        """The ids of those that are there: not revoked, said so, and were heard since."""
        async with self._database.reading() as connection:
            found = await connection.execute(select(devices.c.id).where(_there(since)))
            return set(found.scalars())

    async def sums(self, online_since: datetime) -> FleetSums:
        """The fleet's sums over the devices that were not revoked.

        A dashboard asks each second, and little changes in between: what each device's telemetry comes to is kept.
        """
        query = select(devices.c.id, devices.c.telemetry, devices.c.past, _there(online_since).label("there"))
        async with self._database.reading() as connection:
            rows = (await connection.execute(query.where(devices.c.revoked_at.is_(None)))).all()
        totals = Totals()
        for row in rows:
            totals = totals.plus(self._totals_of(row))
        return FleetSums(len(rows), sum(row.there for row in rows), totals)

    def _totals_of(self, row: Row[Any]) -> Totals:
        known = self._totals.get(row.id)
        if known is not None and known[:2] == (row.telemetry, row.past):
            return known[2]
        totals = Totals.model_validate_json(row.past)
        if row.telemetry is not None:
            totals = totals.plus(Totals.of(Telemetry.model_validate_json(row.telemetry)))
        self._totals[row.id] = (row.telemetry, row.past, totals)
        return totals

    async def some(self, ids: Sequence[str]) -> list[DeviceRecord]:
        """Those of `ids` that there are."""
        async with self._database.reading() as connection:
            found = await connection.execute(select(*COLUMNS).where(devices.c.id.in_(ids)))
            return [record_of(row, self._documents) for row in found]

    async def holder(self, token_sha256: str) -> str | None:
        """The device, not revoked, whose token has this digest."""
        async with self._database.reading() as connection:
            found = await connection.execute(
                select(devices.c.id).where(devices.c.token_sha256 == token_sha256, devices.c.revoked_at.is_(None))
            )
            return found.scalar_one_or_none()

    async def revoked(self) -> set[str]:
        """The ids of all that were revoked."""
        async with self._database.reading() as connection:
            found = await connection.execute(select(devices.c.id).where(devices.c.revoked_at.is_not(None)))
            return set(found.scalars())

    async def history(self, device: str) -> list[TelemetryPoint]:
        """The device's chart points, oldest first.

        Raises:
            DeviceUnknown: There is none of that id.
        """
        async with self._database.reading() as connection:
            await self._require(await connection.execute(select(devices.c.id).where(devices.c.id == device)), device)
            found = await connection.execute(
                select(telemetry_points.c.point)
                .where(telemetry_points.c.device == device)
                .order_by(telemetry_points.c.slot)
            )
            return [TelemetryPoint.model_validate_json(point) for point in found.scalars()]

    async def _require(self, found: Any, device: str) -> Row[Any]:  # noqa: ANN401 - SQLAlchemy's own
        row: Row[Any] | None = found.one_or_none()
        if row is None:
            raise DeviceUnknown(f"there is no device called {device}", "`vedette devices` lists them.")
        return row
