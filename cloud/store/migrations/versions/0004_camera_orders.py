"""How far each camera's alert messages have come."""

import sqlalchemy as sa
from alembic import op

from cloud.store.schema import UtcTime

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the table, from what is stored."""
    op.create_table(
        "camera_orders",
        sa.Column("device", sa.String(length=63), nullable=False),
        sa.Column("camera", sa.String(length=63), nullable=False),
        sa.Column("last", sa.BigInteger(), nullable=False),
        sa.Column("ahead", sa.BigInteger(), nullable=True),
        sa.Column("returns", sa.Integer(), nullable=False),
        sa.Column("gap_since", UtcTime(), nullable=True),
        sa.PrimaryKeyConstraint("device", "camera", name="pk_camera_orders"),
    )
    op.execute(
        "INSERT INTO camera_orders (device, camera, last, returns) "
        "SELECT device, camera, MAX(sequence), 0 FROM alert_events GROUP BY device, camera"
    )
