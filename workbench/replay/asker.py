"""A replayed device's questions: encoded as on a device, judged as by the service, answered a little later."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from agent.adapters.crops import cut, encode_jpeg
from agent.ask.crop import crop_around
from agent.ask.questions import question_message
from agent.ask.settings import AskSettings
from agent.deliver.messages import answer_of
from agent.domain import AlertChange, Ask, Box, Frame
from wire.codec import encode
from workbench.replay.cloud import DEVICE, ReplayCloud
from workbench.replay.walk import Sent, Walk

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


class ReplayAsker:
    """Implements `agent.pipeline.Asker`."""

    def __init__(self, uplink: Uplink, cloud: ReplayCloud, walk: Walk, model_digest: str) -> None:
        self._uplink = uplink
        self._cloud = cloud
        self._walk = walk
        self._model_digest = model_digest
        self._numbers = itertools.count(1)

    def submit(self, ask: Ask, frame: Frame) -> bool:
        """Send a question; its answer is due after the latency."""
        region, jpeg = self._picture(ask.box, frame)
        now = self._walk.wall()
        question = question_message(
            ask,
            region=region,
            device=DEVICE,
            boot_id=BOOT,
            boot_seq=next(self._numbers),
            made_at=now,
            seen_at=now - timedelta(seconds=self._walk.monotonic() - frame.at),
            model_digest=ask.model_digest or self._model_digest,
        )
        self._walk.send(Sent(len(jpeg), ask.reason.value, len(encode(question))))
        due = frame.at + self._uplink.latency_s
        answered_at = now + timedelta(seconds=self._uplink.latency_s)
        self._walk.answer_at(due, answer_of(self._cloud.answer(question, jpeg, answered_at)))
        return True

    def submit_picture(self, change: AlertChange, frame: Frame) -> bool:
        """Send the picture of an alert."""
        _, jpeg = self._picture(change.box, frame)
        self._walk.send(Sent(len(jpeg), PICTURE, is_question=False))
        return True

    def _picture(self, box: Box, frame: Frame) -> tuple[Box, bytes]:
        settings = self._uplink.settings
        height, width = frame.image.shape[:2]
        crop = crop_around(box, width=width, height=height, margin=settings.margin, min_px=settings.min_crop_px)
        jpeg = encode_jpeg(cut(frame.image, crop), quality=settings.jpeg_quality, max_px=settings.max_crop_px)
        return crop.region(width, height), jpeg
