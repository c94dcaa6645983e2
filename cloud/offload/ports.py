"""What answering needs from the rest of the cloud, beside `cloud.ports.Clock`."""

from __future__ import annotations

from typing import Protocol

from vision.detections import Detections, Image
from wire.messages import Message, PictureNote, Question, Verdict
from wire.topics import Channel


class Judge(Protocol):
    """A detector that any number of tasks may ask."""

    async def detect(self, image: Image, min_score: float) -> Detections:
        """The objects in `image`, as `vision.detections.Detector.detect`; overload and failure as named errors."""


class QuestionStore(Protocol):
    """Questions and their verdicts, kept by the question's id. Failures are `VedetteError`s."""

    async def find_verdict(self, question_id: str) -> Verdict | None:
        """The verdict, if there is one."""

    async def add_question(self, question: Question, picture_key: str, picture_bytes: int) -> None:
        """Commit the question; one of the same id that is there already stays as it is."""

    async def add_verdict(self, verdict: Verdict) -> None:
        """Commit the verdict; one for the same question that is there already stays as it is."""

    async def unanswered(self, limit: int) -> list[tuple[Question, str]]:
        """At most `limit` questions without a verdict, oldest first, each with the key of its picture."""


class PictureStore(Protocol):
    """Which alert has which picture."""

    async def add_picture(
        self, device: str, alert_id: str, key: str, picture_bytes: int, note: PictureNote | None = None
    ) -> None:
        """Commit that the alert's picture lies under `key`; a repeat is harmless."""


class Blobs(Protocol):
    """Bytes by key. Failures are `VedetteError`s."""

    async def put(self, key: str, data: bytes) -> None:
        """Keep `data`; what was there under `key` is replaced."""

    async def get(self, key: str) -> bytes:
        """What `put` kept.

        Raises:
            VedetteError: There is nothing under `key`, or it can't be read.
        """


class DownLink(Protocol):
    """The way to a device."""

    async def publish(self, device: str, channel: Channel, message: Message) -> None:
        """Hand the message to the broker; returns once it has it.

        Raises:
            VedetteError: The broker can't be reached or refused it.
        """


class TokenCheck(Protocol):
    """Who holds a bearer token."""

    async def device_of(self, token: str) -> str | None:
        """The device whose token this is; None if nobody's, or revoked."""


class Witness(Protocol):
    """Hears of questions and verdicts as they happen; must return at once and not fail."""

    def asked(self, question: Question, picture_key: str) -> None:
        """The question was accepted and stored."""

    def decided(self, question: Question, verdict: Verdict) -> None:
        """The verdict was stored."""
