"""Brings a database's tables to the present shape, step by step. Imported where that is needed, and no sooner."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from alembic import command
from alembic.config import Config
from alembic.util.exc import CommandError
from sqlalchemy import Connection

from cloud.errors import StoreNewer

MIGRATIONS: Final = Path(__file__).parent / "migrations"


def upgrade(connection: Connection) -> None:
    """Take the steps that are missing.

    Raises:
        StoreNewer: The tables are of a shape that this program does not know.
    """
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.attributes["connection"] = connection
    try:
        command.upgrade(config, "head")
    except CommandError as refused:
        raise StoreNewer(
            f"the database is of a shape that this program does not know ({refused})",
            "Update this program, or give it another data directory.",
        ) from None
