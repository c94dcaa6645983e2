"""Finding and deleting what is too old, so many rows at a time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlalchemy import and_, delete, exists, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from cloud.store.commands import CommandRecord, record_of
from cloud.store.database import Database
from cloud.store.questions import NO_ALERT
from cloud.store.schema import (
    NO_PICTURE,
    alert_events,
    alerts,
    audit_counts,
    audits,
    commands,
    pictures,
    questions,
    verdicts,
)
from wire.commands import CommandName

_FILMING: Final = (CommandName.SNAPSHOT, CommandName.CAPTURE_CLIP)


@dataclass(frozen=True, slots=True)
class KeptPicture:
    """A picture in the store.

    Attributes:
        table: That names it.
        row: Its key there: of `pictures` the device and the alert, of the others the id.
        key: Where it lies.
    """

    table: str
    row: tuple[str, ...]
    key: str


class RetentionStore:
    """Implements `cloud.retention.service.Archive`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def pictures(self, before: datetime, limit: int) -> list[KeptPicture]:
        """See the port."""
        of_alerts = (
            select(pictures.c.device, pictures.c.alert_id, pictures.c.key)
            .where(pictures.c.received_at < before, pictures.c.key != NO_PICTURE)
            .limit(limit)
        )
        of_questions = (
            select(questions.c.id, questions.c.picture_key)
            .where(
                questions.c.received_at < before,
                questions.c.picture_key != NO_PICTURE,
                exists().where(verdicts.c.question_id == questions.c.id),
            )
            .limit(limit)
        )
        of_audits = (
            select(audits.c.id, audits.c.picture_key)
            .where(audits.c.received_at < before, audits.c.picture_key != NO_PICTURE, audits.c.concluded)
            .limit(limit)
        )
        async with self._database.reading() as connection:
            found = [
                KeptPicture(pictures.name, (row.device, row.alert_id), row.key)
                for row in await connection.execute(of_alerts)
            ]
            for table, query in ((questions, of_questions), (audits, of_audits)):
                if len(found) < limit:
                    found += [
                        KeptPicture(table.name, (row.id,), row.picture_key) for row in await connection.execute(query)
                    ]
        return found[:limit]

    async def forget_pictures(self, forgotten: Sequence[KeptPicture]) -> None:
        """See the port."""
        async with self._database.writing() as connection:
            for one in forgotten:
                if one.table == pictures.name:
                    device, alert = one.row
                    of_alert = and_(pictures.c.device == device, pictures.c.alert_id == alert)
                    await connection.execute(update(pictures).where(of_alert).values(key=NO_PICTURE))
            for table in (questions, audits):
                ids = [one.row[0] for one in forgotten if one.table == table.name]
                if ids:
                    await connection.execute(update(table).where(table.c.id.in_(ids)).values(picture_key=NO_PICTURE))

    async def filming_commands(self, after: int, before: datetime, limit: int) -> list[CommandRecord]:
        """See the port."""
        query = (
            select(commands)
            .where(
                commands.c.number > after,
                commands.c.issued_at < before,
                commands.c.name.in_(_FILMING),
                commands.c.open.is_(False),
            )
            .order_by(commands.c.number)
            .limit(limit)
        )
        async with self._database.reading() as connection:
            return [record_of(row) for row in await connection.execute(query)]

    async def forget_alerts(self, before: datetime, limit: int) -> int:
        """See the port."""
        old = select(alerts.c.device, alerts.c.id).where(alerts.c.received_at < before).limit(limit)
        asides = (
            select(questions.c.id)
            .where(questions.c.alert_id == NO_ALERT, questions.c.received_at < before)
            .where(exists().where(verdicts.c.question_id == questions.c.id))
            .limit(limit)
        )
        async with self._database.writing() as connection:
            found = [(row.device, row.id) for row in await connection.execute(old)]
            for device, alert in found:
                await _forget_alert(connection, device, alert)
            lone = [row.id for row in await connection.execute(asides)]
            await connection.execute(delete(verdicts).where(verdicts.c.question_id.in_(lone)))
            await connection.execute(delete(questions).where(questions.c.id.in_(lone)))
        return len(found) + len(lone)

    async def forget_commands(self, before: datetime, limit: int) -> int:
        """See the port."""
        old = select(commands.c.number).where(commands.c.issued_at < before, commands.c.open.is_(False)).limit(limit)
        async with self._database.writing() as connection:
            numbers = [row.number for row in await connection.execute(old)]
            await connection.execute(delete(commands).where(commands.c.number.in_(numbers)))
        return len(numbers)

    async def forget_audits(self, before: datetime, limit: int) -> int:
        """See the port."""
        old = select(audits.c.id).where(audits.c.received_at < before, audits.c.concluded).limit(limit)
        async with self._database.writing() as connection:
            ids = [row.id for row in await connection.execute(old)]
            await connection.execute(delete(audit_counts).where(audit_counts.c.audit.in_(ids)))
            await connection.execute(delete(audits).where(audits.c.id.in_(ids)))
        return len(ids)


async def _forget_alert(connection: AsyncConnection, device: str, alert: str) -> None:
    of_it = and_(questions.c.device == device, questions.c.alert_id == alert)
    asked = select(questions.c.id).where(of_it)
    await connection.execute(delete(verdicts).where(verdicts.c.question_id.in_(asked)))
    await connection.execute(delete(questions).where(of_it))
    for table in (alert_events, pictures):
        await connection.execute(delete(table).where(table.c.device == device, table.c.alert_id == alert))
    await connection.execute(delete(alerts).where(alerts.c.device == device, alerts.c.id == alert))
