"""Rollouts, what devices shall run, and what they report."""

import sqlalchemy as sa
from alembic import op

from cloud.store.schema import UtcTime

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the tables, and the column for reports."""
    op.add_column("devices", sa.Column("reported", sa.Text(), nullable=True))
    op.create_table(
        "placements",
        sa.Column("device", sa.String(length=63), nullable=False),
        sa.Column("group_name", sa.String(length=32), nullable=False),
        sa.Column("labels", sa.Text(), nullable=False),
        sa.Column("pinned", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("device", name="pk_placements"),
    )
    op.create_table(
        "rollouts",
        sa.Column("number", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("group_name", sa.String(length=32), nullable=False),
        sa.Column("phase", sa.String(length=16), nullable=False),
        sa.Column("wish", sa.String(length=16), nullable=True),
        sa.Column("record", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("number", name="pk_rollouts"),
        sa.UniqueConstraint("id", name="uq_rollouts_id"),
    )
    op.create_index("ix_rollouts_phase", "rollouts", ["phase"], unique=False)
    op.create_index("ix_rollouts_group_name", "rollouts", ["group_name"], unique=False)
    op.create_table(
        "rollout_orders",
        sa.Column("rollout", sa.String(length=32), nullable=False),
        sa.Column("device", sa.String(length=63), nullable=False),
        sa.Column("stage", sa.Integer(), nullable=False),
        sa.Column("ask", sa.String(length=16), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("since_version", sa.BigInteger(), nullable=False),
        sa.Column("told_at", UtcTime(), nullable=False),
        sa.Column("moved_at", UtcTime(), nullable=False),
        sa.Column("there", sa.Boolean(), nullable=False),
        sa.Column("state", sa.String(length=32), nullable=True),
        sa.Column("fate", sa.String(length=16), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("sure", sa.Boolean(), nullable=False),
        sa.Column("excused", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("rollout", "device", name="pk_rollout_orders"),
    )
    op.create_table(
        "desired",
        sa.Column("device", sa.String(length=63), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("published", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("device", name="pk_desired"),
    )
    op.create_index("ix_desired_published", "desired", ["published"], unique=False)
