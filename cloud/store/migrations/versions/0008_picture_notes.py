"""What a device says of an alert's picture: which part of the frame it shows, and what was painted over in it."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column."""
    op.add_column("pictures", sa.Column("note", sa.Text(), nullable=True))
