"""Alembic's entry: it runs on the connection that `cloud.store.database` hands it, never on its own."""

from __future__ import annotations

from alembic import context

from cloud.store.schema import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
context.run_migrations()
