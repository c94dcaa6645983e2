"""Keeping questions, their verdicts, and where pictures lie: what the offload service asks for."""

from __future__ import annotations

from typing import Final

from sqlalchemy import Table, insert, select
from sqlalchemy.exc import IntegrityError

from cloud.ports import Clock
from cloud.store.database import Database
from cloud.store.schema import pictures, questions, verdicts
from wire.codec import encode
from wire.messages import PictureNote, Question, Verdict

NO_ALERT: Final = ""
"""In the column of a question that decides no alert; no alert has this id."""


class QuestionStore:
    """Questions, verdicts and pictures, each kept once: what is there already stays as it is."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def find_verdict(self, question_id: str) -> Verdict | None:
        """The verdict, if there is one."""
        async with self._database.reading() as connection:
            found = await connection.scalar(select(verdicts.c.message).where(verdicts.c.question_id == question_id))
        return None if found is None else Verdict.model_validate_json(found)

    async def add_question(self, question: Question, picture_key: str, picture_bytes: int) -> None:
        """Commit the question; one of the same id that is there already stays as it is."""
        await self._add(
            questions,
            {
                "id": question.message_id,
                "device": question.device,
                "alert_id": question.alert_id or NO_ALERT,
                "picture_key": picture_key,
                "picture_bytes": picture_bytes,
                "message": encode(question).decode(),
            },
        )

    async def add_verdict(self, verdict: Verdict) -> None:
        """Commit the verdict; one for the same question that is there already stays as it is."""
        await self._add(
            verdicts,
            {
                "question_id": verdict.question_id,
                "device": verdict.device,
                "alert_id": verdict.alert_id or NO_ALERT,
                "late": verdict.late,
                "message": encode(verdict).decode(),
            },
        )

    async def unanswered(self, limit: int) -> list[tuple[Question, str]]:
        """At most `limit` questions without a verdict, oldest first, each with the key of its picture."""
        async with self._database.reading() as connection:
            found = await connection.execute(
                select(questions.c.message, questions.c.picture_key)
                .outerjoin(verdicts, verdicts.c.question_id == questions.c.id)
                .where(verdicts.c.question_id.is_(None))
                .order_by(questions.c.number)
                .limit(limit)
            )
            return [(Question.model_validate_json(row.message), row.picture_key) for row in found]

    async def add_picture(
        self, device: str, alert_id: str, key: str, picture_bytes: int, note: PictureNote | None = None
    ) -> None:
        """Commit that the alert's picture lies under `key`; a repeat is harmless."""
        row: dict[str, object] = {"device": device, "alert_id": alert_id, "key": key, "bytes": picture_bytes}
        await self._add(pictures, row | {"note": None if note is None else encode(note).decode()})

    async def _add(self, table: Table, row: dict[str, object]) -> None:
        try:
            async with self._database.writing() as connection:
                await connection.execute(insert(table), [row | {"received_at": self._clock.wall()}])
        except IntegrityError:
            return  # It is there already, which is what was asked for: these tables break no other constraint.
