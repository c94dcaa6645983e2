"""What can go wrong with a command."""

from __future__ import annotations

from agent.errors import AgentError


class CommandError(AgentError):
    """A command was not done."""


class CommandRefused(CommandError):
    """It can't or must not be done; nothing changed."""


class CommandFailed(CommandError):
    """It was begun, and did not succeed."""
