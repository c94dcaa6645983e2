"""The cloud, without a network: the service's own offload code, over a store that keeps nothing.

A question goes through all that it goes through in the service: the picture is checked and decoded, looked at where
the object is, and decided about. Only time is not the service's: every answer is in time there, and late or not by
the latency that the replay is told.
"""

from __future__ import annotations

import asyncio
import itertools
from datetime import datetime
from typing import Final, Self

from cloud.infer.default import DefaultDetector, InferSettings, open_default_detector
from cloud.offload.pictures import Decoding
from cloud.offload.service import OffloadService
from cloud.offload.settings import OffloadSettings
from vision.detections import Detections, Image
from vision.pictures import decode_jpeg
from wire.messages import Message, Question, Verdict
from wire.topics import Channel
from workbench.errors import ReplayRefused
from workbench.replay.memory import Memory, RememberingDetector
from workbench.replay.walk import BEGAN

DEVICE: Final = "replay"


class _Nothing:
    """Plays all that stands around the service: every write succeeds and leaves nothing."""

    def __init__(self, detector: RememberingDetector) -> None:
        self._detector = detector
        self.now = BEGAN

    async def detect(self, image: Image, min_score: float) -> Detections:
        return self._detector.detect(image, min_score)

    async def find_verdict(self, question_id: str) -> Verdict | None:
        del question_id
        return None

    async def add_question(self, question: Question, picture_key: str, picture_bytes: int) -> None:
        del question, picture_key, picture_bytes

    async def add_verdict(self, verdict: Verdict) -> None:
        del verdict

    async def unanswered(self, limit: int) -> list[tuple[Question, str]]:
        del limit
        return []

    async def put(self, key: str, data: bytes) -> None:
        del key, data

    async def get(self, key: str) -> bytes:
        raise ReplayRefused(f"{key} was not kept")

    async def publish(self, device: str, channel: Channel, message: Message) -> None:
        del device, channel, message

    def asked(self, question: Question, picture_key: str) -> None:
        del question, picture_key

    def decided(self, question: Question, verdict: Verdict) -> None:
        del question, verdict

    def wall(self) -> datetime:
        return self.now

    def monotonic(self) -> float:
        return 0.0

    async def sleep(self, seconds: float) -> None:
        del seconds
        await asyncio.Event().wait()


class ReplayCloud:
    """Answers questions with the default model or another, under the service's own settings.

    Args:
        model: Opened already; closed with this.
        identity: See `RememberingDetector`.
        memory: Where its detections are kept.
        settings: The service's.
    """

    def __init__(self, model: DefaultDetector, identity: str, memory: Memory, settings: OffloadSettings) -> None:
        self._model = model
        self._detector = RememberingDetector(model, identity, memory)
        self._around = _Nothing(self._detector)
        self._loop = asyncio.Runner()
        ids = itertools.count(1)
        self.rules: Final = settings.decide
        self._service = OffloadService(
            judge=self._around,
            model=model.name,
            store=self._around,
            blobs=self._around,
            link=self._around,
            witness=self._around,
            clock=self._around,
            decoding=Decoding(),
            settings=settings,
            new_id=lambda: f"{next(ids):032x}",
        )

    @classmethod
    def open(cls, settings: InferSettings, memory: Memory, offload: OffloadSettings | None = None) -> Self:
        """Open the service's model.

        Raises:
            VisionError: It can't be used.
        """
        model = open_default_detector(settings)
        how = settings.model_dump_json(exclude={"models", "threads", "replicas", "max_waiting"})
        return cls(model, f"{' '.join(model.digests)} {how}", memory, offload or OffloadSettings())

    @property
    def name(self) -> str:
        """Names and versions of what decides."""
        return self._model.name

    @property
    def labels(self) -> tuple[str, ...]:
        """What the model knows."""
        return self._model.labels

    @property
    def judged(self) -> int:
        """Pictures that the model itself had to look at."""
        return self._detector.judged

    def answer(self, question: Question, picture: bytes, at: datetime) -> Verdict:
        """The verdict on a question about a JPEG, made `at` that time of day.

        Raises:
            VedetteError: As `cloud.offload.service.OffloadService.answer`.
        """
        self._around.now = at
        verdict = self._loop.run(self._service.answer(question, picture, 0.0))
        if verdict is None:
            raise ReplayRefused("the service answered a question late, though its clock stands still")
        return verdict

    def whole(self, picture: bytes, min_score: float) -> Detections:
        """Everything in a frame that was sent whole; the picture is a JPEG.

        Raises:
            VisionError: The picture or the model can't be used.
        """
        return self._detector.detect(decode_jpeg(picture), min_score)

    def close(self) -> None:
        """Let go of the model."""
        self._loop.close()
        self._model.close()
