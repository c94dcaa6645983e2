"""Frames drawn for audit, and what was found in them."""

import sqlalchemy as sa
from alembic import op

from cloud.store.schema import UtcTime

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "audits",
        sa.Column("number", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("device", sa.String(length=63), nullable=False),
        sa.Column("camera", sa.String(length=63), nullable=False),
        sa.Column("model_digest", sa.String(length=71), nullable=False),
        sa.Column("model", sa.String(length=500), nullable=False),
        sa.Column("weight", sa.Float(), nullable=False),
        sa.Column("boot_id", sa.String(length=32), nullable=False),
        sa.Column("drawn", sa.BigInteger(), nullable=False),
        sa.Column("walked", sa.BigInteger(), nullable=False),
        sa.Column("picture_key", sa.String(length=200), nullable=False),
        sa.Column("picture_bytes", sa.BigInteger(), nullable=False),
        sa.Column("received_at", UtcTime(), nullable=False),
        sa.Column("concluded", sa.Boolean(), nullable=False),
        sa.Column("matched", sa.Integer(), nullable=False),
        sa.Column("shown", sa.Integer(), nullable=False),
        sa.Column("there", sa.Integer(), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("outcome", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("number", name="pk_audits"),
        sa.UniqueConstraint("id", name="uq_audits_id"),
    )
    op.create_index("ix_audits_concluded_number", "audits", ["concluded", "number"], unique=False)
    op.create_index("ix_audits_received_at", "audits", ["received_at"], unique=False)
    op.create_index("ix_audits_model_digest_received_at", "audits", ["model_digest", "received_at"], unique=False)
    op.create_table(
        "audit_counts",
        sa.Column("audit", sa.String(length=32), nullable=False),
        sa.Column("label", sa.String(length=64), nullable=False),
        sa.Column("matched", sa.Integer(), nullable=False),
        sa.Column("shown", sa.Integer(), nullable=False),
        sa.Column("there", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("audit", "label", name="pk_audit_counts"),
    )
