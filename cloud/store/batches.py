"""Committing what a batch of messages changes, decided on what was stored right before it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any, Final, Protocol, TypeVar

from sqlalchemy import Connection, Row, Table, Update, and_, bindparam, delete, insert, or_, select, tuple_, update
from sqlalchemy.exc import IntegrityError

from cloud.domain import Arrival, CameraOrder, DeviceRecord, Known, StandingAlert, TelemetryPoint, Writes
from cloud.errors import StoreFailed
from cloud.store.commands import take_responses
from cloud.store.database import Database
from cloud.store.devices import COLUMNS, record_of
from cloud.store.documents import Documents
from cloud.store.schema import alert_events, alerts, camera_orders, devices, telemetry_points
from wire.codec import encode
from wire.messages import Alert, Message

# Chart points: one in ten seconds for the last hour, one in five minutes for a day; some 650 rows a device.
SLOT_S: Final = 10
FINE_S: Final = 3600
COARSE_SLOTS: Final = 30
KEPT_S: Final = 24 * 3600


class Decided(Protocol):
    """Whatever the decision holds, it says what to write."""

    @property
    def writes(self) -> Writes:
        """What to write."""


D = TypeVar("D", bound=Decided)


class BatchStore:
    """One transaction a batch: read what is known, decide, write."""

    def __init__(self, database: Database, documents: Documents | None = None) -> None:
        """On an open database.

        Args:
            database: Where they are committed.
            documents: What others have read of the same devices, and what they may take from here.
        """
        self._database = database
        self._documents = documents or Documents()

    async def commit(self, arrivals: Sequence[Arrival], decide: Callable[[Known], D]) -> D:
        """Commit what `decide` makes of the arrivals, and give its decision back.

        Args:
            arrivals: The batch.
            decide: Pure, and quick: it is called within the transaction, and maybe in another thread.

        Raises:
            StoreFailed: Nothing was changed.
        """

        def transact(connection: Connection) -> D:
            rows = _device_rows(connection, arrivals)
            before = {device: record_of(row, self._documents) for device, row in rows.items()}
            decision = decide(_known(connection, arrivals, before))
            changed = [_device_row(device, before[device.id], rows[device.id]) for device in decision.writes.devices]
            _write(connection, decision.writes, changed)
            return decision

        try:
            return await self._database.transact(transact)
        except IntegrityError as raced:
            raise StoreFailed("another writer stored the same alert at the same time") from raced

    async def thin(self, now: datetime) -> None:
        """Delete the chart points that are too old, or too close for their age."""
        slot = int(now.timestamp()) // SLOT_S
        old = telemetry_points.c.slot < slot - KEPT_S // SLOT_S
        between = and_(telemetry_points.c.slot < slot - FINE_S // SLOT_S, telemetry_points.c.slot % COARSE_SLOTS != 0)
        async with self._database.writing() as connection:
            await connection.execute(delete(telemetry_points).where(or_(old, between)))


def _device_rows(connection: Connection, arrivals: Sequence[Arrival]) -> dict[str, Row[Any]]:
    speakers = {arrival.message.device for arrival in arrivals}
    return {row.id: row for row in connection.execute(select(*COLUMNS).where(devices.c.id.in_(speakers)))}


def _known(connection: Connection, arrivals: Sequence[Arrival], known_devices: Mapping[str, DeviceRecord]) -> Known:
    heard = [arrival.message for arrival in arrivals if isinstance(arrival.message, Alert)]
    if not heard:
        return Known(known_devices, {}, frozenset())
    stored = connection.execute(
        select(alerts.c.id, alerts.c.ended, alerts.c.first_received_at, alerts.c.received_at, alerts.c.message).where(
            alerts.c.id.in_({alert.id for alert in heard})
        )
    )
    seen = connection.execute(
        select(alert_events.c.device, alert_events.c.message_id).where(
            tuple_(alert_events.c.device, alert_events.c.message_id).in_(
                {(alert.device, alert.message_id) for alert in heard}
            )
        )
    )
    return Known(
        known_devices,
        {
            row.id: StandingAlert(
                Alert.model_validate_json(row.message), row.ended, row.first_received_at, row.received_at
            )
            for row in stored
        },
        frozenset((row.device, row.message_id) for row in seen),
        _orders(connection, {(alert.device, alert.camera) for alert in heard}),
    )


def _orders(connection: Connection, cameras: set[tuple[str, str]]) -> dict[tuple[str, str], CameraOrder]:
    found = connection.execute(
        select(camera_orders).where(tuple_(camera_orders.c.device, camera_orders.c.camera).in_(cameras))
    )
    return {(row.device, row.camera): CameraOrder(**row._mapping) for row in found}  # noqa: SLF001 - its public name


def _write(connection: Connection, writes: Writes, device_rows: Sequence[Mapping[str, object]]) -> None:
    if writes.events:
        connection.execute(insert(alert_events), [_event_row(alert, at) for alert, at in writes.events])
    fresh = [_alert_row(write) for write in writes.alerts if write.is_new]
    if fresh:
        connection.execute(insert(alerts), fresh)
    changed = [_alert_row(write) | {"key": write.alert.id} for write in writes.alerts if not write.is_new]
    if changed:
        columns = ("camera", "state", "revision", "ended", "received_at", "message")
        rows = [{name: row[name] for name in (*columns, "key")} for row in changed]
        connection.execute(_update(alerts, columns), rows)
    if device_rows:
        connection.execute(_update(devices, [column for column in device_rows[0] if column != "key"]), device_rows)
    _write_orders(connection, writes.orders)
    points = {(device, int(point.at.timestamp()) // SLOT_S): point for device, point in writes.points}
    _write_points(connection, points)
    take_responses(connection, writes.responses)


def _update(table: Table, columns: Iterable[str]) -> Update:
    """Sets `columns` of the row whose id is the parameter `key`."""
    return update(table).where(table.c.id == bindparam("key")).values({name: bindparam(name) for name in columns})


def _write_orders(connection: Connection, orders: Sequence[CameraOrder]) -> None:
    if not orders:
        return
    cameras = [(order.device, order.camera) for order in orders]
    connection.execute(
        delete(camera_orders).where(tuple_(camera_orders.c.device, camera_orders.c.camera).in_(cameras))
    )
    connection.execute(insert(camera_orders), [asdict(order) for order in orders])


def _write_points(connection: Connection, points: dict[tuple[str, int], TelemetryPoint]) -> None:
    if not points:
        return
    where = tuple_(telemetry_points.c.device, telemetry_points.c.slot).in_(list(points))
    connection.execute(delete(telemetry_points).where(where))
    rows = [
        {"device": device, "slot": slot, "point": point.model_dump_json()} for (device, slot), point in points.items()
    ]
    connection.execute(insert(telemetry_points), rows)


def _event_row(alert: Alert, received_at: datetime) -> dict[str, object]:
    return {
        "device": alert.device,
        "message_id": alert.message_id,
        "alert_id": alert.id,
        "camera": alert.camera,
        "sequence": alert.sequence,
        "revision": alert.revision,
        "received_at": received_at,
        "message": _text(alert),
    }


def _alert_row(write: StandingAlert) -> dict[str, object]:
    return {
        "id": write.alert.id,
        "device": write.alert.device,
        "camera": write.alert.camera,
        "state": write.alert.state,
        "revision": write.alert.revision,
        "ended": write.ended,
        "first_received_at": write.first_received_at,
        "received_at": write.received_at,
        "message": _text(write.alert),
    }


def _device_row(device: DeviceRecord, before: DeviceRecord, row: Row[Any]) -> dict[str, object]:
    """What `row` becomes; a document that stands as it stood keeps its text."""

    def text(column: str) -> str | None:
        message = getattr(device, column)
        kept: str | None = getattr(row, column)
        return kept if message is getattr(before, column) else _text(message)

    return {
        "key": device.id,
        "last_seen_at": device.last_seen_at,
        "presence": device.presence,
        **{column: text(column) for column in ("status", "online_status", "telemetry", "reported")},
        "past": row.past if device.past is before.past else device.past.model_dump_json(),
    }


def _text(message: Message | None) -> str | None:
    return None if message is None else encode(message).decode()
