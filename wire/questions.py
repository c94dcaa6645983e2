"""Questions about objects, and the verdicts on them."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, ClassVar, Final, Self

from pydantic import Field, model_validator

from wire.alerts import DecidedBy
from wire.envelope import KIB, Message, UpMessage
from wire.fields import Box, Count, Digest, Label, MessageId, Name, Sighting, Text, Timestamp, Unit
from wire.pictures import Redaction

QUESTION_HEADER: Final = "Vedette-Question"
QUESTIONS_PATH: Final = "/v1/questions"
MAX_FOUND: Final = 24
"""As many as a crop ever shows; beyond, the unlikeliest are left out."""


class AskReason(StrEnum):
    """Why a picture leaves the device."""

    UNCERTAIN = "uncertain"
    """A rule would raise an alert if it were sure of the object."""
    DISAGREEMENT = "disagreement"
    """Of the current model and one on trial: one finds the object, the other doesn't."""
    DRAWN = "drawn"
    """At random, of all objects, to learn how often the device is sure of what is not there."""
    NEW = "new"
    """An object that the cloud was not asked about yet."""
    REFRESH = "refresh"
    """The last answer about the object is old, or the object has changed since."""
    LOST = "lost"
    """An object that the device stood behind is not seen any more, in the middle of the scene."""
    WEAK = "weak"
    """Scores too low to begin an object, in one place, over several frames."""
    MOTION = "motion"
    """Something moves, and nothing is detected there; the question's label is only one of those looked for."""

    @property
    def unseen(self) -> bool:
        """Whether the device asks about what it does not see itself, or hardly."""
        return self in {AskReason.LOST, AskReason.WEAK, AskReason.MOTION}


class Question(UpMessage):
    """Travels in the `Vedette-Question` header of `POST /v1/questions`, beside a JPEG body.

    The body shows `region` of the frame. `message_id` is the question's id: asking twice gets the same answer.

    Attributes:
        alert_id: The alert that the answer decides; None where it decides none.
        track: The tracker's number of the object; None where it follows none.
        box: Where the object is, in shares of the full frame, not of the picture.
        region: Which part of the full frame the picture shows.
        deadline_ms: How long the device waits for the answer in the response; later it goes to `down/verdicts`.
        redaction: What was painted over in the picture; None where nothing was.
        context: The picture shows the whole frame, and all of it is to be judged: what is around the object helps to
            tell what it is. None is no, and takes no bytes.
    """

    MAX_BYTES: ClassVar[int] = 4 * KIB

    alert_id: MessageId | None = None
    camera: Name
    track: Count | None = None
    label: Label
    score: Unit
    box: Box
    region: Box = (0.0, 0.0, 1.0, 1.0)
    reason: AskReason
    seen_at: Timestamp
    deadline_ms: Annotated[int, Field(ge=1, le=600_000)]
    model_digest: Digest
    redaction: Redaction | None = None
    context: bool | None = None

    @model_validator(mode="after")
    def _decides_what_its_reason_says(self) -> Self:
        if self.alert_id is None and self.reason is AskReason.UNCERTAIN:
            msg = "a question about an uncertain object names the alert that it decides"
            raise ValueError(msg)
        return self


class Decision(StrEnum):
    """What the cloud makes of the object in question."""

    CONFIRMED = "confirmed"
    RETRACTED = "retracted"


class Verdict(Message):
    """The answer to a question: in the response when in time, on `down/verdicts` when late.

    Attributes:
        alert_id: The question's; None where it decides no alert.
        label, score, box: What the cloud saw there, box in shares of the full frame; None where it saw nothing.
        looked: The part of the frame that was looked at.
        found: All that the cloud sees in it, likeliest first. Unlike `score`, which is the model's own, each score
            here says how likely it is that the object is there; from .5 on the cloud stands behind it. This and
            `looked` are None from a cloud that does not say.
        model: Name and version of what decided.
        late: It missed the question's deadline.
    """

    MAX_BYTES: ClassVar[int] = 6 * KIB

    question_id: MessageId
    alert_id: MessageId | None = None
    decision: Decision
    label: Label | None = None
    score: Unit | None = None
    box: Box | None = None
    looked: Box | None = None
    found: Annotated[tuple[Sighting, ...], Field(max_length=MAX_FOUND)] | None = None
    decided_by: DecidedBy = DecidedBy.CLOUD
    model: Text
    reason: Text = ""
    took_ms: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    late: bool = False


class Pending(Message):
    """The 202 answer: the question is accepted, its verdict comes on `down/verdicts`."""

    question_id: MessageId
