"""Commands to devices, and what came of them."""

import sqlalchemy as sa
from alembic import op

from cloud.store.schema import UtcTime

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "commands",
        sa.Column("number", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("batch", sa.String(length=32), nullable=False),
        sa.Column("device", sa.String(length=63), nullable=False),
        sa.Column("name", sa.String(length=32), nullable=False),
        sa.Column("arguments", sa.Text(), nullable=False),
        sa.Column("issued_by", sa.String(length=500), nullable=False),
        sa.Column("issued_at", UtcTime(), nullable=False),
        sa.Column("expires_at", UtcTime(), nullable=False),
        sa.Column("open", sa.Boolean(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("sent_at", UtcTime(), nullable=True),
        sa.Column("finished_at", UtcTime(), nullable=True),
        sa.Column("progress", sa.Float(), nullable=True),
        sa.Column("outcome", sa.String(length=16), nullable=True),
        sa.Column("reason", sa.String(length=500), nullable=False),
        sa.Column("result", sa.Text(), nullable=False),
        sa.Column("answered_by_device", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("number", name="pk_commands"),
        sa.UniqueConstraint("id", name="uq_commands_id"),
    )
    op.create_index("ix_commands_batch", "commands", ["batch"], unique=False)
    op.create_index("ix_commands_open_number", "commands", ["open", "number"], unique=False)
    op.create_index("ix_commands_device_number", "commands", ["device", "number"], unique=False)
