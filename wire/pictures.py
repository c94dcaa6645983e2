"""Pictures that leave a device: what is painted over in them, and how an alert's is sent."""

from __future__ import annotations

from enum import StrEnum
from typing import ClassVar, Final

from wire.envelope import KIB, Message, Part
from wire.fields import Box, Name, Unit

PICTURE_HEADER: Final = "Vedette-Picture"
PICTURES_PATH: Final = "/v1/pictures"
"""`PUT {PICTURES_PATH}/{alert_id}` with a JPEG body stores an alert's picture; a repeat is harmless."""
MAX_PICTURE_BYTES: Final = 4 * KIB * KIB
MAX_PICTURE_PIXELS: Final = 25_000_000
"""Checked in the header before decoding: 661 kB of JPEG can decode to 169 megapixels."""

SHOWN_AROUND: Final = 0.1
"""Of the width and height of the object in question: so much is shown on each side where all else is hidden."""


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
