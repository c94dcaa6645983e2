"""Clips over HTTP: where a device puts what a `capture-clip` recorded, and where a person gets it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Annotated, ClassVar, Final, Protocol

from fastapi import APIRouter, Path, Request, Response

from cloud.errors import BlobMissing, NotFound
from cloud.offload.ports import TokenCheck
from cloud.ports import Clock
from cloud.store.commands import CommandRecord, CommandStore
from cloud.web.admission import Admission, DoorSettings
from cloud.web.bodies import said_length
from cloud.web.refusals import BodyTooSlow, PictureTooLarge, RefusingRoute, RequestRefused
from wire.commands import CLIP_TYPES, CLIPS_PATH, MAX_CLIP_BYTES, CommandName
from wire.fields import ID_PATTERN
from wire.messages import Refusal

HexId = Annotated[str, Path(pattern=ID_PATTERN)]
_HEADERS: Final = {"Cache-Control": "private, max-age=60", "X-Content-Type-Options": "nosniff"}
_BEGINNINGS: Final = {"video/webm": b"\x1a\x45\xdf\xa3", "video/x-msvideo": b"RIFF"}
"""EBML's magic number, and that of RIFF files: what is none of them is no clip, whatever it is said to be."""


class NotAClip(RequestRefused):
    """The body is not of a kind that a clip may be."""

    status: ClassVar[int] = 415


class Blobs(Protocol):
    """Bytes by key."""

    async def put_stream(self, key: str, pieces: AsyncIterator[bytes]) -> None:
        """Keep what comes durably under `key`, or nothing."""

    async def get(self, key: str) -> bytes:
        """What is kept under `key`."""


def clips_router(
    *, commands: CommandStore, blobs: Blobs, tokens: TokenCheck, clock: Clock, settings: DoorSettings
) -> APIRouter:
    """The routes."""
    router = APIRouter(route_class=RefusingRoute, tags=["commands"], responses={404: {"model": Refusal}})
    admission = Admission(tokens, settings, clock)

    @router.get("/api/commands/{command_id}/clip", response_class=Response)
    async def clip(command_id: HexId) -> Response:
        """The video that it asked for."""
        media_type, data = await read_clip(blobs, await commands.find(command_id))
        name = f'inline; filename="{command_id}.{CLIP_TYPES[media_type]}"'
        return Response(data, media_type=media_type, headers=_HEADERS | {"Content-Disposition": name})

    @router.put(CLIPS_PATH + "/{command_id}", status_code=204)
    async def keep_clip(command_id: HexId, request: Request) -> Response:
        """From the device that was asked, and while it is asked."""
        device = await admission.device(request)
        command = await commands.find(command_id)
        if command.device != device or command.name != CommandName.CAPTURE_CLIP or command.answered_by_device:
            raise NotFound(f"no clip {command_id} is asked of {device}")
        media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if media_type not in CLIP_TYPES:
            raise NotAClip(f"the body is said to be {media_type[:60]!r}", f"Send {' or '.join(CLIP_TYPES)}.")
        if said_length(request) > MAX_CLIP_BYTES:
            raise _too_large()
        until = clock.monotonic() + settings.clip_timeout_s
        body = _body(request, media_type, lambda: until - clock.monotonic())
        await blobs.put_stream(_key(command, media_type), body)
        return Response(status_code=204)

    return router


async def read_clip(blobs: Blobs, command: CommandRecord) -> tuple[str, bytes]:
    """A command's clip, and its media type.

    Raises:
        BlobMissing: There is none.
        BlobFailed: It can't be read.
    """
    for media_type in CLIP_TYPES:
        try:
            return media_type, await blobs.get(_key(command, media_type))
        except BlobMissing:
            continue
    raise BlobMissing(f"there is no clip of command {command.id}", "The device may still be recording or sending it.")


async def _body(request: Request, media_type: str, left_s: Callable[[], float]) -> AsyncIterator[bytes]:
    """The body, piece by piece: a clip is too large to hold many of them."""
    wanted, beginning, size = _BEGINNINGS[media_type], b"", 0
    pieces = request.stream()
    while True:
        try:
            piece = await asyncio.wait_for(anext(pieces), left_s())
        except StopAsyncIteration:
            break
        except TimeoutError:
            raise BodyTooSlow("the clip took too long to arrive", "Ask for a smaller one.") from None
        size += len(piece)
        if size > MAX_CLIP_BYTES:
            raise _too_large()
        if len(beginning) < len(wanted):
            beginning = (beginning + piece)[: len(wanted)]
            if not wanted.startswith(beginning):
                raise NotAClip(f"the body does not begin as {media_type} does", "Send the file as it is.")
        if piece:
            yield piece
    if beginning != wanted:
        raise NotAClip("the body is empty, or cut off", "Send the whole file.")


def _too_large() -> PictureTooLarge:
    return PictureTooLarge(f"the clip is over the limit of {MAX_CLIP_BYTES} bytes", "Send a smaller one.")


def clip_keys(command: CommandRecord) -> list[str]:
    """Where its clip may lie."""
    return [_key(command, media_type) for media_type in CLIP_TYPES]


def _key(command: CommandRecord, media_type: str) -> str:
    return f"clips/{command.device}/{command.id}.{CLIP_TYPES[media_type]}"
