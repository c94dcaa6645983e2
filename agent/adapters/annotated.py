"""A camera's latest frame as a picture for people: as it might leave the device, with boxes drawn on it."""

from __future__ import annotations

import asyncio
from typing import Final

import cv2

from agent.adapters.crops import encode_jpeg
from agent.ask.crop import scaled
from agent.domain import Clock, Track
from agent.errors import PictureWithheld
from agent.redact.door import PictureDoor
from agent.status.views import Look, Views
from vision.detections import Image

FRESH_S: Final = 1.0
"""However many look, a camera's frame is drawn and encoded no more often."""
FRAME_WITHIN_S: Final = 3.0
"""A live camera gives a frame a second at least; one that is lost gives none."""
QUALITY: Final = 80
_SEEN: Final = (60, 200, 60)
_UNSEEN: Final = (160, 160, 160)
_INK: Final = (0, 0, 0)


class AnnotatedFrames:
    """Gives pictures to whoever asks, and does nothing while nobody does."""

    def __init__(self, views: Views, door: PictureDoor, clock: Clock, max_px: int) -> None:
        self._views = views
        self._door = door
        self._clock = clock
        self._max_px = max_px
        self._made: dict[str, tuple[float, bytes]] = {}
        self._turns: dict[str, asyncio.Lock] = {}

    async def jpeg(self, camera: str) -> bytes | None:
        """The camera's latest frame; None where it gave none in time, or none that may be shown."""
        async with self._turns.setdefault(camera, asyncio.Lock()):
            made = self._made.get(camera)
            if made is not None and self._clock.monotonic() - made[0] < FRESH_S:
                return made[1]
            self._made.pop(camera, None)
            look = await self._views.next(camera, FRAME_WITHIN_S)
            if look is None:
                return None
            try:
                data = await asyncio.to_thread(annotated, look, self._door, self._max_px)
            except PictureWithheld:
                return None
            self._made[camera] = (self._clock.monotonic(), data)
            return data


def annotated(look: Look, door: PictureDoor, max_px: int) -> bytes:
    """The frame as a JPEG, its longer side at most `max_px`: redacted, each object with its box.

    Raises:
        PictureWithheld: It can't be told what to hide.
    """
    image = look.frame.image
    shown = door.cut(look.frame).resized(*scaled(image.shape[1], image.shape[0], max_px))
    for track in look.tracks:
        _draw(shown.image, track)
    return encode_jpeg(shown, quality=QUALITY, max_px=max_px)


def _draw(image: Image, track: Track) -> None:
    height, width = image.shape[:2]
    x1, y1, x2, y2 = (
        round(share * side) for share, side in zip(track.box, (width, height, width, height), strict=True)
    )
    colour = _SEEN if track.seen_now else _UNSEEN
    cv2.rectangle(image, (x1, y1), (x2, y2), colour, 2)
    # OpenCV's own letters are ASCII.
    text = f"{track.label.encode('ascii', 'replace').decode()} {track.score:.2f} #{track.id}"
    (wide, high), under = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, 0.45, 1)
    left, bottom = max(0, min(x1, width - wide)), max(high + under, y1)
    cv2.rectangle(image, (left, bottom - high - under), (left + wide, bottom), colour, cv2.FILLED)
    cv2.putText(image, text, (left, bottom - under), cv2.FONT_HERSHEY_SIMPLEX, 0.45, _INK, 1, cv2.LINE_AA)
