"""The outbox as delivery sees it: what was recorded stays until the cloud says that it has it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Annotated, Protocol

from pydantic import Field

from agent.domain import AlertChange
from agent.settings import Settings
from wire.messages import Alert


class OutboxSettings(Settings):
    """How much the device keeps for the cloud.

    Attributes:
        max_messages: Beyond it the oldest alert messages are dropped, and counted.
        min_free_disk_mib: With less free on the disk, the outbox stops growing: each new message drops the oldest.
        max_held: Changes kept in memory while the disk refuses; beyond it the oldest are dropped, and counted.
        keep_records_s: How long an ended alert is remembered, so that a late answer can still amend it.
    """

    max_messages: Annotated[int, Field(ge=1, le=10_000_000)] = 200_000
    min_free_disk_mib: Annotated[int, Field(ge=0)] = 64
    max_held: Annotated[int, Field(ge=1, le=100_000)] = 2_000
    keep_records_s: Annotated[float, Field(ge=0)] = 86_400.0


@dataclass(frozen=True, slots=True)
class Queued:
    """A message that waits for the cloud's ack.

    Attributes:
        row: Grows with each message, over all cameras; a camera's messages stand in order of their sequence.
        payload: The message's bytes, the same at each sending.
    """

    row: int
    message_id: str
    payload: bytes


class Outbox(Protocol):
    """Safe to use from any thread; each call may wait for the disk."""

    def record(self, changes: Sequence[AlertChange]) -> list[Alert]:
        """Commit the changes, after those that the disk refused before, each under its camera's next sequence.

        Never raises for the disk's sake: what could not be committed is held in memory, counted, and tried again.

        Returns:
            The messages that were committed by this call.
        """

    def flush(self) -> list[Alert]:
        """Try again to commit what is held in memory."""

    def held(self) -> int:
        """How many changes wait in memory for the disk."""

    def after(self, row: int, limit: int) -> list[Queued]:
        """The oldest messages beyond `row`, in order.

        Raises:
            agent.errors.OutboxUnwritable: The disk refuses.
        """

    def forget(self, message_ids: Collection[str]) -> int:
        """Drop what the cloud has committed; unknown ids are harmless. Returns how many were there.

        Raises:
            agent.errors.OutboxUnwritable: The disk refuses.
        """

    def depth(self) -> int:
        """How many messages wait for an ack."""

    def dropped(self) -> int:
        """How many changes were lost to the bounds or to corruption since the start."""

    def records(self) -> list[AlertChange]:
        """The latest change of each alert that is still open, or ended lately; in order of their last change."""

    def call_when_recorded(self, wake: Callable[[], None]) -> None:
        """Have `wake` called, from whichever thread recorded, after each commit."""
