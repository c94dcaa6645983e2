"""What can go wrong with a command."""

from __future__ import annotations

from agent.errors import AgentError


class CommandError(AgentError):
    """A command was not done."""


class CommandRefused(CommandError):
    """It can't or must not be done; nothing changed."""


class CommandFailed(CommandError):
    """It was begun, and did not succeed."""


class DiskFull(CommandFailed):
    """There is no room left on the device's disk."""


class ClipTooLarge(CommandFailed):
    """The clip is larger than the cloud takes."""


class ClipUnplayable(CommandFailed):
    """The encoder left something that can't be played."""


class CloudUnreachable(CommandFailed):
    """What was asked for did not get through to the cloud."""
