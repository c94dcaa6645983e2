"""The tables. Portable between SQLite and PostgreSQL; the migrations lead here.

Messages are kept whole, as the JSON they came as, beside the columns that are searched by.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Dialect,
    Float,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    TypeDecorator,
    UniqueConstraint,
)


class UtcTime(TypeDecorator[datetime]):
    """A point in time. SQLite keeps no offset, so everything is UTC before it goes in."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002, D102
        return None if value is None else value.astimezone(UTC)

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:  # noqa: ANN401, ARG002, D102
        if not isinstance(value, datetime):
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


metadata: Final = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

NO_PICTURE: Final = ""
"""Stands where a picture's key was, once the picture is not kept any more."""

# SQLite counts only an INTEGER key up by itself.
_Number = BigInteger().with_variant(Integer, "sqlite")
_Device = String(63)
_Id = String(32)

devices: Final = Table(
    "devices",
    metadata,
    Column("id", _Device, primary_key=True),
    Column("token_sha256", String(64), nullable=False, unique=True),
    Column("enrolled_at", UtcTime, nullable=False),
    Column("revoked_at", UtcTime),
    Column("last_seen_at", UtcTime),
    Column("presence", String(16), nullable=False),
    Column("status", Text),
    Column("online_status", Text),
    Column("telemetry", Text),
    Column("reported", Text),
    Column("past", Text, nullable=False),
)

alerts: Final = Table(
    "alerts",
    metadata,
    Column("number", _Number, primary_key=True, autoincrement=True),
    Column("id", _Id, nullable=False, unique=True),
    Column("device", _Device, nullable=False),
    Column("camera", String(63), nullable=False),
    Column("state", String(16), nullable=False),
    Column("revision", BigInteger, nullable=False),
    Column("ended", Boolean, nullable=False),
    Column("first_received_at", UtcTime, nullable=False),
    Column("received_at", UtcTime, nullable=False),
    Column("message", Text, nullable=False),
    Index(None, "state"),
    Index(None, "device", "number"),
    Index(None, "first_received_at"),
)

alert_events: Final = Table(
    "alert_events",
    metadata,
    Column("number", _Number, primary_key=True, autoincrement=True),
    Column("device", _Device, nullable=False),
    Column("message_id", _Id, nullable=False),
    Column("alert_id", _Id, nullable=False),
    Column("camera", String(63), nullable=False),
    Column("sequence", BigInteger, nullable=False),
    Column("revision", BigInteger, nullable=False),
    Column("received_at", UtcTime, nullable=False),
    Column("message", Text, nullable=False),
    UniqueConstraint("device", "message_id"),
    Index(None, "alert_id"),
)

camera_orders: Final = Table(
    "camera_orders",
    metadata,
    Column("device", _Device, primary_key=True),
    Column("camera", String(63), primary_key=True),
    Column("last", BigInteger, nullable=False),
    Column("ahead", BigInteger),
    Column("returns", Integer, nullable=False),
    Column("gap_since", UtcTime),
)

questions: Final = Table(
    "questions",
    metadata,
    Column("number", _Number, primary_key=True, autoincrement=True),
    Column("id", _Id, nullable=False, unique=True),
    Column("device", _Device, nullable=False),
    Column("alert_id", _Id, nullable=False),
    Column("picture_key", String(200), nullable=False),
    Column("picture_bytes", BigInteger, nullable=False),
    Column("received_at", UtcTime, nullable=False),
    Column("message", Text, nullable=False),
    Index(None, "alert_id"),
)

verdicts: Final = Table(
    "verdicts",
    metadata,
    Column("number", _Number, primary_key=True, autoincrement=True),
    Column("question_id", _Id, nullable=False, unique=True),
    Column("device", _Device, nullable=False),
    Column("alert_id", _Id, nullable=False),
    Column("late", Boolean, nullable=False),
    Column("received_at", UtcTime, nullable=False),
    Column("message", Text, nullable=False),
    Index(None, "alert_id"),
    Index(None, "late"),
)

pictures: Final = Table(
    "pictures",
    metadata,
    Column("device", _Device, primary_key=True),
    Column("alert_id", _Id, primary_key=True),
    Column("key", String(200), nullable=False),
    Column("bytes", BigInteger, nullable=False),
    Column("received_at", UtcTime, nullable=False),
    Column("note", Text),
    Index(None, "alert_id"),
)

audits: Final = Table(
    "audits",
    metadata,
    Column("number", _Number, primary_key=True, autoincrement=True),
    Column("id", _Id, nullable=False, unique=True),
    Column("device", _Device, nullable=False),
    Column("camera", String(63), nullable=False),
    Column("model_digest", String(71), nullable=False),
    Column("model", String(500), nullable=False),
    Column("weight", Float, nullable=False),
    Column("boot_id", _Id, nullable=False),
    Column("drawn", BigInteger, nullable=False),
    Column("walked", BigInteger, nullable=False),
    Column("picture_key", String(200), nullable=False),
    Column("picture_bytes", BigInteger, nullable=False),
    Column("received_at", UtcTime, nullable=False),
    Column("concluded", Boolean, nullable=False),
    Column("matched", Integer, nullable=False),
    Column("shown", Integer, nullable=False),
    Column("there", Integer, nullable=False),
    Column("message", Text, nullable=False),
    Column("outcome", Text),
    Index(None, "concluded", "number"),
    Index(None, "received_at"),
    Index(None, "model_digest", "received_at"),
)

audit_counts: Final = Table(
    "audit_counts",
    metadata,
    Column("audit", _Id, primary_key=True),
    Column("label", String(64), primary_key=True),
    Column("matched", Integer, nullable=False),
    Column("shown", Integer, nullable=False),
    Column("there", Integer, nullable=False),
)

commands: Final = Table(
    "commands",
    metadata,
    Column("number", _Number, primary_key=True, autoincrement=True),
    Column("id", _Id, nullable=False, unique=True),
    Column("batch", _Id, nullable=False),
    Column("device", _Device, nullable=False),
    Column("name", String(32), nullable=False),
    Column("arguments", Text, nullable=False),
    Column("issued_by", String(500), nullable=False),
    Column("issued_at", UtcTime, nullable=False),
    Column("expires_at", UtcTime, nullable=False),
    Column("open", Boolean, nullable=False),
    Column("state", String(16), nullable=False),
    Column("sent_at", UtcTime),
    Column("finished_at", UtcTime),
    Column("progress", Float),
    Column("outcome", String(16)),
    Column("reason", String(500), nullable=False),
    Column("result", Text, nullable=False),
    Column("answered_by_device", Boolean, nullable=False),
    Index(None, "batch"),
    Index(None, "open", "number"),
    Index(None, "device", "number"),
)

telemetry_points: Final = Table(
    "telemetry_points",
    metadata,
    Column("device", _Device, primary_key=True),
    Column("slot", BigInteger, primary_key=True, autoincrement=False),
    Column("point", Text, nullable=False),
    Index(None, "slot"),
)

placements: Final = Table(
    "placements",
    metadata,
    Column("device", _Device, primary_key=True),
    Column("group_name", String(32), nullable=False),
    Column("labels", Text, nullable=False),
    Column("pinned", Boolean, nullable=False),
)

rollouts: Final = Table(
    "rollouts",
    metadata,
    Column("number", _Number, primary_key=True, autoincrement=True),
    Column("id", _Id, nullable=False, unique=True),
    Column("group_name", String(32), nullable=False),
    Column("phase", String(16), nullable=False),
    Column("wish", String(16)),
    Column("record", Text, nullable=False),
    Index(None, "phase"),
    Index(None, "group_name"),
)

rollout_orders: Final = Table(
    "rollout_orders",
    metadata,
    Column("rollout", _Id, primary_key=True),
    Column("device", _Device, primary_key=True),
    Column("stage", Integer, nullable=False),
    Column("ask", String(16), nullable=False),
    Column("version", BigInteger, nullable=False),
    Column("since_version", BigInteger, nullable=False),
    Column("told_at", UtcTime, nullable=False),
    Column("moved_at", UtcTime, nullable=False),
    Column("there", Boolean, nullable=False),
    Column("state", String(32)),
    Column("fate", String(16), nullable=False),
    Column("reason", Text, nullable=False),
    Column("sure", Boolean, nullable=False),
    Column("excused", Boolean, nullable=False),
)

desired: Final = Table(
    "desired",
    metadata,
    Column("device", _Device, primary_key=True),
    Column("version", BigInteger, nullable=False),
    Column("message", Text, nullable=False),
    Column("published", Boolean, nullable=False),
    Index(None, "published"),
)

claims: Final = Table(
    "claims",
    metadata,
    Column("secret_sha256", String(64), primary_key=True),
    Column("device", _Device, nullable=False),
    Column("made_at", UtcTime, nullable=False),
    Column("expires_at", UtcTime, nullable=False),
    Column("used_at", UtcTime),
    Column("used_key", String(64)),
    Index(None, "device"),
)

certificates: Final = Table(
    "certificates",
    metadata,
    Column("serial", String(40), primary_key=True),
    Column("device", _Device, nullable=False),
    Column("issued_at", UtcTime, nullable=False),
    Column("expires_at", UtcTime, nullable=False),
    Column("revoked_at", UtcTime),
    Index(None, "device"),
)

pushes: Final = Table(
    "pushes",
    metadata,
    Column("name", String(32), primary_key=True),
    Column("place", BigInteger, nullable=False),
    Column("delivered", BigInteger, nullable=False),
    Column("dropped", BigInteger, nullable=False),
    Column("failing", String(500), nullable=False),
    Column("changed_at", UtcTime),
)

operators: Final = Table(
    "operators",
    metadata,
    Column("name", String(63), primary_key=True),
    Column("password", String(200), nullable=False),
    Column("added_at", UtcTime, nullable=False),
    Column("changed_at", UtcTime, nullable=False),
    Column("seen_at", UtcTime),
)

operator_sessions: Final = Table(
    "operator_sessions",
    metadata,
    Column("token_sha256", String(64), primary_key=True),
    Column("operator", String(63), nullable=False),
    Column("begun_at", UtcTime, nullable=False),
    Column("used_at", UtcTime, nullable=False),
    Index(None, "operator"),
)

operator_tokens: Final = Table(
    "operator_tokens",
    metadata,
    Column("token_sha256", String(64), primary_key=True),
    Column("operator", String(63), nullable=False),
    Column("purpose", String(63), nullable=False),
    Column("made_at", UtcTime, nullable=False),
    Column("used_at", UtcTime),
    UniqueConstraint("operator", "purpose"),
)
