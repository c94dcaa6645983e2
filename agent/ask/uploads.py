"""What waits to be sent over HTTP, as the asker sees its store."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple, Protocol


class Kind(StrEnum):
    """What an upload is, in the order in which they go."""

    QUESTION = "question"
    OBJECT = "object"
    """A question about an object, that decides no alert: worth nothing once its deadline is over."""
    PICTURE = "picture"
    OUTCOME = "outcome"
    """Asks what came of an audit that the cloud has, and had not looked at in time; without a picture."""
    AUDIT = "audit"


class Key(NamedTuple):
    """Names an upload by the question's, the alert's or the audit's id. A second one under it replaces the first."""

    kind: Kind
    id: str


@dataclass(frozen=True, slots=True)
class Upload:
    """A picture to send.

    Attributes:
        question: The exact bytes of the `wire` message that goes with it: a question, an audit or a picture's note.
        jpeg: Empty where only an outcome is asked for.
        made_at: By the wall clock, since it may outlive the boot.
    """

    key: Key
    question: bytes
    jpeg: bytes
    made_at: datetime


class Uploads(Protocol):
    """Safe to use from any thread; each call may wait for the disk; `get` and `waiting` alone raise for it."""

    def put(self, upload: Upload) -> list[Key]:
        """Keep it until it is removed; returns what had to go: outcomes first, then audits, then the oldest."""

    def get(self, key: Key) -> Upload | None:
        """The upload, if it is still there.

        Raises:
            OutboxUnwritable: The disk refuses, and it may be there.
        """

    def remove(self, key: Key) -> None:
        """It was sent, or given up."""

    def waiting(self) -> list[tuple[Key, datetime]]:
        """What is kept, and when it was made; oldest first.

        Raises:
            OutboxUnwritable: The disk refuses.
        """
