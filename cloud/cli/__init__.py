"""What a person types: `vedette serve`, `vedette devices`, `vedette device …`.

Enrolling, revoking and listing work on the database itself, not on a running service's HTTP API: they work whether or
not the service runs, they need the rights to its files and nothing else (the API has no operator's login yet, and
enrolling through it would let any page or program on the machine in), and each is one transaction, which the service
sees at the device's next connection, and within a second where an open one must be closed.
"""

from __future__ import annotations

from cloud.cli.commands import app

__all__ = ["app"]
