"""What leaves of a frame: the part in question, painted over and encoded, and the message that goes beside it."""

from __future__ import annotations

from typing import Final

from pydantic import ValidationError

from agent.adapters.crops import Cutting, encode_jpeg
from agent.ask.audit import AuditSettings, FrameAudit, audit_message
from agent.ask.crop import Crop, crop_around, crop_of_question
from agent.ask.questions import question_message
from agent.ask.settings import AskSettings
from agent.ask.uploads import Key, Kind, Upload
from agent.deliver.messages import Boot, Moment
from agent.domain import AlertChange, Ask, Box, Clock, Frame
from agent.redact.door import PictureDoor, Redacted
from wire.audits import Audit
from wire.codec import encode
from wire.errors import MessageInvalid
from wire.messages import AskReason, PictureNote, Question

LEAST_WAIT_S: Final = 0.05
"""For an answer that is not to be waited for."""


class Cutter:
    """On the judging thread, but for `packed`, which takes its time.

    Args:
        settings: Margins, sizes and qualities.
        audit: The same of whole frames.
        boot: Who speaks.
        door: Through which pictures leave.
        clock: The agent's clock.
    """

    def __init__(
        self, settings: AskSettings, audit: AuditSettings, *, boot: Boot, door: PictureDoor, clock: Clock
    ) -> None:
        self._settings = settings
        self._audit = audit
        self._boot = boot
        self._door = door
        self._clock = clock

    def of_question(self, ask: Ask, frame: Frame) -> Cutting:
        """The object that is asked about, or the whole frame where its context is asked for.

        Raises:
            MessageInvalid: The question breaks the contract.
            PictureWithheld: The picture may not leave.
        """
        height, width = frame.image.shape[:2]
        margins, min_px = self._settings.margins, self._settings.question_min_px
        crop = crop_of_question(ask, width=width, height=height, margins=margins, min_px=min_px)
        picture = self._door.cut(frame, crop, ask.box)
        try:
            question = self._question(ask, crop, frame, picture)
        except ValidationError as refused:
            raise _invalid("Question", refused) from None
        return Cutting(Key(_kind(ask), ask.id), picture, question, ask.asked_at, ask.asked_at + ask.deadline_s)

    def of_alert(self, change: AlertChange, frame: Frame) -> Cutting:
        """The alert's object.

        Raises:
            PictureWithheld: The picture may not leave.
        """
        crop = _crop(change.box, frame, self._settings.margin, self._settings.min_crop_px)
        picture = self._door.cut(frame, crop, change.box)
        note = PictureNote(
            message_id=change.id,
            device=self._boot.device,
            made_at=self._clock.wall(),
            camera=change.camera,
            region=_region(crop, frame),
            redaction=picture.said,
        )
        return Cutting(Key(Kind.PICTURE, change.id), picture, note, self._clock.monotonic(), None)

    def of_audit(self, audit: FrameAudit, frame: Frame) -> Cutting:
        """The whole frame.

        Raises:
            WireError: What is said of it breaks the contract.
            PictureWithheld: The picture may not leave.
        """
        picture = self._door.cut(frame)
        try:
            message = self._audit_message(audit, picture)
        except ValidationError as refused:
            raise _invalid("Audit", refused) from None
        return Cutting(Key(Kind.AUDIT, audit.id), picture, message, self._clock.monotonic(), None)

    def packed(self, cutting: Cutting) -> Upload:
        """Encoded, to be kept and sent."""
        quality, max_px = self._settings.jpeg_quality, self._settings.max_crop_px
        if isinstance(cutting.message, Question):
            quality = self._settings.question_quality
            max_px = self._settings.context_px if cutting.message.context else max_px
        elif cutting.key.kind is Kind.AUDIT:
            quality, max_px = self._audit.jpeg_quality, round(max(cutting.picture.image.shape) * self._audit.scale)
        jpeg = encode_jpeg(cutting.picture, quality=quality, max_px=max_px)
        made_at = Moment.now(self._clock).wall_at(cutting.made_at)
        return Upload(cutting.key, encode(cutting.message), jpeg, made_at)

    def _question(self, ask: Ask, crop: Crop, frame: Frame, picture: Redacted) -> Question:
        moment = Moment.now(self._clock)
        return question_message(
            ask,
            region=_region(crop, frame),
            device=self._boot.device,
            boot_id=self._boot.boot_id,
            boot_seq=self._boot.next_seq(),
            made_at=moment.wall,
            seen_at=moment.wall_at(frame.at),
            model_digest=ask.model_digest or self._boot.model_digest,
            redaction=picture.said,
        )

    def _audit_message(self, audit: FrameAudit, picture: Redacted) -> Audit:
        moment = Moment.now(self._clock)
        # Waiting would take the only way there is from the next question.
        wait_s = self._audit.answer_within_s if self._settings.max_concurrent > 1 else LEAST_WAIT_S
        return audit_message(
            audit,
            device=self._boot.device,
            boot_id=self._boot.boot_id,
            boot_seq=self._boot.next_seq(),
            made_at=moment.wall,
            seen_at=moment.wall_at(audit.at),
            deadline_ms=round(wait_s * 1000),
            redaction=picture.said,
        )


def _crop(box: Box, frame: Frame, margin: float, min_px: int) -> Crop:
    height, width = frame.image.shape[:2]
    return crop_around(box, width=width, height=height, margin=margin, min_px=min_px)


def _region(crop: Crop, frame: Frame) -> Box:
    height, width = frame.image.shape[:2]
    return crop.region(width, height)


def _kind(ask: Ask) -> Kind:
    """What nobody waits for once its deadline is over is a kind of its own.

    A drawn object has gone before it is asked about, and its answer counts whenever it comes.
    """
    decides = ask.alert_id is not None or ask.reason in {AskReason.DISAGREEMENT, AskReason.DRAWN}
    return Kind.QUESTION if decides else Kind.OBJECT


def _invalid(what: str, refused: ValidationError) -> MessageInvalid:
    first = refused.errors(include_url=False, include_input=False)[0]
    return MessageInvalid(f"{what}: {'.'.join(map(str, first['loc']))}: {first['msg']}")
