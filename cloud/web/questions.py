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

import re
import uuid
from collections.abc import Callable
from typing import Final

from fastapi import APIRouter, Request, Response

from cloud.offload.pictures import AlertPictures
from cloud.offload.ports import TokenCheck
from cloud.offload.service import OffloadService
from cloud.ports import Clock
from cloud.web.admission import Admission, DoorSettings
from cloud.web.bodies import jpeg_body
from cloud.web.refusals import RESPONSES, DeviceMismatch, RefusingRoute
from wire import codec
from wire.errors import MessageInvalid
from wire.fields import ID_PATTERN
from wire.messages import (
    PICTURE_HEADER,
    PICTURES_PATH,
    QUESTION_HEADER,
    QUESTIONS_PATH,
    Pending,
    PictureNote,
    Question,
)

_ID: Final = re.compile(ID_PATTERN)


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
    admission = Admission(tokens, settings, clock)

    @router.post(QUESTIONS_PATH, responses=RESPONSES)
    async def ask(request: Request) -> Response:
        received_at = clock.monotonic()
        device = await admission.device(request)
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

    @router.put(PICTURES_PATH + "/{alert_id}", status_code=204, responses=RESPONSES)
    async def keep_picture(alert_id: str, request: Request) -> Response:
        device = await admission.device(request)
        if not _ID.match(alert_id):
            raise MessageInvalid("the alert's id is not 32 lower-case hex digits")
        note = _note(request)
        if note is not None and (note.device, note.message_id) != (device, alert_id):
            raise DeviceMismatch("the picture's note is about another alert", "Send the alert's own note.")
        await pictures.keep(device, alert_id, await jpeg_body(request, settings.body_timeout_s), note)
        return Response(status_code=204)

    return router


def _json(status: int, body: bytes) -> Response:
    return Response(body, status, media_type="application/json")


def _question(request: Request) -> Question:
    header = request.headers.get(QUESTION_HEADER)
    if header is None:
        raise MessageInvalid(f"the header {QUESTION_HEADER} is missing", "Send the question as JSON in it.")
    return codec.decode(Question, header.encode("latin-1"))


def _note(request: Request) -> PictureNote | None:
    header = request.headers.get(PICTURE_HEADER)
    return None if header is None else codec.decode(PictureNote, header.encode("latin-1"))
