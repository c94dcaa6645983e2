"""The devices' TLS door: every request is under a certificate that is looked up anew, so a revocation counts at once.

Only what devices call is behind it. Two paths need no certificate: the authority's own, and an enrolment, which a
device makes because it has none.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final, Protocol

from cryptography import x509
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from cloud.errors import CloudError, NotFound
from cloud.identity.errors import CertificateRefused
from cloud.web.refusals import refusal_body
from wire.identity import AUTHORITY_PATH, ENROLMENTS_PATH

PREFIX: Final = "/v1/"
OPEN: Final = frozenset({AUTHORITY_PATH, ENROLMENTS_PATH})
STATE: Final = "device"
"""Where in the request's state the device stands that the door let in."""
_CERTIFICATE: Final = "peer_certificate"
_STATUS: Final[tuple[tuple[type[CloudError], int], ...]] = ((CertificateRefused, 401), (NotFound, 404))


class Bearers(Protocol):
    """Whose a certificate is."""

    async def bearer(self, certificate: x509.Certificate) -> tuple[str, object]:
        """The device, and until when.

        Raises:
            CertificateRefused: Nobody who is welcome.
        """


class CertificateProtocol(H11Protocol):
    """uvicorn's protocol, which tells the application what certificate TLS verified; uvicorn keeps it to itself."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Note the certificate, before any request."""
        tls = transport.get_extra_info("ssl_object")
        shown = None if tls is None else tls.getpeercert(binary_form=True)
        self.app_state = {**self.app_state, _CERTIFICATE: shown}
        super().connection_made(transport)


class DeviceDoor:
    """ASGI middleware: lets devices in, by their certificates, to what is theirs."""

    def __init__(self, app: ASGIApp, bearers: Bearers) -> None:
        self._app = app
        self._bearers = bearers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on under its device's name, or refuse it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        path = scope["path"]
        try:
            if not path.startswith(PREFIX):
                raise NotFound("there is nothing for devices here")
            state: dict[str, Any] = scope.setdefault("state", {})
            shown = state.pop(_CERTIFICATE, None)
            if path not in OPEN:
                state[STATE] = await self._device_of(shown)
        except CloudError as refused:
            await _refusal(refused)(scope, receive, send)
            return
        await self._app(scope, receive, send)

    async def _device_of(self, shown: bytes | None) -> str:
        if shown is None:
            raise CertificateRefused("no certificate was shown", "Enrol the device: `vedette device enroll NAME`.")
        try:
            device, _ = await self._bearers.bearer(x509.load_der_x509_certificate(shown))
        except ValueError:  # TLS verifies more than it reads: an external authority's may be odd elsewhere
            raise CertificateRefused("the certificate can't be read", "Have the device certified anew.") from None
        return device


def _refusal(refused: CloudError) -> Response:
    status = next((code for kind, code in _STATUS if isinstance(refused, kind)), 503)
    # A connection keeps the certificate that it began under: who has a newer one shall come with it.
    body = refusal_body(refused.name, refused.what, refused.mend)
    return Response(body, status, {"Connection": "close"}, "application/json")
