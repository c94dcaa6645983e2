"""Pictures that devices send: checked before they are kept, kept under keys that name device and purpose."""

from __future__ import annotations

import asyncio
from typing import Final

from cloud.offload.ports import Blobs, PictureStore
from vision.detections import Image
from vision.errors import PictureUnreadable
from vision.pictures import decode_jpeg
from wire.messages import PictureNote, Question

# A decoded picture of the largest size allowed takes 75 MB, so few may exist at once.
DECODES_AT_ONCE: Final = 2
# The decoder fills in what is missing from a cut-off picture with grey, which nobody should judge.
END_OF_JPEG: Final = b"\xff\xd9"


def question_picture_key(question: Question) -> str:
    """Where the picture of a question lies; device and question ids hold only what is harmless in a path."""
    return f"questions/{question.device}/{question.message_id}.jpg"


def alert_picture_key(device: str, alert_id: str) -> str:
    """Where the picture that a device sent for its alert lies."""
    return f"alerts/{device}/{alert_id}.jpg"


class Decoding:
    """JPEG to pixels in a thread, a few at a time."""

    def __init__(self) -> None:
        self._turn = asyncio.Semaphore(DECODES_AT_ONCE)

    async def check(self, data: bytes) -> None:
        """Make sure that `data` can be decoded; the pixels are let go at once.

        Raises:
            vision.errors.PictureUnreadable: It is no JPEG, cut off, or too large to decode safely.
        """
        await self.decode(data)

    async def decode(self, data: bytes) -> Image:
        """The pixels of `data`; raises as `check`."""
        if not data.rstrip(b"\0").endswith(END_OF_JPEG):
            raise PictureUnreadable("the picture is cut off, or no JPEG", "Send a whole JPEG.")
        async with self._turn:
            return await asyncio.to_thread(decode_jpeg, data)


class AlertPictures:
    """Keeps the picture that a device sends for an alert of its own; a repeat is harmless."""

    def __init__(self, blobs: Blobs, store: PictureStore, decoding: Decoding) -> None:
        self._blobs = blobs
        self._store = store
        self._decoding = decoding

    async def keep(self, device: str, alert_id: str, data: bytes, note: PictureNote | None = None) -> None:
        """Check and keep the picture, and what the device says of it.

        Raises:
            vision.errors.PictureUnreadable: As `Decoding.check`; nothing was kept.
            VedetteError: Blobs or store failed; the device may send it again.
        """
        await self._decoding.check(data)
        key = alert_picture_key(device, alert_id)
        await self._blobs.put(key, data)
        await self._store.add_picture(device, alert_id, key, len(data), note)
