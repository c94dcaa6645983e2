"""What it would cost to send every frame whole: the yardstick that the bytes really sent are held against."""

from __future__ import annotations

from typing import Final

import cv2

from vision.detections import Image

QUALITY: Final = 80
"""The quality at which whole frames cost 76 kB on the demo clip; `replay --budget` counts in the same measure."""
EVERY_S: Final = 5.0
"""Encoding a frame takes about three milliseconds, so this costs less than a thousandth of a core."""


class StreamCost:
    """Encodes a frame now and then; the mean size stands for all. Used by one thread, read by any."""

    def __init__(self) -> None:
        self._next_at = float("-inf")
        self._bytes = 0
        self._samples = 0

    def sample(self, image: Image, now: float) -> None:
        """Encode this frame if it is time (uint8 (H, W, 3), BGR; seconds)."""
        if now < self._next_at:
            return
        self._next_at = now + EVERY_S
        done, encoded = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
        if done:
            self._bytes += len(encoded)
            self._samples += 1

    def bytes_for(self, frames: int) -> int:
        """What `frames` frames like those encoded so far would cost."""
        return round(frames * self._bytes / self._samples) if self._samples else 0
