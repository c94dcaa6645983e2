"""What commands need from the rest of the agent, as ports."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from pydantic import JsonValue

from agent.command.arguments import Arguments, UpdateModelArguments
from agent.command.dispatch import Stage
from agent.domain import Frame
from wire.commands import Command
from wire.messages import Redaction

Result = Mapping[str, JsonValue]
Progress = Callable[[float, str], None]
"""Told how far a command has come, 0..1, and in words; on the event loop."""


@dataclass(frozen=True, slots=True)
class Task:
    """A command that is being done."""

    id: str
    arguments: Arguments
    progress: Progress


Action = Callable[[Task], Awaitable[Result | None]]
"""Does a command. None: it is answered after the restart that it caused. Raises `CommandRefused` where nothing was
changed, any other `VedetteError` where it failed."""


@dataclass(frozen=True, slots=True)
class Answer:
    """An encoded `Response`."""

    message_id: str
    payload: bytes


@dataclass(frozen=True, slots=True)
class Entry:
    """A command in the journal, and what was last said about it."""

    id: str
    name: str
    stage: Stage
    answer: Answer


class Journal(Protocol):
    """Commands and their answers on disk. Each call commits, so none is made on the event loop.

    All raise OutboxUnwritable where the disk refuses.
    """

    def floor(self) -> datetime | None:
        """The newest `made_at` of a command."""

    def find(self, command_id: str) -> Entry | None:
        """The command, if it came before."""

    def accept(self, command: Command, answer: Answer) -> None:
        """A new command, and that we said so."""

    def begin(self, command_id: str) -> None:
        """From here on it may have had its effect."""

    def finish(self, entry: Entry, command: Command | None) -> None:
        """It is done; `command` where it is not in the journal yet."""

    def unfinished(self) -> list[Entry]:
        """What an earlier run left."""

    def unacked(self) -> list[Answer]:
        """Answers that the cloud has not acked, in their order."""

    def acked(self, message_ids: Collection[str]) -> None:
        """The cloud has these answers."""


class Desk(Protocol):
    """Where the link brings commands, and takes their answers. All on the event loop."""

    async def take(self, command: Command) -> None:
        """A command came; returns once it is on disk, so that the broker may forget it."""

    def acked(self, message_ids: Collection[str], made_at: datetime) -> None:
        """The cloud acked messages, some of which may be answers."""

    async def connected(self) -> None:
        """A connection began: what is not acked is to be said again."""

    async def next_answer(self) -> bytes:
        """Waits for the next answer to be sent on the present connection."""


class ModelCommands(Protocol):
    """The update worker, as far as commands reach it. May wait for the outcome or return once it is under way."""

    async def update(self, arguments: UpdateModelArguments, progress: Progress) -> Result:
        """Look at the repository now, try again what is desired, and wait for how it ends.

        Raises:
            CommandRefused: It can't or must not be done; nothing was changed.
            CommandFailed, UpdateError: It was tried, and is not installed.
        """

    async def roll_back(self, progress: Progress) -> Result:
        """Return to the model before.

        Raises:
            CommandRefused: It can't be done now.
            UpdateError: It was tried, and failed.
        """


class Frames(Protocol):
    """Pictures of the cameras as they are now."""

    @property
    def cameras(self) -> tuple[str, ...]:
        """Their names."""

    async def next(self, camera: str, timeout_s: float) -> Frame | None:
        """The camera's next frame; None where it gave none in time."""


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture as it may leave.

    Attributes:
        redaction: What was painted over in it; None where nothing was.
    """

    camera: str
    jpeg: bytes
    redaction: Redaction | None


class SnapshotStore(Protocol):
    """Where snapshots go."""

    async def put(self, command_id: str, picture: Picture) -> None:
        """Send it to the cloud.

        Raises:
            CommandFailed: It did not get through.
        """


class Control(Protocol):
    """The running agent as a whole."""

    def restart(self) -> None:
        """Stop cleanly, with the exit code on which the supervisor starts the agent again."""

    def mute(self, rule: str | None, camera: str | None, for_s: float) -> Awaitable[None]:
        """Raise no new alerts of these for so long.

        Raises:
            CommandRefused: There is no such rule or camera.
        """

    def set_log_level(self, level: str) -> None:
        """Log from `level` on."""

    def set_config(self, overrides: Mapping[str, object] | None) -> list[str]:
        """Replace rules, zones, masks or asking, or with None go back to the file; the keys that changed.

        Raises:
            ConfigInvalid: What is wrong with them; nothing was changed.
            CommandRefused: A key can't be replaced while running.
        """

    def facts(self) -> dict[str, JsonValue]:
        """Uptime and versions."""

    def report(self) -> str:
        """How the agent is doing, in words, for a person; bounded, without secrets."""
