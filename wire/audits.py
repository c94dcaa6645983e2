"""Audits: whole frames, drawn at random with a known probability, and what the cloud's model makes of them."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, ClassVar, Final

from pydantic import Field

from wire.envelope import KIB, Message, Part, UpMessage
from wire.fields import Count, Digest, Label, MessageId, Name, Sighting, Text, Timestamp, Unit
from wire.pictures import Redaction

MAX_SIGHTINGS: Final = 64
LEAST_PROBABILITY: Final = 1e-9
"""A frame a year of thirty a second: below it, one frame would outweigh all that was ever seen."""
Point = tuple[Unit, Unit]
Polygon = Annotated[tuple[Point, ...], Field(min_length=3, max_length=64)]


class FrameKind(StrEnum):
    """What a frame was to the device, by what it detected of the labels that its rules look for."""

    CONFIDENT = "confident"
    """Something, all of it certain."""
    UNCERTAIN = "uncertain"
    """Something in the model's band of uncertain scores."""
    EMPTY = "empty"
    """Nothing worth a question."""
    STILL = "still"
    """Not judged: the motion gate saw nothing move, so what was said of the frame before stands."""


class Audit(UpMessage):
    """Travels in the `Vedette-Audit` header of `POST /v1/audits`, beside a JPEG body: the whole frame.

    `message_id` is the audit's id: the same id twice gets the same outcome.

    Attributes:
        probability: With which this frame was drawn.
        number: Counts the frames drawn of this camera in this boot from 1; a gap is a frame that was lost.
        walked: How many frames of this camera had been dealt with in this boot by then, this one included.
        labels: What the device's rules look for: on these it is judged.
        shown: What the device stood behind in this frame: tracked objects that its rules would look at.
        weaker: Tracked objects below that, seen in this frame: what lower bands would have stood behind too.
        detections: What the model said, down to the lowest score that it is asked for; the highest scores first.
        left_out: Detections that did not fit in.
        masks: What stands in one of these was ignored.
        deadline_ms: How long the device waits for the outcome.
        model: Name and version of the model that judged the frame.
        redaction: What was painted over in the picture; None where nothing was.
    """

    MAX_BYTES: ClassVar[int] = 7 * KIB

    camera: Name
    kind: FrameKind
    probability: Annotated[float, Field(ge=LEAST_PROBABILITY, le=1)]
    number: Annotated[int, Field(ge=1, le=2**53)]
    walked: Annotated[int, Field(ge=1, le=2**53)]
    labels: Annotated[tuple[Label, ...], Field(max_length=128)]
    shown: Annotated[tuple[Sighting, ...], Field(max_length=MAX_SIGHTINGS)] = ()
    weaker: Annotated[tuple[Sighting, ...], Field(max_length=MAX_SIGHTINGS)] = ()
    detections: Annotated[tuple[Sighting, ...], Field(max_length=MAX_SIGHTINGS)] = ()
    left_out: Count = 0
    masks: Annotated[tuple[Polygon, ...], Field(max_length=16)] = ()
    seen_at: Timestamp
    deadline_ms: Annotated[int, Field(ge=1, le=600_000)]
    model_digest: Digest
    model: Text = ""
    redaction: Redaction | None = None


class LabelCounts(Part):
    """One label's objects in the frame.

    Attributes:
        matched: Of those shown, how many the cloud sees too.
        shown: By the device.
        there: In the cloud's eyes.
        found: The device's scores of those that are there, from what it showed and what was weaker: with a band that
            begins at s, `there` less the scores of s and more are missed. None from a cloud that does not say.
    """

    label: Label
    matched: Count
    shown: Count
    there: Count
    found: Annotated[tuple[Unit, ...], Field(max_length=2 * MAX_SIGHTINGS)] | None = None


class AuditOutcome(Message):
    """The answer to an audit.

    Attributes:
        model: Name and version of what looked.
        counts: One for each of the audit's labels of which something was shown or there.
        missed: What the cloud sees and the device did not show; at most as many as fit.
    """

    MAX_BYTES: ClassVar[int] = 16 * KIB

    audit_id: MessageId
    model: Text
    counts: Annotated[tuple[LabelCounts, ...], Field(max_length=128)] = ()
    missed: Annotated[tuple[Sighting, ...], Field(max_length=MAX_SIGHTINGS)] = ()


AUDIT_HEADER: Final = "Vedette-Audit"
AUDITS_PATH: Final = "/v1/audits"
