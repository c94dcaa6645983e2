"""What every request passes where operators log in: nothing is answered to strangers but what is listed here.

A browser shows a session, in a cookie; a program shows a token, as `Authorization: Bearer`. Whoever shows neither is
led to the login if it is a person who opens a page, and else refused with 401. A session alone does not entitle to
change anything: the request must come from a page of ours, and says so in `Origin`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Protocol

from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from cloud.errors import CloudError
from cloud.operators.errors import LoginRequired, RequestForeign
from cloud.operators.sessions import Viewer
from cloud.web.admission import bearer_token
from cloud.web.login_page import AGAIN, AGAIN_PATH, AGAIN_SCRIPT_PATH, MARK_PATH, STYLE_PATH
from cloud.web.refusals import TokenRefused, refusal_body
from cloud.web.repository import METADATA_PATH, TARGETS_PATH
from wire.audits import AUDITS_PATH
from wire.commands import CLIPS_PATH, SNAPSHOTS_PATH
from wire.messages import PICTURES_PATH, QUESTIONS_PATH

LOGIN_PATH: Final = "/login"
STATE: Final = "viewer"
"""Where in the request's state the viewer stands whom the gate let in."""

_READING: Final = frozenset({"GET", "HEAD"})


@dataclass(frozen=True, slots=True)
class Opening:
    """What strangers may ask.

    Attributes:
        path: That one; or, where it ends in a slash, all below it.
    """

    methods: frozenset[str]
    path: str

    def lets(self, method: str, path: str) -> bool:
        """Whether it is this."""
        return method in self.methods and (
            path == self.path or (self.path.endswith("/") and path.startswith(self.path))
        )


def _read(path: str) -> Opening:
    return Opening(_READING, path)


ANYBODYS: Final = (
    _read("/healthz"),
    _read("/readyz"),
    Opening(_READING | {"POST"}, LOGIN_PATH),
    _read(STYLE_PATH),
    _read(MARK_PATH),
    _read(AGAIN_PATH),
    _read(AGAIN_SCRIPT_PATH),
)
"""To get in, and to be watched."""

DEVICES: Final = (
    Opening(frozenset({"POST"}), QUESTIONS_PATH),
    Opening(frozenset({"PUT"}), PICTURES_PATH + "/"),
    Opening(frozenset({"POST"}), AUDITS_PATH),
    _read(AUDITS_PATH + "/"),
    Opening(frozenset({"PUT"}), SNAPSHOTS_PATH + "/"),
    Opening(frozenset({"PUT"}), CLIPS_PATH + "/"),
    _read(METADATA_PATH + "/"),
    _read(TARGETS_PATH + "/"),
)
"""What devices call under tokens of their own, or what is signed; open where they have no door of their own."""


class Viewers(Protocol):
    """Whom a request is from."""

    async def by_session(self, token: str) -> Viewer | None:
        """Whose session it is."""

    async def by_token(self, token: str) -> Viewer | None:
        """Whose program's token it is."""


@dataclass(frozen=True, slots=True)
class Gate:
    """How a gate is made.

    Attributes:
        cookie: In which browsers show their session.
        openings: What strangers may ask.
    """

    viewers: Viewers
    cookie: str
    openings: tuple[Opening, ...] = ANYBODYS


class LoginGate:
    """ASGI middleware: lets viewers in, and strangers to what is open."""

    def __init__(self, app: ASGIApp, viewers: Viewers, cookie: str, openings: tuple[Opening, ...]) -> None:
        self._app = app
        self._viewers = viewers
        self._cookie = cookie
        self._openings = openings

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on under its viewer's name, or refuse it."""
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008, "reason": ""})
            return
        if scope["type"] != "http" or any(one.lets(scope["method"], scope["path"]) for one in self._openings):
            await self._app(scope, receive, send)
            return
        request = Request(scope)
        try:
            viewer = await self._viewer(request)
            if viewer is not None and viewer.by_session and request.method not in _READING:
                check_own(request)
        except RequestForeign as refused:
            await _refusal(refused, 403)(scope, receive, send)
            return
        except CloudError as failed:
            await _refusal(failed, 503)(scope, receive, send)
            return
        if viewer is None:
            await _turned_away(request)(scope, receive, send)
            return
        state: dict[str, Any] = scope.setdefault("state", {})
        state[STATE] = viewer

        async def send_for_one(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).setdefault("Cache-Control", "private, no-cache")
            await send(message)

        await self._app(scope, receive, send_for_one)

    async def _viewer(self, request: Request) -> Viewer | None:
        if "authorization" in request.headers:
            try:
                return await self._viewers.by_token(bearer_token(request))
            except TokenRefused:
                return None
        token = request.cookies.get(self._cookie)
        return None if token is None else await self._viewers.by_session(token)


def viewer_of(request: Request) -> Viewer | None:
    """Whom the gate let in; None where there is no gate."""
    found: Viewer | None = getattr(request.state, STATE, None)
    return found


def check_own(request: Request) -> None:
    """Let only pass what a page of ours made the browser ask: `Origin` is the browser's word for whose page it was.

    Raises:
        RequestForeign: It names another host than the one that was asked, or none.
    """
    host = request.headers.get("host", "").lower()
    if request.headers.get("origin", "").lower() not in {f"https://{host}", f"http://{host}"}:
        raise RequestForeign("this was sent from a page of somebody else", "Use the dashboard's own.")


def _turned_away(request: Request) -> Response:
    once = {"Cache-Control": "no-store"}
    if request.method in _READING and "text/html" in request.headers.get("accept", ""):
        if request.headers.get("sec-fetch-site") in {"cross-site", "same-site"}:
            return Response(AGAIN, 200, once, "text/html")
        return RedirectResponse(LOGIN_PATH, 303, once)
    required = LoginRequired(
        "nobody is logged in, or not any more",
        "Log in at /login; a program sends `Authorization: Bearer` with what `vedette operator token` printed.",
    )
    return _refusal(required, 401, once | {"WWW-Authenticate": "Bearer"})


def _refusal(refused: CloudError, status: int, headers: dict[str, str] | None = None) -> Response:
    return Response(refusal_body(refused.name, refused.what, refused.mend), status, headers, "application/json")
