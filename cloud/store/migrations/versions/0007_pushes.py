"""How far receivers of pushes have come."""

import sqlalchemy as sa
from alembic import op

from cloud.store.schema import UtcTime

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "pushes",
        sa.Column("name", sa.String(length=32), nullable=False),
        sa.Column("place", sa.BigInteger(), nullable=False),
        sa.Column("delivered", sa.BigInteger(), nullable=False),
        sa.Column("dropped", sa.BigInteger(), nullable=False),
        sa.Column("failing", sa.String(length=500), nullable=False),
        sa.Column("changed_at", UtcTime(), nullable=True),
        sa.PrimaryKeyConstraint("name", name="pk_pushes"),
    )
