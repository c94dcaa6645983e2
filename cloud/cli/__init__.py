"""What a person types: `vedette serve`, `devices`, `device …`, `operator …`, `model …`, `rollout …` and more.

All but `serve` work on the database and the registry's files, not on a running service's HTTP API: they work whether
or not the service runs, they need the rights to its files and nothing else (the API only shows, also to operators who
log in: ADR 7), and each change is one transaction. The service
sees a new device at its next connection, and within a second that one was revoked, a rollout wanted, or a command
given. The exit codes are in `cloud.cli.telling`.
"""

from __future__ import annotations

from cloud.cli.commands import app
from cloud.cli.later import add_later

__all__ = ["add_later", "app"]
