r"""The devices' HTTP door: questions, and pictures of alerts.

`POST /v1/questions` takes a JPEG as its body and the `Question` in the header `Vedette-Question`: its JSON on one
line, with every character outside ASCII escaped (`\uXXXX`), since header bytes beyond ASCII do not survive every
proxy; raw UTF-8 is understood too. The answer is 200 with a `Verdict`, or 202 with a `Pending`.
`PUT /v1/pictures/{alert_id}` takes a JPEG as its body, and may say in the header `Vedette-Picture` what it shows and
what was painted over in it; the answer is 204.

Both want `Authorization: Bearer <device token>`. Every refusal is a `Refusal` in JSON. Nothing of a body is read
before the asker, its rate and its headers are found good.
"""

from __future__ import annotations

import asyncio
import math
import re
import uuid
from collections.abc import Callable, Coroutine
from typing import Annotated, Any, ClassVar, Final

from fastapi import APIRouter, Request, Response
from fastapi.routing import APIRoute
from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import ClientDisconnect

from cloud.audit.errors import AuditNotYours
from cloud.errors import BlobMissing, NotFound
from cloud.identity.errors import ClaimRefused, SigningRefused
from cloud.infer.errors import Overloaded
from cloud.offload.errors import OffloadStopped, QuestionNotYours, TooManyQuestions
from cloud.offload.pictures import AlertPictures
from cloud.offload.ports import TokenCheck
from cloud.offload.rate import RateLimit
from cloud.offload.service import OffloadService
from cloud.ports import Clock
from cloud.web.device_door import STATE
from vision.errors import PictureUnreadable
from wire import codec
from wire.errors import MessageInvalid, VedetteError, WireError
from wire.fields import ID_PATTERN
from wire.messages import (
    MAX_PICTURE_BYTES,
    PICTURE_HEADER,
    PICTURES_PATH,
    QUESTION_HEADER,
    QUESTIONS_PATH,
    Pending,
    PictureNote,
    Question,
    Refusal,
)

_BEARER: Final = re.compile(r"^[Bb]earer +([\x21-\x7e]{1,512})$")
_ID: Final = re.compile(ID_PATTERN)


class DoorSettings(BaseModel):
    """What a device may ask of the HTTP door.

    Attributes:
        requests_per_s: Of one device, in the long run.
        burst: Of one device, at once.
        body_timeout_s: How long a body may take to arrive.
        clip_timeout_s: How long a clip may take, which is some megabytes over what may be a slow link.
        enrolments_per_s: Of all that have a claim and no certificate yet, in the long run. A claim can't be guessed;
            this keeps a stranger from having signatures checked all day.
        enrolments_at_once: Of the same, at once.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    requests_per_s: Annotated[float, Field(gt=0)] = 5.0
    burst: Annotated[int, Field(ge=1)] = 30
    body_timeout_s: Annotated[float, Field(gt=0)] = 30.0
    clip_timeout_s: Annotated[float, Field(gt=0)] = 720.0
    enrolments_per_s: Annotated[float, Field(gt=0)] = 2.0
    enrolments_at_once: Annotated[int, Field(ge=1)] = 20


class RequestRefused(VedetteError):
    """A request that is turned away at the door."""

    status: ClassVar[int] = 400


class TokenRefused(RequestRefused):
    """No token, or nobody's."""

    status = 401


class DeviceMismatch(RequestRefused):
    """The token is one device's, the question another's."""

    status = 403


class BodyTooSlow(RequestRefused):
    """The body did not arrive in time."""

    status = 408


class BodyTooLarge(RequestRefused):
    """The body is over the limit."""

    status = 413


class PictureTooLarge(BodyTooLarge):
    """The body is a picture over the limit."""


class NotJpeg(RequestRefused):
    """The body says that it is not a JPEG."""

    status = 415


class TooManyRequests(RequestRefused):
    """The device asks more often than it may."""

    status = 429

    def __init__(self, wait_s: float) -> None:
        super().__init__("this device asks more often than it may", f"Wait {math.ceil(wait_s)} s.")
        self.wait_s = wait_s


# Errors of the layers below, as HTTP says them; any other `VedetteError` is our own trouble, 503: ask again.
_STATUS: Final[tuple[tuple[type[VedetteError], int], ...]] = (
    (WireError, 400),
    (SigningRefused, 400),
    (ClaimRefused, 403),
    (QuestionNotYours, 409),
    (AuditNotYours, 409),
    (NotFound, 404),
    (BlobMissing, 404),
    (PictureUnreadable, 422),
    (Overloaded, 503),
    (TooManyQuestions, 503),
    (OffloadStopped, 503),
)


def questions_router(
    *,
    service: OffloadService,
    pictures: AlertPictures,
    tokens: TokenCheck,
    clock: Clock,
    settings: DoorSettings,
    new_id: Callable[[], str] = lambda: uuid.uuid4().hex,
) -> APIRouter:
    """The routes that devices call over HTTP."""
    router = APIRouter(route_class=RefusingRoute, tags=["devices"])
    rate = RateLimit(per_s=settings.requests_per_s, burst=settings.burst)

    async def admitted(request: Request) -> str:
        """The device that makes the request, if it may ask now."""
        device = await speaker(request, tokens)
        wait_s = rate.wait_s(device, clock.monotonic())
        if wait_s > 0:
            raise TooManyRequests(wait_s)
        return device

    @router.post(QUESTIONS_PATH, responses=_RESPONSES)
    async def ask(request: Request) -> Response:
        received_at = clock.monotonic()
        device = await admitted(request)
        question = _question(request)
        if question.device != device:
            raise DeviceMismatch(
                f"the request is {device}'s, the question {question.device}'s", "Use the device's own identity."
            )
        picture = await jpeg_body(request, settings.body_timeout_s)
        verdict = await service.answer(question, picture, received_at)
        if verdict is not None:
            return _json(200, codec.encode(verdict))
        pending = Pending(message_id=new_id(), device=device, made_at=clock.wall(), question_id=question.message_id)
        return _json(202, codec.encode(pending))

    @router.put(PICTURES_PATH + "/{alert_id}", status_code=204, responses=_RESPONSES)
    async def keep_picture(alert_id: str, request: Request) -> Response:
        device = await admitted(request)
        if not _ID.match(alert_id):
            raise MessageInvalid("the alert's id is not 32 lower-case hex digits")
        note = _note(request)
        if note is not None and (note.device, note.message_id) != (device, alert_id):
            raise DeviceMismatch("the picture's note is about another alert", "Send the alert's own note.")
        await pictures.keep(device, alert_id, await jpeg_body(request, settings.body_timeout_s), note)
        return Response(status_code=204)

    return router


class RefusingRoute(APIRoute):
    """Turns our named errors into `Refusal`s."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Answer, or refuse in words."""
        answer = super().get_route_handler()

        async def answer_or_refuse(request: Request) -> Response:
            try:
                return await answer(request)
            except VedetteError as refused:
                return _refusal(refused)
            except ClientDisconnect:
                return Response(status_code=400)

        return answer_or_refuse


_RESPONSES: Final[dict[int | str, dict[str, Any]]] = {
    status: {"model": Refusal} for status in (400, 401, 403, 408, 409, 413, 415, 422, 429, 503)
}


def _refusal(refused: VedetteError) -> Response:
    if isinstance(refused, RequestRefused):
        status = refused.status
    else:
        status = next((status for kind, status in _STATUS if isinstance(refused, kind)), 503)
    headers = {}
    if isinstance(refused, TooManyRequests):
        headers["Retry-After"] = str(math.ceil(refused.wait_s))
    elif status == 503:  # noqa: PLR2004 - the table above
        headers["Retry-After"] = "1"
    elif status == 401:  # noqa: PLR2004 - RFC 9110 wants the scheme named
        headers["WWW-Authenticate"] = "Bearer"
    body = Refusal(error=refused.name, message=_plain(refused.what), mend=_plain(refused.mend))
    return _json(status, body.model_dump_json().encode(), headers)


def _plain(text: str) -> str:
    """Within what `Refusal` may hold: what a message quotes may be long, and not printable."""
    return "".join(character if character.isprintable() else "�" for character in text)[:500]


def _json(status: int, body: bytes, headers: dict[str, str] | None = None) -> Response:
    return Response(body, status, headers, "application/json")


async def speaker(request: Request, tokens: TokenCheck) -> str:
    """The device that makes the request: the one that the TLS door let in, else the one whose token it carries.

    Raises:
        TokenRefused: Nobody known.
    """
    certified: str | None = getattr(request.state, STATE, None)
    device = certified or await tokens.device_of(bearer_token(request))
    if device is None:
        raise TokenRefused("the token is not that of a device known here", "Enrol the device, or renew its token.")
    return device


def bearer_token(request: Request) -> str:
    """The token that the request carries.

    Raises:
        TokenRefused: None.
    """
    found = _BEARER.match(request.headers.get("authorization", ""))
    if found is None:
        raise TokenRefused("the request carries no bearer token", "Send `Authorization: Bearer <token>`.")
    return found[1]


def _question(request: Request) -> Question:
    header = request.headers.get(QUESTION_HEADER)
    if header is None:
        raise MessageInvalid(f"the header {QUESTION_HEADER} is missing", "Send the question as JSON in it.")
    return codec.decode(Question, header.encode("latin-1"))


def _note(request: Request) -> PictureNote | None:
    header = request.headers.get(PICTURE_HEADER)
    return None if header is None else codec.decode(PictureNote, header.encode("latin-1"))


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
