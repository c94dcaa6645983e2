"""Reading requests' bodies: no more than may come, for no longer than it may take."""

from __future__ import annotations

import asyncio

from fastapi import Request

from cloud.web.refusals import BodyTooLarge, BodyTooSlow, NotJpeg, PictureTooLarge
from wire.messages import MAX_PICTURE_BYTES


async def jpeg_body(request: Request, timeout_s: float) -> bytes:
    """The body, which may be as large as a picture may be and is not read beyond that."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "image/jpeg":
        raise NotJpeg("the body is not said to be image/jpeg", "Send a JPEG, and `Content-Type: image/jpeg`.")
    try:
        return await small_body(request, MAX_PICTURE_BYTES, timeout_s)
    except BodyTooLarge:
        raise PictureTooLarge(
            f"the picture is over the limit of {MAX_PICTURE_BYTES} bytes", "Send a smaller one."
        ) from None


async def small_body(request: Request, limit: int, timeout_s: float) -> bytes:
    """The body, of which no more than `limit` bytes are read.

    Raises:
        BodyTooLarge: It is larger, or says so.
        BodyTooSlow: It did not arrive in time.
    """
    too_large = BodyTooLarge(f"the body is over the limit of {limit} bytes", "Send a smaller one.")
    if said_length(request) > limit:
        raise too_large
    body = bytearray()
    try:
        async with asyncio.timeout(timeout_s):
            async for chunk in request.stream():
                body += chunk
                if len(body) > limit:
                    raise too_large
    except TimeoutError:
        raise BodyTooSlow(f"the body took longer than {timeout_s:g} s to arrive", "Ask again.") from None
    return bytes(body)


def said_length(request: Request) -> int:
    """What the request says of its body's length; 0 where it says nothing that can be read."""
    said = request.headers.get("content-length", "0")
    return int(said) if said.isascii() and said.isdigit() and len(said) < 20 else 0  # noqa: PLR2004 - fits 64 bits
