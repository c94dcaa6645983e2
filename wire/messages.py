"""Every message of the protocol, as types.

All are frozen and ignore fields they do not know, so that an older program understands a newer one that only adds.
Times are RFC 3339 with an offset; boxes are shares of the full frame; `_s` is seconds, `_ms` milliseconds.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, ClassVar, Final, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from wire.fields import (
    Box,
    Count,
    DeviceId,
    Digest,
    Label,
    MessageId,
    Name,
    Seconds,
    Sighting,
    Text,
    Timestamp,
    Unit,
)
from wire.protocol import PROTOCOL

KIB: Final = 1024


class Part(BaseModel):
    """A value inside a message."""

    model_config = ConfigDict(frozen=True, extra="ignore", ser_json_inf_nan="null")


class Message(Part):
    """What every message carries.

    Attributes:
        protocol: The protocol number that its maker speaks.
        message_id: Makes the message idempotent: the same id twice is the same message.
        device: The device that speaks, or is spoken to.
        made_at: The maker's own wall clock, which may be wrong; compare it with the time of receipt.
    """

    MAX_BYTES: ClassVar[int] = 16 * KIB

    protocol: Annotated[int, Field(ge=1)] = PROTOCOL
    message_id: MessageId
    device: DeviceId
    made_at: Timestamp


class UpMessage(Message):
    """From a device.

    Attributes:
        boot_id: New at each start of the agent.
        boot_seq: Counts up from 1 within a boot; shows order where the wall clock lies.
    """

    boot_id: MessageId
    boot_seq: Annotated[int, Field(ge=1, le=2**63 - 1)]


# --- alerts ---------------------------------------------------------------------------------------------------


class AlertEvent(StrEnum):
    """Where an alert stands in its life. An `update` may follow the `end`: a late answer amends."""

    NEW = "new"
    UPDATE = "update"
    END = "end"


class AlertState(StrEnum):
    """What the alert claims by now."""

    PROVISIONAL = "provisional"
    CONFIRMED = "confirmed"
    RETRACTED = "retracted"


class DecidedBy(StrEnum):
    """Whose word the state is."""

    DEVICE = "device"
    CLOUD = "cloud"
    REVIEWER = "reviewer"


class Alert(UpMessage):
    """One event in an alert's life.

    Attributes:
        id: The alert; the same through new, update and end.
        revision: 0 with `new`, then one more with each message about this alert. The highest is the truth.
        sequence: Counts this camera's alert messages from 1 without gaps, across restarts.
        zone: The zone in which the object stood, where the rule names zones.
        track: The tracker's number of the object, unique within a boot and camera.
        score: The detector's, or the cloud's once it decided.
        seen_first_at, seen_last_at: When the object was first and last seen, by the device's clock.
        decided_at: When `state` became what it is.
        reason: Why it is in this state, for a person.
        model_digest: The model file that saw it.
        picture: Path of the crop below the cloud's base URL, if one was or will be sent; never the picture itself.
    """

    MAX_BYTES: ClassVar[int] = 4 * KIB

    id: MessageId
    event: AlertEvent
    revision: Count
    state: AlertState
    camera: Name
    sequence: Annotated[int, Field(ge=1, le=2**63 - 1)]
    rule: Name
    zone: Name | None = None
    label: Label
    track: Count
    score: Unit
    box: Box
    seen_first_at: Timestamp
    seen_last_at: Timestamp
    decided_at: Timestamp
    decided_by: DecidedBy = DecidedBy.DEVICE
    reason: Text = ""
    model_digest: Digest
    picture: Annotated[str, Field(max_length=200, pattern=r"^/v1/pictures/[0-9a-f]{32}$")] | None = None

    @model_validator(mode="after")
    def _first_revision_is_new(self) -> Self:
        if (self.revision == 0) != (self.event is AlertEvent.NEW):
            msg = "revision 0 is the `new` event, and only it"
            raise ValueError(msg)
        return self


class Acks(Message):
    """The cloud has committed these messages: the device may forget them."""

    MAX_BYTES: ClassVar[int] = 64 * KIB

    message_ids: Annotated[tuple[MessageId, ...], Field(min_length=1, max_length=500)]


# --- state of a device -----------------------------------------------------------------------------------------


class Presence(StrEnum):
    """Online, or not: `offline` is either said at a clean stop or by the broker as the last will."""

    ONLINE = "online"
    OFFLINE = "offline"


class CameraState(StrEnum):
    """How a camera is doing."""

    STARTING = "starting"
    LIVE = "live"
    LOST = "lost"
    ENDED = "ended"


class CameraStatus(Part):
    """One camera in the status."""

    name: Name
    state: CameraState
    detail: Text = ""


class ModelStatus(Part):
    """The model that judges frames, and what runs it."""

    name: Text
    version: Text
    digest: Digest
    runtime: Text
    delegate: Text
    detail: Text = ""


class Status(UpMessage):
    """Birth, changes and last will; retained."""

    presence: Presence
    reason: Text = ""
    agent_version: Text
    started_at: Timestamp
    model: ModelStatus | None = None
    cameras: Annotated[tuple[CameraStatus, ...], Field(max_length=64)] = ()


class CameraTelemetry(Part):
    """Counters of one camera since the agent started; `fps` and `_ms` over the last interval."""

    name: Name
    captured: Count
    judged: Count
    still: Count = 0
    dropped: Count = 0
    reopened: Count = 0
    fps: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0
    inference_ms: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0
    stream_bytes: Count = 0
    """What sending every captured frame whole as JPEG q80 would have cost, from frames encoded now and then."""


class EgressMark(Part):
    """Where the device's egress log ends.

    Attributes:
        records: Number of the last line.
        sha256: That line's hash.
    """

    records: Count
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class BandState(StrEnum):
    """How a band of scores stands to the device's objective."""

    PINNED = "pinned"
    """A person set it; nothing moves it."""
    GATHERING = "gathering"
    """Too few answers yet: it stays as it is."""
    MOVING = "moving"
    """On its way, a bounded step a day."""
    MET = "met"
    """The answers prove, at the confidence asked for, that it keeps what it was asked to."""
    UNPROVEN = "unproven"
    """Answers enough to move, and too few to prove any band: it stands where the objective is safest."""
    INFEASIBLE = "infeasible"
    """No band keeps the objective: the answers prove that as well."""


class TunedBand(Part):
    """The scores of one label before one camera that are worth a question, and how they came about.

    Attributes:
        lower, upper: Below `lower` an object is ignored; from `upper` on it is certain.
        model_digest: Of the model that it was tuned for.
        frames, objects: The answers behind it: audited frames with something there, and objects drawn.
        miss_rate, miss_rate_at_most: With this `lower`: the estimate, and the bound at the confidence asked for.
        best_miss_rate: The estimate with the lowest `lower` that there can be: what is attainable.
        false_per_day, false_per_day_at_most: With this `upper`: objects that the device alone is sure of, and that
            are not there.
        asked_share: Of the objects that are not ignored, how many lie between the two.
    """

    camera: Name
    label: Label
    lower: Unit
    upper: Unit
    state: BandState
    reason: Text = ""
    model_digest: Digest
    frames: Count = 0
    objects: Count = 0
    miss_rate: Unit | None = None
    miss_rate_at_most: Unit | None = None
    best_miss_rate: Unit | None = None
    false_per_day: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = None
    false_per_day_at_most: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = None
    asked_share: Unit | None = None


class BudgetLeft(Part):
    """What questions may still cost, of the whole device or of one camera.

    Attributes:
        camera: None: of the whole device.
        allowance: As it is set, such as `200MB/month`, or `unlimited`.
        left: Bytes that may be spent at once; None where there is no limit.
        most: Bytes that can be saved up; None where there is no limit.
        borrowed: Bytes that urgent rules took in advance, and that are paid back first.
        spent: Bytes since the agent started.
        questions_left: In the minute that ends now; None where there is no limit.
        bar: The gain for each kB from which a question is worth its price. It rises with what is spent.
    """

    camera: Name | None = None
    allowance: Text
    left: Count | None = None
    most: Count | None = None
    borrowed: Count = 0
    spent: Count = 0
    questions_left: Count | None = None
    bar: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0


class Telemetry(UpMessage):
    """Small figures, every half minute or so; may be lost.

    Attributes:
        bytes_by_reason: Every byte that left the device since it started, by why it left.
        audits, audits_failed: Frames drawn for audit, and those of them that were dropped, refused or given up.
        errors: Named errors since the agent started, and how often each.
        egress: Kept by the cloud, it shows whether a device's log was written anew.
        bands: Those that are tuned or pinned; as many as fit.
        budgets: Of questions: the whole device's first, then those of cameras; none where nothing is asked.
    """

    uptime_s: Seconds
    rss_mib: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    cpu_s: Seconds
    cameras: Annotated[tuple[CameraTelemetry, ...], Field(max_length=64)] = ()
    alerts: dict[AlertState, Count] = Field(default_factory=dict)
    outbox_depth: Count = 0
    alerts_dropped: Count = 0
    asks: Count = 0
    answers: Count = 0
    answers_late: Count = 0
    asks_failed: Count = 0
    audits: Count = 0
    audits_failed: Count = 0
    bytes_by_reason: Annotated[dict[Name, Count], Field(max_length=32)] = Field(default_factory=dict)
    errors: Annotated[dict[Name, Count], Field(max_length=64)] = Field(default_factory=dict)
    egress: EgressMark | None = None
    bands: Annotated[tuple[TunedBand, ...], Field(max_length=64)] = ()
    budgets: Annotated[tuple[BudgetLeft, ...], Field(max_length=65)] = ()


# --- asking ----------------------------------------------------------------------------------------------------


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


class Hide(StrEnum):
    """What of a camera's pictures is painted over before they leave the device, beside what is masked."""

    NOTHING = "nothing"
    PEOPLE = "people"
    HEADS = "heads"
    """The upper part of each person."""
    ALL_BUT_ASKED = "all-but-asked"
    """All but the object in question; of a picture in which none is asked about, everything."""


class Redaction(Part):
    """What was painted over in a picture before it was encoded.

    Attributes:
        masked: Share of the picture that lies in masks and is black.
        hidden: Share of the picture that was hidden and is grey.
    """

    hide: Hide = Hide.NOTHING
    masked: Unit = 0.0
    hidden: Unit = 0.0


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


class PictureNote(Message):
    """Travels in the `Vedette-Picture` header of `PUT /v1/pictures/{alert_id}`; older devices send none.

    `message_id` is the alert's id.

    Attributes:
        region: Which part of the full frame the picture shows.
        redaction: What was painted over in it; None where nothing was.
    """

    MAX_BYTES: ClassVar[int] = 4 * KIB

    camera: Name
    region: Box
    redaction: Redaction | None = None


class Pending(Message):
    """The 202 answer: the question is accepted, its verdict comes on `down/verdicts`."""

    question_id: MessageId


class Refusal(Part):
    """The body of every HTTP error."""

    error: Text
    message: Text
    mend: Text = ""


QUESTION_HEADER: Final = "Vedette-Question"
QUESTIONS_PATH: Final = "/v1/questions"
PICTURE_HEADER: Final = "Vedette-Picture"
PICTURES_PATH: Final = "/v1/pictures"
"""`PUT {PICTURES_PATH}/{alert_id}` with a JPEG body stores an alert's picture; a repeat is harmless."""
MAX_PICTURE_BYTES: Final = 4 * KIB * KIB
MAX_PICTURE_PIXELS: Final = 25_000_000
"""Checked in the header before decoding: 661 kB of JPEG can decode to 169 megapixels."""
