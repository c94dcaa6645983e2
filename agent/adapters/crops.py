"""Parts of frames, copied out at once and encoded later."""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass
from typing import Final

import cv2

from agent.ask.crop import scaled
from agent.ask.uploads import Key
from agent.redact.door import Redacted
from wire.audits import Audit
from wire.messages import PictureNote, Question

MAX_WAITING_BYTES: Final = 16 * 1024 * 1024
"""Of pictures not yet encoded: two whole full-HD frames and some; a device has 120 MiB for everything."""


@dataclass(frozen=True, slots=True, eq=False)
class Cutting:
    """A copied part of a frame, and what it is for.

    Attributes:
        message: What is sent beside it.
        made_at, deadline_at: Monotonic; no deadline where nobody waits.
    """

    key: Key
    picture: Redacted
    message: Question | Audit | PictureNote
    made_at: float
    deadline_at: float | None


class CuttingQueue:
    """Bounded in number and bytes; put from the judging thread, taken on the event loop."""

    def __init__(self, max_waiting: int) -> None:
        self._max_waiting = max_waiting
        self._waiting: deque[Cutting] = deque()
        self._bytes = 0
        self._lock = threading.Lock()

    def put(self, cutting: Cutting) -> bool:
        """Take it in; False where there is no room."""
        size = cutting.picture.image.nbytes
        with self._lock:
            if self._waiting and self._bytes + size > MAX_WAITING_BYTES:
                return False
            if len(self._waiting) >= self._max_waiting:
                return False
            self._waiting.append(cutting)
            self._bytes += size
        return True

    def take(self) -> Cutting | None:
        """The oldest, if there is one."""
        with self._lock:
            if not self._waiting:
                return None
            cutting = self._waiting.popleft()
            self._bytes -= cutting.picture.image.nbytes
            return cutting


def encode_jpeg(picture: Redacted, *, quality: int, max_px: int) -> bytes:
    """The picture as a JPEG, its longer side at most `max_px`."""
    height, width = picture.image.shape[:2]
    shown = picture.resized(*scaled(width, height, max_px)).image
    # Tables of its own take a tenth off a small picture, for a tenth of a millisecond.
    _, data = cv2.imencode(".jpg", shown, [cv2.IMWRITE_JPEG_QUALITY, quality, cv2.IMWRITE_JPEG_OPTIMIZE, 1])
    return data.tobytes()
