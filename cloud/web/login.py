"""Logging in and out: `GET` and `POST /login`, `GET` and `DELETE /api/session`.

The form is taken from a page of ours only, which `Origin` says. Guesses are held back for each address and for each
name, whether or not there is an operator of that name. What was typed is logged nowhere: a name that no operator has
may be a password in the wrong field.
"""

from __future__ import annotations

import ipaddress
import logging
from typing import Final
from urllib.parse import parse_qs

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict

from cloud.ingest.ports import Counter
from cloud.offload.rate import RateLimit
from cloud.operators.errors import LoginRefused, RequestForeign, TooManyLogins
from cloud.operators.sessions import Sessions
from cloud.ports import Clock
from cloud.web.bodies import small_body
from cloud.web.login_gate import LOGIN_PATH, check_own, viewer_of
from cloud.web.login_page import (
    AGAIN_PATH,
    AGAIN_SCRIPT,
    AGAIN_SCRIPT_PATH,
    MARK,
    MARK_PATH,
    STYLE,
    STYLE_PATH,
    login_page,
)
from cloud.web.refusals import RefusingRoute

log = logging.getLogger(__name__)

SESSION_PATH: Final = "/api/session"
# A form of ours has two fields of at most 256 characters, of four bytes that are spelt with three each.
_MAX_FORM_BYTES: Final = 8192
_FORM_WITHIN_S: Final = 10.0
# A person who mistypes has ten at once. Whoever guesses has one every six seconds from an address, and every thirty
# of a name, from wherever: three thousand a day.
_OF_AN_ADDRESS: Final = (1 / 6, 10)
_OF_A_NAME: Final = (1 / 30, 20)
_TELL_EVERY_S: Final = 60.0
_HEADERS: Final = {
    "Cache-Control": "no-store",
    # Under the others' policy, browsers would say of the form that it comes from nowhere.
    "Referrer-Policy": "same-origin",
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none'; form-action 'self'; "
        "frame-ancestors 'none'"
    ),
}


class SessionView(BaseModel):
    """Who looks.

    Attributes:
        asked: Whether a login is asked for here.
        operator: Who is logged in; None for a stranger, where none is asked for.
        by_session: Whether there is a session that can be ended.
    """

    model_config = ConfigDict(frozen=True)

    asked: bool
    operator: str | None
    by_session: bool


def session_router(login: Login | None) -> APIRouter:
    """Who looks, for the dashboard; and the login itself, where one is asked for."""
    router = APIRouter(tags=["login"], route_class=RefusingRoute)

    @router.get(SESSION_PATH)
    async def session(request: Request) -> SessionView:
        """Who looks."""
        viewer = viewer_of(request)
        operator = None if viewer is None else viewer.operator
        by_session = viewer is not None and viewer.by_session
        return SessionView(asked=login is not None, operator=operator, by_session=by_session)

    if login is not None:
        login.add_routes(router)
    return router


def _add_page(router: APIRouter) -> None:
    @router.get(LOGIN_PATH, include_in_schema=False)
    async def page() -> Response:
        return _page(200)

    @router.get(STYLE_PATH, include_in_schema=False)
    async def style() -> Response:
        return Response(STYLE, media_type="text/css", headers={"Cache-Control": "max-age=3600"})

    @router.get(MARK_PATH, include_in_schema=False)
    async def mark() -> Response:
        return Response(MARK, media_type="image/svg+xml", headers={"Cache-Control": "max-age=3600"})

    @router.get(AGAIN_SCRIPT_PATH, include_in_schema=False)
    async def again_script() -> Response:
        return Response(AGAIN_SCRIPT, media_type="text/javascript", headers={"Cache-Control": "max-age=3600"})

    @router.get(AGAIN_PATH, include_in_schema=False)
    async def again() -> Response:
        return Response(status_code=303, headers={"Location": "/", "Cache-Control": "no-store"})


class Login:
    """Takes names and passwords, and gives cookies.

    Args:
        sessions: Where they are compared.
        cookie: The session's name in the browser.
        secure: Over TLS: the browser then never sends the cookie without.
        counter: Counts by name.
        clock: The service's.
    """

    def __init__(self, sessions: Sessions, *, cookie: str, secure: bool, counter: Counter, clock: Clock) -> None:
        self._sessions = sessions
        self._cookie = cookie
        self._secure = secure
        self._counter = counter
        self._clock = clock
        self._addresses = RateLimit(per_s=_OF_AN_ADDRESS[0], burst=_OF_AN_ADDRESS[1])
        self._names = RateLimit(per_s=_OF_A_NAME[0], burst=_OF_A_NAME[1])
        self._telling = RateLimit(per_s=1 / _TELL_EVERY_S, burst=1)

    def add_routes(self, router: APIRouter) -> None:
        """The routes."""
        _add_page(router)

        @router.post(LOGIN_PATH, include_in_schema=False)
        async def log_in(request: Request) -> Response:
            name = ""
            try:
                check_own(request)
                body = await small_body(request, _MAX_FORM_BYTES, _FORM_WITHIN_S)
                name, password = read_form(body)
                return await self._begin(name, password, address_of(request))
            except RequestForeign as refused:
                return _page(403, refused.told)
            except LoginRefused as refused:
                return _page(401, refused.told, name, {"WWW-Authenticate": "Bearer"})
            except TooManyLogins as refused:
                return _page(429, refused.told, name, {"Retry-After": str(refused.wait_s)})

        @router.delete(SESSION_PATH, status_code=204)
        async def log_out(request: Request) -> Response:
            """Log out."""
            viewer = viewer_of(request)
            if viewer is not None and viewer.by_session:
                await self._sessions.end(viewer)
                log.info("operator logged out", extra={"operator": viewer.operator, "address": address_of(request)})
            answer = Response(status_code=204)
            answer.delete_cookie(self._cookie, secure=self._secure, httponly=True, samesite="strict")
            return answer

    async def _begin(self, name: str, password: str, address: str) -> Response:
        self._admit(name, address)
        try:
            token, viewer = await self._sessions.begin(name, password)
        except LoginRefused:
            self._counter.count("login.failed")
            known = {"operator": name} if await self._sessions.known(name) else {}
            log.warning("login failed", extra={"address": address, **known})
            raise
        except TooManyLogins:
            self._counter.count("login.held_back")
            raise
        self._counter.count("login.accepted")
        log.info("operator logged in", extra={"operator": viewer.operator, "address": address})
        answer = Response(status_code=303, headers={"Location": "/", "Cache-Control": "no-store"})
        answer.set_cookie(
            self._cookie,
            token,
            max_age=int(self._sessions.life.total_seconds()),
            secure=self._secure,
            httponly=True,
            samesite="strict",
        )
        return answer

    def _admit(self, name: str, address: str) -> None:
        now = self._clock.monotonic()
        wait_s = self._addresses.wait_s(address, now) or self._names.wait_s(name, now)
        if wait_s > 0:
            self._counter.count("login.held_back")
            if self._telling.wait_s(address, now) == 0:
                log.warning("logins are held back", extra={"address": address})
            raise TooManyLogins(wait_s)


def read_form(body: bytes) -> tuple[str, str]:
    """Name and password of a form as browsers send it; the name as it would be written here.

    Raises:
        LoginRefused: It does not hold each of them once, as text.
    """
    try:
        fields = parse_qs(body.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=8)
        (name,), (password,) = fields["name"], fields["password"]
    except (ValueError, KeyError):
        raise LoginRefused("name or password is wrong") from None
    return name.strip().lower()[:63], password


def address_of(request: Request) -> str:
    """Who asks, as far as guesses go: an IPv6 host has the lower 64 bits to itself."""
    host = "" if request.client is None else request.client.host
    try:
        found = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return host
    if isinstance(found, ipaddress.IPv6Address):
        if found.ipv4_mapped is not None:
            return str(found.ipv4_mapped)
        return str(ipaddress.ip_network((found, 64), strict=False))
    return str(found)


def _page(status: int, told: str = "", name: str = "", headers: dict[str, str] | None = None) -> Response:
    return Response(login_page(told, name), status, _HEADERS | (headers or {}), "text/html")
