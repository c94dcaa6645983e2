"""Commands and what came of them: the queue, the audit trail, and how an answer changes a command (pure)."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from pydantic import JsonValue
from sqlalchemy import Connection, Row, and_, bindparam, func, insert, select, update

from cloud.deployment import DEFAULT_GROUP
from cloud.errors import NotFound
from cloud.store.database import Database
from cloud.store.schema import commands, devices, placements
from wire.commands import Outcome, Phase, Response

MAX_OPEN_READ: Final = 5000
"""Open commands that are looked at in one round; the oldest first."""


class State(StrEnum):
    """How far a command has come, as the cloud knows it."""

    QUEUED = "queued"
    SENT = "sent"
    ACCEPTED = "accepted"
    RUNNING = "running"
    DONE = "done"


_RANK: Final = {state: rank for rank, state in enumerate(State)}
_STATE_OF: Final = {Phase.ACCEPTED: State.ACCEPTED, Phase.PROGRESS: State.RUNNING, Phase.DONE: State.DONE}


@dataclass(frozen=True, slots=True)
class CommandRecord:
    """A command: who wanted what of whom and when, and what came of it.

    Attributes:
        number: Counts commands in the order in which they were issued; 0 before it is stored.
        batch: Shared by the commands that were issued together.
        answered_by_device: The outcome is the device's own word, not the cloud's conclusion.
        sent_at: When it was last handed to the broker.
    """

    id: str
    batch: str
    device: str
    name: str
    arguments: Mapping[str, JsonValue]
    issued_by: str
    issued_at: datetime
    expires_at: datetime
    state: State = State.QUEUED
    number: int = 0
    sent_at: datetime | None = None
    finished_at: datetime | None = None
    progress: float | None = None
    outcome: Outcome | None = None
    reason: str = ""
    result: Mapping[str, JsonValue] = field(default_factory=dict)
    answered_by_device: bool = False

    @property
    def is_open(self) -> bool:
        """Whether it still waits for its outcome."""
        return self.state is not State.DONE


def answered(command: CommandRecord, response: Response, at: datetime) -> CommandRecord:
    """The command after an answer. The same answer twice, or an older one, changes nothing.

    A device's `done` stands for ever. One that the cloud took for expired is corrected by the device's word: what
    it says was done was done.
    """
    state = _STATE_OF[response.phase]
    if command.answered_by_device or (command.state is State.DONE and state is not State.DONE):
        return command
    if state is State.DONE:
        return replace(
            command,
            state=State.DONE,
            finished_at=at,
            outcome=response.outcome,
            reason=response.reason,
            result=response.result,
            progress=None,
            answered_by_device=True,
        )
    if _RANK[state] < _RANK[command.state]:
        return command
    return replace(command, state=state, progress=response.progress, reason=response.reason)


def refused(command: CommandRecord, reason: str, at: datetime) -> CommandRecord:
    """The command as one that is never sent."""
    return replace(command, state=State.DONE, outcome=Outcome.REFUSED, reason=reason, finished_at=at)


def record_of(row: Row[Any]) -> CommandRecord:
    """The command in a row."""
    return CommandRecord(
        id=row.id,
        batch=row.batch,
        device=row.device,
        name=row.name,
        arguments=json.loads(row.arguments),
        issued_by=row.issued_by,
        issued_at=row.issued_at,
        expires_at=row.expires_at,
        state=State(row.state),
        number=row.number,
        sent_at=row.sent_at,
        finished_at=row.finished_at,
        progress=row.progress,
        outcome=None if row.outcome is None else Outcome(row.outcome),
        reason=row.reason,
        result=json.loads(row.result),
        answered_by_device=row.answered_by_device,
    )


def snapshot_key(command: CommandRecord) -> str:
    """Where the picture lies."""
    return f"snapshots/{command.device}/{command.id}.jpg"


def take_responses(connection: Connection, responses: Sequence[tuple[Response, datetime]]) -> None:
    """Let answers change their commands, inside the transaction of whoever calls.

    An answer to a command that is not that device's, or that nobody issued, changes nothing.
    """
    if not responses:
        return
    ids = {response.command_id for response, _ in responses}
    before = {row.id: record_of(row) for row in connection.execute(select(commands).where(commands.c.id.in_(ids)))}
    after = dict(before)
    for response, at in responses:
        command = after.get(response.command_id)
        if command is not None and command.device == response.device:
            after[command.id] = answered(command, response, at)
    _write(connection, (command for id_, command in after.items() if command != before[id_]))


def _write(connection: Connection, changed: Iterable[CommandRecord]) -> None:
    rows = [
        {
            "key": command.id,
            "open": command.is_open,
            "state": command.state,
            "sent_at": command.sent_at,
            "finished_at": command.finished_at,
            "progress": command.progress,
            "outcome": command.outcome,
            "reason": command.reason,
            "result": json.dumps(dict(command.result)),
            "answered_by_device": command.answered_by_device,
        }
        for command in changed
    ]
    if rows:
        these = update(commands).where(commands.c.id == bindparam("key"))
        connection.execute(these.values({name: bindparam(name) for name in rows[0] if name != "key"}), rows)


class CommandStore:
    """The commands' table."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, issued: Sequence[CommandRecord]) -> None:
        """Commit new commands; the service sends those that are open."""
        rows = [
            {
                "id": command.id,
                "batch": command.batch,
                "device": command.device,
                "name": command.name,
                "arguments": json.dumps(dict(command.arguments)),
                "issued_by": command.issued_by,
                "issued_at": command.issued_at,
                "expires_at": command.expires_at,
                "open": command.is_open,
                "state": command.state,
                "finished_at": command.finished_at,
                "outcome": command.outcome,
                "reason": command.reason,
                "result": "{}",
                "answered_by_device": False,
            }
            for command in issued
        ]
        async with self._database.writing() as connection:
            await connection.execute(insert(commands), rows)

    async def devices_of(self, group: str | None, labels: Mapping[str, str]) -> list[str]:
        """The devices that are not revoked, by name: of a rollout group (None: of any), bearing all the labels."""
        placed = func.coalesce(placements.c.group_name, DEFAULT_GROUP)
        query = (
            select(devices.c.id, placements.c.labels)
            .join_from(devices, placements, placements.c.device == devices.c.id, isouter=True)
            .where(devices.c.revoked_at.is_(None))
            .order_by(devices.c.id)
        )
        if group is not None:
            query = query.where(placed == group)
        async with self._database.reading() as connection:
            found = (await connection.execute(query)).all()
        return [row.id for row in found if labels.items() <= json.loads(row.labels or "{}").items()]

    async def pinned(self, among: Collection[str]) -> frozenset[str]:
        """Those of the devices that stay as they are."""
        query = select(placements.c.device).where(placements.c.pinned)
        async with self._database.reading() as connection:
            return frozenset((await connection.execute(query)).scalars()) & frozenset(among)

    async def find(self, command_id: str) -> CommandRecord:
        """One command.

        Raises:
            NotFound: There is none of that id.
        """
        async with self._database.reading() as connection:
            row = (await connection.execute(select(commands).where(commands.c.id == command_id))).one_or_none()
        if row is None:
            raise NotFound(f"there is no command {command_id}")
        return record_of(row)

    async def of_batch(self, batch: str) -> list[CommandRecord]:
        """The commands that were issued together, by device."""
        async with self._database.reading() as connection:
            found = await connection.execute(
                select(commands).where(commands.c.batch == batch).order_by(commands.c.device)
            )
            return [record_of(row) for row in found]

    async def page(self, device: str | None, limit: int, before: int | None = None) -> list[CommandRecord]:
        """The latest commands, newest first."""
        query = select(commands).order_by(commands.c.number.desc()).limit(limit)
        if device is not None:
            query = query.where(commands.c.device == device)
        if before is not None:
            query = query.where(commands.c.number < before)
        async with self._database.reading() as connection:
            return [record_of(row) for row in await connection.execute(query)]

    async def waiting(self) -> list[CommandRecord]:
        """Those without an outcome, oldest first."""
        query = select(commands).where(commands.c.open).order_by(commands.c.number).limit(MAX_OPEN_READ)
        async with self._database.reading() as connection:
            return [record_of(row) for row in await connection.execute(query)]

    async def sent(self, ids: Collection[str], at: datetime) -> None:
        """The broker has them."""
        these = commands.c.id.in_(ids)
        async with self._database.writing() as connection:
            await connection.execute(update(commands).where(these).values(sent_at=at))
            await connection.execute(
                update(commands).where(and_(these, commands.c.state == State.QUEUED)).values(state=State.SENT)
            )

    async def close(self, command_id: str, outcome: Outcome, reason: str, at: datetime) -> None:
        """The cloud concludes; without effect where the device has answered meanwhile."""
        async with self._database.writing() as connection:
            await connection.execute(
                update(commands)
                .where(and_(commands.c.id == command_id, commands.c.open))
                .values(open=False, state=State.DONE, outcome=outcome, reason=reason, finished_at=at, progress=None)
            )
