"""The sums of the fleet that monitoring asks for, without reading the fleet."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, Column, ColumnElement, Row, and_, case, cast, func, select
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncConnection

from cloud.store.database import Database
from cloud.store.schema import NO_PICTURE, alerts, commands, devices, pictures, questions, rollouts, verdicts
from wire.messages import Presence


@dataclass(frozen=True, slots=True)
class FleetFigures:
    """How many of what, all of it as committed.

    Attributes:
        enrolled: Devices that were not revoked; the next five are about these only.
        online: Of them, those that are connected and were heard of lately.
        never_seen: Of them, those that have not connected yet.
        outbox_alerts, outbox_alerts_max: Alert messages that wait on the devices for the cloud's ack, as each device
            said last: the sum, and the most on one device.
        update_states: Devices by the state of their model's update, as each said last.
        alerts: By state.
        questions_unanswered: Without a verdict so far.
        rollouts: By phase.
        commands_open: Without an answer so far.
        picture_bytes: Of pictures in the store, by what they belong to.
    """

    enrolled: int
    online: int
    never_seen: int
    outbox_alerts: int
    outbox_alerts_max: int
    update_states: Mapping[str, int]
    alerts: Mapping[str, int]
    questions_unanswered: int
    rollouts: Mapping[str, int]
    commands_open: int
    picture_bytes: Mapping[str, int]


class FigureStore:
    """Reads the sums."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def figures(self, online_since: datetime) -> FleetFigures:
        """The sums now.

        Args:
            online_since: A device that was last heard of before is not online, whatever its last status said.

        Raises:
            StoreFailed: The database refused.
        """
        async with self._database.reading() as connection:
            fleet = await _fleet(connection, online_since)
            asked = await connection.scalar(select(func.count()).select_from(questions))
            answered = await connection.scalar(select(func.count()).select_from(verdicts))
            waiting = await connection.scalar(select(func.count()).where(commands.c.open.is_(True)))
            bytes_asked = await connection.scalar(
                select(func.sum(questions.c.picture_bytes)).where(questions.c.picture_key != NO_PICTURE)
            )
            bytes_shown = await connection.scalar(
                select(func.sum(pictures.c.bytes)).where(pictures.c.key != NO_PICTURE)
            )
            update_state = within(connection, devices.c.reported, "state")
            by_update = await _counted(connection, update_state, devices.c.revoked_at.is_(None))
            by_state = await _counted(connection, alerts.c.state)
            by_phase = await _counted(connection, rollouts.c.phase)
        return FleetFigures(
            enrolled=fleet.enrolled,
            online=fleet.online or 0,
            never_seen=fleet.never_seen or 0,
            outbox_alerts=fleet.outbox or 0,
            outbox_alerts_max=fleet.outbox_max or 0,
            update_states=by_update,
            alerts=by_state,
            questions_unanswered=max(0, (asked or 0) - (answered or 0)),
            rollouts=by_phase,
            commands_open=waiting or 0,
            picture_bytes={"question": bytes_asked or 0, "alert": bytes_shown or 0},
        )


async def _fleet(connection: AsyncConnection, online_since: datetime) -> Row[Any]:
    # By the database: reading and parsing the messages of ten thousand devices would hold up the service's loop.
    is_online = and_(devices.c.presence == Presence.ONLINE, devices.c.last_seen_at >= online_since)
    depth = cast(within(connection, devices.c.telemetry, "outbox_depth"), BigInteger)
    found = await connection.execute(
        select(
            func.count().label("enrolled"),
            func.sum(case((is_online, 1), else_=0)).label("online"),
            func.sum(case((devices.c.last_seen_at.is_(None), 1), else_=0)).label("never_seen"),
            func.sum(depth).label("outbox"),
            func.max(depth).label("outbox_max"),
        ).where(devices.c.revoked_at.is_(None))
    )
    row: Row[Any] = found.one()
    return row


async def _counted(
    connection: AsyncConnection, column: ColumnElement[Any], *which: ColumnElement[bool]
) -> dict[str, int]:
    found = await connection.execute(select(column, func.count()).where(*which).group_by(column))
    return {str(name): count for name, count in found if name is not None}


def within(connection: AsyncConnection, message: Column[Any], key: str) -> ColumnElement[Any]:
    """What stands under `key` in a message that is kept as text; the two databases have no common word for it."""
    if connection.dialect.name == "sqlite":
        inner: ColumnElement[Any] = func.json_extract(message, f"$.{key}")
    else:
        inner = cast(message, JSONB)[key].astext
    return inner
