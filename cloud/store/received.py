"""What devices sent: sums of pictures by device, camera, reason and day, and the pictures worth learning from."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from typing import Any

from sqlalchemy import BigInteger, ColumnElement, Date, Row, Select, and_, cast, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from cloud.received import Answered, Concluded, Received
from cloud.store.database import Database
from cloud.store.figures import within
from cloud.store.schema import NO_PICTURE, alerts, audits, commands, pictures, questions, verdicts
from wire.audits import Audit, AuditOutcome
from wire.commands import CommandName
from wire.messages import Question, Verdict


class ReceivedStore:
    """Reads only."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def sums(self, since: datetime | None = None) -> list[Received]:
        """By device, camera, reason and day.

        Raises:
            StoreFailed: The database refused.
        """
        found: list[Received] = []
        async with self._database.reading() as connection:
            for reason, query in _queries(connection):
                for row in await connection.execute(query if since is None else query.where(_AT[reason] >= since)):
                    # Greater databases say the sum of whole numbers as a Decimal, SQLite a day as text.
                    day = row.day if isinstance(row.day, date) else date.fromisoformat(row.day)
                    found.append(Received(row.device, row.camera, reason, day, row.count, int(row.size or 0)))
        return sorted(found, key=lambda one: (one.device, one.camera or "", one.reason, one.day))

    async def answered(self, since: datetime | None = None) -> list[Answered]:
        """Questions that were answered and whose picture is kept, oldest first.

        Raises:
            StoreFailed: The database refused.
        """
        query = (
            select(questions.c.message, verdicts.c.message.label("verdict"), questions.c.picture_key)
            .add_columns(questions.c.received_at)
            .join(verdicts, verdicts.c.question_id == questions.c.id)
            .where(questions.c.picture_key != NO_PICTURE)
            .order_by(questions.c.number)
        )
        return [
            Answered(
                Question.model_validate_json(row.message),
                Verdict.model_validate_json(row.verdict),
                row.picture_key,
                row.received_at,
            )
            for row in await self._rows(query, questions.c.received_at, since)
        ]

    async def audited(self, since: datetime | None = None) -> list[Concluded]:
        """Audits that were looked at and whose picture is kept, oldest first.

        Raises:
            StoreFailed: The database refused.
        """
        query = (
            select(audits.c.message, audits.c.outcome, audits.c.picture_key, audits.c.received_at)
            .where(audits.c.concluded.is_(True), audits.c.picture_key != NO_PICTURE)
            .order_by(audits.c.number)
        )
        return [
            Concluded(
                Audit.model_validate_json(row.message),
                AuditOutcome.model_validate_json(row.outcome),
                row.picture_key,
                row.received_at,
            )
            for row in await self._rows(query, audits.c.received_at, since)
        ]

    async def _rows(self, query: Select[Any], at: ColumnElement[Any], since: datetime | None) -> Sequence[Row[Any]]:
        async with self._database.reading() as connection:
            found = await connection.execute(query if since is None else query.where(at >= since))
            return list(found)


_AT = {
    "questions": questions.c.received_at,
    "pictures": pictures.c.received_at,
    "audits": audits.c.received_at,
    "snapshots": commands.c.finished_at,
    "clips": commands.c.finished_at,
}


def _queries(connection: AsyncConnection) -> list[tuple[str, Select[Any]]]:
    """One for each reason for which pictures come."""
    asked = within(connection, questions.c.message, "camera")
    command_camera = within(connection, commands.c.result, "camera")
    command_size = cast(within(connection, commands.c.result, "bytes"), BigInteger)

    def summed(
        reason: str, device: ColumnElement[Any], camera: ColumnElement[Any], size: ColumnElement[Any]
    ) -> Select[Any]:
        day = _day(connection, _AT[reason])
        return select(
            device.label("device"),
            camera.label("camera"),
            day.label("day"),
            func.count().label("count"),
            func.sum(size).label("size"),
        ).group_by(device, camera, day)

    def commanded(reason: str, name: CommandName) -> Select[Any]:
        done = and_(commands.c.name == name, commands.c.finished_at.is_not(None), command_size.is_not(None))
        return summed(reason, commands.c.device, command_camera, command_size).where(done)

    shown = summed("pictures", pictures.c.device, alerts.c.camera, pictures.c.bytes)
    return [
        ("questions", summed("questions", questions.c.device, asked, questions.c.picture_bytes)),
        ("pictures", shown.select_from(pictures.outerjoin(alerts, alerts.c.id == pictures.c.alert_id))),
        ("audits", summed("audits", audits.c.device, audits.c.camera, audits.c.picture_bytes)),
        ("snapshots", commanded("snapshots", CommandName.SNAPSHOT)),
        ("clips", commanded("clips", CommandName.CAPTURE_CLIP)),
    ]


def _day(connection: AsyncConnection, at: ColumnElement[Any]) -> ColumnElement[Any]:
    if connection.dialect.name == "sqlite":
        return func.date(at)
    return cast(func.timezone("UTC", at), Date)
