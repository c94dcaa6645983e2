"""The HTTP application, and the server that runs it."""

from __future__ import annotations

import errno
import logging
import socket
import ssl
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, Protocol

import uvicorn
from fastapi import APIRouter, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, Response
from fastapi.staticfiles import StaticFiles
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp

from cloud.errors import BlobMissing, DeviceUnknown, NotFound, PortTaken
from cloud.web.device_door import CertificateProtocol
from cloud.web.doorway import LOOPBACK_NAMES, Doorway
from cloud.web.login_gate import Gate, LoginGate
from cloud.web.refusals import refusal_body
from wire.errors import VedetteError

log = logging.getLogger(__name__)

STATIC: Final = Path(__file__).parent / "static"
# Answers under way get this long once the service is told to stop; live events are ended before.
_GRACE_S: Final = 2
_BACKLOG: Final = 2048
_NOT_FOUND: Final = (NotFound, DeviceUnknown, BlobMissing)
_NO_DASHBOARD: Final = """<!doctype html><html lang="en"><meta charset="utf-8"><title>Vedette</title>
<h1>Vedette is running</h1>
<p>The dashboard is not built here. <code>make dashboard</code> builds it; a wheel carries it ready-made.
<p>The API works all the same: <a href="/api/summary">summary</a>, <a href="/api/devices">devices</a>,
<a href="/api/alerts">alerts</a>, <a href="/readyz">readiness</a>, <a href="/openapi.json">OpenAPI</a>.</html>
"""


def make_application(
    routers: Sequence[APIRouter],
    *,
    allowed_hosts: frozenset[str] = frozenset(),
    static: Path = STATIC,
    gate: Gate | None = None,
) -> FastAPI:
    """All routes behind the doorway; the dashboard's files, where they are built, under everything else.

    Args:
        routers: The routes.
        allowed_hosts: Names beside loopback's under which it may be asked.
        static: Where the dashboard's files are.
        gate: Where operators log in; None lets everybody in.
    """
    application = FastAPI(title="Vedette", docs_url=None, redoc_url=None)
    if gate is not None:
        application.add_middleware(LoginGate, viewers=gate.viewers, cookie=gate.cookie, openings=gate.openings)
    application.add_middleware(Doorway, hosts=LOOPBACK_NAMES | allowed_hosts)
    for router in routers:
        application.include_router(router)
    application.add_exception_handler(VedetteError, _refuse)
    application.add_exception_handler(RequestValidationError, _refuse_request)
    application.add_exception_handler(HTTPException, _refuse_http)
    if (static / "index.html").is_file():
        application.mount("/", StaticFiles(directory=static, html=True), name="dashboard")
    else:
        application.add_api_route("/", _no_dashboard, response_class=HTMLResponse, include_in_schema=False)
    return application


@contextmanager
def listening(host: str, port: int) -> Iterator[socket.socket]:
    """A socket that takes connections there; port 0 is any free one.

    Raises:
        PortTaken: It can't be had.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            taken.bind((host, port))
            taken.listen(_BACKLOG)
        except OSError as error:
            why = "something else listens there" if error.errno == errno.EADDRINUSE else str(error.strerror)
            raise PortTaken(
                f"HTTP can't be served on {host}:{port}: {why}", "Choose another `http_port`; 0 finds a free one."
            ) from None
        yield taken


class ServerTls(Protocol):
    """Files in PEM."""

    @property
    def ca_file(self) -> Path | None:
        """Whose certificates are verified where one is shown; None: nobody is asked for one."""

    @property
    def cert_file(self) -> Path:
        """The service's own."""

    @property
    def key_file(self) -> Path:
        """Its key."""


class HttpServer(uvicorn.Server):
    """Serves on a socket until told to stop; signals are the composition root's business.

    Args:
        application: What is served.
        tls: Under which certificate, and whose certificates of clients are verified; None for plain text.
    """

    def __init__(self, application: ASGIApp, tls: ServerTls | None = None) -> None:
        self._tls = tls
        encrypted: dict[str, Any] = {}
        if tls is not None:
            encrypted = {"ssl_certfile": tls.cert_file, "ssl_keyfile": tls.key_file}
            if tls.ca_file is not None:
                encrypted |= {
                    "ssl_ca_certs": str(tls.ca_file),
                    "ssl_cert_reqs": ssl.CERT_OPTIONAL,
                    "http": CertificateProtocol,
                }
        super().__init__(
            uvicorn.Config(
                application,
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=False,
                timeout_graceful_shutdown=_GRACE_S,
                h11_max_incomplete_event_size=32 * 1024,
                **encrypted,
            )
        )

    def renew(self) -> None:
        """Read the certificate again: connections from now on are under the new one."""
        if self._tls is not None and self.config.ssl is not None:
            self.config.ssl.load_cert_chain(self._tls.cert_file, self._tls.key_file)

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals alone."""
        yield

    def stop(self) -> None:
        """Finish what is under way, and end."""
        self.should_exit = True


async def _refuse(_request: Request, error: Exception) -> Response:
    if not isinstance(error, VedetteError):
        raise error
    return _refusal(404 if isinstance(error, _NOT_FOUND) else 503, error.name, error.what, error.mend)


async def _refuse_request(_request: Request, error: Exception) -> Response:
    if not isinstance(error, RequestValidationError):
        raise error
    first = error.errors()[0]
    where = ".".join(str(step) for step in first["loc"])
    return _refusal(422, "RequestInvalid", f"{where}: {first['msg']}", "See /openapi.json.")


async def _refuse_http(_request: Request, error: Exception) -> Response:
    if not isinstance(error, HTTPException):
        raise error
    return _refusal(error.status_code, "NotFound" if error.status_code == 404 else "HttpError", str(error.detail), "")  # noqa: PLR2004 - the code itself


def _refusal(status: int, name: str, what: str, mend: str) -> Response:
    return Response(refusal_body(name, what, mend), status, media_type="application/json")


async def _no_dashboard() -> HTMLResponse:
    return HTMLResponse(_NO_DASHBOARD)
