"""Finding and deleting what is too old, so many rows at a time.

A row that still names a picture stays: where the disk does not let go of the file, nobody else would know of it.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlalchemy import and_, delete, exists, literal, select, true, tuple_, update
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
_ROWS: Final = {
    pictures: (pictures.c.device, pictures.c.alert_id),
    questions: (questions.c.id,),
    audits: (audits.c.id,),
}
_KEYS: Final = {pictures: pictures.c.key, questions: questions.c.picture_key, audits: audits.c.picture_key}


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

    async def pictures(self, after: KeptPicture | None, before: datetime, limit: int) -> list[KeptPicture]:
        """See the port."""
        waits_no_more = {
            pictures: true(),
            questions: exists().where(verdicts.c.question_id == questions.c.id),
            audits: audits.c.concluded,
        }
        found: list[KeptPicture] = []
        ahead = after is None
        async with self._database.reading() as connection:
            for table, condition in waits_no_more.items():
                begun = after is not None and after.table == table.name
                ahead = ahead or begun
                if not ahead or len(found) == limit:
                    continue
                row, key = _ROWS[table], _KEYS[table]
                query = select(*row, key).where(table.c.received_at < before, key != NO_PICTURE, condition)
                if begun and after is not None:
                    query = query.where(tuple_(*row) > tuple_(*map(literal, after.row)))
                query = query.order_by(*row).limit(limit - len(found))
                found += [
                    KeptPicture(table.name, tuple(one[:-1]), one[-1]) for one in await connection.execute(query)
                ]
        return found

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
        shown = exists().where(
            pictures.c.device == alerts.c.device, pictures.c.alert_id == alerts.c.id, pictures.c.key != NO_PICTURE
        )
        asked = exists().where(
            questions.c.device == alerts.c.device,
            questions.c.alert_id == alerts.c.id,
            questions.c.picture_key != NO_PICTURE,
        )
        old = select(alerts.c.device, alerts.c.id).where(alerts.c.received_at < before, ~shown, ~asked).limit(limit)
        asides = (
            select(questions.c.id)
            .where(questions.c.alert_id == NO_ALERT, questions.c.received_at < before)
            .where(questions.c.picture_key == NO_PICTURE)
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

    async def forget_commands(self, before: datetime, limit: int, keeping: Collection[int]) -> int:
        """See the port."""
        old = (
            select(commands.c.number)
            .where(commands.c.issued_at < before, commands.c.open.is_(False), commands.c.number.not_in(keeping))
            .limit(limit)
        )
        async with self._database.writing() as connection:
            numbers = [row.number for row in await connection.execute(old)]
            await connection.execute(delete(commands).where(commands.c.number.in_(numbers)))
        return len(numbers)

    async def forget_audits(self, before: datetime, limit: int) -> int:
        """See the port."""
        old = (
            select(audits.c.id)
            .where(audits.c.received_at < before, audits.c.concluded, audits.c.picture_key == NO_PICTURE)
            .limit(limit)
        )
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
