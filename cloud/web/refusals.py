"""How HTTP requests are refused: with a name, what happened and what to do, as a `Refusal` in JSON."""

from __future__ import annotations

import math
from collections.abc import Callable, Coroutine
from typing import Any, ClassVar, Final

from fastapi import Request, Response
from fastapi.routing import APIRoute
from starlette.requests import ClientDisconnect

from cloud.audit.errors import AuditNotYours
from cloud.errors import BlobMissing, NotFound
from cloud.identity.errors import ClaimRefused, SigningRefused
from cloud.infer.errors import Overloaded
from cloud.offload.errors import OffloadStopped, QuestionNotYours, TooManyQuestions
from vision.errors import PictureUnreadable
from wire.errors import VedetteError, WireError
from wire.messages import Refusal


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
    """The device asks more often than it may, or too many ask at once."""

    status = 429

    def __init__(self, wait_s: float, what: str = "this device asks more often than it may") -> None:
        super().__init__(what, f"Wait {math.ceil(wait_s)} s.")
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

RESPONSES: Final[dict[int | str, dict[str, Any]]] = {
    status: {"model": Refusal} for status in (400, 401, 403, 408, 409, 413, 415, 422, 429, 503)
}
"""What a device may be answered beside what it asked for."""


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


def refusal_body(name: str, what: str, mend: str) -> str:
    """A `Refusal` in JSON, whatever the texts hold: what a message quotes may be long, and not printable."""
    return Refusal(error=name, message=_plain(what), mend=_plain(mend)).model_dump_json()


def _plain(text: str) -> str:
    return "".join(character if character.isprintable() else "�" for character in text)[:500]


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
    return Response(refusal_body(refused.name, refused.what, refused.mend), status, headers, "application/json")
