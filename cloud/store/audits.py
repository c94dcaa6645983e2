"""Keeping audits and what was found in them, each once; and adding them up where they lie."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Any, Final

from sqlalchemy import ColumnElement, Integer, Select, case, cast, func, insert, literal, null, select, update
from sqlalchemy.exc import IntegrityError

from cloud.audited import Audited, CameraAudits
from cloud.errors import NotFound
from cloud.ports import Clock
from cloud.store.database import Database
from cloud.store.schema import audit_counts, audits
from vision.estimates import Counts, Sums
from wire.audits import Audit, AuditOutcome
from wire.codec import encode


class AuditStore:
    """Implements `cloud.audit.ports.AuditKeeper`, and adds up."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def find(self, audit_id: str) -> tuple[str, AuditOutcome | None] | None:
        """See the port."""
        async with self._database.reading() as connection:
            found = (
                await connection.execute(select(audits.c.device, audits.c.outcome).where(audits.c.id == audit_id))
            ).first()
        if found is None:
            return None
        return found.device, None if found.outcome is None else AuditOutcome.model_validate_json(found.outcome)

    async def outcome(self, audit_id: str) -> AuditOutcome:
        """What came of an audit.

        Raises:
            NotFound: There is no such audit, or it was not looked at yet.
        """
        found = await self.find(audit_id)
        if found is None or found[1] is None:
            raise NotFound(f"there is no outcome of an audit {audit_id}")
        return found[1]

    async def add(self, audit: Audit, picture_key: str, picture_bytes: int) -> None:
        """See the port."""
        row = {
            "id": audit.message_id,
            "device": audit.device,
            "camera": audit.camera,
            "model_digest": audit.model_digest,
            "model": audit.model,
            "weight": 1.0 / audit.probability,
            "boot_id": audit.boot_id,
            "drawn": audit.number,
            "walked": audit.walked,
            "picture_key": picture_key,
            "picture_bytes": picture_bytes,
            "received_at": self._clock.wall(),
            "concluded": False,
            "matched": 0,
            "shown": 0,
            "there": 0,
            "message": encode(audit).decode(),
        }
        try:
            async with self._database.writing() as connection:
                await connection.execute(insert(audits), [row])
        except IntegrityError:
            return  # It is there already, which is what was asked for.

    async def conclude(self, outcome: AuditOutcome, total: Counts) -> None:
        """See the port."""
        async with self._database.writing() as connection:
            changed = await connection.execute(
                update(audits)
                .where(audits.c.id == outcome.audit_id, audits.c.concluded.is_(False))
                .values(
                    concluded=True,
                    matched=total.matched,
                    shown=total.shown,
                    there=total.there,
                    outcome=encode(outcome).decode(),
                )
            )
            if changed.rowcount and outcome.counts:
                rows = [{"audit": outcome.audit_id, **one.model_dump(exclude={"found"})} for one in outcome.counts]
                await connection.execute(insert(audit_counts), rows)

    async def open(self, limit: int) -> list[tuple[Audit, str]]:
        """See the port."""
        query = (
            select(audits.c.message, audits.c.picture_key)
            .where(audits.c.concluded.is_(False))
            .order_by(audits.c.number)
            .limit(limit)
        )
        async with self._database.reading() as connection:
            found = await connection.execute(query)
            return [(Audit.model_validate_json(row.message), row.picture_key) for row in found]

    async def waiting(self) -> int:
        """See the port."""
        query = select(func.count()).select_from(audits).where(audits.c.concluded.is_(False))
        async with self._database.reading() as connection:
            return int(await connection.scalar(query) or 0)

    async def sums(self, since: datetime, digests: tuple[str, ...] = ()) -> list[Audited]:
        """By camera, model and label, and over all labels, of what has arrived since then."""
        whole = _summed(null(), audits.c).select_from(audits)
        counts = audit_counts.c
        labelled = (
            _summed(counts.label, counts)
            .select_from(audits.join(audit_counts, audit_counts.c.audit == audits.c.id))
            .group_by(counts.label)
        )
        rows = []
        async with self._database.reading() as connection:
            for query in (whole, labelled):
                asked = query.where(audits.c.concluded.is_(True), audits.c.received_at >= since)
                if digests:
                    asked = asked.where(audits.c.model_digest.in_(digests))
                rows += [_row(one) for one in (await connection.execute(asked)).mappings()]
        # A frame without any object has no row of its own under a label.
        looked_at = {(one.device, one.camera, one.model_digest): one.audits for one in rows if one.label is None}
        return [replace(one, audits=looked_at[one.device, one.camera, one.model_digest]) for one in rows]

    async def cameras(self, since: datetime) -> list[CameraAudits]:
        """How complete each camera's sample is, of what has arrived since then, by name."""
        boots = (
            select(
                audits.c.device,
                audits.c.camera,
                func.count().label("kept"),
                func.sum(case((audits.c.concluded.is_(False), 1), else_=0)).label("waiting"),
                (func.max(audits.c.drawn) - func.min(audits.c.drawn) + 1 - func.count()).label("lost"),
                func.max(audits.c.walked).label("walked"),
                func.sum(audits.c.picture_bytes).label("picture_bytes"),
            )
            .where(audits.c.received_at >= since)
            .group_by(audits.c.device, audits.c.camera, audits.c.boot_id)
            .subquery()
        )
        summed = [func.sum(boots.c[name]).label(name) for name in _SUMMED]
        query = select(boots.c.device, boots.c.camera, *summed).group_by(boots.c.device, boots.c.camera)
        async with self._database.reading() as connection:
            found = await connection.execute(query.order_by(boots.c.device, boots.c.camera))
            return [
                CameraAudits(one["device"], one["camera"], *(int(one[name]) for name in _SUMMED))
                for one in found.mappings()
            ]


_SUMMED: Final = ("kept", "waiting", "lost", "walked", "picture_bytes")


def _summed(label: ColumnElement[Any], of: Any) -> Select[Any]:  # noqa: ANN401 - a table's columns
    w = audits.c.weight
    m, s, t = of.matched, of.shown, of.there

    def frames(has: ColumnElement[bool]) -> ColumnElement[int]:
        return func.sum(cast(case((has, 1), else_=0), Integer))

    return select(
        audits.c.device,
        audits.c.camera,
        audits.c.model_digest,
        label.label("label"),
        func.max(audits.c.model).label("model"),
        func.count().label("frames"),
        frames(s > literal(0)).label("with_shown"),
        frames(t > literal(0)).label("with_there"),
        frames(s + t > literal(0)).label("with_any"),
        func.sum(w * m).label("matched"),
        func.sum(w * s).label("shown"),
        func.sum(w * t).label("there"),
        func.sum(w * w * s).label("w2_shown"),
        func.sum(w * w * t).label("w2_there"),
        func.sum(w * w * m * m).label("w2_matched_matched"),
        func.sum(w * w * s * s).label("w2_shown_shown"),
        func.sum(w * w * t * t).label("w2_there_there"),
        func.sum(w * w * m * s).label("w2_matched_shown"),
        func.sum(w * w * m * t).label("w2_matched_there"),
        func.sum(w * w * s * t).label("w2_shown_there"),
        func.min(audits.c.received_at).label("first_at"),
        func.max(audits.c.received_at).label("last_at"),
    ).group_by(audits.c.device, audits.c.camera, audits.c.model_digest)


def _row(one: Any) -> Audited:  # noqa: ANN401 - a row by names
    names = Sums.__dataclass_fields__
    return Audited(
        device=one["device"],
        camera=one["camera"],
        label=one["label"],
        model_digest=one["model_digest"],
        model=one["model"],
        sums=Sums(**{name: one[name] for name in names}),
        audits=one["frames"],
        first_at=one["first_at"],
        last_at=one["last_at"],
    )
