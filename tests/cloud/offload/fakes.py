"""The offload service's ports, in memory, and a clock turned by hand."""

from __future__ import annotations

import asyncio
import heapq
import itertools
from datetime import UTC, datetime, timedelta

import cv2
import numpy as np

from cloud.errors import BlobMissing, LinkLost, StoreFailed
from vision.detections import Detections, no_detections
from wire.messages import AskReason, Question

LABELS = ("person", "car")
BOUND_S = 60
BOX = (0.25, 0.25, 0.75, 0.75)


def hex_id(number):
    return f"{number:032x}"


def question(number=1, device="cam-1", deadline_ms=1000, **changes):
    fields = {
        "message_id": hex_id(number),
        "device": device,
        "made_at": datetime(2026, 1, 1, tzinfo=UTC),
        "boot_id": hex_id(7),
        "boot_seq": 1,
        "alert_id": hex_id(1000 + number),
        "camera": "yard",
        "track": 1,
        "label": "person",
        "score": 0.5,
        "box": BOX,
        "reason": AskReason.UNCERTAIN,
        "seen_at": datetime(2026, 1, 1, tzinfo=UTC),
        "deadline_ms": deadline_ms,
        "model_digest": "sha256:" + "0" * 64,
    }
    return Question(**(fields | changes))


def jpeg(width=64, height=48, value=90):
    ok, data = cv2.imencode(".jpg", np.full((height, width, 3), value, np.uint8))
    assert ok
    return data.tobytes()


class ManualClock:
    """Time stands still until `advance`."""

    def __init__(self):
        self.now = 100.0
        self._order = itertools.count()
        self._sleepers: list[tuple[float, int, asyncio.Event]] = []

    def monotonic(self):
        return self.now

    def wall(self):
        return datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=self.now)

    async def sleep(self, seconds):
        if seconds <= 0:
            return
        woken = asyncio.Event()
        heapq.heappush(self._sleepers, (self.now + seconds, next(self._order), woken))
        await woken.wait()

    def advance(self, seconds):
        self.now += seconds
        while self._sleepers and self._sleepers[0][0] <= self.now:
            heapq.heappop(self._sleepers)[2].set()


SIZE = (64, 48)
"""Of the pictures that are asked about, unless a test makes others."""


class Judge:
    """Sees a person in the box of `question`, when the gate is open; small pictures come in the middle of a square.

    Attributes:
        size: Width and height of what it is shown, without the margin.
    """

    def __init__(self):
        self.gate = asyncio.Event()
        self.gate.set()
        self.begun = asyncio.Semaphore(0)
        self.shown: list[tuple[int, ...]] = []
        self.sees_person = True
        self.size = SIZE
        self.failure: Exception | None = None

    async def detect(self, image, min_score):
        self.shown.append(image.shape)
        self.begun.release()
        await self.gate.wait()
        if self.failure is not None:
            raise self.failure
        if not self.sees_person:
            return no_detections(LABELS)
        margin = (np.array(image.shape[1::-1]) - self.size) // 2
        box = (np.array(BOX).reshape(2, 2) * self.size + margin) / image.shape[1::-1]
        return Detections(
            box.reshape(1, 4).astype(np.float32), np.array([0.87], np.float32), np.array([0], np.int32), LABELS
        )


class Store:
    """Questions and verdicts, as the database would keep them."""

    def __init__(self):
        self.questions = {}
        self.verdicts = {}
        self.pictures = {}
        self.notes = {}
        self.gate = asyncio.Event()
        self.gate.set()
        self.adding = asyncio.Semaphore(0)
        self.verdict_gate = asyncio.Event()
        self.verdict_gate.set()
        self.writing_verdict = asyncio.Semaphore(0)
        self.refuses_verdicts = False

    async def find_verdict(self, question_id):
        return self.verdicts.get(question_id)

    async def add_question(self, question, picture_key, picture_bytes):
        self.adding.release()
        await self.gate.wait()
        self.questions.setdefault(question.message_id, (question, picture_key))

    async def add_verdict(self, verdict):
        self.writing_verdict.release()
        await self.verdict_gate.wait()
        if self.refuses_verdicts:
            raise StoreFailed("the database refused")
        self.verdicts.setdefault(verdict.question_id, verdict)

    async def unanswered(self, limit):
        return [kept for asked, kept in self.questions.items() if asked not in self.verdicts][:limit]

    async def add_picture(self, device, alert_id, key, picture_bytes, note=None):
        self.pictures[alert_id] = (device, key, picture_bytes)
        self.notes[alert_id] = note


class Blobs:
    def __init__(self):
        self.kept = {}

    async def put(self, key, data):
        self.kept[key] = data

    async def get(self, key):
        if key not in self.kept:
            raise BlobMissing(f"there is nothing under {key}")
        return self.kept[key]


class Link:
    """Remembers what went down; `cut` refuses."""

    def __init__(self):
        self.cut = False
        self.sent = []
        self.waiting: asyncio.Queue = asyncio.Queue()

    async def publish(self, device, channel, message):
        if self.cut:
            raise LinkLost("the broker went away")
        self.sent.append((device, channel, message))
        self.waiting.put_nowait(message)

    async def next(self):
        return await asyncio.wait_for(self.waiting.get(), BOUND_S)


class Witness:
    def __init__(self):
        self.heard = []

    def asked(self, question, picture_key):
        self.heard.append(("asked", question.message_id, picture_key))

    def decided(self, question, verdict):
        self.heard.append(("decided", question.message_id, verdict.decision))


class Tokens:
    def __init__(self, **devices):
        self.devices = devices

    async def device_of(self, token):
        return self.devices.get(token)
