"""How far each receiver of pushes has come in the history of alerts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum, auto
from typing import Final

from sqlalchemy import func, insert, select, update
from sqlalchemy.exc import IntegrityError

from cloud.store.database import Database
from cloud.store.schema import alert_events, pushes
from wire.messages import Alert

MAX_WHY: Final = 500


class Told(Enum):
    """What came of a message for a receiver."""

    DELIVERED = auto()
    DROPPED = auto()


@dataclass(frozen=True, slots=True)
class StoredMessage:
    """A message about an alert; `number` counts them in the order of their arrival."""

    number: int
    alert: Alert
    received_at: datetime


@dataclass(frozen=True, slots=True)
class Progress:
    """How a receiver stands.

    Attributes:
        waiting: Messages of the history that were not looked at for it yet.
        failing: Why the message that is tried now was not taken so far; empty where none is.
        changed_at: When any of it changed.
    """

    name: str
    delivered: int
    dropped: int
    waiting: int
    failing: str
    changed_at: datetime | None


class PushStore:
    """The places, and the history."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def place(self, name: str) -> int:
        """Up to which message a receiver is done. A new one begins with what comes from now on."""
        place = await self._place(name)
        async with self._database.reading() as connection:
            newest = await connection.scalar(select(func.max(alert_events.c.number))) or 0
        if place is not None:
            # SQLite counts from 1 again once everything was forgotten, after a year without an alert.
            return place if place <= newest else 0
        row = {"name": name, "place": newest, "delivered": 0, "dropped": 0, "failing": ""}
        try:
            async with self._database.writing() as connection:
                await connection.execute(insert(pushes), [row])
        except IntegrityError:
            pass  # Somebody was faster; theirs counts.
        return await self._place(name) or 0

    async def _place(self, name: str) -> int | None:
        async with self._database.reading() as connection:
            place = await connection.scalar(select(pushes.c.place).where(pushes.c.name == name))
        return None if place is None else int(place)

    async def after(self, place: int, limit: int) -> list[StoredMessage]:
        """At most `limit` messages beyond a place, oldest first."""
        query = (
            select(alert_events.c.number, alert_events.c.message, alert_events.c.received_at)
            .where(alert_events.c.number > place)
            .order_by(alert_events.c.number)
            .limit(limit)
        )
        async with self._database.reading() as connection:
            found = await connection.execute(query)
            return [
                StoredMessage(row.number, Alert.model_validate_json(row.message), row.received_at) for row in found
            ]

    async def before(self, message: StoredMessage) -> list[Alert]:
        """What was stored about the same alert before this message."""
        query = (
            select(alert_events.c.message)
            .where(alert_events.c.alert_id == message.alert.id, alert_events.c.number < message.number)
            .order_by(alert_events.c.number)
        )
        async with self._database.reading() as connection:
            found = await connection.execute(query)
            return [Alert.model_validate_json(text) for text in found.scalars()]

    async def advance(self, name: str, place: int, told: Told | None, at: datetime) -> None:
        """Commit that a receiver is done with all up to `place`, and what came of that message; None: not for it."""
        values: dict[str, object] = {"place": place}
        if told is not None:
            column = pushes.c.delivered if told is Told.DELIVERED else pushes.c.dropped
            values |= {column.name: column + 1, "failing": "", "changed_at": at}
        async with self._database.writing() as connection:
            await connection.execute(update(pushes).where(pushes.c.name == name).values(values))

    async def failed(self, name: str, why: str, at: datetime) -> None:
        """Commit why a message was not taken so far."""
        values = {"failing": why[:MAX_WHY], "changed_at": at}
        async with self._database.writing() as connection:
            await connection.execute(update(pushes).where(pushes.c.name == name).values(values))

    async def progress(self, names: Sequence[str]) -> list[Progress]:
        """How these receivers stand, in their order; one that no service has served yet stands at nothing."""
        async with self._database.reading() as connection:
            found = {row.name: row for row in await connection.execute(select(pushes))}
            counts = {
                name: await connection.scalar(
                    select(func.count()).select_from(alert_events).where(alert_events.c.number > found[name].place)
                )
                for name in names
                if name in found
            }
        return [
            Progress(
                name,
                found[name].delivered,
                found[name].dropped,
                counts[name] or 0,
                found[name].failing,
                found[name].changed_at,
            )
            if name in found
            else Progress(name, 0, 0, 0, "", None)
            for name in names
        ]
