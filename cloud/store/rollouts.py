"""Rollouts, what their devices were told, and which device belongs where."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Row, bindparam, delete, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from cloud.deployment import (
    ALLOWED,
    DEFAULT_GROUP,
    LEADS_TO,
    OPEN,
    Answer,
    Ask,
    Fate,
    Member,
    Order,
    Rollout,
    Wish,
)
from cloud.errors import DeviceUnknown, NotFound, RolloutOpen, RolloutRefused
from cloud.store.database import Database
from cloud.store.schema import desired, devices, placements, rollout_orders, rollouts
from wire.codec import encode
from wire.messages import Presence
from wire.updates import Desired, ModelRef, Reported, UpdateState

_ORDER_COLUMNS: Final = tuple(rollout_orders.c[field.name] for field in fields(Order))
# SQLite takes at most 32,766 parameters in a statement.
_AT_ONCE: Final = 1000


@dataclass(frozen=True, slots=True)
class Standing:
    """A rollout, and what a person wants of it since."""

    rollout: Rollout
    wish: Wish | None


@dataclass(frozen=True, slots=True)
class Placement:
    """Where a device belongs."""

    group: str = DEFAULT_GROUP
    labels: Mapping[str, str] | None = None
    pinned: bool = False


class RolloutStore:
    """The rollouts' tables."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._answers: dict[str, tuple[str, Answer]] = {}

    # --- for persons ---------------------------------------------------------------------------------------------

    async def add(self, rollout: Rollout) -> None:
        """Commit a new rollout.

        One that is to be aborted counts as over: the service takes rollouts up in the order of their start, and will
        have ended it before it begins this one. One that is to be rolled back counts as open.

        Raises:
            RolloutOpen: Another one of the group is not over.
        """
        wish = func.coalesce(rollouts.c.wish, "")
        is_open = (rollouts.c.phase.in_(OPEN) & (wish != Wish.ABORT)) | (wish == Wish.ROLLBACK)
        async with self._database.writing() as connection:
            found = await connection.execute(
                select(rollouts.c.id).where(rollouts.c.group_name == rollout.group, is_open)
            )
            other = found.scalars().first()
            if other is not None:
                raise RolloutOpen(
                    f"rollout {other[:8]} of the group {rollout.group} is not over",
                    f"`vedette rollout watch {other[:8]}` shows it; abort it or roll it back first.",
                )
            await connection.execute(insert(rollouts), [_row(rollout)])

    async def want(self, rollout_id: str, wish: Wish) -> Standing:
        """Commit a wish, for the service to grant; gives the rollout as it stands, and what is wanted of it now.

        It is held against where a wish will lead that the service has not seen yet, and takes the place of that one.
        Where the rollout itself stands there already, the one before is taken back, and nothing is left to grant.

        Raises:
            NotFound: There is no such rollout.
            RolloutRefused: It is not where the wish could be granted.
        """
        async with self._database.writing() as connection:
            row = await _find(connection, rollout_id)
            rollout = Rollout.model_validate_json(row.record)
            phase = rollout.phase if row.wish is None else LEADS_TO[Wish(row.wish)]
            if phase not in ALLOWED[wish]:
                raise RolloutRefused(
                    f"rollout {rollout.id[:8]} is {phase}: it can't {wish}",
                    f"That can be done while it is {' or '.join(sorted(ALLOWED[wish]))}.",
                )
            if wish is Wish.ROLLBACK:
                await _check_rollback(connection, row, rollout)
            left = wish if rollout.phase in ALLOWED[wish] else None
            await connection.execute(update(rollouts).where(rollouts.c.number == row.number).values(wish=left))
        return Standing(rollout, left)

    async def wish(self, rollout_id: str) -> Wish | None:
        """What a person wants of the rollout, and the service has not seen yet.

        Raises:
            NotFound: There is no such rollout.
        """
        async with self._database.reading() as connection:
            wish = (await _find(connection, rollout_id)).wish
        return None if wish is None else Wish(wish)

    async def place(self, device: str, change: Mapping[str, object], labels: Mapping[str, str | None]) -> Placement:
        """Commit where a device belongs, and give it back.

        Args:
            device: Its id.
            change: `group_name` and `pinned`, where they change.
            labels: To set; None takes one away.

        Raises:
            DeviceUnknown: There is none of that id.
        """
        async with self._database.writing() as connection:
            known = await connection.execute(select(devices.c.id).where(devices.c.id == device))
            if known.one_or_none() is None:
                raise DeviceUnknown(f"there is no device called {device}", "`vedette devices` lists them.")
            found = await connection.execute(select(placements).where(placements.c.device == device))
            row = found.one_or_none()
            kept = {} if row is None else json.loads(row.labels)
            kept = {key: value for key, value in (kept | dict(labels)).items() if value is not None}
            values: dict[str, object] = {
                "device": device,
                "group_name": DEFAULT_GROUP if row is None else row.group_name,
                "pinned": False if row is None else row.pinned,
            }
            values |= {**change, "labels": json.dumps(kept, sort_keys=True)}
            await connection.execute(delete(placements).where(placements.c.device == device))
            await connection.execute(insert(placements), [values])
        return Placement(str(values["group_name"]), kept, bool(values["pinned"]))

    async def all(self) -> list[Rollout]:
        """Every rollout, the latest first."""
        async with self._database.reading() as connection:
            found = await connection.execute(select(rollouts.c.record).order_by(rollouts.c.number.desc()))
            return [Rollout.model_validate_json(record) for record in found.scalars()]

    async def find(self, rollout_id: str) -> Rollout:
        """The rollout whose id begins so; the latest one for an empty beginning.

        Raises:
            NotFound: There is none, or several.
        """
        async with self._database.reading() as connection:
            return Rollout.model_validate_json((await _find(connection, rollout_id)).record)

    # --- for the service -----------------------------------------------------------------------------------------

    async def active(self) -> list[Standing]:
        """The rollouts that something is to be done about."""
        async with self._database.reading() as connection:
            found = await connection.execute(
                select(rollouts.c.record, rollouts.c.wish)
                .where(rollouts.c.phase.in_(OPEN) | rollouts.c.wish.is_not(None))
                .order_by(rollouts.c.number)
            )
            return [
                Standing(Rollout.model_validate_json(row.record), None if row.wish is None else Wish(row.wish))
                for row in found
            ]

    async def orders(self, rollout_id: str) -> dict[str, Order]:
        """What was told in the rollout, by device."""
        async with self._database.reading() as connection:
            found = await connection.execute(
                select(*_ORDER_COLUMNS)
                .where(rollout_orders.c.rollout == rollout_id)
                .order_by(rollout_orders.c.device)
            )
            return {row.device: _order(row) for row in found}

    async def members(self, online_since: datetime) -> list[Member]:
        """Every device that was not revoked; online are those that said so and were heard since."""
        query = (
            select(
                devices.c.id,
                devices.c.presence,
                devices.c.last_seen_at,
                devices.c.reported,
                placements.c.group_name,
                placements.c.labels,
                placements.c.pinned,
                desired.c.version,
            )
            .join(placements, placements.c.device == devices.c.id, isouter=True)
            .join(desired, desired.c.device == devices.c.id, isouter=True)
            .where(devices.c.revoked_at.is_(None))
            .order_by(devices.c.id)
        )
        async with self._database.reading() as connection:
            found: Iterable[Any] = await connection.execute(query)
            return [self._member(row, online_since) for row in found]

    async def running(self, group: str) -> list[ModelRef]:
        """What the group's devices said that they run, one for each that said so."""
        query = (
            select(devices.c.reported)
            .join(placements, placements.c.device == devices.c.id, isouter=True)
            .where(
                devices.c.revoked_at.is_(None),
                devices.c.reported.is_not(None),
                func.coalesce(placements.c.group_name, DEFAULT_GROUP) == group,
            )
            .order_by(devices.c.id)
        )
        async with self._database.reading() as connection:
            found = await connection.execute(query)
            return [Reported.model_validate_json(text).running for text in found.scalars()]

    async def save(
        self, rollout: Rollout, orders: Sequence[Order], messages: Sequence[Desired], seen: Wish | None
    ) -> bool:
        """Commit a decision: the rollout, the changed orders, and what is to be published.

        Args:
            rollout: As it stands from now on.
            orders: New or changed.
            messages: To be published; each takes the place of the device's former one.
            seen: The wish that it was decided on, dealt with by it.

        Returns:
            Whether it is committed: not where another wish came meanwhile, or this one was taken back.
        """
        async with self._database.writing() as connection:
            decided = await connection.execute(
                update(rollouts)
                .where(rollouts.c.id == rollout.id, rollouts.c.wish.is_not_distinct_from(seen))
                .values(phase=rollout.phase, record=rollout.model_dump_json(), wish=None)
            )
            if not decided.rowcount:
                return False
            await _replace_orders(connection, rollout.id, orders)
            await _replace_desired(connection, messages)
        return True

    async def unpublished(self, limit: int) -> list[Desired]:
        """What was decided and not published yet."""
        async with self._database.reading() as connection:
            found = await connection.execute(
                select(desired.c.message)
                .where(desired.c.published.is_(False))
                .order_by(desired.c.device)
                .limit(limit)
            )
            return [Desired.model_validate_json(message) for message in found.scalars()]

    async def published(self, messages: Sequence[Desired]) -> None:
        """Commit that the broker has these."""
        if not messages:
            return
        statement = (
            update(desired)
            .where(desired.c.device == bindparam("which"), desired.c.version == bindparam("of_version"))
            .values(published=True)
        )
        async with self._database.writing() as connection:
            await connection.execute(
                statement, [{"which": message.device, "of_version": message.version} for message in messages]
            )

    def _member(self, row: Row[Any], online_since: datetime) -> Member:
        seen = row.last_seen_at
        return Member(
            device=row.id,
            group=row.group_name or DEFAULT_GROUP,
            labels={} if row.labels is None else json.loads(row.labels),
            pinned=bool(row.pinned),
            online=row.presence == Presence.ONLINE and seen is not None and seen >= online_since,
            last_seen_at=seen,
            desired_version=row.version or 0,
            answer=None if row.reported is None else self._answer(row.id, row.reported),
        )

    def _answer(self, device: str, text: str) -> Answer:
        """Read once for as long as it stands: a fleet is looked at each second."""
        known = self._answers.get(device)
        if known is not None and known[0] == text:
            return known[1]
        reported = Reported.model_validate_json(text)
        answer = Answer(reported.desired_version, reported.state, reported.running.digest, reported.reason)
        self._answers[device] = (text, answer)
        return answer


async def _find(connection: AsyncConnection, beginning: str) -> Row[Any]:
    query = select(rollouts).order_by(rollouts.c.number.desc()).limit(1 if not beginning else 2)
    if beginning:
        query = query.where(rollouts.c.id.startswith(beginning, autoescape=True))
    found = (await connection.execute(query)).all()
    if len(found) != 1:
        how_many = "several rollouts whose ids begin with" if found else "no rollout"
        raise NotFound(f"there is {how_many} {beginning}".strip(), "`vedette rollout list` shows them.")
    return found[0]


async def _check_rollback(connection: AsyncConnection, row: Row[Any], rollout: Rollout) -> None:
    if rollout.back_to is None:
        raise RolloutRefused(
            f"rollout {rollout.id[:8]} can't be rolled back: no signed release is known that its devices ran before",
            "Publish the release that they shall return to, and start a rollout of it.",
        )
    newest = await connection.scalar(
        select(func.max(rollouts.c.number)).where(rollouts.c.group_name == rollout.group)
    )
    if newest != row.number:
        raise RolloutRefused(
            f"rollout {rollout.id[:8]} is not the latest of the group {rollout.group}", "Roll back the latest one."
        )


async def _replace_orders(connection: AsyncConnection, rollout_id: str, orders: Sequence[Order]) -> None:
    for start in range(0, len(orders), _AT_ONCE):
        some = orders[start : start + _AT_ONCE]
        await connection.execute(
            delete(rollout_orders).where(
                rollout_orders.c.rollout == rollout_id, rollout_orders.c.device.in_([one.device for one in some])
            )
        )
        await connection.execute(insert(rollout_orders), [_order_row(rollout_id, order) for order in some])


async def _replace_desired(connection: AsyncConnection, messages: Sequence[Desired]) -> None:
    for start in range(0, len(messages), _AT_ONCE):
        some = messages[start : start + _AT_ONCE]
        await connection.execute(delete(desired).where(desired.c.device.in_([one.device for one in some])))
        await connection.execute(
            insert(desired),
            [
                {
                    "device": message.device,
                    "version": message.version,
                    "message": encode(message).decode(),
                    "published": False,
                }
                for message in some
            ],
        )


def _row(rollout: Rollout) -> dict[str, object]:
    return {
        "id": rollout.id,
        "group_name": rollout.group,
        "phase": rollout.phase,
        "record": rollout.model_dump_json(),
    }


def _order_row(rollout_id: str, order: Order) -> dict[str, object]:
    return {"rollout": rollout_id} | {field.name: getattr(order, field.name) for field in fields(Order)}


def _order(row: Row[Any]) -> Order:
    return Order(
        device=row.device,
        stage=row.stage,
        ask=Ask(row.ask),
        version=row.version,
        since_version=row.since_version,
        told_at=row.told_at,
        moved_at=row.moved_at,
        there=row.there,
        state=None if row.state is None else UpdateState(row.state),
        fate=Fate(row.fate),
        reason=row.reason,
        sure=row.sure,
        excused=row.excused,
    )
