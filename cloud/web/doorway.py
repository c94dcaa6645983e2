"""What every request passes first: it must be meant for this service, and its answer says what a browser may do.

A web page anywhere can make a name of its own point to 127.0.0.1 and then read what answers there (DNS rebinding).
Its requests still carry its own name as the host: so a host that we do not know is refused.
"""

from __future__ import annotations

from typing import Final

from starlette.datastructures import MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from cloud.errors import HostRefused
from cloud.web.refusals import refusal_body

LOOPBACK_NAMES: Final = frozenset({"localhost", "127.0.0.1", "[::1]"})

_HEADERS: Final = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; font-src 'self'; "
        "connect-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
}


class Doorway:
    """ASGI middleware: checks the host, adds the headers."""

    def __init__(self, app: ASGIApp, hosts: frozenset[str]) -> None:
        self._app = app
        self._hosts = hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or refuse it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        host = _host(scope)
        if host not in self._hosts:
            await _refusal(host)(scope, receive, send_with_headers)
            return
        await self._app(scope, receive, send_with_headers)


def _host(scope: Scope) -> str:
    """The host that the request names, without the port; empty if it names none, or several."""
    named = [value for name, value in scope["headers"] if name == b"host"]
    if len(named) != 1:
        return ""
    text = str(named[0].decode("latin-1")).lower()
    return text[: text.find("]") + 1] if text.startswith("[") else text.partition(":")[0]


def _refusal(host: str) -> Response:
    refused = HostRefused(
        f"this service does not answer to the name {host[:100]!a}",
        "Use its own address, or add the name to `allowed_hosts` in the settings.",
    )
    body = refusal_body(refused.name, refused.what, refused.mend)
    return Response(body, 421, media_type="application/json")
