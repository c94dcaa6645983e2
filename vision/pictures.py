"""JPEG in and out, with the size known before a single pixel is decoded."""

from __future__ import annotations

import struct
from typing import Final

import cv2
import numpy as np

from vision.detections import Image
from vision.errors import PictureUnreadable
from wire.messages import MAX_PICTURE_PIXELS

_START: Final = b"\xff\xd8"
_END: Final = 0xD9
_SCAN: Final = 0xDA
_PAD: Final = 0xFF
# Start-of-frame markers; C4, C8 and CC in between are Huffman tables, a reserved code and arithmetic conditioning.
_FRAMES: Final = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_STANDALONE: Final = frozenset({0x01, *range(0xD0, 0xD8)})
_FRAME: Final = struct.Struct(">BHH")
_MEND: Final = "Send a baseline or progressive JPEG."


def jpeg_size(data: bytes) -> tuple[int, int]:
    """Width and height in pixels, from the header alone.

    Raises:
        PictureUnreadable: It is no JPEG, or its header is broken.
    """
    at = _segment(data, _FRAMES)
    if at is None:
        raise PictureUnreadable("the JPEG's header says no size", _MEND)
    return _frame_size(data[at : at + _FRAME.size])


def is_cut_off(data: bytes) -> bool:
    """Whether a JPEG ends before its picture does; decoders fill the rest with grey and say nothing.

    Raises:
        PictureUnreadable: It is no JPEG.
    """
    scan = _segment(data, frozenset({_SCAN}))
    # Inside a scan 0xFF is always followed by 0 or a restart marker: this end can't be the data's own.
    return scan is None or data.find(bytes((_PAD, _END)), scan) < 0


def decode_jpeg(data: bytes, max_pixels: int = MAX_PICTURE_PIXELS) -> Image:
    """A picture, uint8 (H, W, 3), BGR.

    Raises:
        PictureUnreadable: It is no JPEG, is broken, or has more pixels than `max_pixels`.
    """
    width, height = jpeg_size(data)
    if width * height > max_pixels:
        raise PictureUnreadable(
            f"the picture has {width}×{height} pixels, over the limit of {max_pixels}", "Send a smaller one."
        )
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
    except cv2.error as failed:
        raise PictureUnreadable(f"the JPEG can't be decoded: {failed.err}", _MEND) from None
    if image is None:
        raise PictureUnreadable("the JPEG can't be decoded", _MEND)
    if image.shape != (height, width, 3):
        raise PictureUnreadable(f"the JPEG says {width}×{height} and holds {image.shape[1]}×{image.shape[0]}", _MEND)
    return image.astype(np.uint8, copy=False)


def encode_jpeg(image: Image, quality: int = 80) -> bytes:
    """JPEG bytes of a picture, uint8 (H, W, 3), BGR; `quality` 1..100.

    Raises:
        PictureUnreadable: It can't be written as JPEG: empty, or over 65,535 pixels wide or high.
    """
    try:
        written, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])
    except cv2.error as failed:
        raise PictureUnreadable(f"the picture can't be written as JPEG: {failed.err}") from None
    if not written:
        raise PictureUnreadable("the picture can't be written as JPEG")
    return data.tobytes()


def _segment(data: bytes, wanted: frozenset[int]) -> int | None:
    """Where the content of the first segment of these kinds begins; None where pixels or the end come first."""
    if data[:2] != _START:
        raise PictureUnreadable("the picture is no JPEG", _MEND)
    at = 2
    while at + 4 <= len(data):
        if data[at] != _PAD:
            break
        marker = data[at + 1]
        if marker == _PAD:
            at += 1
            continue
        if marker in _STANDALONE:
            at += 2
            continue
        if marker in wanted:
            return at + 4
        if marker in {_END, _SCAN}:
            break
        at += 2 + max(int.from_bytes(data[at + 2 : at + 4], "big"), 2)
    return None


def _frame_size(frame: bytes) -> tuple[int, int]:
    if len(frame) < _FRAME.size:
        raise PictureUnreadable("the JPEG is cut off in its header", _MEND)
    _, height, width = _FRAME.unpack(frame)
    if not width or not height:
        raise PictureUnreadable(f"the JPEG's header says {width}×{height} pixels", _MEND)
    return width, height
