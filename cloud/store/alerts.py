"""Reading alerts for people: pages, one with its history, and the sums."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Row, Select, exists, func, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from cloud.domain import AlertRecord
from cloud.errors import NotFound
from cloud.store.database import Database
from cloud.store.schema import NO_PICTURE, alert_events, alerts, pictures, questions, verdicts
from wire.messages import Alert, AlertState, Question, Verdict


@dataclass(frozen=True, slots=True)
class FullAlert:
    """An alert with what hangs on it.

    Attributes:
        verdict: The latest, and the question that it answers.
        has_picture: There is a picture of its own, or of a question about it.
    """

    record: AlertRecord
    verdict: tuple[Verdict, Question] | None
    has_picture: bool


@dataclass(frozen=True, slots=True)
class AlertFilter:
    """Which alerts; None is any."""

    device: str | None = None
    camera: str | None = None
    state: AlertState | None = None


@dataclass(frozen=True, slots=True)
class AlertSums:
    """How many of what."""

    by_state: dict[AlertState, int]
    asks: int
    answers: int
    late_answers: int
    first_alert_at: datetime | None


@dataclass(frozen=True, slots=True)
class Audit:
    """What is in the store.

    Attributes:
        repeated: Messages that share their camera's sequence number with another; anything but 0 is a fault.
    """

    alerts: int
    repeated: int


class AlertStore:
    """The alerts as they stand, newest first."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def page(self, which: AlertFilter, before: int | None, limit: int) -> list[FullAlert]:
        """At most `limit` alerts whose number is below `before`, newest first."""
        query = select(alerts).order_by(alerts.c.number.desc()).limit(limit)
        for column, wanted in (("device", which.device), ("camera", which.camera), ("state", which.state)):
            if wanted is not None:
                query = query.where(alerts.c[column] == wanted)
        if before is not None:
            query = query.where(alerts.c.number < before)
        return await self._full(query)

    async def some(self, ids: Sequence[str]) -> list[FullAlert]:
        """Those of `ids` that there are, oldest first."""
        return await self._full(select(alerts).where(alerts.c.id.in_(ids)).order_by(alerts.c.number))

    async def audit(self) -> Audit:
        """How many alerts are stored, and how many of their messages more than once."""
        numbers = select(alert_events.c.device, alert_events.c.camera, alert_events.c.sequence).distinct().subquery()
        async with self._database.reading() as connection:
            stored = await connection.scalar(select(func.count()).select_from(alerts))
            messages = await connection.scalar(select(func.count()).select_from(alert_events))
            told_apart = await connection.scalar(select(func.count()).select_from(numbers))
        return Audit(alerts=stored or 0, repeated=(messages or 0) - (told_apart or 0))

    async def history(self, alert_id: str) -> list[tuple[Alert, datetime]]:
        """Every message about the alert with its time of receipt, by revision."""
        async with self._database.reading() as connection:
            found = await connection.execute(
                select(alert_events.c.message, alert_events.c.received_at)
                .join(alerts, (alerts.c.id == alert_events.c.alert_id) & (alerts.c.device == alert_events.c.device))
                .where(alert_events.c.alert_id == alert_id)
                .order_by(alert_events.c.revision, alert_events.c.number)
            )
            return [(Alert.model_validate_json(row.message), row.received_at) for row in found]

    async def sums(self) -> AlertSums:
        """How many alerts, questions and answers there are."""
        async with self._database.reading() as connection:
            by_state = await connection.execute(select(alerts.c.state, func.count()).group_by(alerts.c.state))
            asks = await connection.scalar(select(func.count()).select_from(questions))
            answered = await connection.execute(select(verdicts.c.late, func.count()).group_by(verdicts.c.late))
            late: dict[bool, int] = {bool(is_late): count for is_late, count in answered}
            first = await connection.scalar(select(func.min(alerts.c.first_received_at)))
            return AlertSums(
                {AlertState(state): count for state, count in by_state},
                asks or 0,
                late.get(False, 0),
                late.get(True, 0),
                first,
            )

    async def picture_key(self, alert_id: str) -> str:
        """Where the alert's picture lies, or failing that the latest crop that was asked about.

        Raises:
            NotFound: There is neither.
        """
        async with self._database.reading() as connection:
            owner = await connection.scalar(select(alerts.c.device).where(alerts.c.id == alert_id))
            for table in (pictures, questions):
                key = table.c.key if table is pictures else table.c.picture_key
                query = (
                    select(key)
                    .where(table.c.alert_id == alert_id, key != NO_PICTURE)
                    .order_by(table.c.received_at.desc())
                    .limit(1)
                )
                if owner is not None:
                    query = query.where(table.c.device == owner)
                found = await connection.scalar(query)
                if found is not None:
                    return str(found)
        raise NotFound(f"there is no picture of alert {alert_id}")

    async def question_picture_key(self, question_id: str) -> str:
        """Where the picture of a question lies.

        Raises:
            NotFound: There is no such question.
        """
        async with self._database.reading() as connection:
            found = await connection.scalar(select(questions.c.picture_key).where(questions.c.id == question_id))
        if found is None:
            raise NotFound(f"there is no question {question_id}")
        if found == NO_PICTURE:
            raise NotFound(f"the picture of question {question_id} is not kept any more")
        return str(found)

    async def _full(self, query: Select[Any]) -> list[FullAlert]:
        async with self._database.reading() as connection:
            records = [record_of_alert(row) for row in await connection.execute(query)]
            if not records:
                return []
            ids = [record.alert.id for record in records]
            answered = await _verdicts(connection, ids)
            found = await connection.execute(select(alerts.c.id).where(alerts.c.id.in_(ids), has_picture()))
            pictured = set(found.scalars())
        return [
            FullAlert(record, answered.get((record.alert.device, record.alert.id)), record.alert.id in pictured)
            for record in records
        ]


def record_of_alert(row: Row[Any]) -> AlertRecord:
    """The alert in a row."""
    return AlertRecord(
        number=row.number,
        alert=Alert.model_validate_json(row.message),
        ended=row.ended,
        first_received_at=row.first_received_at,
        received_at=row.received_at,
    )


async def _verdicts(
    connection: AsyncConnection, ids: Sequence[str]
) -> dict[tuple[str, str], tuple[Verdict, Question]]:
    found = await connection.execute(
        select(verdicts.c.device, verdicts.c.alert_id, verdicts.c.message, questions.c.message.label("question"))
        .join(questions, (questions.c.id == verdicts.c.question_id) & (questions.c.device == verdicts.c.device))
        .where(verdicts.c.alert_id.in_(ids), questions.c.alert_id == verdicts.c.alert_id)
        .order_by(verdicts.c.number)
    )
    return {
        (row.device, row.alert_id): (
            Verdict.model_validate_json(row.message),
            Question.model_validate_json(row.question),
        )
        for row in found
    }


def has_picture() -> ColumnElement[bool]:
    """Of a row of `alerts`: its device sent a picture of it, or one with a question about it."""
    return or_(
        *(
            exists().where(table.c.alert_id == alerts.c.id, table.c.device == alerts.c.device, key != NO_PICTURE)
            for table, key in ((pictures, pictures.c.key), (questions, questions.c.picture_key))
        )
    )
