"""A replayed device's questions: encoded as on a device, judged as by the service, answered a little later."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from agent.adapters.crops import encode_jpeg
from agent.ask.crop import Crop, crop_around, crop_of_question
from agent.ask.questions import question_message
from agent.ask.settings import AskSettings
from agent.deliver.messages import answer_of
from agent.domain import AlertChange, Ask, Box, Frame
from agent.errors import PictureWithheld
from agent.judging.inbox import Paid
from agent.redact.door import PictureDoor, Redacted
from wire.codec import encode
from wire.messages import AskReason, PictureNote
from workbench.replay.cloud import DEVICE, ReplayCloud
from workbench.replay.walk import BEGAN, Sent, Walk

BOOT: Final = f"{0:032x}"
PICTURE: Final = "picture"
"""The reason of an alert's own picture, which asks nothing."""


@dataclass(frozen=True, slots=True)
class Uplink:
    """What questions travel by.

    Attributes:
        latency_s: From the frame to the answer.
    """

    settings: AskSettings
    latency_s: float


def said_of_frame(camera: str, label: str, model_digest: str) -> int:
    """What is said beside a frame that is sent whole, in bytes: as much as beside a question about all of it."""
    whole = (0.0, 0.0, 1.0, 1.0)
    ask = Ask(BOOT, None, camera, None, label, 0.5, whole, AskReason.MOTION, 0.0, 1.0)
    about = question_message(
        ask,
        region=whole,
        device=DEVICE,
        boot_id=BOOT,
        boot_seq=1,
        made_at=BEGAN,
        seen_at=BEGAN,
        model_digest=model_digest,
        redaction=None,
    )
    return len(encode(about))


class ReplayAsker:
    """Implements `agent.judging.ports.Asker`."""

    def __init__(self, uplink: Uplink, cloud: ReplayCloud, walk: Walk, door: PictureDoor, model_digest: str) -> None:
        self._uplink = uplink
        self._cloud = cloud
        self._walk = walk
        self._door = door
        self._model_digest = model_digest
        self._numbers = itertools.count(1)

    def submit(self, ask: Ask, frame: Frame) -> bool:
        """Send a question; its answer is due after the latency. False where its picture may not leave."""
        settings = self._uplink.settings
        height, width = frame.image.shape[:2]
        margins, min_px = settings.margins, settings.question_min_px
        crop = crop_of_question(ask, width=width, height=height, margins=margins, min_px=min_px)
        try:
            picture = self._door.cut(frame, crop, ask.box)
        except PictureWithheld:
            return False
        max_px = settings.context_px if ask.context else settings.max_crop_px
        jpeg = encode_jpeg(picture, quality=settings.question_quality, max_px=max_px)
        now = self._walk.wall()
        question = question_message(
            ask,
            region=crop.region(width, height),
            device=DEVICE,
            boot_id=BOOT,
            boot_seq=next(self._numbers),
            made_at=now,
            seen_at=now - timedelta(seconds=self._walk.monotonic() - frame.at),
            model_digest=ask.model_digest or self._model_digest,
            redaction=picture.said,
        )
        sent = Sent(len(jpeg), ask.reason.value, len(encode(question)))
        self._walk.send(sent)
        self._walk.inbox.put(Paid(ask.id, ask.camera, sent.bytes))
        due = frame.at + self._uplink.latency_s
        answered_at = now + timedelta(seconds=self._uplink.latency_s)
        answer = answer_of(self._cloud.answer(question, jpeg, answered_at))
        self._walk.recorder.answered(answer, sent.bytes)
        self._walk.answer_at(due, answer)
        return True

    def submit_picture(self, change: AlertChange, frame: Frame) -> bool:
        """Send the picture of an alert; False where it may not leave."""
        settings = self._uplink.settings
        try:
            crop, picture = self._cut(change.box, frame, settings.margin, settings.min_crop_px)
        except PictureWithheld:
            return False
        jpeg = encode_jpeg(picture, quality=settings.jpeg_quality, max_px=settings.max_crop_px)
        height, width = frame.image.shape[:2]
        note = PictureNote(
            message_id=change.id,
            device=DEVICE,
            made_at=self._walk.wall(),
            camera=change.camera,
            region=crop.region(width, height),
            redaction=picture.said,
        )
        self._walk.send(Sent(len(jpeg), PICTURE, len(encode(note)), is_question=False))
        return True

    def _cut(self, box: Box, frame: Frame, margin: float, min_px: int) -> tuple[Crop, Redacted]:
        height, width = frame.image.shape[:2]
        crop = crop_around(box, width=width, height=height, margin=margin, min_px=min_px)
        return crop, self._door.cut(frame, crop, box)
